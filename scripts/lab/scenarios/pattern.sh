# pattern: a null disk with a checked pattern: fio finds every byte in its place, both ways, and wrong data are found out; what was done is counted
# seconds: 600

rpc_field() { rpc "$1" "$2" | sed -n "s/.*\"$3\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | head -n 1; }
reads_counted() { rpc_field bdev_get_iostat '{"name": "pattern01"}' num_read_ops; }

# with_pattern DEVICE RW BLOCKS-IN-ALL FIO-OPTION...: one block after the other, as the pattern says which block it is.
with_pattern() {
  local device=$1 rw=$2 count=$3
  shift 3
  fio --name=pattern --filename="$device" --ioengine=libaio --direct=1 --iodepth=16 --rw="$rw" --bs=512 --size=64M --io_size=$((count * 512)) \
    --verify=pattern --verify_pattern="$PATTERN" --verify_fatal=1 "$@"
}

must "the target starts" start_target 0x3
check "a null bdev with a pattern" rpc bdev_null_create '{"name": "pattern01", "num_blocks": 1048576, "block_size": 512, "pattern": true}'
must "it is a LUN" rpc srp_target_add_lun '{"target": "tgt0", "bdev_name": "pattern01", "lun": 9}'
check "its latencies are counted" rpc bdev_enable_histogram '{"name": "pattern01", "enable": true, "min_nsec": 0}'
PATTERN=$(rpc_field bdev_get_bdevs '{"name": "pattern01"}' fio_verify_pattern)
check "the target tells fio's pattern" test "${PATTERN:0:4}" = %o0x
must "login" login_disks
must "the disk is there" until_true 30 disk pattern01
device=$(disk pattern01)

check "large reads bring the blocks in their order" same "$(printf '%016x' $((1048575 * 512)))" \
  "$(dd if="$device" bs=1M skip=511 count=1 iflag=direct status=none | tail -c 512 | head -c 8 | od -An -tx8 --endian=little | tr -d ' ')"
must "statistics start again" rpc bdev_reset_iostat '{"name": "pattern01"}'
check "random reads bring every byte" with_pattern "$device" randread 2000
check_equal "as many reads were counted" 2000 "$(reads_counted)"
check "random writes of the pattern are taken" with_pattern "$device" randwrite 1000 --do_verify=0
check "the right data in the wrong place are refused" \
  eval 'dd if="$device" of=/tmp/block bs=512 skip=7 count=1 iflag=direct && ! dd if=/tmp/block of="$device" bs=512 seek=8 oflag=direct conv=notrunc'
check "the target names the block and where its data belong" target_log_has "LBA 8, .*it holds the data of LBA 7"
check "other data are refused" eval '! dd if=/dev/urandom of="$device" bs=4k count=1 oflag=direct'
check "the initiator sees a medium error" initiator_says "critical medium error|Medium Error"
check "the errors were counted" prints '"medium": [1-9]' rpc bdev_get_iostat '{"name": "pattern01"}'
check "the histogram is there" prints '"granularity": 7' rpc bdev_get_histogram '{"name": "pattern01"}'
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
