# run-script: scripts/run.sh where there is an RDMA device: the target comes up, and the login string that it prints works
# seconds: 300

# A checkout whose binary is built already.
mkdir -p /srv/lab/checkout && cp -r "$LAB/.." /srv/lab/checkout/scripts
export SRPT_APP=$APP SRPT_DATA=/srv/lab/data SRPT_MASK=0x1
says() { grep -q "$1" "/run/lab/$SCENARIO.target1.log"; }

check "run.sh --once ends with status 0" /srv/lab/checkout/scripts/run.sh --once

/srv/lab/checkout/scripts/run.sh >"/run/lab/$SCENARIO.target1.log" 2>&1 &
script=$!
must "run.sh stays up" until_true 60 says "Ctrl-C ends it"
must "the initiator loads" load_initiator
line=$(sed -n 's/^ *\(echo "id_ext=.*add_target\)$/\1/p' "/run/lab/$SCENARIO.target1.log")
check "the printed line logs in: $line" eval "${line/DEVICE/rxe0}"
check "three disks" until_true 30 all_disks_there
check "the root has a link to the binary" test -x /srv/lab/checkout/srpt-app
check "logout" logout
kill -TERM $script
check "SIGTERM ends script and target with status 0" wait $script
check "the target is gone" test ! -e "$SOCKET"
