#!/usr/bin/env bash
# Builds srpt-app and shows what it does. Stays up until Ctrl-C; with --once it ends after the demonstration.
#
# Where this machine has an RDMA device, the target runs here and the login string for an initiator is printed. Where it has none, the lab
# boots a guest, and the kernel's own initiator logs in there: lsscsi and a short fio table.
# Reads SRPT_MASK (default 0x3), SRPT_PORT (5555) and SRPT_DATA (where the file disk lives, default ~/.cache/srpt/run).
set -euo pipefail
SCRIPTS=$(dirname "$(realpath "$0")")
ROOT=$(dirname "$SCRIPTS")
LAB=$SCRIPTS/lab
. "$LAB/host/packages.sh"
. "$LAB/host/image.sh"
. "$LAB/host/boot.sh"
. "$LAB/host/run.sh"
. "$LAB/three-disks.sh"

ONCE=
MASK=${SRPT_MASK:-0x3}
DATA=${SRPT_DATA:-$SRPT_CACHE/run}
SOCKET=/var/tmp/srpt.sock

main() {
  case "${1:-}" in
  --once) ONCE=1 ;;
  "") ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 2 ;;
  esac

  APP=${SRPT_APP:-$(build_app "$ROOT")}
  ln -sfn "$APP" "$ROOT/srpt-app"
  if [ -n "$(ls /sys/class/infiniband 2>/dev/null)" ]; then run_here; else run_in_lab; fi
}

# ── A machine with an RDMA device ───────────────────────────────────────────────────────────────────────────────────

run_here() {
  local address
  need_packages libibverbs1 ibverbs-providers librdmacm1
  reserve_huge_pages
  address=$(rdma_address) || die "there is an RDMA device ($(ls /sys/class/infiniband | xargs)), but none of its network interfaces has an IPv4 address: set one with 'ip addr add'"
  mkdir -p "$DATA"
  [ -e "$DATA/disk01.img" ] || truncate -s 1G "$DATA/disk01.img"
  three_disks_config "$address" "$DATA/disk01.img" >"$DATA/config.json"

  ulimit -l unlimited 2>/dev/null || say "warning: the limit for locked memory stays at $(ulimit -l) KiB (ulimit -l)"
  "$APP" -m "$MASK" -c "$DATA/config.json" -r "$SOCKET" &
  TARGET=$!
  trap 'stop_target' EXIT
  trap 'exit 0' INT TERM
  for _ in $(seq 150); do
    [ ! -S "$SOCKET" ] || break
    kill -0 "$TARGET" 2>/dev/null || die "the target did not come up"
    sleep 0.2
  done

  cat <<TEXT

The target listens on $address:$PORT. On an initiator (DEVICE as in 'ls /sys/class/infiniband_srp', address as seen from there):

  modprobe ib_srp
  echo "$(login_string "$address")" > /sys/class/infiniband_srp/srp-DEVICE-1/add_target

RPC socket: $SOCKET   configuration: $DATA/config.json
TEXT
  [ -z "$ONCE" ] || return 0
  echo "Ctrl-C ends it."
  wait "$TARGET"
}

# stop_target: drains it, and ends with its status when that is worse than ours.
stop_target() {
  local ours=$? its=0
  kill "$TARGET" 2>/dev/null || true # Ctrl-C went to it, too
  wait "$TARGET" || its=$?
  exit $((ours ? ours : its))
}

# reserve_huge_pages: if we may; the target falls back to ordinary pages by itself.
reserve_huge_pages() {
  (cd "$ROOT" && cargo build --release --locked --package hugepage-setup >&2) &&
    "$(dirname "$APP")/hugepage-setup" reserve --size 640M ||
    say "warning: no huge pages reserved, going on with ordinary ones"
}

# rdma_address: the first IPv4 address of a network interface that an RDMA device works through.
rdma_address() {
  local interface address
  need_packages iproute2
  for interface in $(cat /sys/class/infiniband/*/ports/*/gid_attrs/ndevs/* 2>/dev/null; ls /sys/class/infiniband/*/device/net 2>/dev/null); do
    address=$(ip -4 -o addr show dev "$interface" 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }')
    [ -z "$address" ] || { echo "$address"; return 0; }
  done
  return 1
}

# ── A machine without: the lab ──────────────────────────────────────────────────────────────────────────────────────

run_in_lab() {
  local status=0
  say "no RDMA device here: the target and the kernel's initiator run in the lab's guest"
  SRPT_APP=$APP new_run demo
  guest_job demo.sh "${ONCE:+600}" MASK="$MASK" ONCE="$ONCE" SCENARIO=demo || die "the guest was ended (status $?); its console: $RUN/console.log"
  status=$(cat "$RUN/status" 2>/dev/null) || die "the guest went down; its console: $RUN/console.log"
  [ -z "$ONCE" ] || echo "logs: $RUN"
  return "$status"
}

main "$@"
