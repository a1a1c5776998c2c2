# kill-flush: the target is killed with -9 eight times (LAB_KILLS=20: twenty) under writers with fdatasync and FUA; whatever was acknowledged is in the file
# seconds: 600
# fabrics: roce

KILLS=${LAB_KILLS:-8}
SEED=${LAB_SEED:-$(($(date +%s%N) % 2147483647))}
note "       seed $SEED (LAB_SEED=$SEED does it again)"
RANDOM=$((SEED % 32768))
RECORDS=(/usr/bin/python3 -S -E "$LAB/records.py")

# Blocks of 512 bytes with O_DIRECT, blocks of 4096 through the page cache.
declare -A SIZE=([direct]=512 [cached]=4096)
LOGS=/run/lab-records
mkdir -p $LOGS && mount -t tmpfs tmpfs $LOGS

# progress: every disk has new acknowledged writes since it was called last with "from now".
progress() { local name; for name in "${!SIZE[@]}"; do ! cmp -s $LOGS/$name $LOGS/$name.before || return 1; done; }
from_now() { local name; for name in "${!SIZE[@]}"; do cp $LOGS/$name $LOGS/$name.before; done; }

# kept: the host compares the files behind the target with what was acknowledged.
kept() {
  local name disks=()
  for name in "${!SIZE[@]}"; do
    cp $LOGS/$name "$SHARED/$name.acknowledged"
    disks+=("$name" "${SIZE[$name]}")
  done
  compare_records "$SEED" "${disks[@]}"
}

must "a target with a file with O_DIRECT and one through the page cache" write_config \
  "$(uring direct direct.img '"size": 1048576, "direct": true')" \
  "$(uring cached cached.img '"size": 1048576, "direct": false, "block_size": 4096')"
must "it starts" start_target 0x3
must "login" login_to "${!SIZE[@]}"
for port in /sys/class/srp_remote_ports/port-*; do
  echo 1 >"$port/reconnect_delay"
  echo 60 >"$port/fast_io_fail_tmo"
done
writers=()
for name in "${!SIZE[@]}"; do
  "${RECORDS[@]}" write "${DISK[$name]}" $LOGS/$name "${SIZE[$name]}" "$SEED" >$LOGS/$name.out 2>&1 &
  writers+=($!)
done
until_true 30 test -s $LOGS/direct -a -s $LOGS/cached

for kill in $(seq $KILLS); do
  from_now
  until_true 60 progress || must "kill $kill: before it, the writers go on" false
  sleep "0.$((RANDOM % 900 + 100))"
  kill_target || must "kill $kill: kill -9" false
  must "kill $kill: what was acknowledged is there" kept
  start_target 0x3 || must "kill $kill: the target starts again" false
done

from_now
check "the writers go on" until_true 60 progress
kill -TERM "${writers[@]}"
for name in "${!SIZE[@]}"; do
  wait "${writers[0]}" && status=0 || status=$?
  writers=("${writers[@]:1}")
  cat $LOGS/$name.out
  check_equal "no writer to $name saw an error" 0 "$status"
  blockdev --flushbufs "${DISK[$name]}"
  check "$name: through the initiator, it is all there" "${RECORDS[@]}" compare "${DISK[$name]}" $LOGS/$name "${SIZE[$name]}" "$SEED"
done
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
check "the files hold it, too" kept
