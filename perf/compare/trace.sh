#!/usr/bin/env bash
# Instructions of one command on its reactor, counted by valgrind: without the trace's ring, with it, and with a threshold for slow commands.
#
# A read or write of 4 KiB at a null device over the simulated fabric, the poll group's part of which is included: two runs of different length,
# the difference over the difference. (Clearing the buffer of a read counts as one instruction per byte, as valgrind sees it.)
set -euo pipefail
ROOT=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
. "$ROOT/scripts/lab/host/packages.sh"
SHORT=2000 LONG=6000

main() {
  need_packages valgrind
  need_toolchain
  (cd "$ROOT" && cargo build --quiet --release --locked -p transport-srp --features test-utils --example commands)
  local folder
  folder=$(cd "$ROOT" && cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  BINARY=$folder/release/examples/commands
  printf 'neither          %6s\n' "$(per_command 0 0)"
  printf 'ring             %6s\n' "$(per_command 4096 0)"
  printf 'threshold        %6s\n' "$(per_command 0 1000000)"
  printf 'ring, threshold  %6s\n' "$(per_command 4096 1000000)"
}

# per_command EVENTS MICROSECONDS: the example runs as many reads as writes.
per_command() {
  echo $((($(instructions "$LONG" "$@") - $(instructions "$SHORT" "$@")) / (2 * (LONG - SHORT))))
}

instructions() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no --toggle-collect='*PollGroup*Poller*poll' "$BINARY" "$@" 2>&1 |
    sed -n 's/.*Collected : //p'
}

main
