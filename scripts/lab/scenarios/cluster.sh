# cluster: an XFS and an ext4 on two paths, reserved, keep every byte while all that a cluster does to their disks goes on
# seconds: 1500
# packages: multipath-tools dmsetup xfsprogs sdparm
# all: none

. "$LAB/guest/multipath.sh"

LEFT_EXT=$ID_EXT RIGHT_EXT=5355525000000003 KEY=0x5352505400000001
TREE=/tmp/tree FILE_SYSTEMS=(ext4 xfs)
declare -A MAP LEFT RIGHT LOAD
mkdir -p $TREE /mnt/lab/{ext4,xfs}
cp -a /usr/lib/python3.*/{email,json} $TREE/

login_both() { login && login_as "id_ext=$RIGHT_EXT,ioc_guid=$IOC_GUID"; }
all_paths() { local name; for name in ext4 xfs; do LEFT[$name]=$(path $name $LEFT_EXT) && RIGHT[$name]=$(path $name $RIGHT_EXT) || return; done; }
all_maps() { local name; for name in ext4 xfs; do MAP[$name]=$(map "${LEFT[$name]}") && [ "$(map "${RIGHT[$name]}")" = "${MAP[$name]}" ] || return; done; }
mpath() { mpathpersist "${@:2}" "${MAP[$1]}"; }
# both COMMAND...: for ext4, then for xfs.
both() { local name; for name in "${FILE_SYSTEMS[@]}"; do "$@" "$name" || return; done; }
mount_one() { mount "${MAP[$1]}" "/mnt/lab/$1"; }
unmount_one() { umount "/mnt/lab/$1"; }
in_order() { case $1 in ext4) e2fsck -fn "${MAP[ext4]}" ;; xfs) xfs_repair -n "${MAP[xfs]}" ;; esac; }
register() { mpath "$1" --out --register --param-sark=$KEY; }
reserve() { mpath "$1" --out --reserve --param-rk=$KEY --prout-type=5; }
release() { mpath "$1" --out --release --param-rk=$KEY --prout-type=5; }
unregister() { mpath "$1" --out --register --param-rk=$KEY --param-sark=0; }
set_groups() { until_true 10 sg_stpg --tp=1,2 --state="$1" "${LEFT[$2]}"; }
reset_unit() { sg_reset --device "${LEFT[$1]}"; }
# set_mode FIELD VALUE FILE-SYSTEM: a mode parameter, by the other path; whoever else is logged in is told.
set_mode() { until_true 10 sdparm --quiet --set="$1=$2" "${RIGHT[$3]}"; }
trim() { fstrim "/mnt/lab/$1"; }
# load FILE-SYSTEM: random writes in all sizes, 16 deep, slowly, so that they last; then every block's checksum.
load() {
  fio --name="$1" --directory="/mnt/lab/$1" --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --size=64M --io_size=24M --rate=,250k \
    --bssplit=4k/60:8k/10:32k/10:128k/10:512k/6:1m/4 --verify=crc32c --verify_fatal=1 --verify_dump=0 --verify_state_save=0 "${@:2}"
}
# copies FILE-SYSTEM: through the page cache, with all that goes into the journal; the odd ones go again, for fstrim to find.
copies() {
  local number
  for number in {1..8}; do
    cp -a $TREE "/mnt/lab/$1/copy$number" && sync -f "/mnt/lab/$1" && sleep 4 || return
    [ $((number % 2)) = 0 ] || rm -r "/mnt/lab/$1/copy$number" || return
  done
}
same_copies() { local number; for number in 2 4 6 8; do diff -r $TREE "/mnt/lab/$1/copy$number" || return; done; }
ends_well() { wait "${LOAD[$1]}" || { tail -30 "/run/lab/$SCENARIO.$1.log"; return 1; }; }
file_systems_complain() { kernel_log | grep -E 'EXT4-fs (error|warning)|XFS.*(error|[Ss]hut|[Cc]orrupt)'; }

