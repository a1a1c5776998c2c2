#!/usr/bin/env bash
# bdevperf on the bdev uring, side by side with fio's io_uring engine: the same file or device, the same core, the same run, in turns.
#
#   fio.sh [ROUNDS [SECONDS]]    3 rounds of 2 seconds for each load, about four minutes in all
#
# fio runs one job with O_DIRECT, registered buffers and fixed files. What is under test: a file on the disk that holds the cache folder
# (SRPT_CACHE), and a loop device on a file in memory, which is fast, so that the cost of both sides shows.
# bdevperf polls, as a reactor does: its core is busy all the time, whatever the load ("polling"). What the I/Os themselves took is the share of
# the rounds in which something was submitted or found ("busy"); fio's is its user and system time. Time of kernel threads is in neither. The
# loop device's thread wants a core of its own, which fio leaves it while it sleeps and bdevperf does not: have one to spare.
# A spread is what the rounds differ by, (max - min) / median: a ratio means nothing where it is not much beyond the spreads.
# Needs root for the loop device, 0.25 GiB of memory and 0.25 GiB of disk. Results stay in the folder named at the end.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
. "$ROOT/scripts/lab/host/packages.sh"

ROUNDS=${1:-3}
SECONDS_EACH=${2:-2}
# Workload as both name it, bytes, depth.
LOADS=("randread 4096 1" "randread 4096 32" "randread 4096 128" "randwrite 4096 1" "randwrite 4096 32" "randwrite 4096 128"
  "read 1048576 8" "write 1048576 8")
SIZE=$((256 << 20))
CORE=$(($(nproc) - 1))

main() {
  case "$ROUNDS$SECONDS_EACH" in *[!0-9]*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '$d' && exit 2 ;; esac
  [ "$(id -u)" = 0 ] || die "this needs root, for a loop device"
  need_packages fio util-linux
  BDEVPERF=$(build "$ROOT" bin bdevperf)
  WORK=$SRPT_CACHE/compare-fio/$(date +%Y%m%d-%H%M%S)
  MEMORY=$(mktemp -d /dev/shm/srpt-compare-fio.XXXXXX)
  mkdir -p "$WORK"
  trap clean_up EXIT
  say "load average before: $(cut -d ' ' -f 1 /proc/loadavg) (other load on the machine makes the spreads large)"
  make_targets
  for round in $(seq "$ROUNDS"); do
    for target in file loop; do
      for load in "${LOADS[@]}"; do
        say "round $round of $ROUNDS: $target, $load"
        # shellcheck disable=SC2086 # three words
        set -- $load
        record fio "$target" "$load" "$(fio_figures "$(path_of "$target")" "$@")"
        record srpt "$target" "$load" "$(srpt_figures "$(path_of "$target")" "$@")"
      done
    done
  done
  print_table
}

clean_up() {
  [ -z "${LOOP:-}" ] || losetup -d "$LOOP" || true
  rm -rf "$MEMORY" "$WORK/disk"
}

# make_targets: files that are written in full, since blocks that were never written are read without the disk.
make_targets() {
  local file
  for file in "$WORK/disk" "$MEMORY/loop"; do
    dd if=/dev/zero of="$file" bs=1M count=$((SIZE >> 20)) conv=fsync status=none
  done
  LOOP=$(losetup --find --show "$MEMORY/loop")
}

path_of() {
  case "$1" in
  file) echo "$WORK/disk" ;;
  loop) echo "$LOOP" ;;
  esac
}

# fio_figures PATH WORKLOAD BYTES DEPTH: IOPS, CPU time in µs per I/O. Terse format 3 has IOPS of reads and writes in fields 8 and 49, and user
# and system time in percent of the run time in 88 and 89.
fio_figures() {
  fio --name=compare --filename="$1" --size=$SIZE --rw="$2" --bs="$3" --iodepth="$4" --ioengine=io_uring --direct=1 --fixedbufs=1 \
    --registerfiles=1 --norandommap --randrepeat=0 --time_based --runtime="$SECONDS_EACH" --cpus_allowed="$CORE" \
    --output-format=terse --terse-version=3 2>>"$WORK/fio.log" |
    awk -F ';' '$1 == 3 { iops = $8 + $49; printf "%.0f,%.3f\n", iops, iops ? ($88 + $89) * 1e4 / iops : 0 }'
}

