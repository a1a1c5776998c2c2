# kill-restart: the target is killed with -9 under fio and started at once: the initiator reconnects, fio ends without an error, data verified
# seconds: 600
# fabrics: verbs roce

state() { cat /sys/class/srp_remote_ports/port-*/state; }

must "the target starts" start_target 0x3
must "login" login_disks
# The initiator tries again each second (10 s is its default). It would fail commands 15 s after the loss, and an emulated target may take that long.
for port in /sys/class/srp_remote_ports/port-*; do echo 1 >"$port/reconnect_delay" && echo 60 >"$port/fast_io_fail_tmo"; done
since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", to - from }'; }
# Slow enough to be in the middle of its writes when the target dies; what it wrote before that is verified at the end, too.
FIO_OPTIONS=(--rate=,1m)
verify_with_fio 24M "$FILE" >/run/lab/$SCENARIO.fio.log 2>&1 &
fio=$!
sleep 6
must "fio is under way" is_running $fio
killed=$EPOCHREALTIME
check "kill -9" kill_target
check "fio waits for it" is_running $fio
must "the target starts again" start_target 0x3
note "       $(since $killed) after kill -9, most of it the lab's own"
listens=$EPOCHREALTIME
# The kernel, or over RoCE of ours the next process, ends the connections of the one that was killed.
check "the initiator reconnects" until_true 60 grep_kernel_log "ib_srp: reconnect succeeded"
note "       $(since $listens) after the target listened"
wait $fio
status=$?
check "fio ends without an error, every byte as written" eval 'cat /run/lab/$SCENARIO.fio.log; test $status = 0'
check "no command had to time out for that" eval '! grep_kernel_log "timed out|abort called"'
check_equal "the port runs" running "$(state)"
check "SIGTERM ends the target with status 0" stop_target
