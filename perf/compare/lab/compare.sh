# A job of guest/init.sh for perf/compare/lab.sh: brings up $PEERS, and gives each of them each of $LOADS for $SECONDS_EACH, $ROUNDS times, in turns.
# Leaves in /run/lab/figures, for each load, fio's report and the guest's CPU time before and after; and notes.
. "$LAB/guest/lib.sh" 3>&1
. "$LAB/guest/peers.sh"
. "$LAB/guest/measure.sh"
exec 3>&1

FIGURES=/run/lab/figures

compare() {
  local peer round load present=()
  mkdir -p "$FIGURES"
  prepare || return
  for peer in $PEERS; do
    start_peer "$peer" && present+=("$peer")
  done
  lsscsi
  for ((round = 1; round <= ROUNDS; round++)); do
    for load in $LOADS; do
      echo "round $round of $ROUNDS: $load"
      for peer in "${present[@]}"; do
        resume "$peer"
        measure "$peer" "$load" "$FIGURES/$round.$peer.$load" || note "$peer, $load: no figure"
        pause "$peer"
      done
    done
  done
}

compare
status=$?
for peer in "${!DEVICE[@]}"; do resume "${peer%:*}"; done # the kernel flushes disks when it powers off
[ "$status" = 0 ] || { echo "the comparison failed (status $status)"; dmesg | tail -30; }
dmesg >/run/lab/dmesg.log
