# flushes: the flushes and FUA writes that reach the device, counted: write back, write_through, nv_cache, FUA of the initiator
# seconds: 400

N=16 # of each

# What reaches a block device's driver is in the kernel's trace: `8,16 WFS 4096 () 0 + 8`. FF is a flush, an F behind the W is FUA.
trace=/sys/kernel/tracing
forget_trace() { echo >$trace/trace; }
# issued DEVICE KIND
issued() { grep -cE "block_rq_issue: $(($(stat -Lc 0x%t "$1"))),$(($(stat -Lc 0x%T "$1"))) $2" $trace/trace; }
flushes() { issued "$1" "FF"; }
durable() { issued "$1" "(FF|W[^ ]*F)"; } # flushes and FUA writes
write_cache() { echo "$(<"/sys/block/${1##*/}/queue/write_cache")"; }
at_least() { echo "$2, wanted: $1"; [ "$2" -ge "$1" ]; }

# N writes, one after the other: each with an fsync;
fsyncs() { fio --name=fsyncs --filename="$1" --rw=write --bs=4k --size=$((N * 4))k --direct=1 --ioengine=psync --fdatasync=1 --end_fsync=1; }
# or by SCSI command, so that the initiator's kernel adds nothing, with FUA or without.
writes() { sg_dd if=/dev/zero of="$1" bs=512 count=$N bpt=1 blk_sgio=1 oflag="${2:-sgio}" 2>&1; }
syncs() { local i; for i in $(seq $N); do sg_sync "$1" || return; done; }

for name in back through nv; do must "a device with a volatile cache for $name" test -b "$(null_disk "$name" 16 cache_size=4)"; done
must "ext4 on a third, and a file there" eval 'test -b $(null_disk below 64 cache_size=4) && mkfs.ext4 -q /dev/below && mkdir -p /mnt/target/below &&
  mount /dev/below /mnt/target/below && fallocate -l 16M /mnt/target/below/file.img'
must "the kernel's trace of block requests" eval 'mount -t tracefs tracefs $trace && echo 1 >$trace/events/block/block_rq_issue/enable'

write_config \
  "$(uring back /dev/back)" \
  "$(uring through /dev/through '"write_through": true')" \
  "$(uring nv /dev/nv '"nv_cache": true')" \
  "$(uring file /mnt/target/below/file.img)" \
  "$(uring filewt /mnt/target/below/filewt.img '"size": 16777216, "write_through": true')"
must "the target starts" start_target 0x3
must "login" login_to back through nv file filewt

device=${DISK[back]}
check_equal "write back: the initiator sees a write cache" "write back" "$(write_cache "$device")"
check "write back: and FUA" initiator_says "$(basename "$device")\] Write cache: enabled, .*supports DPO and FUA"
forget_trace
check "write back: $N writes" writes "$device"
check_equal "write back: nothing is flushed for them" 0 "$(durable /dev/back)"
forget_trace
check "write back: $N writes with an fsync each" fsyncs "$device"
check "write back: the initiator sends $N flushes" at_least $N "$(flushes "$device")"
check "write back: $N flushes reach the device" at_least $N "$(flushes /dev/back)"
forget_trace
check "write back: $N SYNCHRONIZE CACHE" syncs "$device"
check "write back: $N more flushes reach the device" at_least $N "$(flushes /dev/back)"
forget_trace
check "write back: $N writes with FUA" writes "$device" fua
check "write back: each is durable at the device" at_least $N "$(durable /dev/back)"

device=${DISK[file]}
check_equal "a file, write back: the initiator sees a write cache" "write back" "$(write_cache "$device")"
forget_trace
check "a file, write back: $N writes with an fsync each" fsyncs "$device"
check "a file, write back: $N flushes reach the device below the file system" at_least $N "$(durable /dev/below)"
forget_trace
check "a file, write back: $N writes with FUA" writes "$device" fua
check "a file, write back: each is durable at the device below" at_least $N "$(durable /dev/below)"

device=${DISK[through]}
check_equal "write_through: the initiator sees no write cache" "write through" "$(write_cache "$device")"
forget_trace
check "write_through: $N writes" writes "$device"
check "write_through: each is durable at the device" at_least $N "$(durable /dev/through)"
forget_trace
check "write_through: $N writes with an fsync each" fsyncs "$device"
check_equal "write_through: the initiator sends no flush" 0 "$(flushes "$device")"
check "write_through: each write is durable at the device, still" at_least $N "$(durable /dev/through)"

device=${DISK[filewt]}
check_equal "a file, write_through: the initiator sees no write cache" "write through" "$(write_cache "$device")"
forget_trace
check "a file, write_through: $N writes" writes "$device"
check "a file, write_through: each is durable at the device below" at_least $N "$(durable /dev/below)"

device=${DISK[nv]}
check_equal "nv_cache: the initiator sees no write cache" "write through" "$(write_cache "$device")"
forget_trace
check "nv_cache: $N writes with an fsync each" fsyncs "$device"
check "nv_cache: $N SYNCHRONIZE CACHE" syncs "$device"
check "nv_cache: $N writes with FUA" writes "$device" fua
check "nv_cache: the writes reach the device" at_least $((2 * N)) "$(issued /dev/nv W)"
check_equal "nv_cache: no flush and no FUA does" 0 "$(durable /dev/nv)"
check "SIGTERM ends the target with status 0" stop_target
