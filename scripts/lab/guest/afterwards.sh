# Runs after a scenario however it ended: says so if it did not end well, takes everything down, asks the kernel. Status 0: nothing is left.
. "$LAB/guest/lib.sh"
status=$1 seconds=$2

case $status in
0) ;;
124 | 137)
  echo w >/proc/sysrq-trigger # the stacks of what hangs, for the log
  fail "the scenario ends within its $seconds s"
  ;;
*) fail "the scenario runs to its end (status $status)" ;;
esac
[ -s "$CHECKS" ] || fail "the scenario checks something"

clean=0
take_down || { fail "everything can be taken down again"; clean=1; }
[ ! -e /sys/module/scsi_debug ] || clean=1
# udev looks at every disk that was written to, and so keeps its pages in memory: nothing for scenarios that write past the block layer.
[ ! -e /run/udev ] || clean=1

complaints=$(kernel_log | grep -E 'BUG:|WARNING:|Oops|general protection|blocked for more than|rcu.*stall')
check "the guest's kernel has no complaint" test -z "$complaints"
[ -z "$complaints" ] || clean=1

if grep -q '^FAIL ' "$CHECKS"; then
  {
    for file in /run/lab/"$SCENARIO".target*.log; do
      [ ! -e "$file" ] || { echo "--- the end of the target's log, ${file##*/}"; tail -30 "$file"; }
    done
    echo "--- the end of the kernel's log"
    kernel_log | tail -25
  } | tee /dev/fd/3
fi
kernel_log >"/run/lab/$SCENARIO.dmesg.log"
exit "$clean"
