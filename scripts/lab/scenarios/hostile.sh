# hostile: an initiator that does what none should, beside the kernel's: fio has no error, every byte is as written, and its latency is told
# seconds: 900
# fabrics: verbs roce
# programs: srp-hostile
# all: verbs

hostile() { # hostile SECONDS ARGUMENT...
  timeout "$1" "$SHARED/srp-hostile" --fabric verbs --local "$INITIATOR_ADDRESS" --target "$ADDRESS:$PORT,id_ext=$ID_EXT,ioc_guid=$IOC_GUID,lun=0" --patience 60 "${@:2}"
}
killed() { # killed CASE: the hostile initiator is gone in the middle of it
  hostile 60 --case "$1" --rounds 100000 --logins 100000 &
  sleep 3
  pkill -KILL -x srp-hostile
  wait $! && return 1
  return 0
}
# latency FILE: of reads at a rate that the emulated machine bears at any time.
latency() { fio --name=latency --filename="$RAM" --rw=randread --bs=4k --direct=1 --rate_iops=100 --size=64M --offset=192M --time_based --runtime="$2" --output-format=json --output="$1"; }
percentiles() { /usr/bin/python3 -S -E - "$1" <<'PYTHON'
import json, sys
job = json.load(open(sys.argv[1]))["jobs"][0]
assert job["error"] == 0, job["error"]
found = {name[:4].rstrip("0").rstrip("."): value for name, value in job["read"]["clat_ns"]["percentile"].items()}
print(", ".join(f"p{name} {found[name] / 1e6:.1f} ms" for name in ("50", "99")), f"of {job['read']['total_ios']} reads")
PYTHON
}
# flat KIB: resident memory is near that. Else it goes on with storms until one adds nothing: what the process has depends on how many connections there were
# at once, which differs from storm to storm; a leak adds something each time.
flat() {
  local before=$1
  for _ in 1 2 3 4; do
    echo "$before KiB before, $(target_rss_kib) KiB after"
    [ "$(target_rss_kib)" -gt $((before + 2048)) ] || return 0
    before=$(target_rss_kib)
    killed login_storm && until_true 120 one_session || return
  done
  return 1
}
sessions() { rpc srp_get_sessions | grep -c '"initiator_port_id"\|"initiator"'; }
one_session() { [ "$(sessions)" = 1 ]; }

must "the target starts" start_target 0x3
must "login" login_disks
files=$(target_open_files)
latency /tmp/quiet.json 10 >/dev/null
FIO_OPTIONS=(--rate=,1m)
verify_with_fio 32M "$RAM" "$FILE" >/run/lab/$SCENARIO.fio.log 2>&1 &
verify=$!
latency /tmp/hostile.json 30 >/dev/null &
reads=$!
check "everything that can be wrong with logins, messages, descriptors, tags and credits" hostile 600 --rounds "${LAB_HOSTILE_ROUNDS:-20}" --logins 100
rss=$(target_rss_kib) # what there is once, is there by now
for case in login_storm message_mutated leaves_in_the_middle; do
  check "killed in the middle of $case" killed $case
done
wait $reads
check "reads beside it end without an error" percentiles /tmp/hostile.json
note "       latency of 4 KiB reads before: $(percentiles /tmp/quiet.json)"
note "       beside the hostile initiator:  $(percentiles /tmp/hostile.json)"
wait $verify
status=$?
check "fio ends without an error, every byte as written" eval 'cat /run/lab/$SCENARIO.fio.log; test $status = 0'
check "no session is left but the kernel's" until_true 120 one_session
check "no command of the kernel's initiator timed out" eval '! grep_kernel_log "timed out|abort called|reconnect"'
note "       $files files before, $(target_open_files) after; $rss KiB resident after the first of them, $(target_rss_kib) KiB after the last"
check "open files are as before" until_true 30 eval '[ "$(target_open_files)" = "$files" ]'
check "resident memory is flat (within 2 MiB), or becomes so" flat $rss
check "SIGTERM ends the target with status 0" stop_target
