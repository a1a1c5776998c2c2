#!/usr/bin/env bash
# Runs every check of the project: format, lints, structure and tests (cargo xtask check), what the feature dpdk adds, the demonstration,
# and at the same time, as it mostly waits, the lab with a real Linux initiator. Installs what is missing. A quarter of an hour on two idle cores.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
cd "$ROOT"

started=$SECONDS
need_toolchain
LAB_LOG=$(mktemp)
trap 'end_lab; rm -f "$LAB_LOG"' EXIT
end_lab() { ! kill "$LAB_PID" 2>/dev/null || wait "$LAB_PID" || true; }
./scripts/lab.sh all >"$LAB_LOG" 2>&1 &
LAB_PID=$!

cargo run --quiet --locked --package xtask -- check
./scripts/dpdk-check.sh
./scripts/run.sh --once
echo "the lab, which began $(((SECONDS - started) / 60)) min ago:"
tail -n +1 --pid="$LAB_PID" -f "$LAB_LOG"
wait "$LAB_PID"
echo "every check passed, in $(((SECONDS - started) / 60)) min"
