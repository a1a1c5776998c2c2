#!/usr/bin/env bash
# Builds srpt-app and shows what it does. Stays up until Ctrl-C; with --once it ends after the demonstration.
#
# Where this machine has an RDMA device, the target listens over verbs and the login string for an initiator is printed. Where it has none, the
# target speaks RoCEv2 itself: on this machine's loopback, where srp-perf measures it, or at SRPT_ADDRESS. With --guest it listens on a tap
# device of its own (needs root), and a stock Linux guest in software emulation logs in there: lsscsi and a short fio table.
#
#   run.sh [--once] [--guest]
#
# Reads SRPT_ADDRESS (default 127.0.0.1, or the RDMA device's), SRPT_PORT (5555), SRPT_MASK (the target's cores, default 0x1) and SRPT_DATA
# (where the file disk lives, default ~/.cache/srpt/run).
set -euo pipefail
SCRIPTS=$(dirname "$(realpath "$0")")
ROOT=$(dirname "$SCRIPTS")
LAB=$SCRIPTS/lab
. "$LAB/host/packages.sh"
. "$LAB/host/image.sh"
. "$LAB/host/network.sh"
. "$LAB/host/boot.sh"
. "$LAB/host/run.sh"
. "$LAB/three-disks.sh"

ONCE='' GUEST=''
MASK=${SRPT_MASK:-0x1}
DATA=${SRPT_DATA:-$SRPT_CACHE/run}
SOCKET=/var/tmp/srpt.sock

main() {
  local argument
  for argument in "$@"; do
    case "$argument" in
    --once) ONCE=1 ;;
    --guest) GUEST=1 ;;
    *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 2 ;;
    esac
  done

  APP=${SRPT_APP:-$(build "$ROOT" bin srpt-app)}
  ln -sfn "$APP" "$ROOT/srpt-app"
  if [ -n "$GUEST" ]; then
    run_with_guest
  elif [ -n "$(ls /sys/class/infiniband 2>/dev/null)" ]; then
    run_over_verbs
  else
    run_over_roce
  fi
}

# ── A machine with an RDMA device ───────────────────────────────────────────────────────────────────────────────────

run_over_verbs() {
  local address
  need_packages libibverbs1 ibverbs-providers librdmacm1
  address=${SRPT_ADDRESS:-$(rdma_address)} || die "there is an RDMA device ($(ls /sys/class/infiniband | xargs)), but none of its network interfaces has an IPv4 address: set one with 'ip addr add'"
  start_target verbs "$address"
  stay_up
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

# ── A machine without: RoCEv2 of our own ────────────────────────────────────────────────────────────────────────────

run_over_roce() {
  local perf address=${SRPT_ADDRESS:-127.0.0.1} cores=0x2 lun
  [ "$(nproc)" != 1 ] || cores=0x1
  perf=${SRP_PERF:-$(build "$ROOT" bin srp-perf)}
  start_target roce "$address"
  case $address in 127.*) say "That is this machine's loopback; SRPT_ADDRESS=ADDRESS listens where others can reach it." ;; esac
  for lun in "0 (null)" "1 (RAM)"; do
    printf '\nUnit %s, random reads of 4 KiB, 32 deep, 3 s\n\n' "$lun"
    "$perf" -c "$cores" --target "$address:$PORT" --id-ext $ID_EXT --ioc-guid $IOC_GUID --lun "${lun%% *}" -q 32 -o 4k -w randread -t 3
  done
  stay_up
}

# ── The target on this machine ──────────────────────────────────────────────────────────────────────────────────────

# start_target FABRIC ADDRESS: in the background, until this script ends; returns when it listens and says how to log in.
start_target() {
  local fabric=$1 address=$2
  reserve_huge_pages
  mkdir -p "$DATA"
  [ -e "$DATA/disk01.img" ] || truncate -s 1G "$DATA/disk01.img"
  three_disks_config "$fabric" "$address" "$DATA/disk01.img" >"$DATA/config.json"

  ulimit -l unlimited 2>/dev/null || say "warning: the limit for locked memory stays at $(ulimit -l) KiB (ulimit -l)"
  "$APP" -m "$MASK" -c "$DATA/config.json" -r "$SOCKET" --state-dir "$DATA/state" &
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
}

# reserve_huge_pages: if we may; the target falls back to ordinary pages by itself.
reserve_huge_pages() {
  local setup
  setup=$(build "$ROOT" bin hugepage-setup) && "$setup" reserve --size 640M ||
    say "warning: no huge pages reserved, going on with ordinary ones"
}

stay_up() {
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

# ── A stock Linux guest as the initiator ────────────────────────────────────────────────────────────────────────────

run_with_guest() {
  local status=0
  need_network
  say "the target runs here, the kernel's initiator in a guest"
  SRPT_APP=$APP new_run demo
  guest_job roce demo.sh "${ONCE:+600}" MASK="$MASK" ONCE="$ONCE" SCENARIO=demo || die "the guest was ended (status $?); its console: $RUN/console.log"
  status=$(cat "$RUN/status" 2>/dev/null) || die "the guest went down; its console: $RUN/console.log"
  [ -z "$ONCE" ] || echo "logs: $RUN"
  return "$status"
}

main "$@"
