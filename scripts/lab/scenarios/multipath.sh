# multipath: dm-multipath with ALUA: path groups switch by SET TARGET PORT GROUPS and by RPC under verified I/O, states survive kill -9
# seconds: 1500
# fabrics: verbs roce
# packages: multipath-tools dmsetup
# all: none

. "$LAB/guest/multipath.sh"

LEFT_EXT=$ID_EXT RIGHT_EXT=5355525000000003 # tgt0 is in the group left, number 1, tgt1 in right, number 2
FIO_OPTIONS=(--size=60M)
both_there() { path "$1" $LEFT_EXT && path "$1" $RIGHT_EXT; }
login_both() { login && login_as "id_ext=$RIGHT_EXT,ioc_guid=$IOC_GUID"; }
set_state() { rpc srp_target_port_group_set_state "$1"; }
fails() { ! "$@"; }
# set_groups STATE,STATE PATH: of left and right; a unit attention may come first.
set_groups() { until_true 10 sg_stpg --tp=1,2 --state="$1" "$2"; }
# states PATH: of left and right, as that path tells them.
states() { sg_rtpg "$1" | sed -n 's/.*asymmetric access state : *\(0x..\).*/\1/p' | xargs; }
# load SECONDS: verified I/O through the map, in the background. `check "…" wait $LOAD`
load() {
  fio --name=load --filename="$MAP" --size=32M --rw=randwrite --bssplit=4k/70:64k/30 --iodepth=8 --ioengine=libaio --direct=1 --time_based \
    --runtime="$1" --verify=crc32c --verify_backlog=128 --verify_fatal=1 --verify_dump=0 >/tmp/load.log 2>&1 3>&- &
  LOAD=$!
}
loaded() { wait "$LOAD" || { tail -30 /tmp/load.log; return 1; }; }

write_config '{"method": "bdev_malloc_create", "params": {"name": "ram01", "num_blocks": 131072, "block_size": 512}}' \
  "$(uring disk01 disk01.img '"size": 67108864, "block_size": 512')"
must "the target starts" start_target 0x3
must "a second target with the same disks" rpc \
  srp_create_target '{"name": "tgt1", "id_ext": "'$RIGHT_EXT'", "ioc_guid": "'$IOC_GUID'"}' \
  srp_target_add_lun '{"target": "tgt1", "bdev_name": "ram01"}' \
  srp_target_add_lun '{"target": "tgt1", "bdev_name": "disk01"}'
must "each in a group" rpc \
  srp_create_target_port_group '{"name": "left", "id": 1}' \
  srp_create_target_port_group '{"name": "right", "id": 2, "state": "non_optimized"}' \
  srp_target_port_group_add_target '{"group": "left", "target": "tgt0"}' \
  srp_target_port_group_add_target '{"group": "right", "target": "tgt1"}'
rpc save_config >"$CONFIG" # for the restart below
must "multipathd starts" start_multipath
must "two logins" login_both
must "two paths to each disk" until_true 60 eval 'both_there ram01 && both_there disk01'
L=$(path ram01 $LEFT_EXT) R=$(path ram01 $RIGHT_EXT) OTHER=$(path disk01 $RIGHT_EXT)

