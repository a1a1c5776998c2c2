#!/usr/bin/env bash
# Measures this machine and draws a report: srp-perf over our RoCE on loopback at a null device and a RAM disk by depth, channels, block size and cores;
# bdevperf at the same devices alone, by depth and cores.
#
#   sweep.sh [ROUNDS [SECONDS [FOLDER]]]    one round of 1 second for each point, under four minutes in all
#
# The target has the lower half of the cores, srp-perf the upper half: on two cores, one each, and nothing is there to measure by cores. bdevperf comes when
# the target is gone. Points of several rounds are drawn as medians with their range. Other load on the machine is in the figures; the report tells the load
# average. FOLDER (default: one of its own in the cache folder, SRPT_CACHE) gets report.html, each plot as a file in plots, the results as JSON, and logs.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"

ROUNDS=${1:-1}
SECONDS_EACH=${2:-1}
FOLDER=${3:-$SRPT_CACHE/sweep/$(date +%Y%m%d-%H%M%S)}
FAILED=0
SECONDS_LONG=10 # of the runs that show the rate over time

DEVICES=(null malloc) # by LUN
DEPTHS=(1 2 4 8 16 32 64 128)
CHANNELS=(1 2 4 8 16)
SIZES=(4k 16k 64k 256k 1M)
CORES=$(nproc)
HALF=$((CORES / 2)) # the target's cores, and the first of srp-perf's

# Addresses on loopback, others in each run.
NETWORK=127.131.$(($$ % 256))
PORT=5555

