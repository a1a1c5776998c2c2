# interfaces: a listener at a network interface, a VLAN: logins follow its addresses
# seconds: 200

listener='{"fabric": "verbs", "interface": "v0.10", "port": 5556}'
at() { rpc srp_get_listeners | tr -d ' \n' | grep -o '{[^}]*"interface":"v0.10"[^}]*}'; }
listens_at() { at | grep -F "\"address\":\"$1\"" | grep '"state":"listening"'; }
login_at() { INITIATOR_ADDRESS=$1 login_with "id_ext=$ID_EXT,ioc_guid=$IOC_GUID,dest=$1:5556"; }
refused_at() { ! login_at "$1"; }

must "the target starts" start_target 0x3
must "a listener at a VLAN that is not there" rpc srp_create_listener "$listener"
check "says so" prints "no network interface v0.10" rpc srp_get_listeners
must "the VLAN" eval 'modprobe 8021q && ip link add link v0 name v0.10 type vlan id 10 && ip link set v0.10 up'
must "gets an address" ip addr add 10.78.0.1/24 dev v0.10
check "where it listens" until_true 10 listens_at 10.78.0.1
check "login there" login_at 10.78.0.1
check "the disks are there" until_true 30 all_disks_there
check "logout" logout
must "another address, instead" eval 'ip addr add 10.79.0.1/24 dev v0.10 && ip addr del 10.78.0.1/24 dev v0.10'
check "it listens there" until_true 10 listens_at 10.79.0.1
check "and no longer at the first" eval '! listens_at 10.78.0.1'
check "login there" login_at 10.79.0.1
check "logout" logout
must "the VLAN goes" ip link del v0.10
check "nothing listens there" until_true 10 eval '! at | grep -q listening'
check "SIGTERM ends the target with status 0" stop_target
