#!/usr/bin/env bash
# Soak: sessions, LUNs, bdevs and faults come and go beside verified load, and the target must hold no more in the end than in the beginning
# (app/tests/process/soak.rs). soak.sh [MINUTES]: so long, 10 by default. SRPT_SEED=N draws the same again.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
cd "$ROOT"

need_toolchain
SRPT_SOAK_SECONDS=$((${1:-10} * 60)) cargo test --quiet --locked -p srpt-app --test process soak -- --nocapture
