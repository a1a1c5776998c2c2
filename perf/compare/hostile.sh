#!/usr/bin/env bash
# What hostile peers do to the latency of I/O: verified load from srp-perf alone, while they do their worst, and alone again, in turns.
#
#   hostile.sh [ROUNDS [SECONDS]]              5 rounds of 3 times 5 seconds; 200 clients of the socket (hostile_clients.py)
#   hostile.sh initiator [ROUNDS [SECONDS]]    an initiator at a unit beside (srp-hostile, again and again)
#
# Core 0 has the reactor and nothing else of ours. Core 1 has the target's other threads, the clients, and srp-perf, which goes before them all (nice),
# and sleeps when it has nothing to do. So what srp-perf sees has the waiting for core 1 in it, which on a machine of its own it would not have; what
# the target counted of reads is told beside: from the arrival of a command to its response, from buckets of powers of two, interpolated. (A write waits for
# the initiator, who sends the data, and so for core 1.)
# Medians of the rounds; a spread is (max - min) / median. Needs two cores, and root for the priorities.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
. "$ROOT/scripts/lab/host/packages.sh"

WHO=clients CHANNELS=4
[ "${1:-}" != initiator ] || { WHO=initiator CHANNELS=64 && shift; }
ROUNDS=${1:-5}
SECONDS_EACH=${2:-5}
PHASES=(before hostile after)
REACTOR_CORE=0 OTHER_CORE=1
ADDRESS=127.79.1.1 INITIATOR=127.79.1.2 OTHER_INITIATOR=127.79.1.3
LOAD=(-w randrw -M 50 -o 4k -q 4 --verify)

main() {
  case "$ROUNDS$SECONDS_EACH" in *[!0-9]*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 2 ;; esac
  [ "$(nproc)" -ge 2 ] || die "this needs two cores"
  [ "$(id -u)" = 0 ] || die "this needs root, for priorities"
  need_packages python3 util-linux curl
  APP=$(build "$ROOT" bin srpt-app)
  SRP_PERF=$(build "$ROOT" bin srp-perf)
  SRP_HOSTILE=$(build "$ROOT" bin srp-hostile)
  WORK=$(mktemp -d)
  trap clean_up EXIT
  say "load average before: $(cut -d ' ' -f 1 /proc/loadavg) (other load on the machine makes the spreads large)"
  start_target
  # The reactor leaves nothing of its core to this shell and what it starts.
  taskset -cp $OTHER_CORE $$ >/dev/null
  for round in $(seq "$ROUNDS"); do
    for phase in "${PHASES[@]}"; do
      [ "$phase" != hostile ] || start_clients
      measure "$phase" "$round"
      if [ "$phase" = hostile ]; then
        stop_clients
        wait_for_quiet
      fi
    done
  done
  print_table
}

clean_up() {
  stop_clients
  [ -z "${TARGET:-}" ] || { kill "$TARGET" && wait "$TARGET"; } 2>/dev/null || true
  rm -rf "$WORK"
}

