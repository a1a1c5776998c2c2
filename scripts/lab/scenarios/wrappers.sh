# wrappers: a slow disk, one that breaks on demand, two parts of one, and a rate limit, as the stock initiator sees them
# seconds: 600

add_lun() { rpc srp_target_add_lun "{\"target\": \"tgt0\", \"bdev_name\": \"$1\"}"; }
inject() { rpc bdev_error_inject_error "{\"name\": \"EE_brk01\", \"io_type\": \"$1\", \"error_type\": \"$2\"}"; }
limit_ram() { rpc bdev_set_qos_limit "{\"name\": \"ram01\", \"rw_ios_per_sec\": $1}"; }
read_block() { dd if="$1" of=/dev/null bs=4k count=1 skip="${2:-0}" iflag=direct; }
takes_at_least_ms() {
  local begin=$EPOCHREALTIME status=0
  "${@:2}" || status=$?
  local us=$((${EPOCHREALTIME/[.,]/} - ${begin/[.,]/}))
  echo "$us us"
  [ "$status" = 0 ] && ((us >= $1 * 1000))
}
# The rate that fio says, at most so many a second; it says k for thousands.
reads_per_second_below() {
  local said
  said=$(fio --name=rate --filename="$2" --ioengine=libaio --direct=1 --rw=randread --bs=4k --iodepth=8 --size=64M --time_based --runtime=8)
  echo "$said"
  said=$(grep -oE 'read: IOPS=[0-9.]+k?' <<<"$said") && [[ $said != *k ]] && awk -v most="$1" -F= '{ exit !($2 > 0 && $2 <= most) }' <<<"$said"
}

must "the target starts" start_target 0x3
for base in slowbase brk01 two01; do
  must "bdev_malloc_create $base" rpc bdev_malloc_create "{\"name\": \"$base\", \"num_blocks\": 131072, \"block_size\": 512}"
done
must "a delay bdev of 700 ms" rpc bdev_delay_create '{"base_bdev_name": "slowbase", "name": "slow01", "avg_read_latency": 700000,
  "p99_read_latency": 700000, "avg_write_latency": 700000, "p99_write_latency": 700000}'
must "an error bdev" rpc bdev_error_create '{"base_name": "brk01"}'
must "two parts of 32 MiB" prints two01p1 rpc bdev_split_create '{"base_bdev": "two01", "split_count": 2, "split_size_mb": 32}'
for bdev in slow01 EE_brk01 two01p0 two01p1; do must "$bdev is exported" add_lun $bdev; done
check "a bdev that is stood on is not exported itself" eval '! add_lun two01'
must "login" login_disks
for name in slow01 EE_brk01 two01p0 two01p1; do must "$name is there" until_true 30 disk $name; done
SLOW=$(disk slow01) BROKEN=$(disk EE_brk01) PART0=$(disk two01p0) PART1=$(disk two01p1)

check "a read of the slow disk takes 700 ms or longer" takes_at_least_ms 700 read_block "$SLOW" 3
check "so does a write" takes_at_least_ms 700 dd if=/dev/zero of="$SLOW" bs=4k count=1 oflag=direct

check "the parts have 32 MiB each" eval 'prints ^33554432$ blockdev --getsize64 "$PART0" && prints ^33554432$ blockdev --getsize64 "$PART1"'
head -c 4M /dev/urandom >/tmp/part1
check "the second part is written" dd if=/tmp/part1 of="$PART1" bs=64k oflag=direct
FIO_OPTIONS=(--size=30M)
check "the first part: every byte as written" verify_with_fio 8M "$PART0"
check "and the second one is as it was" cmp -n $((4 << 20)) /tmp/part1 <(dd if="$PART1" bs=64k count=64 iflag=direct status=none)
check "both at once: every byte as written" verify_with_fio 8M "$PART0" "$PART1"

must "a medium error is injected" inject read medium
check "the read fails" eval '! read_block "$BROKEN"'
check "the kernel says why" initiator_says "Sense Key : Medium Error|critical medium error"
check "the next one is good" read_block "$BROKEN" 1

echo 10 >"/sys/block/${BROKEN##*/}/device/timeout"
must "a read will be stuck" inject read pending
check "it is aborted, tried again, and good" read_block "$BROKEN" 2
check "the initiator aborted it" initiator_says "SRP abort called"
head -c 64k /dev/urandom >/tmp/written
must "a write will be stuck" inject write pending
before=$(grep_kernel_log "SRP abort called" | wc -l)
dd if=/tmp/written of="$BROKEN" bs=64k oflag=direct &
writer=$!
check "it is aborted" until_true 60 eval '[ "$(grep_kernel_log "SRP abort called" | wc -l)" -gt "$before" ]'
check "the aborted write may still land, so the next one waits for it" is_running $writer
must "what is stuck is let go" rpc bdev_error_inject_error '{"name": "EE_brk01", "io_type": "clear"}'
wait $writer
check_equal "the write ends well" 0 $?
check "and is on the disk" cmp -n 65536 /tmp/written <(dd if="$BROKEN" bs=64k count=1 iflag=direct status=none)
check "aborts were enough: nothing was reset" eval '! grep_kernel_log "SRP reset_device called|reconnect"'

must "a limit of 100 operations a second" limit_ram 100
check "fio reads at no more than twice that" reads_per_second_below 200 "$RAM"
must "the limit is lifted" limit_ram 0
check "and the disk answers" read_block "$RAM"
check "SIGTERM ends the target with status 0" stop_target
