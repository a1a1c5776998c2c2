#!/usr/bin/env bash
# Simulations of the whole target (docs/reliability.md). Without arguments, as in scripts/test.sh: a fixed number of seeds and a few fresh ones.
#
#   simulate.sh [--seeds N] [--first SEED] [--fresh N] [--seed SEED] [--trace] [--steps N]
set -euo pipefail
cd "$(dirname "$(dirname "$(realpath "$0")")")"
[ $# -gt 0 ] || set -- --seeds 2000 --fresh 100
exec cargo run --release --quiet --locked --package transport-srp --example simulate -- "$@"
