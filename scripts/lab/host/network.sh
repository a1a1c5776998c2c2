# Sourced: the network of a run whose target is on the host. A namespace without a name holds a tap device, the target and QEMU: the kernel
# takes it away with the last process in it, so that nothing can be left behind.

export LAB_MTU=${LAB_MTU:-4200} # room for RoCE's 4096; 1500 makes it 1024

# What boot_guest puts before and after QEMU's name; nothing without a network.
IN_NETWORK=() NETWORK_CARD=()

# start_network RUN_FOLDER: the namespace, and host/target-agent.sh in it. It ends with the shell that started it, however that one ends.
start_network() {
  need_network
  rm -rf "$1/agent"
  setpriv --pdeathsig TERM unshare --net bash "$LAB/host/target-agent.sh" "$LAB" "$1" >>"$1/agent.log" 2>&1 &
  AGENT_PID=$!
  for _ in $(seq 100); do
    [ ! -e "$1/agent/ready" ] || break
    kill -0 "$AGENT_PID" 2>/dev/null || break
    sleep 0.1
  done
  [ -e "$1/agent/ready" ] || die "the network to the guest cannot be made: $(tail -3 "$1/agent.log")"
  IN_NETWORK=(nsenter "--net=/proc/$AGENT_PID/ns/net")
  # No boot ROM: it is a package of its own, and nothing boots from here.
  NETWORK_CARD=(-netdev tap,id=net0,ifname=tap0,script=no,downscript=no
    -device "virtio-net-pci,netdev=net0,mac=52:54:00:73:72:70,host_mtu=$LAB_MTU,romfile=")
}

need_network() {
  [ "$(id -u)" = 0 ] || die "the guest's network is a tap device in a network namespace, and only root may make these: run this as root"
  [ -e /dev/net/tun ] || modprobe tun 2>/dev/null || true
  [ -e /dev/net/tun ] || die "no /dev/net/tun here: this machine's kernel or container has no tap devices"
}

stop_network() {
  IN_NETWORK=() NETWORK_CARD=()
  [ -z "${AGENT_PID:-}" ] || { kill "$AGENT_PID" 2>/dev/null; wait "$AGENT_PID" 2>/dev/null; } || true
  AGENT_PID=
}
