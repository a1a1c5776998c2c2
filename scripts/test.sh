#!/usr/bin/env bash
# Runs every check of the project: format, lints, structure and tests (cargo xtask check), simulations of the whole target, fuzz targets for some seconds and unsafe code under
# AddressSanitizer if there is a nightly compiler, the instructions of the micro-benchmarks, what the features dpdk and rbd add, the Debian package and the
# container, discovery over a simulated InfiniBand fabric, the dashboards in a browser, the demonstration, and the lab with a real Linux initiator under both fabrics. The lab waits a lot, so its
# first part runs beside all others. Installs what is missing. About an hour on two cores.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
. "$ROOT/scripts/spdk-client.sh"
cd "$ROOT"

started=$SECONDS
need_toolchain
need_packages prometheus # tests of metrics, rules and consoles
make_spdk_client
VERBS_LOG=$(mktemp)
./scripts/lab.sh --fabric verbs all >"$VERBS_LOG" 2>&1 &
VERBS_PID=$!
end_verbs() { ! kill "$VERBS_PID" 2>/dev/null || wait "$VERBS_PID" || true; }
trap 'end_verbs; rm -f "$VERBS_LOG"' EXIT

# step COMMAND...: runs it, and says how long it took.
step() {
  local since=$SECONDS
  "$@"
  echo "($((SECONDS - since)) s: $*)"
}
step cargo run --quiet --locked --package xtask -- check
step ./scripts/discovery-check.sh
step ./scripts/simulate.sh
if cargo +nightly --version >/dev/null 2>&1; then
  step ./scripts/fuzz.sh light 6
  step ./scripts/sanitize.sh hugepage-setup mem rdma-core-sys
else
  echo "no nightly compiler: fuzz targets ran without a fuzzer (cargo test -p exercise), and nothing runs under AddressSanitizer"
fi
step ./perf/compare/counts.sh
step ./scripts/dpdk-check.sh
step ./scripts/ceph-check.sh
PACKAGE=$(./scripts/package.sh)
step ./scripts/package-check.sh "$PACKAGE"
step ./scripts/container-check.sh "$PACKAGE"
step ./scripts/dashboards-check.sh
step ./scripts/run.sh --once
step ./scripts/lab.sh --fabric roce all
echo "the lab under verbs, which began with all this:"
tail -n +1 --pid="$VERBS_PID" -f "$VERBS_LOG"
wait "$VERBS_PID"
echo "every check passed, in $(((SECONDS - started) / 60)) min"
