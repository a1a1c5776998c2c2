# vdisk-iopoll: a block device with poll queues is read and written by polling, every byte as written; other devices are refused by name
# seconds: 400

TRACING=/sys/kernel/tracing
DISK_FILE=/dev/nullb0

# polls: how often null_blk was polled. It ends the requests of a poll queue then, and at no other time.
polls() { awk '$1 == "polled" { print $2 }' $TRACING/kprobe_profile; }
more_than() { [ "$2" -gt "$1" ] || { echo "$2, not more than $1"; return 1; }; }
refused() { local said; ! said=$(rpc "$@" 2>&1) || { echo "not refused: $said"; return 1; }; echo "$said" | grep -- 'iopoll: '; }

must "null_blk comes with a poll queue" modprobe null_blk nr_devices=1 gb=1 memory_backed=1 submit_queues=1 poll_queues=1
check_equal "its queue can be polled" 1 "$(cat /sys/block/nullb0/queue/io_poll)"
mountpoint -q $TRACING || mount -t tracefs tracefs $TRACING
echo 'p:polled null_poll' >$TRACING/kprobe_events
echo 1 >$TRACING/events/kprobes/polled/enable

write_config
sed -i 's|"filename": "/dev/nullb0"|&, "iopoll": true|' "$CONFIG"
must "the target starts" start_target 0x3
check "its log says that it polls" target_log_has 'completions of /dev/nullb0 are polled for'
must "login" login_disks
before=$(polls)
check "every byte as written" verify_with_fio 16M "$FILE"
check "a write with FUA or a flush after it" dd if=/dev/zero of="$FILE" bs=4k count=8 oflag=direct,dsync
check "polling brought the answers" more_than "$before" "$(polls)"
check "logout" logout

truncate -s 1M /srv/lab/plain.img
check "a file on a disk without poll queues: iopoll is refused" refused bdev_uring_create \
  '{"name": "plain", "filename": "/srv/lab/plain.img", "iopoll": true}'
check "SIGTERM ends the target with status 0" stop_target
echo 0 >$TRACING/events/kprobes/polled/enable
echo >$TRACING/kprobe_events
