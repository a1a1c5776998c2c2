#!/usr/bin/env bash
# Checks what the feature `rbd` adds: the tests of images against a real Ceph cluster of one monitor and one storage daemon in
# memory, which it makes in a network namespace of its own (as root) and which is gone when this ends; and that all builds without. Installs what is missing.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
. "$ROOT/scripts/lab/ceph.sh"
cd "$ROOT"

main() {
  need_toolchain
  need_packages "${CEPH_PACKAGES[@]}" iproute2 util-linux
  # The feature is on unless somebody turns it off, so all else is checked with it.
  cargo clippy --quiet --locked -p srpt-app --no-default-features -- -D warnings
  cargo test --quiet --locked --workspace --no-run
  # The cluster's processes end with the namespace's first one.
  unshare --net --pid --mount-proc --fork --kill-child "$0" inside
}

inside() {
  FOLDER=$(mktemp -d)
  trap 'rm -rf "$FOLDER"' EXIT
  ip link set lo up
  start_cluster "$FOLDER"
  rbd create disk --size 64M
  rbd create contract --size 102400B
  BDEV_TEST_RBD_IMAGE=rbd/contract cargo test --quiet --locked --workspace --test contract -- --test-threads=1
  BDEV_TEST_RBD_IMAGE=rbd/contract cargo test --quiet --locked --workspace --test rbd
  SRPT_TEST_RBD_IMAGE=rbd/disk cargo test --quiet --locked --workspace --test process rbd
}

if [ "${1:-}" = inside ]; then inside; else main; fi
