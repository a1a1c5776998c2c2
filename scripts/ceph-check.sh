#!/usr/bin/env bash
# Checks what the feature `rbd` adds: lints, and the tests of images against a real Ceph cluster of one monitor and one storage daemon in
# memory, which it makes in a network namespace of its own (as root) and which is gone when this ends. Installs what is missing.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
cd "$ROOT"

main() {
  need_toolchain
  need_packages ceph-mon ceph-osd ceph-common iproute2 util-linux
  cargo clippy --quiet --locked -p bdev -p srpt-app --features srpt-app/rbd --all-targets -- -D warnings
  cargo test --quiet --locked -p bdev -p srpt-app --features srpt-app/rbd --no-run
  # The cluster's processes end with the namespace's first one.
  unshare --net --pid --mount-proc --fork --kill-child "$0" inside
}

inside() {
  FOLDER=$(mktemp -d)
  trap 'rm -rf "$FOLDER"' EXIT
  start_cluster
  rbd create disk --size 64M
  rbd create contract --size 102400B
  BDEV_TEST_RBD_IMAGE=rbd/contract cargo test --quiet --locked -p bdev --features rbd --test contract -- --test-threads=1
  BDEV_TEST_RBD_IMAGE=rbd/contract cargo test --quiet --locked -p bdev --features rbd --test rbd
  SRPT_TEST_RBD_IMAGE=rbd/disk cargo test --quiet --locked -p srpt-app --features rbd --test process rbd
}

# start_cluster: one monitor, one storage daemon that keeps everything in memory, one pool `rbd`. $CEPH_CONF leads to it.
start_cluster() {
  local fsid uuid
  fsid=$(cat /proc/sys/kernel/random/uuid) uuid=$(cat /proc/sys/kernel/random/uuid)
  mkdir "$FOLDER"/{mon,osd,run}
  ip link set lo up
  export CEPH_CONF=$FOLDER/ceph.conf
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:3300,v1:127.0.0.1:6789]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
keyring = $FOLDER/keyring
run dir = $FOLDER/run
admin socket = $FOLDER/run/\$name.\$pid.asok
log file = $FOLDER/\$name.log
mon cluster log to file = false
mon data = $FOLDER/mon
mon allow pool size one = true
mon data avail warn = 0
mon data avail crit = 0
osd data = $FOLDER/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
CONF
  ceph-authtool --create-keyring "$FOLDER/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
  ceph-authtool "$FOLDER/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' >/dev/null
  monmaptool --create --addv a '[v2:127.0.0.1:3300,v1:127.0.0.1:6789]' --fsid "$fsid" "$FOLDER/monmap" >/dev/null
  ceph-mon --mkfs -i a --monmap "$FOLDER/monmap" --keyring "$FOLDER/keyring"
  ceph-mon -f -i a >"$FOLDER/mon.out" 2>&1 &
  wait_for timeout 5 ceph -s
  ceph osd new "$uuid" >/dev/null
  ceph-osd --mkfs -i 0 --osd-uuid "$uuid" >"$FOLDER/osd.out" 2>&1
  ceph-osd -f -i 0 >>"$FOLDER/osd.out" 2>&1 &
  wait_for eval 'ceph osd stat | grep -q "1 up"'
  ceph osd pool create rbd 8 2>/dev/null
  rbd pool init rbd
}

# wait_for COMMAND...: up to a minute.
wait_for() {
  local attempt
  for attempt in $(seq 120); do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.5
  done
  tail -5 "$FOLDER"/*.out >&2
  die "the cluster does not come up: $*"
}

if [ "${1:-}" = inside ]; then inside; else main; fi
