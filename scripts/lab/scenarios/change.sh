# change: under I/O a disk grows, its file is replaced, it is read-only for a while; LUNs go and come; a missing file, an unplugged disk
# seconds: 900

MOUNT=/mnt/lab
mkdir -p $MOUNT

bytes() { blockdev --getsize64 "$1"; }
revalidate() { echo 1 >"/sys/block/${1##*/}/device/rescan"; }
size_is() { revalidate "$2" && same "$1" "$(bytes "$2")"; }
# load DEVICE-OR-FILE SECONDS: in the background, verified; its status is fio's. `check "…" wait $LOAD`
load() {
  fio --name=load --filename="$1" --size=32M --rw=randwrite --bs=4k --iodepth=8 --ioengine=libaio --direct=1 --time_based --runtime="$2" \
    --verify=crc32c --verify_backlog=256 --verify_fatal=1 --verify_dump=0 >"/tmp/load.$2.log" 2>&1 3>&- &
  LOAD=$!
}
marked() { [ "$(dd if="$1" bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\0')" = "$2" ]; }
fails() { ! "$@"; }
write_block() { dd if=/dev/zero of="$1" bs=4k count=1 seek=16 oflag=direct; }
product_size() { local entry; for entry in /sys/block/sd*; do grep -qx "$1 *" "$entry/device/model" && cat "$entry/size" && return; done; return 1; }

must "the target starts" start_target 0x3
must "login" login_disks ch_count=2

# A disk grows under a mounted file system.
must "mkfs.ext4 on disk01" mkfs.ext4 -q -F "$FILE"
must "mount" mount "$FILE" $MOUNT
load $MOUNT/load 12
sleep 2
check "bdev_uring_resize to 384 MiB" rpc bdev_uring_resize '{"name": "disk01", "size": 402653184}'
check "the initiator is told" initiator_says "Capacity data has changed"
check "it is 384 MiB large" size_is 402653184 "$FILE"
check "resize2fs" resize2fs "$FILE"
check "the file grows behind the target's back to 512 MiB" truncate -s 512M "$DISK_FILE"
check "bdev_uring_rescan" rpc bdev_uring_rescan '{"name": "disk01"}'
check "it is 512 MiB large" until_true 10 size_is 536870912 "$FILE"
check "fio saw nothing of it" wait $LOAD
must "umount" umount $MOUNT
check "the file system is in order" e2fsck -fn "$FILE"

check "bdev_null_resize by 1 MiB" rpc bdev_null_resize '{"name": "null01", "new_size": 4194305}'
sg_turs "$NULL" # takes the unit attention
check "null01 has its new size" size_is $((4194305 << 20)) "$NULL"

# Read-only for a while.
check "a write" write_block "$FILE"
check "bdev_set_read_only" rpc bdev_set_read_only '{"name": "disk01", "read_only": true}'
check "a write fails" fails write_block "$FILE"
check "the initiator is told" initiator_says "Mode parameters changed"
revalidate "$FILE"
check_equal "the initiator's disk is read-only" 1 "$(blockdev --getro "$FILE")"
check "reads go on" dd if="$FILE" of=/dev/null bs=64k count=16 iflag=direct
check "and back" rpc bdev_set_read_only '{"name": "disk01", "read_only": false}'
sg_turs "$FILE" # takes the unit attention
revalidate "$FILE"
check_equal "the initiator's disk is writable" 0 "$(blockdev --getro "$FILE")"
check "a write" write_block "$FILE"

# Another file in its place, while the other disks work.
load "$RAM" 10
truncate -s 128M $TARGET_FOLDER/new.img
printf replaced | dd of=$TARGET_FOLDER/new.img conv=notrunc status=none
check "another file under the same name" mv $TARGET_FOLDER/new.img "$DISK_FILE"
check "bdev_uring_rescan" rpc bdev_uring_rescan '{"name": "disk01"}'
check "the initiator reads the new one" until_true 10 marked "$FILE" replaced
check "it is 128 MiB large" until_true 10 size_is 134217728 "$FILE"
check "a write" write_block "$FILE"

