# roce-paths: logins over IPv6 and with smaller path MTUs; one that our interface cannot carry is refused
# seconds: 300
# fabrics: roce

# It looks at its interfaces once a second.
refused_for_mtu() { ! login && initiator_says "REJ reason 0x1a"; }
works() {
  check "login" login_disks || return
  check "every byte as written" verify_with_fio 4M "$RAM" "$FILE"
  check "logout" logout
}

must "the target starts" start_target 0x3
must "it listens at $ADDRESS_IPV6, too" rpc srp_create_listener "{\"fabric\": \"roce\", \"address\": \"$ADDRESS_IPV6\", \"port\": $PORT}"
ADDRESS_IPV4=$ADDRESS INITIATOR_ADDRESS_IPV4=$INITIATOR_ADDRESS
ADDRESS=[$ADDRESS_IPV6] INITIATOR_ADDRESS=[$INITIATOR_ADDRESS_IPV6]
note "       over IPv6"
works
ADDRESS=$ADDRESS_IPV4 INITIATOR_ADDRESS=$INITIATOR_ADDRESS_IPV4
for mtu in 2200 1500 700; do
  must "the network has an MTU of $mtu" network_has_mtu $mtu
  works
done
must "our end has an MTU of 1500, the initiator's of 4200" eval 'network_has_mtu 1500 && ip link set eth0 mtu 4200'
check "a path MTU that does not fit our end is refused, with reason 26" until_true 5 refused_for_mtu
check "SIGTERM ends the target with status 0" stop_target
