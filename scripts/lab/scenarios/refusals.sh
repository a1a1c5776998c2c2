# refusals: wrong target id, too long IU and an initiator that is not allowed: the initiator shows SRP's reason, the target says what to change
# seconds: 300

refused() { ! login_as "$1"; }
right="id_ext=$ID_EXT,ioc_guid=$IOC_GUID"

must "the target starts" start_target 0x3

# There is no InfiniBand here. The kernel takes a listener for it at every port all the same, and one at the GID of a port that is not there it does not.
infiniband_listeners() { rpc srp_get_listeners | tr -d ' \n' | grep -o '{[^}]*"fabric":"ib"[^}]*}'; }
check "a listener for native InfiniBand" rpc srp_create_listener '{"fabric": "ib", "address": "::", "port": 5555}'
check "listens" prints '"state":"listening"' infiniband_listeners
check "one at a GID that no port has" rpc srp_create_listener '{"fabric": "ib", "address": "fe80::2:c903:a0b:c0d", "port": 5556}'
check "waits, and says where to look" prints '"reason":"noInfiniBandporthastheGIDfe80::2:c903:a0b:c0d' infiniband_listeners

must "the initiator loads" load_initiator
check "a wrong id_ext is refused" refused "id_ext=5355525000000bad,ioc_guid=$IOC_GUID"
check "the initiator shows reason 0x00010003" initiator_says "SRP LOGIN.*REJECTED, reason 0x00010003"
check "the target's log names the id that was asked for, and what to check" target_log_has "0x5355525000000bad$IOC_GUID; check id_ext"

check "a wrong ioc_guid is refused" refused "id_ext=$ID_EXT,ioc_guid=5355525000000bad"
check "the target's log names that id, too" target_log_has "0x${ID_EXT}5355525000000bad; check id_ext and ioc_guid"

must "the initiator loads with 128 KiB of immediate data" load_initiator max_imm_data=131072
check "a too long IU is refused" refused "$right"
check "the initiator shows the reason" initiator_says "requested max_it_iu_len too large|reason 0x00010002"
check "the target's log names the length, and what to log in with" target_log_has "131140 bytes.*max_it_iu_size=8260"
check "that login is accepted" login_disks max_it_iu_size=8260
check "logout" logout

must "the initiator loads" load_initiator
must "a group of initiators without this one" rpc srp_create_initiator_group '{"target": "tgt0", "name": "others", "initiators": ["10.99.0.9"]}'
check "an initiator that is not in the group is refused" refused "$right"
check "the initiator shows reason 0x00010006" initiator_says "SRP LOGIN.*REJECTED, reason 0x00010006"
check "the target's log names the initiator and what to change" target_log_has "at $ADDRESS: let it in with srp_create_initiator_group"

must "a group with this one" rpc srp_create_initiator_group '{"target": "tgt0", "name": "ours", "initiators": ["10.77.0.*"]}'
check "it may log in now" login_disks
