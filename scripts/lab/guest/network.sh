# Sourced: another network between guest and host than the good one that both come up with.

# network_has_mtu MTU: at both ends.
network_has_mtu() { on_host ip link set tap0 mtu "$1" && ip link set eth0 mtu "$1"; }

# impair NETEM-OPTION...: what leaves and what arrives suffers so from now on, by the guest's kernel, instead of what it suffered before.
# Arriving packets are led through a device of their own (ifb), since a queue discipline works on what leaves.
impair() {
  modprobe -a sch_netem sch_ingress cls_matchall act_mirred ifb || return
  end_impairment
  ip link add ifb0 mtu "$(cat /sys/class/net/eth0/mtu)" type ifb &&
    ip link set ifb0 up &&
    tc qdisc add dev eth0 ingress &&
    tc filter add dev eth0 parent ffff: matchall action mirred egress redirect dev ifb0 &&
    tc qdisc add dev ifb0 root netem limit 10000 "$@" &&
    tc qdisc add dev eth0 root netem limit 10000 "$@"
}

end_impairment() {
  [ -e /sys/class/net/ifb0 ] || return 0
  tc qdisc del dev eth0 root
  tc qdisc del dev eth0 ingress
  ip link del ifb0
} 2>/dev/null

# impaired: how many packets it hit so far, per direction.
impaired() { tc -s qdisc show dev eth0 | grep -A2 netem && tc -s qdisc show dev ifb0 | grep -A2 netem; }

# restore_network: as it came up. Interfaces whose MTU was below 1280 have lost their IPv6 addresses.
restore_network() {
  end_impairment
  [ "$FABRIC" != verbs ] || return 0
  network_has_mtu "$LAB_MTU" &&
    on_host ip addr replace "$ADDRESS_IPV6/64" dev tap0 nodad &&
    ip addr replace "$INITIATOR_ADDRESS_IPV6/64" dev eth0 nodad
}
