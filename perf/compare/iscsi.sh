#!/usr/bin/env bash
# srpt-app over our RoCE, side by side with tgt (Debian's iSCSI target in user space) over TCP: the same machine, the same run, in turns.
#
#   iscsi.sh [ROUNDS [SECONDS]]    3 rounds of 3 seconds for each load, about ten minutes in all
#
# Both targets have a null device and core 0, both initiators core 1. Loads run over loopback, and over a veth pair between two network namespaces
# with MTU 4200 (the least for RoCE's 4096-byte packets) and 9000. Reads of iSCSI are iscsi-perf's; it cannot write, so writes are
# qemu-img bench's. A spread is what the rounds differ by, (max - min) / median: a ratio means nothing where it is not much beyond the spreads.
# Needs two cores, and root for the namespaces. Results stay in the folder named at the end.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
. "$ROOT/scripts/lab/host/packages.sh"

ROUNDS=${1:-3}
SECONDS_EACH=${2:-3}
NETWORKS=(loopback veth-4200 veth-9000)
# Workload as srp-perf names it, bytes, depth.
LOADS=("randread 4096 1" "randread 4096 32" "randwrite 4096 1" "randwrite 4096 32" "read 131072 8" "write 131072 8")

TARGET_CORE=0 INITIATOR_CORE=1
SRP_PORT=5555 ISCSI_PORT=13260
TGT_CONTROL=13261 # the number of tgtd's control socket, so that a tgtd of the system is left alone
IQN=iqn.2026-01.example:null
NAMESPACES=("srpt-target-$$" "srpt-initiator-$$")

main() {
  case "$ROUNDS$SECONDS_EACH" in *[!0-9]*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 2 ;; esac
  [ "$(nproc)" -ge 2 ] || die "this needs two cores, one for each side"
  [ "$(id -u)" = 0 ] || die "this needs root, for network namespaces"
  need_packages tgt libiscsi-bin qemu-utils qemu-block-extra iproute2 util-linux
  APP=$(build "$ROOT" bin srpt-app)
  SRP_PERF=$(build "$ROOT" bin srp-perf)
  PACKET_RATE=$(build "$ROOT" example packet_rate)
  WORK=$SRPT_CACHE/compare-iscsi/$(date +%Y%m%d-%H%M%S)
  mkdir -p "$WORK"
  trap clean_up EXIT
  say "load average before: $(cut -d ' ' -f 1 /proc/loadavg) (other load on the machine makes the spreads large)"
  for NETWORK in "${NETWORKS[@]}"; do
    network_up
    packet_rate
    start_targets
    for round in $(seq "$ROUNDS"); do
      for load in "${LOADS[@]}"; do
        say "$NETWORK, round $round of $ROUNDS: $load"
        # shellcheck disable=SC2086 # three words
        set -- $load
        record srpt "$load" "$(srp_iops "$@")"
        record tgt "$load" "$(iscsi_iops "$@")"
      done
    done
    stop_targets
    network_down
  done
  print_tables
}

clean_up() {
  stop_targets
  network_down
}

# ── Networks ────────────────────────────────────────────────────────────────────────────────────────────────────────

