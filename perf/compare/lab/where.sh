# A job of guest/init.sh for perf/compare/lab.sh --where: for each of $PEERS and $LOADS, where the guest's time goes, and what the target asks of the kernel.
# Leaves in /run/lab/where, for each load, PEER.LOAD.{syscalls,threads,symbols,irqs}.
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
    "start_${peer//-/_}" >"/run/lab/$peer.log" 2>&1 || { note "$peer: $(tail -1 "/run/lab/$peer.log")"; continue; }
    for load in $LOADS; do
      echo "$peer: $load"
      look_at "$peer" "$load" "$WHERE/$peer.$load"
    done
    pause "$peer"
  done
}

# look_at PEER LOAD FILE: three looks, each at a load of its own, so that none sees what another costs.
look_at() {
  local pid=${PROCESS[$1]:-}
  measure "$1" "$2" "$3.plain" "$(($SECONDS_EACH + 4))" &
  sleep 4
  threads >"$3.threads.before"
  cp /proc/softirqs "$3.softirqs.before"
  sleep "$SECONDS_EACH"
  threads >"$3.threads.after"
  cp /proc/softirqs "$3.softirqs.after"
  wait $!
  if [ -n "$pid" ]; then
    measure "$1" "$2" "$3.syscalls" "$(($SECONDS_EACH + 6))" &
    sleep 4
    timeout -s INT "$SECONDS_EACH" perf trace -s -p "$pid" -o "$3.syscalls.trace" >>/run/lab/perf.log 2>&1
    wait $!
  fi
  measure "$1" "$2" "$3.symbols" "$(($SECONDS_EACH + 6))" &
  sleep 4
  perf record -q -a -e cpu-clock -F 499 -o /tmp/perf.data -- sleep "$SECONDS_EACH" >>/run/lab/perf.log 2>&1
  wait $!
  perf report -i /tmp/perf.data --sort comm,dso,sym --stdio -q 2>>/run/lab/perf.log | grep -v '^$' | head -70 >"$3.symbols.report"
  perf report -i /tmp/perf.data --sort cpu,comm --stdio -q 2>>/run/lab/perf.log | grep -v '^$' | head -40 >"$3.comms.report"
}

# threads: of each thread that ever ran, its name, time on a CPU and time runnable but waiting for one, in ns, times it ran, and switches it asked for and not.
threads() {
  local task
  for task in /proc/[0-9]*/task/[0-9]*; do
    echo "$(<"$task/comm") $(<"$task/schedstat") $(awk '/ctxt_switches/ { printf "%s ", $2 }' "$task/status")"
  done 2>/dev/null
}

where || dmesg | tail -30
