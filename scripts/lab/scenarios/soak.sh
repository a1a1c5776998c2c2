# soak: for LAB_SOAK_MINUTES (3) sessions, LUNs, resets and device errors come and go beside verified load, and the target holds no more in the end
# seconds: 100000
# fabrics: verbs roce
# all: none

sessions() { rpc srp_get_sessions | /usr/bin/python3 -S -E -c 'import json, sys; print(*(session["id"] for session in json.load(sys.stdin)))'; }
# Not always the same one: ib_srp logs in again when soft-RoCE breaks its connection over memory of a command that was aborted ("not free").
one_session() { [ "$(sessions | wc -w)" = 1 ]; }
scan() { echo "- - -" >"/sys/class/scsi_host/host$(srp_host)/scan"; }
gone() { ! disk "$1"; }

# A unit on a RAM disk that is slow and fails now and then: it comes, is used, reset, and goes.
unit() {
  local name=soak disk
  rpc bdev_malloc_create '{"name": "'$name'", "num_blocks": 32768, "block_size": 512}' &&
    rpc bdev_delay_create '{"base_bdev_name": "'$name'", "name": "slow", "avg_read_latency": 200, "p99_read_latency": 5000, "avg_write_latency": 200, "p99_write_latency": 5000}' &&
    rpc bdev_error_create '{"base_name": "slow"}' &&
    rpc srp_target_add_lun '{"target": "tgt0", "bdev_name": "EE_slow", "lun": 9, "product": "'$name'"}' && scan && until_true 30 disk $name || return
  disk=$(disk $name)
  echo 5 >"/sys/block/${disk##*/}/device/timeout" # seconds; after a reset Linux waits for commands that nobody will answer
  fio --name=unit --filename="$disk" --size=8M --io_size=1M --rw=randwrite --bssplit=4k/70:64k/30 --iodepth=8 --ioengine=libaio --direct=1 \
    --verify=crc32c --verify_fatal=1 --verify_dump=0 --do_verify=1 --verify_state_save=0 || return
  rpc bdev_error_inject_error '{"name": "EE_slow", "io_type": "read", "error_type": "medium", "num": 1}' || return
  dd if="$disk" of=/dev/null bs=4k count=4 iflag=direct # it may fail
  rpc bdev_error_inject_error '{"name": "EE_slow", "io_type": "write", "error_type": "pending", "num": 2}' || return
  dd if=/dev/zero of="$disk" bs=4k count=4 oflag=direct &
  sleep 0.5
  sg_reset --device "$disk" || return
  rpc bdev_error_resume_pending '{"name": "EE_slow"}' && rpc bdev_error_inject_error '{"name": "EE_slow", "io_type": "clear"}' || return
  wait $!
  rpc srp_target_remove_lun '{"target": "tgt0", "lun": 9}' || return
  echo 1 >"/sys/block/${disk##*/}/device/delete" # Linux keeps what it is not told to forget
  until_true 30 gone $name && rpc bdev_error_delete '{"name": "EE_slow"}' && rpc bdev_delay_delete '{"name": "slow"}' && rpc bdev_malloc_delete '{"name": "'$name'"}'
}

# Another initiator of this host: it reads, and is logged out by itself or by the administrator.
visitor() {
  local before port id
  before=$(echo /sys/class/srp_remote_ports/port-*)
  login "initiator_ext=00000000000000$(printf %02x $((1 + RANDOM % 200))),ch_count=2" || return
  for port in /sys/class/srp_remote_ports/port-*; do [[ " $before " = *" $port "* ]] || break; done
  sleep 1
  if ((RANDOM % 2)); then
    id=$(sessions) && id=${id##* }
    rpc srp_close_session "{\"id\": $id}" || return
  fi
  timeout 60 bash -c 'echo 1 >"$1"' - "$port/delete"
  until_true 60 one_session
}

round() { unit && visitor; }

must "the target starts" start_target 0x3
must "login" login_disks
must "a first round" round
must "a second one" round
rss=$(target_rss_kib) files=$(target_open_files)
fio --name=load --filename="$FILE" --size=32M --rw=randrw --bssplit=4k/70:64k/30 --iodepth=4 --ioengine=libaio --direct=1 --rate=1m,1m --time_based --runtime=100000 \
  --verify=crc32c --verify_backlog=64 --verify_fatal=1 --verify_dump=0 >/tmp/load.log 2>&1 3>&- &
load=$!
rounds=0 end=$((SECONDS + 60 * ${LAB_SOAK_MINUTES:-3}))
while [ $SECONDS -lt $end ]; do
  round || { check "round $((rounds + 1))" false; break; }
  rounds=$((rounds + 1))
  note "       $rounds rounds, $(target_rss_kib) KiB resident, $(target_open_files) files"
done
check "at least one round" test $rounds -gt 0
status=0
kill -INT $load
wait $load || status=$?
check "fio ends without an error, every byte as written" eval 'cat /tmp/load.log; { [ $status = 0 ] || [ $status = 128 ]; } && grep -q "err= 0" /tmp/load.log && ! grep -q "verify:" /tmp/load.log'
check "open files are as before" until_true 30 eval '[ "$(target_open_files)" = "$files" ]'
check "resident memory is flat (within 2 MiB)" test "$(target_rss_kib)" -le $((rss + 2048))
must "logout" logout
check "no session is left" until_true 30 eval '[ -z "$(sessions)" ]'
check "SIGTERM ends the target with status 0" stop_target
