# reservations: two initiators fight over a disk with every type of reservation; PREEMPT AND ABORT under fio; what APTPL promised after kill -9
# seconds: 900
# fabrics: verbs roce
# all: roce

# disks_like NAME: every device node of that product: one for each session.
disks_like() {
  local entry
  for entry in /sys/block/sd*; do
    grep -qsx "$1 *" "$entry/device/model" && [ "$(<"$entry/size")" != 0 ] && [ -b "/dev/${entry##*/}" ] && echo "/dev/${entry##*/}"
  done
}
# second_disk: the file disk of the session that came second.
second_disk() { TWO=$(disks_like disk01 | grep -vx "$ONE"); [ -n "$TWO" ]; }
log_in_both() {
  login_disks initiator_ext=1 && ONE=$FILE && login initiator_ext=2 && until_true 30 second_disk && until_true 10 sg_turs "$ONE" && until_true 10 sg_turs "$TWO"
}
# transport_id: the SRP TransportID (SPC-4) of the second, in hex bytes.
transport_id() { rpc srp_get_sessions | grep -oE '0x0000000000000002[0-9a-f]{16}' | head -1 | sed 's/^0x/04,00,00,00,00,00,00,00,/; s/[0-9a-f][0-9a-f]\B/&,/g'; }

# out DEVICE ARGUMENT...: PERSISTENT RESERVE OUT; a unit attention is taken first. in_ is PERSISTENT RESERVE IN.
out() { until_true 10 sg_turs "$1" && sg_persist --no-inquiry --out "${@:2}" "$1"; }
in_() { until_true 10 sg_turs "$1" && sg_persist --no-inquiry --in "${@:2}" "$1"; }
register() { out "$1" --register-ignore --param-sark="$2"; }
# conflicts COMMAND...: RESERVATION CONFLICT, as sg3_utils tell it.
conflicts() { local status=0; "$@" || status=$?; [ $status = 24 ]; }
# kept_out COMMAND...: what Linux makes of RESERVATION CONFLICT for those who read and write blocks.
kept_out() {
  local said
  ! said=$("$@" 2>&1) || return 1
  echo "$said"
  grep -q "Invalid exchange" <<<"$said"
}
write_to() { dd if=/dev/urandom of="$1" bs=4k count=1 oflag=direct; }
read_from() { dd if="$1" of=/dev/null bs=4k count=1 iflag=direct; }

must "the target starts" start_target 0x3
must "two initiators log in" log_in_both
note "       the first has $ONE, the second $TWO"

check "both register" eval 'register "$ONE" a1 && register "$TWO" a2'
check "both keys are read" prints "0xa2" in_ "$ONE" --read-keys
check "full status names the second's port" prints "00 00 00 00 00 00 00 02" in_ "$ONE" --read-full-status
check "the capabilities" prints "Persist Through Power Loss Capable.*: 1" in_ "$ONE" --report-capabilities

# the_second_may WHAT TYPE: it reads (r) and writes (w) if WHAT says so, and is kept out of the rest.
the_second_may() {
  if [[ $1 = *r* ]]; then check "type $2: the second reads" read_from "$TWO"; else check "type $2: it may not read" kept_out read_from "$TWO"; fi
  if [[ $1 = *w* ]]; then check "type $2: it writes" write_to "$TWO"; else check "type $2: it may not write" kept_out write_to "$TWO"; fi
}

# Type, what the second may do while it is registered, and what when it is not.
for row in "1 r r" "3 - -" "5 rw r" "6 rw -" "7 rw r" "8 rw -"; do
  read -r type registered unregistered <<<"$row"
  check "type $type is reserved by the first" out "$ONE" --reserve --param-rk=a1 --prout-type="$type"
  the_second_may "$registered" "$type"
  check "the second unregisters" out "$TWO" --register --param-rk=a2 --param-sark=0
  the_second_may "$unregistered" "$type"
  check "type $type: who is not registered cannot reserve" conflicts out "$TWO" --reserve --param-rk=a2 --prout-type="$type"
  check "type $type: the holder writes" write_to "$ONE"
  check "type $type is released" out "$ONE" --release --param-rk=a1 --prout-type="$type"
  check "the second writes again" write_to "$TWO"
  check "and registers again" register "$TWO" a2
done