# network_up: makes $NETWORK, and says how each side runs a command and under which addresses they know each other.
network_up() {
  AT_TARGET=(taskset -c "$TARGET_CORE") AT_INITIATOR=(taskset -c "$INITIATOR_CORE")
  TARGET=127.0.0.1 INITIATOR=127.0.0.2
  [ "$NETWORK" != loopback ] || return 0
  local mtu=${NETWORK#veth-} side address
  AT_TARGET+=(ip netns exec "${NAMESPACES[0]}") AT_INITIATOR+=(ip netns exec "${NAMESPACES[1]}")
  TARGET=10.97.0.1 INITIATOR=10.97.0.2
  for side in "${NAMESPACES[@]}"; do
    ip netns add "$side"
    ip -n "$side" link set lo up
  done
  ip -n "${NAMESPACES[0]}" link add srpt0 mtu "$mtu" type veth peer name srpt0 mtu "$mtu" netns "${NAMESPACES[1]}"
  for side in 0 1; do
    address=$TARGET
    [ "$side" = 0 ] || address=$INITIATOR
    ip -n "${NAMESPACES[$side]}" addr add "$address/24" dev srpt0
    ip -n "${NAMESPACES[$side]}" link set srpt0 up
  done
}

network_down() {
  local side
  for side in "${NAMESPACES[@]}"; do ip netns del "$side" 2>/dev/null || true; done
}

# ── Targets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

# start_targets: both, on core 0. srpt-app never sleeps, so it is stopped while it is not its turn; tgtd sleeps by itself.
start_targets() {
  local socket=$WORK/srpt.sock
  srpt_config >"$WORK/srpt.json"
  "${AT_TARGET[@]}" "$APP" -m "[$TARGET_CORE]" -c "$WORK/srpt.json" -r "$socket" >>"$WORK/srpt.log" 2>&1 &
  SRPT=$!
  "${AT_TARGET[@]}" tgtd -f -C "$TGT_CONTROL" --iscsi "portal=$TARGET:$ISCSI_PORT" >>"$WORK/tgt.log" 2>&1 &
  TGT=$!
  wait_until "srpt-app is up" test -S "$socket"
  kill -STOP "$SRPT"
  wait_until "tgtd is up" tgt_admin target show
  truncate -s 1G "$WORK/size" # a null device has no data, but tgtd wants a file
  tgt_admin target new --tid 1 --targetname "$IQN"
  tgt_admin logicalunit new --tid 1 --lun 1 --bstype null --backing-store "$WORK/size"
  tgt_admin target bind --tid 1 --initiator-address ALL
}

stop_targets() {
  local pid
  for pid in "${SRPT:-}" "${TGT:-}"; do
    [ -n "$pid" ] || continue
    kill -CONT "$pid" 2>/dev/null || true
    kill "$pid" 2>/dev/null || true
  done
  sleep 0.5
  [ -z "${TGT:-}" ] || kill -KILL "$TGT" 2>/dev/null || true # it ends by itself only when it has no target
  wait 2>/dev/null || true
  SRPT='' TGT=''
}

srpt_config() {
  cat <<JSON
{"subsystems": [
  {"subsystem": "bdev", "config": [
    {"method": "bdev_null_create", "params": {"name": "null01", "num_blocks": 2097152, "block_size": 512}}
  ]},
  {"subsystem": "srp", "config": [
    {"method": "srp_create_target", "params": {"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "null01", "lun": 0}},
    {"method": "srp_create_listener", "params": {"fabric": "roce", "address": "$TARGET", "port": $SRP_PORT}}
  ]}
]}
JSON
}

# tgt_admin MODE OPERATION OPTION...
tgt_admin() {
  local mode=$1 operation=$2
  shift 2
  tgtadm -C "$TGT_CONTROL" --lld iscsi --mode "$mode" --op "$operation" "$@" >/dev/null 2>>"$WORK/tgt.log"
}

# wait_until WHAT COMMAND...
wait_until() {
  local what=$1
  shift
  for _ in $(seq 100); do
    ! "$@" || return 0
    sleep 0.1
  done
  die "waited in vain until $what; logs: $WORK"
}

# ── Measurements ────────────────────────────────────────────────────────────────────────────────────────────────────

# srp_iops WORKLOAD BYTES DEPTH
srp_iops() {
  local iops form=()
  [ "$3" -lt 32 ] || form=(--no-immediate) # the better form for many writes at once
  kill -CONT "$SRPT"
  "${AT_INITIATOR[@]}" "$SRP_PERF" -w "$1" -o "$2" -q "$3" -t "$SECONDS_EACH" --warmup 0.5 ${form[@]+"${form[@]}"} \
    -c "[$INITIATOR_CORE]" --target "$TARGET:$SRP_PORT" --local "$INITIATOR" --id-ext 1 --ioc-guid 2 \
    --json "$WORK/srp-perf.json" >>"$WORK/srp-perf.log" 2>&1 || die "srp-perf failed; see $WORK/srp-perf.log"
  kill -STOP "$SRPT"
  iops=$(sed -n 's/.*"iops": \([0-9.]*\).*/\1/p' "$WORK/srp-perf.json" | tail -n 1) # the last is of reads and writes together
  echo "$iops"
}

# iscsi_iops WORKLOAD BYTES DEPTH
iscsi_iops() {
  case "$1" in
  *read) iscsi_perf "$@" ;;
  *) qemu_bench "$@" ;;
  esac
}

# iscsi_perf WORKLOAD BYTES DEPTH
iscsi_perf() {
  local random=()
  case "$1" in rand*) random=(-r) ;; esac
  iscsi_initiator iscsi-perf -m "$3" -b "$(($2 / 512))" -t "$SECONDS_EACH" "${random[@]}" "$(iscsi_url)" |
    tr '\r' '\n' | sed -n 's/^iops average \([0-9]*\).*/\1/p' | tail -n 1
}