# What a path prints of itself.
check "INQUIRY: implicit and explicit ALUA" prints "TPGS=3" sg_inq "$L"
check "VPD 83: one unit on both paths" test "$(sg_vpd -q -p di_lu "$L")" = "$(sg_vpd -q -p di_lu "$R")"
check "udev names it by its NAA designator" prints "^3[36][0-9a-f]{15}" /lib/udev/scsi_id --whitelisted --device="$L"
udevadm info -q property -n "$L"
check "VPD 83: the target port group, 1" prints "Target port group: 0x1" sg_vpd -p di_port "$L"
check "VPD 83: the target port group, 2" prints "Target port group: 0x2" sg_vpd -p di_port "$R"
check "VPD 83: the relative target ports, 1 and 2" eval 'prints "Relative target port: 0x1" sg_vpd -p di_port $L && prints "Relative target port: 0x2" sg_vpd -p di_port $R'
check "VPD 83: the SCSI name string" prints "SCSI name string: *$|naa\.[0-9A-F]{16}" sg_vpd -p di_lu "$L"
check "VPD 88: both ports" prints "Relative port=2" sg_vpd -p sp "$L"
check "REPORT TARGET PORT GROUPS" prints "target port group id : 0x2 , Pref=0, Rtpg_fmt=0" sg_rtpg -d "$L"
check "with the extended header" prints "target port group id : 0x2 , Pref=0, Rtpg_fmt=1|target port group id : 0x1" sg_rtpg -d -e "$R"
check "the kernel's handler is alua" same alua "$(cat "/sys/block/${L##*/}/device/dh_state")"
check "the kernel takes the left for active/optimized" until_true 20 state_is active/optimized "$L"
check "and the right for active/non-optimized" until_true 20 state_is active/non-optimized "$R"

must "one map over both" until_true 30 eval '[ -n "$(map $L)" ] && [ "$(map $L)" = "$(map $R)" ]'
MAP=$(map "$L")
multipath -ll | sed 's/^/       /' | tee /dev/fd/3
check "two path groups, with the priorities of ALUA" eval 'multipath -ll | grep -q prio=50 && multipath -ll | grep -q prio=10'
check "I/O goes left" until_true 20 goes_through "$L" "$MAP"

load 150
check "the left path has it" until_true 20 takes_io "$L"
# By an initiator: explicit transitions.
check "SET TARGET PORT GROUPS: the right is optimized, the left is not" set_groups an,ao "$L"
check "both states have changed" until_true 10 eval 'same "0x01 0x00" "$(states "$R")"'
check "I/O goes right" until_true 60 goes_through "$R" "$MAP"
check "the right path has it" until_true 20 takes_io "$R"
check "the kernel has noticed" until_true 30 eval 'state_is active/non-optimized "$L" && state_is active/optimized "$R"'
check "the other disk's groups are as they were" state_is active/non-optimized "$OTHER"
check "the left becomes standby" set_groups s,ao "$R"
check "it says so" until_true 10 prints "standby state" eval 'sg_turs -v "$L" 2>&1 || true'
check "a read through it is refused" fails dd if="$L" of=/dev/null bs=4k count=1 iflag=direct
check "INQUIRY is answered" sg_inq "$L"
check "the kernel has noticed" until_true 30 state_is standby "$L"
check "optimized again, asked for through the standby path" set_groups ao,an "$L"
check "I/O goes left" until_true 60 goes_through "$L" "$MAP"

# By the administrator: implicit transitions, with initiators told.
check "by RPC the right is optimized and the left unavailable" rpc \
  srp_target_port_group_set_state '{"group": "right", "state": "optimized"}' \
  srp_target_port_group_set_state '{"group": "left", "state": "unavailable"}'
check "the initiator is told" initiator_says "Asymmetric access state changed|alua: port group 0?1 state U"
check "I/O goes right" until_true 60 goes_through "$R" "$MAP"
# While it still looked for a path, the kernel may have made the left optimized itself.
check "the kernel has noticed that the left is unavailable" until_true 60 eval \
  'set_state "{\"group\": \"left\", \"state\": \"unavailable\"}" && sleep 2 && state_is unavailable "$L"'
check "a transition of 30 s to optimized" set_state '{"group": "left", "state": "optimized", "transition_ms": 30000}'
# The kernel asks again and again meanwhile, and shows the old state.
check "REPORT TARGET PORT GROUPS tells of it" until_true 10 eval 'same "0x0f 0x00" "$(states "$R")"'
check "and so does the RPC" prints '"next_state": "optimized"' rpc srp_get_target_port_groups
check "it ends" until_true 90 state_is active/optimized "$L"
# Else the kernel would find no better path than the right one, and make that optimized itself.
check "the left path is taken up again" until_true 60 prints "^${L##*/} +active" multipathd show paths format "%d %t"
check "the right is non-optimized" set_state '{"group": "right", "state": "non_optimized"}'
check "I/O goes left" until_true 60 goes_through "$L" "$MAP"
check "the right is standby" set_state '{"group": "right", "state": "standby"}'
check "the kernel has noticed" until_true 30 state_is standby "$R"
check "the left is preferred" set_state '{"group": "left", "preferred": true}'
check "PREF says so" until_true 10 prints "id : 0x1 , Pref=1" sg_rtpg -d "$L"
check "I/O stays there" goes_through "$L" "$MAP"
check "fio saw nothing of it: every byte as written" loaded

# What initiators set survives. What the administrator set is in the configuration: there the right is not standby.
check "an initiator sets them as they are" set_groups ao,s "$L"
DISK_MAP=$(map "$OTHER") # the RAM disk forgets
check "verified data" verify_with_fio 4M "$DISK_MAP"
must "kill -9" kill_target
must "the target starts again" start_target 0x3
check "both paths come back" until_true 180 eval 'sg_inq "$L" && sg_inq "$R"'
check "the states that the initiator set are as before" until_true 60 eval 'same "0x00 0x02" "$(states "$L")"'
check "I/O goes left" until_true 90 goes_through "$L" "$MAP"
check "the data are there" reads_again_with_fio 4M "$DISK_MAP"

# Persistent reservations through both paths, where the target has them.
if sg_opcodes "$L" 2>/dev/null | grep -q "Persistent reserve out"; then
  KEY=0x5352505400000001
  mpath() { mpathpersist "$@" "$MAP"; }
  check "mpathpersist registers through every path" mpath --out --register --param-sark=$KEY
  check "two registrations" until_true 10 prints "2 registered" sg_persist -n -i -k "$L"
  check "write exclusive, registrants only" mpath --out --reserve --param-rk=$KEY --prout-type=5
  check "it is listed" prints "Write Exclusive, registrants only" mpath --in --read-reservation
  for states in ao,an an,ao; do
    check "the holder writes when the groups are $states" eval \
      'set_groups $states "$L" && until_true 60 dd if=/dev/zero of="$MAP" bs=4k count=16 oflag=direct'
  done
  check "the reservation is released" mpath --out --release --param-rk=$KEY --prout-type=5
  check "and the registrations go" mpath --out --register --param-rk=$KEY --param-sark=0
  check "none is left" prints "0 registered reservation key" mpath --in --read-keys
else
  note "       no PERSISTENT RESERVE OUT: mpathpersist is left out"
fi

check "multipathd ends, and no map is left" stop_multipath
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
