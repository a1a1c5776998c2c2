# host-faults: what befalls the target's host: it stands still for 20 s, its clock jumps, its memory is limited to what it has, its log cannot be written
# seconds: 600

write_config "$(uring disk01 disk01.img '"size": 268435456, "direct": true')" '{"method": "bdev_malloc_create", "params": {"name": "ram01", "num_blocks": 524288, "block_size": 512}}'
there() { DISK=$(disk disk01) RAM=$(disk ram01); }
# under_load WHAT COMMAND...: while fio writes and compares; it must see nothing of it.
under_load() {
  local load status=0
  FIO_OPTIONS=(--rate=,1m)
  verify_with_fio 8M "$DISK" "$RAM" >/run/lab/$SCENARIO.fio.log 2>&1 &
  load=$!
  sleep 3
  check "fio is under way" is_running $load
  check "$@"
  wait $load || status=$?
  check "fio ends without an error, every byte as written" eval 'cat /run/lab/$SCENARIO.fio.log; test '$status' = 0'
}
stands_still() { signal_target STOP && sleep "$1" && signal_target CONT; }
jump() { date -s "$1" && sleep 2 && rpc srp_get_sessions >/dev/null; }
log_in_and_write() { login && until_true 30 there && verify_with_fio 2M "$RAM"; }

# A limit of memory is a control group's.
limit_memory() { # limit_memory KIB: beyond what the target has now
  local group=/sys/fs/cgroup/target
  mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup || return
  echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir -p $group && echo "$TARGET_PID" >$group/cgroup.procs || return
  # What it had before is not counted in this group.
  echo $(($1 << 10)) >$group/memory.max
}

must "the target starts" start_target 0x3
must "login" login
must "two disks" until_true 30 there

under_load "the process stands still for 20 s" stands_still 20
check "no command timed out" eval '! grep_kernel_log "timed out|reconnect"'
under_load "the clock jumps a day ahead, and back" eval 'jump "+1 day" && jump "-1 day" && jump "-1 hour" && jump "+1 hour"'
check "time was not what commands were measured by" eval '! target_log_has "did not return|stall|slow"'
pid=$TARGET_PID
under_load "16 MiB more and no memory is left to it" limit_memory 16384
check "a RAM disk that there is no memory for is refused, or is the end of it" eval 'rpc bdev_malloc_create "{\"name\": \"large\", \"num_blocks\": 1048576, \"block_size\": 512}" || true'
if target_is_gone; then
  note "       the kernel killed it for memory"
  must "the target starts again" start_target 0x3
  check "the initiator reconnects" until_true 200 grep_kernel_log "ib_srp: reconnect succeeded"
fi
under_load "it serves on" rpc srp_get_sessions
check "SIGTERM ends the target with status 0" stop_target
must "logout" logout

# A log on a file system that is full: nothing of it can be written.
mkdir -p /mnt/lab-log
mount -t tmpfs -o size=16k tmpfs /mnt/lab-log
dd if=/dev/zero of=/mnt/lab-log/filler bs=1k 2>/dev/null
launch() {
  env -C "$TARGET_FOLDER" "$@" >/mnt/lab-log/log 2>&1 3>&- &
  TARGET_PID=$! TARGET_LOG=/mnt/lab-log/log
  echo "$TARGET_PID" >"$TARGET_FOLDER/target.pid"
}
must "the target starts where its log cannot be written" start_target 0x3
check "its log is empty" test ! -s /mnt/lab-log/log
check "an initiator logs in and is served" log_in_and_write
check "a login that is refused, which would be logged" eval '! login_as "id_ext=1,ioc_guid=2"'
check "a second login is served" eval 'logout && log_in_and_write'
rm /mnt/lab-log/filler
check "with room again, it is written" eval '! login_as "id_ext=1,ioc_guid=2"; until_true 10 test -s /mnt/lab-log/log'
check "SIGTERM ends the target with status 0" stop_target
