# resets: LUN, target, bus and host resets under load on an XFS and an ext4: nobody sees an error, every byte is as it was written
# seconds: 900
# packages: xfsprogs

TREE=/tmp/tree FILE_SYSTEMS=(ext4 xfs)
declare -A BELOW=([ext4]=ram [xfs]=file)
mkdir -p $TREE /mnt/lab/{ext4,xfs}
cp -a /usr/lib/python3.*/{email,json} $TREE/

# load FILE-SYSTEM: random writes in all sizes, 16 deep, slowly, so that they last; then every block's checksum. Status: fio's.
load() {
  fio --name="$1" --directory="/mnt/lab/$1" --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --size=96M --io_size=40M --rate=,1m \
    --bssplit=4k/60:8k/10:32k/10:128k/10:512k/6:1m/4 --verify=crc32c --verify_fatal=1 --verify_dump=0 --verify_state_save=0 "${@:2}"
}
# copies FILE-SYSTEM: through the page cache, with all that goes into the journal.
copies() { local number; for number in {1..8}; do cp -a $TREE "/mnt/lab/$1/copy$number" && sync -f "/mnt/lab/$1" && sleep 2 || return; done; }
same_copies() { local number; for number in {1..8}; do diff -r $TREE "/mnt/lab/$1/copy$number" || return; done; }
in_order() { case $1 in ext4) e2fsck -fn "$2" ;; xfs) xfs_repair -n "$2" ;; esac; }
both() { local name; for name in "${FILE_SYSTEMS[@]}"; do "$1" "$name" || return; done; }
mount_one() { mount "${DISK[${BELOW[$1]}]}" "/mnt/lab/$1"; }
unmount_one() { umount "/mnt/lab/$1"; }
reset_calls() { kernel_log | grep -c "SRP reset_$1 called"; }
file_systems_complain() { kernel_log | grep -E 'I/O error|EXT4-fs (error|warning)|XFS.*(error|[Ss]hut|[Cc]orrupt)'; }

write_config '{"method": "bdev_malloc_create", "params": {"name": "ram", "num_blocks": 524288, "block_size": 512}}' \
  "$(uring file file.img '"size": 402653184')"
must "the target starts" start_target 0x3
must "login with two channels" eval 'login ch_count=2 && until_true 60 disks_are_there ram file'
DISK=([ram]=$(disk ram) [file]=$(disk file))
must "mkfs.ext4 on the RAM disk" mkfs.ext4 -q -F "${DISK[ram]}"
must "mkfs.xfs on the file disk" mkfs.xfs -q -f "${DISK[file]}"
must "both are mounted" both mount_one

declare -A LOAD
for name in "${FILE_SYSTEMS[@]}"; do
  load "$name" >"/run/lab/$SCENARIO.$name.log" 2>&1 3>&- &
  LOAD[$name]=$!
  copies "$name" >"/run/lab/$SCENARIO.copies-$name.log" 2>&1 3>&- &
  LOAD[copies-$name]=$!
done
# The initiator has no reset of a target or a bus: its kernel goes on to the host's, which is a new login.
for level in device target bus host; do
  for name in ram file; do
    sleep 2
    check "$level reset of the $name disk" sg_reset "--$level" "${DISK[$name]}"
  done
done
check_equal "the initiator sent two LUN resets" 2 "$(reset_calls device)"
check_equal "the initiator logged in anew six times" 6 "$(reset_calls host)"
check "fio is under way on both" eval 'is_running ${LOAD[ext4]} && is_running ${LOAD[xfs]}'
check "a last LUN reset" sg_reset --device "${DISK[ram]}"

for job in "${!LOAD[@]}"; do
  wait "${LOAD[$job]}"
  status=$?
  check "$job: no error, every byte as written" eval 'cat /run/lab/$SCENARIO.$job.log; test $status = 0'
done
check_equal "no error reached a file system" "" "$(file_systems_complain)"
must "both are unmounted" both unmount_one
for name in "${FILE_SYSTEMS[@]}"; do check "$name is in order" in_order "$name" "${DISK[${BELOW[$name]}]}"; done
must "logout" logout
must "login again" login_to ram file
must "both are mounted again" both mount_one
for name in "${FILE_SYSTEMS[@]}"; do
  check "$name: what fio wrote is still there" load "$name" --verify_only
  check "$name: the copied trees are identical" same_copies "$name"
done
must "both are unmounted again" both unmount_one
check "SIGTERM ends the target with status 0" stop_target