write_config "$(uring ext4 ext4.img '"size": 402653184')" "$(uring xfs xfs.img '"size": 402653184')" \
  '{"method": "bdev_malloc_create", "params": {"name": "spare", "num_blocks": 131072, "block_size": 512}}'
must "the target starts" start_target 0x3
must "a second target with the same disks" rpc \
  srp_create_target '{"name": "tgt1", "id_ext": "'$RIGHT_EXT'", "ioc_guid": "'$IOC_GUID'"}' \
  srp_target_add_lun '{"target": "tgt1", "bdev_name": "ext4"}' srp_target_add_lun '{"target": "tgt1", "bdev_name": "xfs"}'
must "each in a group" rpc \
  srp_create_target_port_group '{"name": "left", "id": 1}' \
  srp_create_target_port_group '{"name": "right", "id": 2, "state": "non_optimized"}' \
  srp_target_port_group_add_target '{"group": "left", "target": "tgt0"}' \
  srp_target_port_group_add_target '{"group": "right", "target": "tgt1"}'
must "multipathd starts" start_multipath
must "two logins" login_both
must "two paths to each disk" until_true 60 all_paths
must "a map over each two" until_true 30 all_maps
must "the spare disk" until_true 30 disk spare
SPARE=$(disk spare)
must "mkfs.ext4" mkfs.ext4 -q -F "${MAP[ext4]}"
must "mkfs.xfs" mkfs.xfs -q -f "${MAP[xfs]}"
must "both are mounted" both mount_one
must "mpathpersist registers through every path" both register
must "write exclusive, registrants only" both reserve

for name in "${FILE_SYSTEMS[@]}"; do
  load "$name" >"/run/lab/$SCENARIO.$name.log" 2>&1 3>&- &
  LOAD[$name]=$!
  copies "$name" >"/run/lab/$SCENARIO.copies-$name.log" 2>&1 3>&- &
  LOAD[copies-$name]=$!
done

round=0
while is_running "${LOAD[ext4]}" && is_running "${LOAD[xfs]}"; do
  note "       round $((++round))"
  check "SET TARGET PORT GROUPS: both disks go right" both set_groups an,ao
  check "LUN resets" both reset_unit
  check "sense data by descriptors from now on" both set_mode D_SENSE 1
  check "fstrim" both trim
  check "no write cache" both set_mode WCE 0
  check "they go left, by RPC" rpc \
    srp_target_port_group_set_state '{"group": "left", "state": "optimized"}' \
    srp_target_port_group_set_state '{"group": "right", "state": "non_optimized"}'
  check "a write cache again" both set_mode WCE 1
  check "fixed sense data again" both set_mode D_SENSE 0
  check "the reservation is released" both release
  check "and taken again" both reserve
  check "the target copies from the ext4's disk" sg_xcopy "if=${LEFT[ext4]}" "of=$SPARE" bs=512 bpt=8192 count=65536
  check "SET TARGET PORT GROUPS: the left stands by" both set_groups s,ao
  check "and is optimized again" both set_groups ao,an
done
check "the load lasted for two rounds at least" test "$round" -ge 2

for job in "${!LOAD[@]}"; do check "$job: no error, every byte as written" ends_well "$job"; done
check_equal "no error reached a file system" "" "$(file_systems_complain)"
check "the holder is still the one" prints "Write Exclusive, registrants only" mpath xfs --in --read-reservation
check "released" both release
check "unregistered" both unregister
must "both are unmounted" both unmount_one
for name in "${FILE_SYSTEMS[@]}"; do check "$name is in order" in_order "$name"; done
must "no map is left" until_true 30 multipath -F
must "logout" logout
must "two logins" login_both
must "the paths and the maps are there" until_true 60 eval 'all_paths && all_maps'
must "both are mounted again" both mount_one
for name in "${FILE_SYSTEMS[@]}"; do
  check "$name: what fio wrote is still there" load "$name" --verify_only
  check "$name: the copied trees are identical" same_copies "$name"
done
must "both are unmounted again" both unmount_one
check "multipathd ends, and no map is left" stop_multipath
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
