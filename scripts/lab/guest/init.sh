#!/bin/bash
# Process 1 of the guest, on the host's root under an overlay: brings up soft-RoCE and a scratch file system, runs $JOB, powers off.
# From /run/lab/env: LAB (this folder's parent), MODULES (the kernel's modules), FABRIC (where the target is: verbs, in the guest; roce, on the
# host), JOB (a script in this folder), and what the job wants.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
set -a && . /run/lab/env && set +a

off() { sync; busybox poweroff -f; }
trap off EXIT

setup() {
  set -e
  ln -sfn /proc/self/fd /dev/fd
  mkdir -p /dev/shm /dev/pts /dev/hugepages /lib/modules
  mount -t tmpfs tmpfs /dev/shm
  mount -t devpts devpts /dev/pts
  mount -t hugetlbfs hugetlbfs /dev/hugepages
  mount -t debugfs debugfs /sys/kernel/debug
  mount --bind "$MODULES" /lib/modules
  ulimit -l unlimited # registered memory is locked memory
  echo 1 >/proc/sys/kernel/panic_on_oops # a guest with a broken kernel ends at once, and the host sees why

  modprobe -a virtio_blk virtio_net ext4 loop veth crc32_generic rdma_rxe rdma_ucm ib_uverbs sd_mod sg scsi_transport_srp
  mkdir -p /srv/lab
  mount -t ext4 /dev/vda /srv/lab # a file system on a block device, so that io_uring and O_DIRECT are what they are elsewhere

  ip link set lo up
  "rdma_over_$FABRIC"
}

# Soft-RoCE has no loopback of its own: a veth pair gives it a network interface. 4200 is room for RoCE's 4096.
rdma_over_verbs() {
  ip link add v0 mtu 4200 type veth peer name v1 mtu 4200
  ip addr add 10.77.0.1/24 dev v0
  ip link set v0 up
  ip link set v1 up
  rdma link add rxe0 type rxe netdev v0
}

# The virtio card leads to the host's tap device (host/target-agent.sh), and has its MTU.
rdma_over_roce() {
  ip addr add 10.78.0.2/24 dev eth0
  ip addr add fd78::2/64 dev eth0 nodad
  ip link set eth0 up
  rdma link add rxe0 type rxe netdev eth0
}

setup || { echo "the guest could not be set up"; dmesg | tail -30; exit 1; }
bash "$LAB/guest/$JOB" </dev/null
