# A job of guest/init.sh for `perf/compare/lab.sh --where`: for each of $PEERS and $LOADS, what the target asks of the kernel for a command, and where
# the guest's time goes. Leaves in /run/lab/where PEER.LOAD.counts (of perf stat, over the same time) and PEER.LOAD.profile.
. "$LAB/guest/lib.sh" 3>&1
. "$LAB/guest/peers.sh"
. "$LAB/guest/measure.sh"
exec 3>&1

WHERE=/run/lab/where

where() {
  local peer load
  mkdir -p "$WHERE"
  prepare || return
  mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
  echo -1 >/proc/sys/kernel/perf_event_paranoid
  echo 0 >/proc/sys/kernel/kptr_restrict
  for peer in $PEERS; do
    start_peer "$peer" || continue
    for load in $LOADS; do
      echo "$peer: $load"
      look_at "$peer" "$load" "$WHERE/$peer.$load"
    done
    pause "$peer"
  done
}

# look_at PEER LOAD FILE
look_at() {
  local device
  device=$(device_for "$1" "$2")
  resume "$1"
  measure "$1" "$2" "$3" 300 & # until we have seen enough
  until_true 30 is_under_load "$device"
  count "$1" >"$3.counts"
  perf record -q -a -e cpu-clock -F 499 -o /tmp/perf.data -- sleep "$SECONDS_EACH" >>/run/lab/perf.log 2>&1
  pkill -INT -x fio # its report then has the time that it ran
  wait $!
  pause "$1"
  {
    perf report -i /tmp/perf.data --sort cpu,comm --stdio -q
    perf report -i /tmp/perf.data --sort comm,dso,sym --stdio -q
  } 2>>/run/lab/perf.log | grep -v '^$' | head -90 >"$3.profile"
}

is_under_load() { # is_under_load DEVICE
  local before after
  before=$(completed "$1")
  sleep 0.5
  after=$(completed "$1")
  ((after > before + 20))
}
completed() { awk '{ print $1 + $5 }' "/sys/block/${1#/dev/}/stat"; }

# count PEER: what happened in the same time: commands completed, what the target's reactor asked of the kernel, and the rest. First the names, then the
# lines of perf stat in the same order.
count() {
  local reactor main=${PROCESS[$1]:-} names=(commands switches tasklets ticks)
  local events=(-e block:block_rq_complete -e sched:sched_switch -e irq:softirq_entry --filter vec==6 -e irq_vectors:local_timer_entry)
  if [ -n "$main" ]; then # a target in the kernel has no thread of its own
    reactor=$(reactor_of "$main")
    names+=(calls doorbells futex switches_of_reactor calls_of_main)
    events+=(-e raw_syscalls:sys_enter --filter "common_pid==$reactor" -e syscalls:sys_enter_write --filter "common_pid==$reactor"
      -e syscalls:sys_enter_futex --filter "common_pid==$reactor" -e sched:sched_switch --filter "prev_pid==$reactor"
      -e raw_syscalls:sys_enter --filter "common_pid==$main")
  fi
  echo "names ${names[*]}"
  perf stat -a -x ' ' "${events[@]}" -- sleep "$SECONDS_EACH" 2>&1
}

# reactor_of PID: its reactor's thread; a target that has none is one thread.
reactor_of() {
  local task
  for task in /proc/"$1"/task/*; do
    [[ $(cat "$task/comm" 2>/dev/null) != reactor* ]] || { echo "${task##*/}"; return; }
  done
  echo "$1"
}

where || dmesg | tail -30
for peer in "${!DEVICE[@]}"; do resume "${peer%:*}"; done # the kernel flushes disks when it powers off