# A LUN goes, and another disk comes in its place.
check "LUN 2 is removed" rpc srp_target_remove_lun '{"target": "tgt0", "lun": 2}'
check "its disk does not answer" fails dd if="$FILE" of=/dev/null bs=4k count=1 iflag=direct
check "another disk answers" until_true 10 dd if="$NULL" of=/dev/null bs=4k count=1 iflag=direct # and takes the unit attention
check "the initiator is told" initiator_says "LUN assignments on this target have changed"
echo 1 >"/sys/block/${FILE##*/}/device/delete"
rpc bdev_malloc_create '{"name": "ram02", "num_blocks": 16384, "block_size": 512}'
check "ram02 becomes LUN 2" rpc srp_target_add_lun '{"target": "tgt0", "bdev_name": "ram02", "lun": 2}'
for host in /sys/class/scsi_host/host*; do echo "- - -" >"$host/scan"; done
check "a scan finds it" until_true 15 disk ram02
check "fio on the other disk saw nothing of it" wait $LOAD
must "logout" logout
must "SIGTERM ends the target with status 0" stop_target

# A file that is missing at the start.
sed -i 's|"bdev_uring_create", "params": {|&"wait_for_file": true, |' "$CONFIG"
mv "$DISK_FILE" "$DISK_FILE.away"
must "the target starts without the file" start_target 0x3
must "login" login
check "disk01 is there, without a size" until_true 20 eval '[ "$(product_size disk01)" = 0 ]'
mv "$DISK_FILE.away" "$DISK_FILE"
check "bdev_uring_rescan finds the file" rpc bdev_uring_rescan '{"name": "disk01"}'
for entry in /sys/block/sd*; do revalidate "$entry"; done
check "disk01 has its size" until_true 10 eval '[ "$(product_size disk01)" = 262144 ]'
check "and its content" until_true 10 eval 'marked "$(disk disk01)" replaced'

# A disk behind a bdev that is unplugged, and plugged in again under another name.
scsi_debug_disk() { local entry; for entry in /sys/block/sd*; do grep -q scsi_debug "$entry/device/model" && echo "/dev/${entry##*/}" && return; done; return 1; }
plug() { PLUGGED=$(scsi_debug_disk) && ln -sfn "$PLUGGED" $TARGET_FOLDER/plugged; }
must "scsi_debug" modprobe scsi_debug dev_size_mb=64
must "its disk" until_true 15 plug
must "bdev_uring_create over it" rpc bdev_uring_create '{"name": "plug01", "filename": "'$TARGET_FOLDER/plugged'"}'
must "as LUN 3" rpc srp_target_add_lun '{"target": "tgt0", "bdev_name": "plug01", "lun": 3}'
for host in /sys/class/srp_remote_ports/port-*/device/../scsi_host/host* /sys/class/scsi_host/host*; do [ ! -e "$host/scan" ] || echo "- - -" >"$host/scan"; done
must "a scan finds it" until_true 15 disk plug01
PLUG=$(disk plug01)
printf plugged | dd of="$PLUG" bs=512 count=1 conv=sync oflag=direct status=none
check "it takes data" marked "$PLUG" plugged
load "$PLUG" 4
sleep 1
echo 1 >"/sys/block/${PLUGGED##*/}/device/delete"
check "I/O on the unplugged disk fails" fails wait $LOAD
check "it is not ready" prints "not ready" eval 'sg_turs -v "$PLUG" 2>&1 || true'
check "the target's log says what to do" target_log_has "plug01: .* is gone: .*bdev_uring_rescan"
check "the target lives, and so do the other disks" dd if="$(disk ram01)" of=/dev/null bs=64k count=16 iflag=direct
check "a rescan does not find it" fails rpc bdev_uring_rescan '{"name": "plug01"}'
for host in /sys/bus/pseudo/devices/adapter0/host*; do echo "- - -" >"$host/scsi_host/${host##*/}/scan"; done
check "it is plugged in again" until_true 15 plug
check "bdev_uring_rescan finds it" until_true 5 rpc bdev_uring_rescan '{"name": "plug01"}'
check "it is ready" until_true 10 sg_turs "$PLUG"
check "and takes data again" until_true 10 write_block "$PLUG"
check "LUN 3 and its bdev go by force" rpc bdev_uring_delete '{"name": "plug01", "force": true}'
echo 1 >"/sys/block/${PLUG##*/}/device/delete"
check "scsi_debug lets go" until_true 20 modprobe -r scsi_debug
must "logout" logout
check "SIGTERM ends the target with status 0" stop_target
