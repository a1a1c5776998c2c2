#!/usr/bin/env bash
# Instructions of one I/O, counted by valgrind: what a change costs or saves, on a machine that is as busy as it likes.
#
#   instructions.sh [BDEVPERF...]          of these binaries side by side, or of this checkout's
#   instructions.sh --srp [COMMANDS...]    of an SRP command: examples `commands` of transport-srp, side by side, or this checkout's
#
# bdevperf on a null bdev, 4 KiB, the load generator included: two runs of different length, the difference over the difference. (Clearing the
# buffer of a read counts as one instruction per byte, as valgrind sees it.)
set -euo pipefail
ROOT=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
. "$ROOT/scripts/lab/host/packages.sh"

main() {
  need_packages valgrind
  [ "${1:-}" != --srp ] || { shift && srp "$@" && return; }
  [ $# -gt 0 ] || set -- "$(build "$ROOT" bin bdevperf)"
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  cat >"$WORK/config.json" <<'JSON'
{"subsystems": [{"subsystem": "bdev", "config": [
  {"method": "bdev_null_create", "params": {"name": "null0", "num_blocks": 2097152, "block_size": 512}}]}]}
JSON
  local binary workload depth
  for workload in randread randwrite; do
    for depth in 1 32; do
      printf '%-10s depth %-3s' "$workload" "$depth"
      for binary in "$@"; do
        { counts "$binary" "$workload" "$depth" 0.5 && counts "$binary" "$workload" "$depth" 2; } |
          awk '{ instructions = $1 - instructions; ios = $2 - ios } END { printf " %9.1f", instructions / ios }'
      done
      echo
    done
  done
}

# srp [COMMANDS...]: instructions of a poll group for a read or write of 4 KiB, what the simulated fabric does meanwhile included.
srp() {
  [ $# -gt 0 ] || { (cd "$ROOT" && cargo build --release --locked -p transport-srp --example commands >&2) && set -- "$ROOT/target/release/examples/commands"; }
  local binary few many
  for binary in "$@"; do
    few=$(collected "$binary" 500)
    many=$(collected "$binary" 2500)
    echo "$(((many - few) / 4000))  $binary"
  done
}

# collected COMMAND...: instructions of the poll group in a run.
collected() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='<transport_srp::poll_group::PollGroup as *>::poll' "$@" 2>&1 | sed -n 's/.*Collected : //p'
}

# counts BINARY WORKLOAD DEPTH SECONDS: instructions and I/Os of a run.
counts() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null \
    "$1" -c "$WORK/config.json" -w "$2" -q "$3" -t "$4" --seed 1 --json-output "$WORK/results.json" >"$WORK/log" 2>&1 || die "$(cat "$WORK/log")"
  echo "$(sed -n 's/.*Collected : //p' "$WORK/log") $(sed -n 's/.*"ios": \([0-9]*\).*/\1/p' "$WORK/results.json" | tail -n 1)"
}

main "$@"