main() {
  case "$ROUNDS$SECONDS_EACH" in *[!0-9]*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '$d' && exit 2 ;; esac
  [ "$CORES" -ge 2 ] || die "this needs two cores, one for each side"
  APP=${SRPT_APP:-$(build "$ROOT" bin srpt-app)}
  SRP_PERF=${SRP_PERF:-$(build "$ROOT" bin srp-perf)}
  BDEVPERF=${BDEVPERF:-$(build "$ROOT" bin bdevperf)}
  PERF_REPORT=${PERF_REPORT:-$(build "$ROOT" bin perf-report)}
  RESULTS=$FOLDER/results LOGS=$FOLDER/logs
  mkdir -p "$RESULTS" "$LOGS"
  WORK=$(mktemp -d) # the path of a socket must be short
  trap clean_up EXIT
  trap 'exit 1' INT TERM
  say "load average before: $(cut -d ' ' -f 1 /proc/loadavg) (other load on the machine is in the figures)"
  write_config
  local round
  start_target
  for round in $(seq "$ROUNDS"); do
    srp_perf_points "$round"
  done
  srp_perf_over_time
  stop_target
  for round in $(seq "$ROUNDS"); do
    bdevperf_points "$round"
  done
  "$PERF_REPORT" "$RESULTS"/*.json -o "$FOLDER/report.html" --svg "$FOLDER/plots" --title "srpt on $(uname -n)" >&2
  say "report: $FOLDER/report.html"
  [ "$FAILED" = 0 ] || die "points that are missing: $FAILED; see $LOGS"
}

write_config() {
  local bdevs='
    {"method": "bdev_null_create", "params": {"name": "null0", "num_blocks": 2097152, "block_size": 512}},
    {"method": "bdev_malloc_create", "params": {"name": "malloc0", "num_blocks": 262144, "block_size": 512}}'
  echo "{\"subsystems\": [{\"subsystem\": \"bdev\", \"config\": [$bdevs]}]}" >"$FOLDER/bdevs.json"
  cat >"$FOLDER/target.json" <<JSON
{"subsystems": [
  {"subsystem": "bdev", "config": [$bdevs]},
  {"subsystem": "srp", "config": [
    {"method": "srp_create_target", "params": {"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "null0", "lun": 0}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "malloc0", "lun": 1}},
    {"method": "srp_create_listener", "params": {"fabric": "roce", "address": "$NETWORK.1", "port": $PORT}}]}]}
JSON
}

start_target() {
  "$APP" -m "[0-$((HALF - 1))]" -c "$FOLDER/target.json" -r "$WORK/srpt.sock" --state-dir "$WORK/state" >"$LOGS/srpt-app.log" 2>&1 &
  TARGET=$!
  for _ in $(seq 300); do
    kill -0 "$TARGET" 2>/dev/null || break
    [ ! -S "$WORK/srpt.sock" ] || return 0
    sleep 0.1
  done
  die "the target did not come up: $(tail -n 3 "$LOGS/srpt-app.log")"
}

stop_target() {
  [ -n "${TARGET:-}" ] || return 0
  kill "$TARGET" 2>/dev/null || true
  wait "$TARGET" 2>/dev/null || true
  TARGET=''
}

clean_up() {
  stop_target
  rm -rf "$WORK"
}

# srp_perf_points ROUND
srp_perf_points() {
  local lun workload depth channels size cores
  for lun in "${!DEVICES[@]}"; do
    for workload in randread randwrite; do
      for depth in "${DEPTHS[@]}"; do
        srp_perf "$1" "$lun" "$SECONDS_EACH" -w "$workload" -o 4k -q "$depth" -c "[$HALF]" --channels 1
      done
    done
    for channels in "${CHANNELS[@]}"; do
      srp_perf "$1" "$lun" "$SECONDS_EACH" -w randread -o 4k -q 8 -c "[$HALF]" --channels "$channels"
    done
    for size in "${SIZES[@]}"; do
      srp_perf "$1" "$lun" "$SECONDS_EACH" -w randread -o "$size" -q 16 -c "[$HALF]" --channels 1
    done
    for cores in $(doublings "$((CORES - HALF))"); do
      srp_perf "$1" "$lun" "$SECONDS_EACH" -w randread -o 4k -q 32 -c "[$HALF-$((HALF + cores - 1))]" --channels "$cores"
    done
  done
}

# srp_perf_over_time: long enough that the rate of each second says something.
srp_perf_over_time() {
  local lun
  for lun in "${!DEVICES[@]}"; do
    srp_perf 1 "$lun" "$SECONDS_LONG" -w randrw -o 4k -q 32 -c "[$HALF]" --channels 1
  done
}

# bdevperf_points ROUND: on the last core; by cores, from the first on.
bdevperf_points() {
  local device depth cores
  for device in "${DEVICES[@]}"; do
    for depth in "${DEPTHS[@]}"; do
      bdevperf "$1" "$device" -w randread -o 4k -q "$depth" -m "[$((CORES - 1))]"
    done
    for cores in $(doublings "$CORES"); do
      bdevperf "$1" "$device" -w randread -o 4k -q 32 -C -m "[0-$((cores - 1))]"
    done
  done
}

# doublings MOST: 1, 2, 4 … and the most itself; nothing if that is 1.
doublings() {
  local cores=1
  [ "$1" -gt 1 ] || return 0
  while [ "$cores" -lt "$1" ]; do
    echo "$cores"
    cores=$((cores * 2))
  done
  echo "$1"
}

# srp_perf ROUND LUN SECONDS OPTIONS...
srp_perf() {
  local round=$1 lun=$2 seconds=$3
  shift 3
  run "srp-perf ${DEVICES[$lun]} $* round $round" "$SRP_PERF" --target "$NETWORK.1:$PORT" --local "$NETWORK.2" --id-ext 1 --ioc-guid 2 --lun "$lun" \
    --label "${DEVICES[$lun]}" -t "$seconds" --warmup 0.3 "$@" --json
}

# bdevperf ROUND DEVICE OPTIONS...
bdevperf() {
  local round=$1 device=$2
  shift 2
  run "bdevperf $device $* round $round" "$BDEVPERF" -c "$FOLDER/bdevs.json" -T "${device}0" --label "$device" -t "$SECONDS_EACH" -l "$@" --json-output
}

# run NAME COMMAND...: the command lacks the file that it writes to. On a machine that is busy otherwise a point may fail for want of time; the others are
# worth having.
run() {
  local name=$1 file
  shift
  say "$name"
  file=$(printf %s "$name" | tr -cs '[:alnum:]-' -)
  "$@" "$RESULTS/$file.json" >"$LOGS/$file.log" 2>&1 && return
  say "it failed, so it is not in the report: $(tail -n 1 "$LOGS/$file.log")"
  rm -f "$RESULTS/$file.json"
  FAILED=$((FAILED + 1))
}

main
