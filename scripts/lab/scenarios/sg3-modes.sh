# sg3-modes: mode pages that are changed and saved, logs, power conditions, ejecting, diagnostics, buffers and identity, through sdparm and sg3_utils
# seconds: 900
# packages: sdparm

refuses() { local pattern=$1 said; shift; said=$("$@" 2>&1) && return 1; echo "$said"; grep -qiE -- "$pattern" <<<"$said"; }
generic() { echo "/dev/$(ls "/sys/block/${1#/dev/}/device/scsi_generic")"; } # the sg node of a disk: opening it asks nothing of the unit
field() { sdparm --get="$1" "$2" | awk -v name="$1" '$1 == name { print $2, $NF }'; } # FIELD DISK: its value now and "N]", the saved one
reads() { dd if="$1" of=/dev/null bs=4k count=1 iflag=direct; }
writes() { dd if=/dev/zero of="$1" bs=4k count=1 oflag=direct conv=notrunc; }
clear_attention() { sg_turs "$1" || sg_turs "$1"; } # sg3_utils are told of it, and do not ask again
# The same unit as a second initiator sees it.
second_node() { local entry; for entry in /sys/block/sd*; do [ "/dev/${entry##*/}" != "$RAM" ] && [ "$(xargs <"$entry/device/model")" = ram01 ] && echo "/dev/${entry##*/}"; done | grep .; }

must "a configuration" write_config \
  '{"method": "bdev_null_create", "params": {"name": "null01", "num_blocks": 8589934592, "block_size": 512}}' \
  '{"method": "bdev_malloc_create", "params": {"name": "ram01", "num_blocks": 524288, "block_size": 512, "uuid": "6b29fc40-ca47-1067-b31d-00dd010662da"}}' \
  "$(uring disk01 disk01.img '"size": 268435456, "block_size": 512, "threshold_percent": 90')" \
  "$(uring stick01 stick01.img '"size": 67108864, "block_size": 512, "removable": true')"
must "the target starts" start_target 0x3
must "login" login_to null01 ram01 disk01 stick01
NULL=${DISK[null01]} RAM=${DISK[ram01]} FILE=${DISK[disk01]} STICK=${DISK[stick01]}
for port in /sys/class/srp_remote_ports/port-*; do echo 120 >"$port/fast_io_fail_tmo"; done

# ── Mode pages ──────────────────────────────────────────────────────────────────────────────────────────────────────
for page in rw dr ve ca co po ie; do check "sdparm shows page $page" sdparm --page=$page "$FILE"; done
check "subpage 0A/01" prints "Control extension" sdparm --page=coe "$FILE"
check "subpage 1C/02: the thresholds" prints "5c 02 00 14" sg_modes --page=0x1c,2 "$FILE"
check "page 0B is refused" refuses "field in cdb|not supported" sg_modes --page=0x0b "$FILE"
for control in 0 1 2 3; do check "all pages and subpages, PC $control" prints "Control" sg_modes -aa --control=$control "$FILE"; done
check "MODE SENSE(6) of all of them" prints "Control" sg_modes -6 -aa "$FILE"
check "a long block descriptor counts all blocks" prints "00 00 00 02 00 00 00 00 +00 00 00 00 00 00 02 00" sg_modes --llbaa --page=0x0a "$NULL"

check_equal "WCE is set" "1 1]" "$(field WCE "$FILE")"
check "WCE is cleared" sdparm --clear=WCE "$FILE"
check_equal "but not saved" "0 1]" "$(field WCE "$FILE")"
check "a write with the cache off" writes "$FILE"
check "the kernel finds the cache off" eval 'echo 1 >"/sys/block/${FILE#/dev/}/device/rescan"; prints "write through" cat /sys/block/${FILE#/dev/}/device/scsi_disk/*/cache_type'
check "the kernel switches it on by MODE SELECT" eval 'echo "write back" >"$(echo /sys/block/${FILE#/dev/}/device/scsi_disk/*/cache_type)"'
check_equal "WCE is set again" "1 1]" "$(field WCE "$FILE")"

check "SWP is set and saved" sdparm --set=SWP --save "$RAM"
check "writes are refused" refuses "error" writes "$RAM"
check "with the reason" refuses "software write protected" sg_raw -s 512 -i /dev/zero "$RAM" 2a 00 00 00 00 00 00 00 01 00
check "reads are not" reads "$RAM"
check "WP is in the header" prints "WP=1" sg_modes --page=0x0a "$RAM"
check "a field that cannot be changed is refused" refuses "." sdparm --set=RCD "$FILE"
check "a wrong value is pointed at" refuses "Invalid field in parameter list" sg_raw -s 16 -i <(printf '\0\0\0\0\x1c\x0a\0\5\0\0\0\0\0\0\0\0') "$FILE" 15 10 00 00 10 00

check "TAS is cleared and saved" sdparm --clear=TAS --save "$FILE"
check "MRIE 0, not saved" sdparm --set=MRIE=0 "$FILE"
check "identifying information" eval 'printf "rack 7b" | sg_ident --set "$FILE"'
check "as text, too" eval 'printf "upper shelf\0" | sg_ident --itype=2 --set "$FILE"'
check "is reported" prints "^rack 7b" sg_ident --ascii "$FILE"
check "a note of an application client, saved" sg_raw -s 260 -i <(printf '\x0f\0\1\0\0\5\3\xfc'; head -c 252 /dev/zero | tr '\0' n) "$FILE" 4c 01 40 00 00 00 00 01 04 00

check "kill -9" kill_target
must "the target starts again" start_target 0x3
must "the initiator reconnects" until_true 90 grep_kernel_log "ib_srp: reconnect succeeded"
check "the disks answer" until_true 30 eval 'reads "$FILE" && reads "$RAM"'
check_equal "SWP is as it was saved" "1 1]" "$(field SWP "$RAM")"
check "and writes are refused" refuses "software write protected" sg_raw -s 512 -i /dev/zero "$RAM" 2a 00 00 00 00 00 00 00 01 00
check_equal "TAS is as it was saved" "0 0]" "$(field TAS "$FILE")"
check_equal "MRIE is not" "6 6]" "$(field MRIE "$FILE")"
check "identifying information is there" prints "^rack 7b" sg_ident --ascii "$FILE"
check "and the text" prints "^upper shelf" sg_ident --itype=2 --ascii "$FILE"
check "and the note" prints "6e 6e 6e 6e" sg_logs --page=0x0f --paramp=5 --hex "$FILE"
check "SWP is cleared and saved" sdparm --clear=SWP --save "$RAM"
check "a reset brings back what was saved" eval 'sdparm --set=TAS "$FILE" && sg_reset --device "$FILE" && clear_attention "$FILE" && [ "$(field TAS "$FILE")" = "0 0]" ]'
check "TAS is set and saved" eval 'sdparm --set=TAS --save "$FILE" && [ "$(field TAS "$FILE")" = "1 1]" ]'

check "a second initiator logs in" login initiator_ext=0000000000000002
must "and sees the same unit" until_true 30 second_node
SECOND=$(second_node)
check "which it reads" reads "$SECOND"
check "what it changes" sdparm --set=D_SENSE "$SECOND"
reads "$RAM"
check "is told to the first" initiator_says "Mode parameters changed"
check_equal "which sees it" "1 0]" "$(field D_SENSE "$RAM")"
check "and takes it back" sdparm --clear=D_SENSE "$RAM"

# ── Logs ────────────────────────────────────────────────────────────────────────────────────────────────────────────
check "the list of log pages" prints "0x19" sg_logs -l "$FILE"
check "and of subpages" prints "0x0,0xff|0xff" sg_logs -ll "$FILE"
for page in we re ve nm lbp temp sscc ac str bsr gsp ie; do check "log page $page" sg_logs --page=$page "$FILE"; done
check "every page is decoded" sg_logs -a "$FILE"
check "bytes that were read" prints "Total bytes processed = [1-9]" sg_logs --page=re "$FILE"
check "the counters are reset" sg_logs --reset --page=re "$FILE"
check "and begin again" prints "Total bytes processed = 0" sg_logs --page=re "$FILE"
check "the test of informational exceptions" sdparm --set=TEST "$FILE"
check "is reported by REQUEST SENSE" prints "Failure prediction threshold exceeded" sg_requests "$FILE"
check "and by the log page" prints "Failure prediction threshold exceeded" sg_logs --page=ie "$FILE"
check "and taken back" sdparm --clear=TEST "$FILE"

# ── Power, removal ──────────────────────────────────────────────────────────────────────────────────────────────────
check "a unit is stopped" sg_start --stop "$FILE"
check "TEST UNIT READY says what it needs" refuses "initializing command" sg_turs -v "$FILE"
check "and reads fail" refuses "." reads "$FILE"
check "but INQUIRY does not" sg_inq "$FILE"
check "it is started" sg_start --start "$FILE"
check "and reads" reads "$FILE"
check "the log counts it" prints "cycles = 1" sg_logs --page=sscc "$FILE"
check "standby" sg_start --pc=3 "$FILE"
check "is reported" prints "Standby condition activated by command" sg_requests "$FILE"
check "a read wakes it" reads "$FILE"
check "idle, at once" sg_start --immed --pc=2 "$FILE"
check "is reported, too, in descriptor format" prints "Idle condition activated by command" sg_requests --desc "$FILE"
check "active" sg_start --pc=1 "$FILE"
check "nothing to report" prints "No additional sense|No Sense" sg_requests "$FILE"
check "a timer that there is not is refused" refuses "Invalid field in cdb" sg_raw "$FILE" 1b 00 00 00 a0 00
check "a disk cannot be ejected" refuses "." sg_start --eject "$(generic "$FILE")"

STICK_SG=$(generic "$STICK")
check "a removable medium is read" reads "$STICK"
check "it cannot be ejected while it is open: the kernel prevents that" eval 'exec 5<"$STICK"; refuses "removal prevented" sg_start --verbose --eject "$STICK_SG"; status=$?; exec 5<&-; [ $status = 0 ]'
check "it is ejected" sg_start --eject "$STICK_SG"
check "the medium is not present" refuses "medium not present" sg_turs -v "$STICK_SG"
check "and cannot be opened" refuses "." reads "$STICK"
check "it is loaded" sg_start --load "$STICK_SG"
check "and read" reads "$STICK"
check "PREVENT" sg_prevent "$STICK_SG"
check "ejecting is refused" refuses "removal prevented" sg_start --verbose --eject "$STICK_SG"
check "ALLOW" sg_prevent --allow "$STICK_SG"
check "and it is ejected" sg_start --eject "$STICK_SG"
check "and loaded" sg_start --load "$STICK_SG"

# ── Diagnostics, buffers, identity, time ────────────────────────────────────────────────────────────────────────────
check "the default self-test" sg_senddiag --test "$FILE"
for code in 1 2 5 6; do check "self-test $code" sg_senddiag --selftest=$code "$FILE"; done
check "their results" prints "completed without error" sg_logs --page=str "$FILE"
check "the list of diagnostic pages" prints "Supported diagnostic pages" sg_senddiag --list "$FILE"
FILE_SG=$(generic "$FILE")
check "sg_rbuf" sg_rbuf --size=64k "$FILE_SG"
check "sg_test_rwbuf writes the buffer and finds it" sg_test_rwbuf --size=4096 --times=3 "$FILE_SG"
head -c 1000 /dev/urandom >/tmp/echo
check "the echo buffer is written" sg_write_buffer --mode=10 --in=/tmp/echo --length=1000 "$FILE_SG"
check "and comes back" eval 'sg_raw -r 1000 -o /tmp/echoed "$FILE_SG" 3c 0a 00 00 00 00 00 03 e8 00 && cmp /tmp/echoed /tmp/echo'
check "its descriptor" prints "00 00 10 00" sg_raw -r 4 "$FILE_SG" 3c 0b 00 00 00 00 00 00 04 00
check "READ DEFECT DATA: none" prints "grown defect list: 0" sg_reassign --grown "$FILE"
check "all operation codes with masks and timeouts" prints "Mode sense" sg_opcodes --mask --rctd "$FILE"
check "one, with its usage" prints "5a 18 ff ff 00 00 00 ff ff 04" sg_opcodes --opcode=0x5a "$FILE"
check "one with a service action" prints "Report timestamp|a3 0f" sg_opcodes --opcode=0xa3,0x0f "$FILE"
check "task management functions" prints "Abort task" sg_opcodes --tmf "$FILE"
check "and with more data" prints "Abort task" sg_opcodes --tmf --repd "$FILE"
check "the time is the host's" eval '[ "$(sg_timestamp --srep "$FILE")" -gt 1700000000 ]'
check "it is set" sg_timestamp --seconds=1000000000 "$FILE"
check "and goes on from there" prints "^10000000[0-9][0-9]$" sg_timestamp --srep "$FILE"
for page in sv sn mna ei mpp pc; do check "VPD page $page" sg_vpd --page=$page "$FILE"; done

check "SIGTERM ends the target with status 0" stop_target