# srpt_figures PATH WORKLOAD BYTES DEPTH: IOPS, CPU time in µs per I/O, and that of rounds with work.
srpt_figures() {
  cat >"$WORK/bdevperf.json" <<JSON
{"subsystems": [{"subsystem": "bdev", "config": [
  {"method": "bdev_uring_create", "params": {"name": "uring0", "filename": "$1", "direct": true}}]}]}
JSON
  "$BDEVPERF" -c "$WORK/bdevperf.json" -m "[$CORE]" -w "$2" -o "$3" -q "$4" -t "$SECONDS_EACH" \
    --json-output "$WORK/figures.json" >>"$WORK/bdevperf.log" 2>&1 || die "bdevperf failed; see $WORK/bdevperf.log"
  # The last figures of a name are of all jobs together.
  local figure figures=()
  for figure in iops cpu_us_per_io busy_us_per_io; do
    figures+=("$(sed -n "s/.*\"$figure\": \([0-9.e-]*\).*/\1/p" "$WORK/figures.json" | tail -n 1)")
  done
  local IFS=,
  echo "${figures[*]}"
}

# record WHO TARGET LOAD FIGURES
record() {
  [ -n "$4" ] || die "no figures for $1, $2, $3; logs: $WORK"
  printf '%s,%s,%s,%s\n' "$2" "$3" "$1" "$4" >>"$WORK/figures.csv"
}

print_table() {
  {
    echo
    awk -F , '
      BEGIN {
        printf "%-12s %-19s %10s %6s %10s %6s %6s  %s\n", "", "", "srpt", "", "fio", "", "IOPS", "CPU per I/O in µs"
        printf "%-12s %-19s %10s %6s %10s %6s %6s %8s %8s %8s %9s\n", "target", "load, bytes, depth", "IOPS", "spread", "IOPS", "spread",
          "ratio", "fio", "busy", "polling", "busy/fio"
      }
      {
        row = $1 "," $2
        if (!(row in seen)) { seen[row] = 1; rows[++count] = row }
        for (i = 4; i <= NF; i++) figures[row, $3, i] = figures[row, $3, i] " " $i
      }
      END { for (i = 1; i <= count; i++) print_row(rows[i]) }
      function print_row(row,    name, srpt, srpt_spread, fio, fio_spread, cpu, busy, polling) {
        split(row, name, ",")
        summarize(figures[row, "srpt", 4]); srpt = median; srpt_spread = spread
        summarize(figures[row, "fio", 4]); fio = median; fio_spread = spread
        summarize(figures[row, "fio", 5]); cpu = median
        summarize(figures[row, "srpt", 5]); polling = median
        summarize(figures[row, "srpt", 6]); busy = median
        printf "%-12s %-19s %10.0f %5.0f%% %10.0f %5.0f%% %6.2f %8.2f %8.2f %8.2f %9.2f\n", name[1], name[2], srpt, srpt_spread, fio,
          fio_spread, srpt / fio, cpu, busy, polling, busy / cpu
      }
      function summarize(list,    n, i, j, all, swap) {
        n = split(list, all, " ")
        for (i = 2; i <= n; i++) for (j = i; j > 1 && all[j] + 0 < all[j - 1] + 0; j--) { swap = all[j]; all[j] = all[j - 1]; all[j - 1] = swap }
        median = n % 2 ? all[(n + 1) / 2] : (all[n / 2] + all[n / 2 + 1]) / 2
        spread = median ? 100 * (all[n] - all[1]) / median : 0
      }' "$WORK/figures.csv"
    echo
    echo "bdevperf polls: it uses its core in full, whatever the load (\"polling\")."
  } | tee "$WORK/table"
  say "results and logs: $WORK"
}

main
