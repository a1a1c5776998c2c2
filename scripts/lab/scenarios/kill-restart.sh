# kill-restart: the target is killed with -9 under fio and started at once: the initiator reconnects, fio ends without an error, data verified
# seconds: 600
# fabrics: verbs roce

state() { cat /sys/class/srp_remote_ports/port-*/state; }

must "the target starts" start_target 0x3
# A target on another machine dies in silence: the initiator's soft-RoCE sends again and again before it gives up, and registrations do not
# survive that in Linux 6.1 (it falls silent, and only the SCSI timeout helps).
[ "$FABRIC" = verbs ] || must "the initiator loads with never_register=1" load_initiator never_register=1
must "login" login_disks
# The initiator's first try is 10 s after the loss, its default. It fails commands 15 s after it, and an emulated target may take that long.
for port in /sys/class/srp_remote_ports/port-*; do echo 60 >"$port/fast_io_fail_tmo"; done
# Slow enough to be in the middle of its writes when the target dies; what it wrote before that is verified at the end, too.
FIO_OPTIONS=(--rate=,1m)
verify_with_fio 24M "$FILE" >/run/lab/$SCENARIO.fio.log 2>&1 &
fio=$!
sleep 6
must "fio is under way" is_running $fio
check "kill -9" kill_target
check "fio waits for it" is_running $fio
must "the target starts again" start_target 0x3
# Mostly after 10 s. Now and then soft-RoCE does not notice that nobody answers: then commands time out after 30 s, and one abort after the other
# after 5 s each, until the initiator resets its host.
check "the initiator reconnects" until_true 200 grep_kernel_log "ib_srp: reconnect succeeded"
wait $fio
status=$?
check "fio ends without an error, every byte as written" eval 'cat /run/lab/$SCENARIO.fio.log; test $status = 0'
check_equal "the port runs" running "$(state)"
check "SIGTERM ends the target with status 0" stop_target
