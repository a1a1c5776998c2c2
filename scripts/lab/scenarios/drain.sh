# drain: SIGTERM under fio ends the target cleanly; after a restart fio goes on, data verified
# seconds: 300

must "the target starts" start_target 0x3
must "login" login_disks
for port in /sys/class/srp_remote_ports/port-*; do
  echo 60 >"$port/fast_io_fail_tmo" # an emulated target may take longer than the default 15 s to be back
  echo 3 >"$port/reconnect_delay"
done
FIO_OPTIONS=(--rate=,1m)
verify_with_fio 24M "$FILE" >/run/lab/$SCENARIO.fio.log 2>&1 &
fio=$!
sleep 6
must "fio is under way" is_running $fio
check "SIGTERM ends the target with status 0" stop_target
check "its log has no failure" eval '! target_log_has "failed|panic|ERROR"'
must "the target starts again" start_target 0x3
wait $fio
status=$?
check "fio ends without an error, every byte as written" eval 'cat /run/lab/$SCENARIO.fio.log; test $status = 0'
check "SIGTERM ends the target with status 0" stop_target
