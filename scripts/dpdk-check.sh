#!/usr/bin/env bash
# Checks what the feature `dpdk` adds: lints, and tests of ports that DPDK drives against the kernel, over virtual links (as root; without,
# these say that they skip). Installs what is missing, DPDK with 100 MB included.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
cd "$ROOT"

need_toolchain
need_packages libdpdk-dev libclang-dev pkg-config iproute2 util-linux
cargo clippy --quiet --locked -p dpdk-sys -p fabric -p srpt-app --features srpt-app/dpdk --all-targets -- -D warnings
cargo test --quiet --locked -p fabric --features dpdk --lib packet_io::dpdk
