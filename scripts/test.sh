#!/usr/bin/env bash
# Runs every check of the project: format, lints, structure and tests (cargo xtask check), what the feature dpdk adds, the demonstration,
# then the lab with a real Linux initiator. Installs what is missing. Half an hour or more on two cores, most of it the lab's.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
cd "$ROOT"

started=$SECONDS
need_toolchain
cargo run --quiet --locked --package xtask -- check
./scripts/dpdk-check.sh
./scripts/run.sh --once
./scripts/lab.sh all
echo "every check passed, in $(((SECONDS - started) / 60)) min"