# qemu_bench WORKLOAD BYTES DEPTH: it takes a number of writes, so a short run tells how many fill the time.
qemu_bench() {
  local count
  count=$(qemu_writes 2000 "$2" "$3" | awk -v seconds="$SECONDS_EACH" '{ printf "%d", $1 * seconds }')
  qemu_writes "$count" "$2" "$3"
}

# qemu_writes COUNT BYTES DEPTH: writes per second.
qemu_writes() {
  iscsi_initiator qemu-img bench -f raw -t none -w -c "$1" -s "$2" -d "$3" "$(iscsi_url)" |
    awk -v count="$1" '/^Run completed in/ { printf "%.0f\n", count / $4 }'
}

iscsi_initiator() {
  "${AT_INITIATOR[@]}" "$@" 2>>"$WORK/iscsi.log" || die "$1 failed; see $WORK/iscsi.log"
}

iscsi_url() { echo "iscsi://$TARGET:$ISCSI_PORT/$IQN/1"; }

# record TARGET LOAD IOPS
record() {
  [ -n "$3" ] || die "no figure for $1, $2; logs: $WORK"
  printf '%s,%s,%s,%s\n' "$NETWORK" "$2" "$1" "$3" >>"$WORK/iops.csv"
}

# packet_rate: what packets alone come to on this network, one way, 4096 bytes each.
packet_rate() {
  local receiver
  "${AT_TARGET[@]}" "$PACKET_RATE" --receive "$TARGET" >"$WORK/receive" 2>>"$WORK/packets.log" &
  receiver=$!
  "${AT_INITIATOR[@]}" timeout "$((SECONDS_EACH + 2))" \
    "$PACKET_RATE" --send "$INITIATOR" "$TARGET" >"$WORK/send" 2>>"$WORK/packets.log" || true # it goes on until it is ended
  kill "$receiver"
  wait "$receiver" 2>/dev/null || true
  printf '%s,%s,%s\n' "$NETWORK" "$(best_rate "$WORK/send")" "$(best_rate "$WORK/receive")" >>"$WORK/packets.csv"
}

# best_rate FILE: packets per second in its best second.
best_rate() { awk '$1 > best { best = $1 } END { print best + 0 }' "$1"; }

# ── Results ─────────────────────────────────────────────────────────────────────────────────────────────────────────

print_tables() {
  {
    echo
    awk -F , '
      BEGIN { printf "%-10s %-18s %12s %8s %12s %8s %8s\n", "network", "load, bytes, depth", "srpt IOPS", "spread", "tgt IOPS", "spread", "ratio" }
      { row = $1 "," $2; if (!(row in seen)) { seen[row] = 1; rows[++count] = row }; figures[row, $3] = figures[row, $3] " " $4 }
      END { for (i = 1; i <= count; i++) print_row(rows[i]) }
      function print_row(row,    srpt, srpt_spread, name) {
        summarize(figures[row, "srpt"]); srpt = median; srpt_spread = spread
        summarize(figures[row, "tgt"]); split(row, name, ",")
        printf "%-10s %-18s %12.0f %7.0f%% %12.0f %7.0f%% %8.2f\n", name[1], name[2], srpt, srpt_spread, median, spread, srpt / median
      }
      function summarize(list,    n, i, j, all, swap) {
        n = split(list, all, " ")
        for (i = 2; i <= n; i++) for (j = i; j > 1 && all[j] + 0 < all[j - 1] + 0; j--) { swap = all[j]; all[j] = all[j - 1]; all[j - 1] = swap }
        median = n % 2 ? all[(n + 1) / 2] : (all[n / 2] + all[n / 2 + 1]) / 2
        spread = 100 * (all[n] - all[1]) / median
      }' "$WORK/iops.csv"
    echo
    awk -F , '
      BEGIN { printf "%-10s %22s %22s\n", "network", "packets/s sent (4 KiB)", "packets/s received" }
      { printf "%-10s %22.0f %22.0f\n", $1, $2, $3 }' "$WORK/packets.csv"
  } | tee "$WORK/table"
  say "results and logs: $WORK"
}

main
