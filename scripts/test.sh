#!/usr/bin/env bash
# Runs every check of the project: format, lints, structure and tests (cargo xtask check), simulations of the whole target, fuzz targets for some seconds and unsafe code under
# AddressSanitizer if there is a nightly compiler, the instructions of the micro-benchmarks, what the features dpdk and rbd add, the Debian package and the
# container, discovery over a simulated InfiniBand fabric, the dashboards in a browser, the demonstration, and the lab with a real Linux initiator under both fabrics. The lab
# waits a lot, so it runs beside all others: under verbs from the start, under RoCE once the tests are over, which have times to keep. Installs what is missing. Less than
# an hour on two cores.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
. "$ROOT/scripts/spdk-client.sh"
cd "$ROOT"

started=$SECONDS
need_toolchain
need_packages prometheus iproute2 # tests of metrics, rules and consoles; of network interfaces
make_spdk_client
LOGS=$(mktemp -d)
declare -A LABS=() # processes, by fabric

# begin_lab FABRIC: beside everything else.
begin_lab() {
  ./scripts/lab.sh --fabric "$1" all >"$LOGS/$1" 2>&1 &
  LABS[$1]=$!
}

# end_lab FABRIC: prints what it says until it is over; its status.
end_lab() {
  echo "the lab under $1, which ran beside all this:"
  tail -n +1 --pid="${LABS[$1]}" -f "$LOGS/$1"
  wait "${LABS[$1]}"
}

# give_up_labs: nothing is left running when something failed.
give_up_labs() {
  local pid
  for pid in "${LABS[@]}"; do ! kill "$pid" 2>/dev/null || wait "$pid" || true; done
}
trap 'give_up_labs; rm -rf "$LOGS"' EXIT

# step COMMAND...: runs it, and says how long it took.
step() {
  local since=$SECONDS
  "$@"
  echo "($((SECONDS - since)) s: $*)"
}

begin_lab verbs
step cargo run --quiet --locked --package xtask -- check
begin_lab roce
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
end_lab verbs
end_lab roce
echo "every check passed, in $(((SECONDS - started) / 60)) min"
