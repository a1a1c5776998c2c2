# masking: what each initiator sees: LUN maps of groups, read-only LUNs, an empty LUN 0, flat addressing; changes under I/O; a group that goes
# seconds: 900
# fabrics: verbs roce
# all: roce

# Two initiators on one host are two initiator_ext, the first half of the port id.
EXT=([1]=00000000000000a1 [2]=00000000000000a2)
declare -A HOST
hosts() { local host; for host in /sys/class/scsi_host/host*; do grep -sqx ib_srp "$host/proc_name" && echo "${host##*/}"; done; }
# login_initiator N [OPTIONS]: sets ${HOST[N]}.
login_initiator() {
  local before
  before=$(hosts)
  login "initiator_ext=${EXT[$1]}${2:+,$2}" || return
  HOST[$1]=$(comm -13 <(sort <<<"$before") <(hosts | sort))
}
# node N LUN: the device node of that LUN (as the kernel counts them) of initiator N. found N LUN: it comes.
node() { local entry; for entry in /sys/class/scsi_host/"${HOST[$1]}"/device/target*/*:"$2"/block/sd*; do [ -e "$entry" ] && [ -b "/dev/${entry##*/}" ] && echo "/dev/${entry##*/}" && return; done; return 1; }
found() { until_true 20 node "$@"; }
scan() { echo "- - -" >"/sys/class/scsi_host/${HOST[$1]}/scan"; }
lists() { sg_luns -q -R "$1" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//'; }
marked() { [ "$(dd if="$1" bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\0')" = "$2" ]; }
fails() { ! "$@"; }
write_block() { dd if=/dev/zero of="$1" bs=4k count=1 seek=16 oflag=direct; }
add() { rpc srp_initiator_group_add_lun "$1"; }
load() {
  fio --name=load --filename="$1" --size=16M --rw=randwrite --bs=4k --iodepth=8 --ioengine=libaio --direct=1 --time_based --runtime="$2" \
    --verify=crc32c --verify_backlog=256 --verify_fatal=1 --verify_dump=0 >/tmp/load.log 2>&1 3>&- &
  LOAD=$!
}

must "the target starts" start_target 0x3
must "the initiator loads" load_initiator
must "two groups with maps of their own" rpc \
  srp_create_initiator_group '{"name": "one", "initiators": ["0x'${EXT[1]}'*"], "luns": []}' \
  srp_create_initiator_group '{"name": "two", "initiators": ["0x'${EXT[2]}'*"], "luns": []}'
must "the first sees the RAM disk as LUN 0 and the file as LUN 300" eval \
  'add "{\"group\": \"one\", \"bdev_name\": \"ram01\"}" && add "{\"group\": \"one\", \"bdev_name\": \"disk01\", \"lun\": 300}"'
must "the second sees the file as LUN 7, read-only, and no LUN 0" add '{"group": "two", "bdev_name": "disk01", "lun": 7, "read_only": true}'
must "the first logs in" login_initiator 1
must "its LUN 0" found 1 0
must "its LUN 300, which flat addressing makes 16684" found 1 16684
must "the second logs in" login_initiator 2
must "its LUN 7" found 2 7
RAM=$(node 1 0) FILE=$(node 1 16684) SAME=$(node 2 7)
lsscsi | sed 's/^/       /' | tee /dev/fd/3
check "an initiator of no group is refused" fails login initiator_ext=00000000000000a3

check_equal "REPORT LUNS of the first" "0000000000000000 412c000000000000" "$(lists "$RAM")"
check_equal "REPORT LUNS of the second" "0007000000000000" "$(lists "$SAME")"
devices=(/sys/class/scsi_host/"${HOST[1]}"/device/target*/*:*)
check_equal "the first has no other devices" 2 ${#devices[@]}
check "one unit: the same designators" test "$(sg_vpd -q -p di_lu "$FILE")" = "$(sg_vpd -q -p di_lu "$SAME")"
printf shared | dd of="$FILE" bs=512 count=1 conv=sync oflag=direct status=none
check "what the first wrote the second reads" marked "$SAME" shared
check_equal "the second's disk is read-only" 1 "$(blockdev --getro "$SAME")"
generic=$(basename "/sys/block/${SAME##*/}/device/scsi_generic"/sg*) # by which the kernel passes writes on
check "and the target refuses its writes" prints "Write protected" eval 'sg_dd if=/dev/zero of=/dev/$generic bs=512 count=1 2>&1 || true'
check "the first may write" write_block "$FILE"

# Changes while the first is busy.
load "$RAM" 60
check "a LUN comes: 16383, read-only" add '{"group": "one", "bdev_name": "null01", "lun": 16383, "read_only": true}'
sg_turs "$FILE" # takes the unit attention
check "the initiator is told" initiator_says "LUN assignments on this target have changed"
scan 1
check "a scan finds it, as 32767" found 1 32767
check_equal "it is read-only" 1 "$(blockdev --getro "$(node 1 32767)")"
check "the second sees as much as before" same 0007000000000000 "$(lists "$SAME")"
check "it goes" rpc srp_initiator_group_remove_lun '{"group": "one", "lun": 16383}'
check "it does not answer" fails dd if="$(node 1 32767)" of=/dev/null bs=4k count=1 iflag=direct
echo 1 >"/sys/block/$(basename "$(node 1 32767)")/device/delete"

rpc bdev_malloc_create '{"name": "ram02", "num_blocks": 65536, "block_size": 512}' >/dev/null
check "LUN 300 is replaced by another disk" rpc srp_initiator_group_replace_lun '{"group": "one", "lun": 300, "bdev_name": "ram02"}'
sg_turs "$FILE"; sg_turs "$FILE"; sg_turs "$FILE" # it is new, and has other INQUIRY data
check "the initiator is told" initiator_says "Inquiry data has changed|Power-on or device reset occurred"
check "other designators" fails test "$(sg_vpd -q -p di_lu "$FILE")" = "$(sg_vpd -q -p di_lu "$SAME")"
echo 1 >"/sys/block/${FILE##*/}/device/rescan"
check_equal "another size" $((65536 * 512)) "$(blockdev --getsize64 "$FILE")"
check "the second has the old disk" marked "$SAME" shared
check "fio on the other disk saw nothing of it" wait "$LOAD"

# The second's group loses it: its session ends, and comes back when it may.
check "the second's group is deleted" rpc srp_delete_initiator_group '{"name": "two"}'
check "its session is gone" until_true 20 eval '[ "$(rpc srp_get_sessions | grep -c "\"initiator_group\"")" = 1 ]'
check "it is refused as long as nobody lets it in" until_true 40 target_log_has "no initiator group of target tgt0 contains 0x${EXT[2]}"
check "the first works on" write_block "$RAM"
check "a group with the target's LUNs lets it in" rpc srp_create_initiator_group '{"name": "two", "initiators": ["0x'${EXT[2]}'*"]}'
check "it comes back by itself" until_true 120 eval '[ "$(rpc srp_get_sessions | grep -c "\"initiator_group\"")" = 2 ]'
check "and sees the target's LUNs" until_true 60 eval 'scan 2; node 2 0 && node 2 1 && node 2 2'
must "logout" logout

# A target that lists all LUNs by flat addressing, and one whose LUN 0 is empty.
must "a target with flat addressing, whose LUN 0 is empty" rpc \
  srp_create_target '{"name": "flat", "id_ext": "5355525000000009", "ioc_guid": "'$IOC_GUID'", "lun_addressing": "flat"}' \
  srp_target_add_lun '{"target": "flat", "bdev_name": "ram02", "lun": 1}' \
  srp_target_add_lun '{"target": "flat", "bdev_name": "ram01", "lun": 255}'
rpc srp_create_initiator_group '{"name": "all", "target": "flat", "initiators": ["*"]}'
before=$(hosts)
must "login to it" login_as "id_ext=5355525000000009,ioc_guid=$IOC_GUID"
HOST[3]=$(comm -13 <(sort <<<"$before") <(hosts | sort))
check "LUN 1 is 16385 to the kernel" found 3 16385
check "and LUN 255 is 16639" found 3 16639
check_equal "REPORT LUNS" "4001000000000000 40ff000000000000" "$(lists "$(node 3 16385)")"
check "the disk works" verify_with_fio 2M "$(node 3 16639)"
must "logout" logout
check "SIGTERM ends the target with status 0" stop_target
