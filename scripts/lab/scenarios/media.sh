# media: bad blocks beneath a disk are medium errors, a full file system is a space allocation failure; everything else goes on
# seconds: 400
# packages: xfsprogs dmsetup

read_at() { dd if="$1" of=/dev/null bs=4k skip="$2" count=1 iflag=direct; }
write_at() { dd if=/dev/zero of="$1" bs=4k seek="$2" count=1 oflag=direct; }
fails() { FAILED=("$@") && ! "$@" >/tmp/said 2>&1 && cat /tmp/said && grep -q "$FAILURE" /tmp/said; }
# sense DEVICE KEY CODE: what the initiator's kernel says of the command that failed last. It says no more than ten such
# things in five seconds, of all disks together: the command fails again until it is heard.
sense() { until_true 15 has_sense "$@"; }
has_sense() { said_sense "$@" || { "${FAILED[@]}" >/dev/null 2>&1; said_sense "$@"; }; }
said_sense() { kernel_log | grep "\[${1##*/}\]" | grep -A1 "Sense Key : $2" | grep "Add. Sense: $3"; }

# The device mapper: 64 MiB on a loop device, but for 64 KiB at 16 MiB, which are an error.
truncate -s 64M /srv/lab/{base,good}.img
loop=$(loop_disk /srv/lab/base.img)
mapped=$(printf '%s\n' "0 32768 linear $loop 0" "32768 128 error" "32896 98176 linear $loop 32896" | mapped_disk holed)
debug=$(debug_disk 16 opts=2) # sectors 0x1234 to 0x123d cannot be read
must "devices: dm-error, scsi_debug with a bad sector" test -b "$mapped" -a -b "$debug"
must "an ext4 and an XFS that will be full" eval 'file_system ext4 ext4 64 && file_system xfs xfs 320'
write_config "$(uring holed "$mapped")" "$(uring debug "$debug")" "$(uring good good.img)" \
  "$(uring ext4 /mnt/target/ext4/disk.img '"size": 33554432')" "$(uring xfs /mnt/target/xfs/disk.img '"size": 33554432, "direct": false')"
must "the target starts" start_target 0x3
must "login" login_to holed debug good ext4 xfs
for name in "${!DISK[@]}"; do echo 0 >"/sys/block/${DISK[$name]##*/}/queue/read_ahead_kb"; done

FIO_OPTIONS=(--size=30M)
FAILURE="No data available\|Input/output error" # what Linux makes of MEDIUM ERROR
holed=${DISK[holed]}
check "the block before the hole reads" read_at "$holed" 4095
check "a block in the hole does not" fails read_at "$holed" 4096
check "the initiator hears: MEDIUM ERROR, unrecovered read error" sense "$holed" "Medium Error" "Unrecovered read error"
check "nor does it take a write" fails write_at "$holed" 4111
check "the initiator hears: MEDIUM ERROR, write error" sense "$holed" "Medium Error" "Write error"
check "the block behind it takes one" write_at "$holed" 4112

debug=${DISK[debug]}
check "scsi_debug: a bad sector does not read" fails read_at "$debug" $((0x1234 / 8))
check "the initiator hears: MEDIUM ERROR, unrecovered read error" sense "$debug" "Medium Error" "Unrecovered read error"
check "scsi_debug: others do" read_at "$debug" 0

# Many failures in a row: the log has at most a line a second from each of the two cores.
started=$SECONDS lines=$(target_log_has "bdev holed: .*failed" | wc -l)
for _ in 1 2 3; do fio --name=hole --loops=4 --filename="$holed" --offset=16M --size=64k --bs=4k --rw=read --direct=1 --continue_on_error=io >/dev/null 2>&1; done
lines=$(($(target_log_has "bdev holed: .*failed" | wc -l) - lines)) seconds=$((SECONDS - started))
check "the log has at most a line a second and core: $lines in $seconds s" test "$lines" -ge 1 -a "$lines" -le $((2 * (seconds + 1)))
check "it names the device, the offset and the error" target_log_has "bdev holed: Read of 4096 bytes at 16[0-9]+ of $mapped failed: Input/output error"

full() { # full FOLDER: not a block is left
  fallocate -l "$(($(stat -fc '%a * %S' "$1") - (1 << 20)))" "$1/filler"
  dd if=/dev/zero of="$1/rest" bs=4k 2>/dev/null
  sync -f "$1"
}
for name in ext4 xfs; do
  device=${DISK[$name]} folder=/mnt/target/$name
  FAILURE="No space left on device"
  check "$name: a write while there is room" write_at "$device" 8
  full "$folder"
  df "$folder" | tail -1
  check "$name: a write to a hole when it is full" fails dd if=/dev/zero of="$device" bs=1M seek=4 count=8 oflag=direct
  check "the initiator hears: DATA PROTECT, space allocation failed" sense "$device" "Data Protect" "Space allocation failed write protect"
  check "$name: what was written can be read, and written again" eval 'read_at "$device" 8 && write_at "$device" 8'
  check "another disk takes writes meanwhile" write_at "${DISK[good]}" 8
  rm "$folder/filler" "$folder/rest"
  check "$name: with room again, the same write is done" dd if=/dev/zero of="$device" bs=1M seek=4 count=8 oflag=direct
done
check "every byte as written, where there is room and no hole" verify_with_fio 1M "${DISK[good]}" "${DISK[ext4]}" "${DISK[xfs]}"
check "SIGTERM ends the target with status 0" stop_target
