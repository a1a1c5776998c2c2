# faults: dm-multipath over two paths, one of IPv4 and one of IPv6: cables cut, ports that flap for a minute, kill -9 in a loop, a target that stands still
# seconds: 1200
# fabrics: roce
# packages: multipath-tools dmsetup
# all: none

. "$LAB/guest/multipath.sh"

RIGHT_EXT=5355525000000003 # tgt1, which is logged in to over IPv6; tgt0 over IPv4
FIO_OPTIONS=(--size=60M)
KILLS=${LAB_KILLS:-5}
both_there() { path disk01 "$ID_EXT" && path disk01 $RIGHT_EXT; }
over_ipv6() { ADDRESS=[$ADDRESS_IPV6] INITIATOR_ADDRESS=[$INITIATOR_ADDRESS_IPV6] "$@"; }
# A path that is gone is given up after 5 s and tried again every 5 s, and never forgotten.
impatient() {
  local port
  for port in /sys/class/srp_remote_ports/port-*; do
    echo 5 >"$port/reconnect_delay" && echo 5 >"$port/fast_io_fail_tmo" && echo off >"$port/dev_loss_tmo" || return
  done
}
# load: verified I/O through the map until end_load, in the background.
load() {
  fio --name=load --filename="$MAP" --size=32M --rw=randwrite --bssplit=4k/70:64k/30 --iodepth=8 --ioengine=libaio --direct=1 --rate=,2m --time_based --runtime=3600 \
    --verify=crc32c --verify_backlog=128 --verify_fatal=1 --verify_dump=0 >/tmp/load.log 2>&1 3>&- &
  LOAD=$!
}
# fio that is interrupted ends with status 128, if nothing else is wrong.
end_load() {
  local status=0
  kill -INT "$LOAD"
  wait "$LOAD" || status=$?
  tail -30 /tmp/load.log
  { [ $status = 0 ] || [ $status = 128 ]; } && grep -q "err= 0" /tmp/load.log && ! grep -q "verify:" /tmp/load.log
}
# As srp_daemon logs in: soft-RoCE never gives a peer up with 7.
soon() { login_as "id_ext=$1,ioc_guid=$IOC_GUID,tl_retry_count=2"; }
is_loaded() { takes_io "$L" || takes_io "$R"; }

# cut FAMILY: nothing of it passes between guest and host, in either direction; mend: everything does. What is sent vanishes without an error: after one, soft-RoCE
# would try to send it for ever, and count no time.
cut() {
  modprobe -a sch_ingress cls_matchall act_gact act_mirred dummy && tc qdisc add dev eth0 clsact || return
  [ -e /sys/class/net/hole0 ] || { ip link add hole0 type dummy && ip link set hole0 up; } || return
  tc filter add dev eth0 ingress protocol "$1" matchall action drop && tc filter add dev eth0 egress protocol "$1" matchall action mirred egress redirect dev hole0
}
mend() { tc qdisc del dev eth0 clsact; }
# The target's port: its interface loses its IPv6 address with it.
link_down() { on_host ip link set tap0 down; }
link_up() { on_host ip link set tap0 up && on_host ip addr replace "$ADDRESS_IPV6/64" dev tap0 nodad; }
flap_for() { local end=$((SECONDS + $1)); FLAPS=0; while [ $SECONDS -lt $end ]; do link_down && sleep 1 && link_up && sleep 3 || return; FLAPS=$((FLAPS + 1)); done; }
works() { prints "^${1##*/} +active" multipathd show paths format "%d %t"; }
both_work() { works "$L" && works "$R"; }
fails() { prints "^${1##*/} +failed" multipathd show paths format "%d %t"; }

write_config "$(uring disk01 disk01.img '"size": 67108864, "block_size": 512')"
must "the target starts" start_target 0x3
must "a second target with the same disk, and a listener for IPv6" rpc \
  srp_create_target '{"name": "tgt1", "id_ext": "'$RIGHT_EXT'", "ioc_guid": "'$IOC_GUID'"}' \
  srp_target_add_lun '{"target": "tgt1", "bdev_name": "disk01"}' \
  srp_create_listener "{\"fabric\": \"roce\", \"address\": \"$ADDRESS_IPV6\", \"port\": $PORT}"
rpc save_config >"$CONFIG" # for the restarts below
must "the initiator loads with never_register=1" load_initiator never_register=1
# I/O waits for a path however long that takes, as those who lose their jobs with a byte have it.
mkdir -p /etc/multipath/conf.d
printf '%s\n' 'overrides {' '  no_path_retry queue' '}' >/etc/multipath/conf.d/faults.conf
must "multipathd starts" start_multipath
must "a login over IPv4" soon "$ID_EXT"
must "a login over IPv6" over_ipv6 soon $RIGHT_EXT
must "two paths to the disk" until_true 60 both_there
must "paths are given up soon" impatient
L=$(path disk01 "$ID_EXT") R=$(path disk01 $RIGHT_EXT)
must "one map over both" until_true 30 eval '[ -n "$(map $L)" ] && [ "$(map $L)" = "$(map $R)" ]'
MAP=$(map "$L")
load
must "fio is under way" until_true 20 is_loaded

for family in ip ipv6; do
  case $family in ip) dead=$L alive=$R ;; ipv6) dead=$R alive=$L ;; esac
  check "the cable of $family is cut" cut $family
  check "its path is given up" until_true 120 fails "$dead"
  check "the other has the I/O" until_true 180 takes_io "$alive" # commands under way are waited for, one abort after the other
  check "the cable is mended" mend
  check "its path is taken up again" until_true 180 both_work
done

check "the target's port goes down" link_down
check "both paths are given up" until_true 120 eval 'fails "$L" && fails "$R"'
check "it comes up" link_up
check "both paths are taken up again" until_true 240 both_work
check "I/O goes on" until_true 120 is_loaded
must "fio is still there" is_running $LOAD

check "it flaps for a minute" flap_for 60
note "       $FLAPS times"
check "both paths are taken up again" until_true 240 both_work
check "I/O goes on" until_true 120 is_loaded

for number in $(seq "$KILLS"); do
  check "kill -9, $number of $KILLS" kill_target
  must "the target starts again" start_target 0x3
  check "I/O goes on" until_true 240 is_loaded
done
check "both paths are taken up again" until_true 240 both_work

check "the target stands still for 20 s" eval 'signal_target STOP && sleep 20 && signal_target CONT'
check "I/O goes on" until_true 240 is_loaded
check "both paths are there" until_true 240 both_work

check "fio saw nothing of all this: every byte as written" end_load
check "verified data" verify_with_fio 4M "$MAP"
check "multipathd ends" stop_multipath
check "logout" logout # first: who tries to reconnect to a target that is no more is busy with that for two minutes
check "SIGTERM ends the target with status 0" stop_target
