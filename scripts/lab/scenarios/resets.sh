# resets: LUN resets and host resets (reconnects) under fio lose and damage nothing
# seconds: 300

must "the target starts" start_target 0x3
must "login" login_disks
FIO_OPTIONS=(--rate=,1m)
verify_with_fio 24M "$RAM" "$FILE" >/run/lab/$SCENARIO.fio.log 2>&1 &
fio=$!
for device in "$RAM" "$FILE" "$RAM" "$FILE"; do
  sleep 1
  check "LUN reset of $device" sg_reset --device "$device"
done
sleep 1
check "host reset" sg_reset --host "$FILE"
check "fio was under way" kill -0 $fio
wait $fio
status=$?
check "fio ends without an error, every byte as written" eval 'cat /run/lab/$SCENARIO.fio.log; test $status = 0'
check "SIGTERM ends the target with status 0" stop_target