start_target() {
  local thread
  cat >"$WORK/config.json" <<JSON
{"subsystems": [
  {"subsystem": "bdev", "config": [
    {"method": "bdev_malloc_create", "params": {"name": "ram0", "num_blocks": 16384, "block_size": 4096}},
    {"method": "bdev_malloc_create", "params": {"name": "ram1", "num_blocks": 16384, "block_size": 512}}]},
  {"subsystem": "srp", "config": [
    {"method": "srp_create_target", "params": {"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "ram0"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "ram1"}},
    {"method": "srp_create_listener", "params": {"fabric": "roce", "address": "$ADDRESS", "port": 5555}}]}]}
JSON
  "$APP" -m "[$REACTOR_CORE]" -c "$WORK/config.json" -r "$WORK/socket" --state-dir "$WORK/state" --channels $CHANNELS --metrics-listen 127.0.0.1:5599 2>"$WORK/log" &
  TARGET=$!
  until [ -S "$WORK/socket" ]; do
    kill -0 $TARGET 2>/dev/null || die "the target does not start: $(cat "$WORK/log")"
    sleep 0.1
  done
  for thread in /proc/$TARGET/task/*; do
    if [[ $(cat "$thread/comm") == reactor* ]]; then
      renice -n -20 -p "${thread##*/}" >/dev/null
    else
      taskset -cp $OTHER_CORE "${thread##*/}" >/dev/null
    fi
  done
}

# measure PHASE ROUND: verified load, and what the target counted meanwhile.
measure() {
  say "round $2 of $ROUNDS: $1"
  scrape >"$WORK/$1.$2.begin"
  echo 5 >"/proc/$TARGET/clear_refs" # the most that is resident is counted anew
  others_ticks >"$WORK/$1.$2.ticks"
  nice -n -20 "$SRP_PERF" -c "[$OTHER_CORE]" --adaptive --target $ADDRESS:5555 --local $INITIATOR --id-ext 1 --ioc-guid 2 "${LOAD[@]}" -t "$SECONDS_EACH" \
    --json "$WORK/$1.$2.json" >"$WORK/perf" 2>&1 || die "the load: $(cat "$WORK/perf" "$WORK/log")"
  scrape >"$WORK/$1.$2.end"
  others_ticks >>"$WORK/$1.$2.ticks"
  awk '/^VmHWM/ { print $2 }' "/proc/$TARGET/status" >"$WORK/$1.$2.kib"
}

scrape() {
  nice -n -20 curl -sSf --max-time 30 http://127.0.0.1:5599/metrics || die "no metrics"
}

# others_ticks: CPU time of the target's threads besides the reactor, in ticks, and the time.
others_ticks() {
  awk -v now="$EPOCHREALTIME" '$2 !~ /reactor/ { sum += $14 + $15 } END { print sum, now }' "/proc/$TARGET"/task/*/stat
}

start_clients() {
  case $WHO in
  clients) python3 "$ROOT/perf/compare/hostile_clients.py" "$WORK/socket" & ;;
  initiator) "$SRP_HOSTILE" --local $OTHER_INITIATOR --target "$ADDRESS:5555,id_ext=1,ioc_guid=2,lun=1" --rounds 1000000 --logins 5000 >"$WORK/hostile" & ;;
  esac
  CLIENTS=$!
  sleep 1
}

stop_clients() {
  [ -z "${CLIENTS:-}" ] || { kill -9 "$CLIENTS" && wait "$CLIENTS"; } 2>/dev/null || true
  CLIENTS=
}

# wait_for_quiet: what clients have sent is done, also if they have gone. Quiet is three seconds without work.
wait_for_quiet() {
  local before now quiet=0
  before=$(others_ticks)
  until [ $quiet = 3 ]; do
    sleep 1
    now=$(others_ticks)
    if [ $((${now% *} - ${before% *})) -gt 5 ]; then quiet=0; else quiet=$((quiet + 1)); fi
    before=$now
  done
}

print_table() {
  python3 - "$WORK" "$ROUNDS" "${PHASES[@]}" <<'PYTHON'
import json, os, re, statistics, sys

work, rounds, phases = sys.argv[1], range(1, int(sys.argv[2]) + 1), sys.argv[3:]
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}


def buckets(name):
    """Reads counted up to each bound."""
    found = {}
    for line in open(f"{work}/{name}"):
        match = re.match(r'srpt_lun_latency_seconds_bucket\{(.*)le="([^"]*)"\} (\S+)', line)
        if match and re.search('operation="read"', match[1]):
            bound = float(match[2].replace("+Inf", "inf"))
            found[bound] = found.get(bound, 0) + float(match[3])
    return found


def quantiles_counted(phase, number):
    begin, end = buckets(f"{phase}.{number}.begin"), buckets(f"{phase}.{number}.end")
    counts = sorted((bound, count - begin.get(bound, 0)) for bound, count in end.items())
    total, result = counts[-1][1], {}
    for name, quantile in QUANTILES.items():
        lower = below = 0
        for bound, count in counts:
            if count >= quantile * total and count > below:
                result[name] = 1e6 * (lower + (bound - lower) * (quantile * total - below) / (count - below))
                break
            lower, below = bound, count
    return result


def seen(phase, number):
    results = json.load(open(f"{work}/{phase}.{number}.json"))
    assert results["miscompared"] == 0 and results["failed"] == 0 and results["compared"] > 0, results
    return results["total"]["latency_us"], results["total"]["iops"]


def others(phase, number):
    (ticks, begin), (more, end) = [map(float, line.split()) for line in open(f"{work}/{phase}.{number}.ticks")]
    return 100 * (more - ticks) / os.sysconf("SC_CLK_TCK") / (end - begin)


def of(phase, figure):
    values = [figure(phase, number) for number in rounds]
    median = statistics.median(values)
    return median, (max(values) - min(values)) / (median or 1)


figures = {f"{name.replace('_', '.')} µs, as srp-perf sees it": (lambda phase, number, name=name: seen(phase, number)[0][name]) for name in QUANTILES}
figures |= {f"{name.replace('_', '.')} µs of reads, as the target counts it": (lambda phase, number, name=name: quantiles_counted(phase, number)[name]) for name in QUANTILES}
figures["IOPS"] = lambda phase, number: seen(phase, number)[1]
figures["CPU of the target's other threads, %"] = others
figures["MiB resident at most"] = lambda phase, number: int(open(f"{work}/{phase}.{number}.kib").read()) / 1024
print(f"| | {' | '.join(f'{phase} (spread)' for phase in phases)} | hostile / before | after / before |")
print("|---|---|---|---|---|---|")
for name, figure in figures.items():
    row = {phase: of(phase, figure) for phase in phases}
    cells = [f"{median:,.1f} ({spread:.0%})" for median, spread in row.values()]
    ratios = [f"{row[phase][0] / (row['before'][0] or 1):.2f}" for phase in ("hostile", "after")]
    print(f"| {name} | {' | '.join(cells + ratios)} |")
PYTHON
}

main
