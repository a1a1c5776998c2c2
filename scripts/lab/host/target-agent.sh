#!/usr/bin/env bash
# target-agent.sh LAB RUN_FOLDER: the host's end of a run whose target is on the host. Started in a network namespace of its own by
# host/network.sh: lays the network to the guest, then does what the guest asks (guest/on-host.sh), one request after the other.
LAB=$1 SHARED=$2 FABRIC=roce SCENARIO='' APP=$2/srpt-app
. "$LAB/target.sh"
LEASH=(setpriv --pdeathsig KILL) # the target goes with us, whatever ends us

main() {
  mkdir -p "$SHARED/agent" "$TARGET_FOLDER"
  cd "$TARGET_FOLDER" || exit
  trap clear_target EXIT
  trap 'exit 0' TERM INT HUP
  ulimit -l unlimited 2>/dev/null # where the target's memory cannot be locked, it says so itself
  lay_network || exit
  touch "$SHARED/agent/ready"

  while sleep 0.1; do
    for request in "$SHARED"/agent/*.request; do
      [ ! -e "$request" ] || serve "${request%.request}"
    done
  done
}

# lay_network: this end has .1, the guest .2.
lay_network() {
  ip link set lo up &&
    ip tuntap add dev tap0 mode tap &&
    ip link set tap0 mtu "$LAB_MTU" up &&
    ip addr add "$ADDRESS/24" dev tap0 &&
    ip addr add "$ADDRESS_IPV6/64" dev tap0 nodad
}

# serve REQUEST: runs REQUEST.request in this shell, where the target is a child, and leaves REQUEST.output and REQUEST.status.
serve() {
  local status=0
  eval "$(cat "$1.request")" >"$1.output" 2>&1 </dev/null || status=$?
  echo "$status" >"$1.writing"
  rm -f "$1.request"
  mv "$1.writing" "$1.status"
}

main
