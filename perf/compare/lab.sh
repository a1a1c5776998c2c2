#!/usr/bin/env bash
# srpt-app side by side with other targets over RDMA, each with the stock Linux initiator of its protocol, in one boot of the lab's guest, in turns.
#
#   lab.sh [ROUNDS [SECONDS]]    3 rounds of 3 seconds for each load, about 20 minutes in all
#   lab.sh --where [SECONDS]     no figures, but system calls and switches for each command, and a profile of the guest
#
# PEERS='srpt lio' takes some of the targets only, LOADS='randread:4k:1 read:1m:8' other loads (fio's name, bytes, depth; with :separate, without
# immediate data). LOGIN is what every SRP initiator asks for.
#
#   srpt       srpt-app --adaptive in the guest, over verbs on soft-RoCE, null bdev
#   srpt-poll  the same without --adaptive: its reactor takes one of the guest's two CPUs for itself
#   lio        the kernel's ib_srpt over null_blk
#   nvmet      the kernel's nvmet-rdma over null_blk, NVMe-oF
#   tgt        tgtd, iSER in user space, null backing store
#   srpt-roce  srpt-app --adaptive on the host, over RoCE of its own and a tap device; the initiator's soft-RoCE is another there
#
# The guest is emulated: figures mean something beside each other only. A spread is what the rounds differ by, (max - min) / median. The guest's kernel
# is told to trust the emulated TSC, as it does a real one: without (LAB_KERNEL_ARGUMENTS=), reading the clock is a system call that leaves the guest.
# QEMU goes before everything else on the host while this runs: on a host that takes its CPUs away, figures are about the host's scheduler.
# Needs root, for that and for the tap device (without root: PEERS without srpt-roce). Results stay in the folder named at the end.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
SCRIPTS=$ROOT/scripts
LAB=$SCRIPTS/lab
. "$LAB/host/packages.sh"
. "$LAB/host/image.sh"
. "$LAB/host/network.sh"
. "$LAB/host/boot.sh"
. "$LAB/host/run.sh"

WHERE=0
[ "${1:-}" != --where ] || { WHERE=1; shift; set -- 1 "$@"; }
ROUNDS=${1:-3}
SECONDS_EACH=${2:-3}
PEERS=${PEERS:-srpt srpt-poll lio nvmet tgt srpt-roce}
LOADS=${LOADS:-randread:4k:1 randread:4k:32 randwrite:4k:1 randwrite:4k:32 randwrite:4k:1:separate randwrite:4k:32:separate
  randread:64k:8 randwrite:64k:8 read:1m:8 write:1m:8}
LOGIN=${LOGIN:-queue_size=128,cmd_sg_entries=255}
export LAB_KERNEL_ARGUMENTS=${LAB_KERNEL_ARGUMENTS-tsc=reliable}

main() {
  local fabric=verbs
  case "$ROUNDS$SECONDS_EACH" in *[!0-9]*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '$d' && exit 2 ;; esac
  need_packages python3 $(packages_of $PEERS)
  case " $PEERS " in *" srpt-roce "*) fabric=roce ;; esac
  exec {turn}>"$SRPT_CACHE/compare-lab.lock"
  flock --nonblock "$turn" || { say "another comparison is running: waiting for it"; flock "$turn"; }
  new_run compare
  take_priority
  cp "$ROOT"/perf/compare/lab/*.sh "$RUN/scripts/lab/guest/"
  say "load average before: $(cut -d ' ' -f 1 /proc/loadavg) (other load on the machine makes the spreads large)"
  if [ "$WHERE" = 1 ]; then
    need_packages linux-perf
    in_guest "$fabric" where.sh
    python3 "$ROOT/perf/compare/lab/where.py" "$RUN/where" | tee "$RUN/table"
  else
    in_guest "$fabric" compare.sh
    python3 "$ROOT/perf/compare/lab/table.py" "$RUN/figures" | tee "$RUN/table"
  fi
  say "results and logs: $RUN"
}

# in_guest FABRIC JOB
in_guest() {
  guest_job "$1" "$2" "$(time_limit)" SCENARIO=compare ROUNDS="$ROUNDS" SECONDS_EACH="$SECONDS_EACH" PEERS="$PEERS" LOADS="$LOADS" LOGIN="$LOGIN" ||
    say "the guest was ended (status $?); its console: $RUN/console.log"
}

packages_of() {
  local peer
  for peer; do
    case $peer in
    srpt | srpt-poll | lio | nvmet | srpt-roce) ;;
    tgt) echo tgt open-iscsi ;;
    *) die "no peer $peer; there are srpt, srpt-poll, lio, nvmet, tgt, srpt-roce" ;;
    esac
  done
}

# take_priority: what else runs on the host takes turns with the guest's CPUs, and a target that is not on its initiator's CPU then waits for both.
# Where the kernel groups processes by session, nice counts within a session only: the session is what gets priority, until we end.
take_priority() {
  local group
  [ "$(id -u)" = 0 ] || { say "not root, so the guest takes turns with whatever else runs here"; return; }
  renice -n -20 $$ >/dev/null
  group=$(sed -n 's/.* nice //p' /proc/self/autogroup 2>/dev/null) || return 0
  echo -20 >/proc/self/autogroup
  trap "echo ${group:-0} >/proc/self/autogroup; end_run" EXIT
}

# time_limit: seconds that the guest may take; a load takes some more than its time to start, and a busy machine more of everything.
time_limit() { echo $((300 + ROUNDS * $(wc -w <<<"$PEERS") * $(wc -w <<<"$LOADS") * (SECONDS_EACH * (WHERE ? 2 : 1) + (WHERE ? 40 : 20)))); }

main