# REGISTER AND MOVE, and SPEC_I_PT with the other as the one who is named.
check "the first reserves" out "$ONE" --reserve --param-rk=a1 --prout-type=1
check "and moves it to the second" out "$ONE" --register-move --param-rk=a1 --param-sark=b2 --relative-target-port=1 --transport-id="$(transport_id)"
check "which writes now" write_to "$TWO"
check "and the first does not" kept_out write_to "$ONE"
check "it clears everything" out "$TWO" --clear --param-rk=b2
check "the first is told" prints "Reservations preempted" eval 'sg_persist --no-inquiry --in --read-keys "$ONE" 2>&1 || true'
check "the first registers both" out "$ONE" --register --param-sark=c1 --transport-id="$(transport_id)"
check "the second knows it" out "$TWO" --reserve --param-rk=c1 --prout-type=5
check "and lets go of it" out "$TWO" --clear --param-rk=c1

# PREEMPT AND ABORT while the holder writes: nothing of it lands behind what follows.
check "both register" eval 'register "$ONE" a1 && register "$TWO" a2'
check "the second reserves" out "$TWO" --reserve --param-rk=a2 --prout-type=5
fio --name=loser --filename="$TWO" --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite --bs=64k --size=4M --time_based --runtime=120 \
  >/run/lab/$SCENARIO.fio.log 2>&1 3>&- &
fio=$!
sleep 5
must "fio is under way" eval 'is_running $fio && ! grep err= /run/lab/$SCENARIO.fio.log'
check "the first preempts and aborts" out "$ONE" --preempt-abort --param-rk=a1 --param-sark=a2 --prout-type=5
dd if=/dev/urandom of=/tmp/winner bs=64k count=64 status=none
check "and writes" dd if=/tmp/winner of="$ONE" bs=64k oflag=direct
wait $fio
fio_status=$?
fio_ended() { cat /run/lab/$SCENARIO.fio.log; return $fio_status; }
check "fio of the second has failed for it" kept_out fio_ended
sleep 2
check "what the first wrote is what is there" cmp -n 4194304 /tmp/winner <(dd if="$ONE" bs=64k count=64 iflag=direct status=none)
check "the initiator was told" initiator_says "reservation conflict"
check "srp_get_reservations shows the holder" prints "0x0*1[0-9a-f]{16}" eval 'rpc srp_get_reservations | tr -d "\n" | grep -o "\"holder\": *{[^}]*}"'
check "the first clears" out "$ONE" --clear --param-rk=a1

# RESERVE(6) of SPC-2: it ends with a reset. The second is told of the preemption first.
check "the second is told" prints "Registrations preempted" eval 'sg_turs -v "$TWO" 2>&1 || true'
check "RESERVE(6)" sg_raw "$ONE" 16 00 00 00 00 00
check "keeps the other out" kept_out read_from "$TWO"
check "and its RESERVE(10)" conflicts sg_raw "$TWO" 56 00 00 00 00 00 00 00 00 00
check "and registrations" conflicts sg_persist --no-inquiry --out --register-ignore --param-sark=a2 "$TWO"
check "LUN reset by the other" sg_reset --device "$TWO"
check "it is let in" write_to "$TWO"

# What is to persist: resets, logouts, kill -9.
check "the first registers with APTPL" out "$ONE" --register-ignore --param-sark=a1 --param-aptpl
check "and reserves" out "$ONE" --reserve --param-rk=a1 --prout-type=3
check "LUN reset by the other" sg_reset --device "$TWO"
check "it is kept out" kept_out read_from "$TWO"
check "kill -9" kill_target
must "the target starts again" start_target 0x3
must "both initiators come back by themselves" until_true 180 eval 'sg_turs "$ONE" && sg_turs "$TWO"'
check "the second is kept out" kept_out read_from "$TWO"
check "the first is not" write_to "$ONE"
check "its key is there" prints "Key=0xa1|Key *= *0xa1" in_ "$TWO" --read-reservation
check "and PTPL is active" prints "Persist Through Power Loss Active.*: 1" in_ "$ONE" --report-capabilities
check "the administrator clears" rpc srp_clear_reservations '{"bdev_name": "disk01"}'
check "the second is let in" write_to "$TWO"
must "logout" logout
check "SIGTERM ends the target with status 0" stop_target
