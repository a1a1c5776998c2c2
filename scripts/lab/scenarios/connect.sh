# connect: srp-connect (scripts/initiator) logs in by its file, once, and again after the target or the session was away; it says which line is wrong
# seconds: 300
# fabrics: verbs roce
# all: roce

CONNECT=$LAB/../initiator/srp-connect
CONF=/tmp/srp-connect.conf
LINE="$(login_string "$ADDRESS"),src=$INITIATOR_ADDRESS"

# shellcheck disable=SC2120 # `check` passes arguments
connect() { timeout 60 "$CONNECT" --file "$CONF" "$@"; }
# connects: as its timer does, until every target is there.
connects() { until_true 90 connect; }
hosts() { compgen -G '/sys/class/srp_remote_ports/port-*' | wc -l; }
time_is() { [ "$(cat /sys/class/srp_remote_ports/port-*/"$1")" = "$2" ]; }
option_is() { [ "$(cat "/sys/class/scsi_host/host$(srp_host)/$1")" = "$2" ]; }
# refuses WORDS LINE: with this line, it fails and says so.
refuses() {
  echo "$2" >"$CONF"
  local said
  ! said=$(connect 2>&1) || { echo "it succeeds"; return 1; }
  echo "$said"
  grep -qF -- "$1" <<<"$said"
}

must "the target starts" start_target 0x3
printf '# a target\n\n%s\nreconnect_delay=3\nfast_io_fail_tmo=2\ndev_loss_tmo=off\n' "$LINE" >"$CONF"
check "before the login it is not there" eval '! connect --status'
must "it logs in, and loads ib_srp by itself" prints '^logged in through rxe0-1: ' connect
must "the disks are there" until_true 30 all_disks_there
check "reconnect_delay, fast_io_fail_tmo and dev_loss_tmo are those of the file" eval 'time_is reconnect_delay 3 && time_is fast_io_fail_tmo 2 && time_is dev_loss_tmo off'
check "cmd_sg_entries and allow_ext_sg are those of the script" eval 'option_is cmd_sg_entries 255 && option_is allow_ext_sg true'
check "now it is there" prints '^host[0-9]+: id_ext=' connect --status
check "a second run logs in to nothing" eval '[ -z "$(connect)" ] && [ "$(hosts)" = 1 ]'

check "the session is taken away" logout
check "it logs in again" connects
check "the disks are back" until_true 30 all_disks_there

must "the target is killed" kill_target
check "without the target the session stays, and nothing is logged in to" eval '[ -z "$(connect)" ] && [ "$(hosts)" = 1 ]'
must "the target is back" start_target 0x3
echo "$LINE" >"$CONF"
RAM=$(disk ram01)
check "the session comes back by itself" until_true 60 timeout 20 dd if="$RAM" of=/dev/null bs=4k count=1 iflag=direct
check "and a run leaves it alone" eval '[ -z "$(connect)" ] && [ "$(hosts)" = 1 ]'

check "a line without id_ext" refuses "$CONF:1: id_ext= is missing" "ioc_guid=2,dest=$ADDRESS:$PORT"
check "a line with a wrong ioc_guid" refuses "$CONF:1: ioc_guid= is missing, or has not" "id_ext=1,ioc_guid=2g,dest=$ADDRESS:$PORT"
check "a line without a way" refuses "$CONF:1: neither dest=" "id_ext=1,ioc_guid=2"
check "an address to which no RDMA device leads" refuses "no RDMA device leads there" "id_ext=1,ioc_guid=2,dest=203.0.113.1:$PORT"
check "a port that is not there" refuses "there is no port mlx5_9-1" "via=mlx5_9-1,id_ext=1,ioc_guid=2,dest=$ADDRESS:$PORT"
check "an option that the kernel does not know" refuses "Invalid argument" "${LINE/id_ext=5355/id_ext=5356},no_such_option=1"
check "a target that is not there, in the kernel's words" refuses "src=$INITIATOR_ADDRESS: Connection reset by peer (the kernel's last words: " "id_ext=1,ioc_guid=2,dest=$ADDRESS:$PORT,src=$INITIATOR_ADDRESS"

printf 'id_ext=1\n%s\n' "$LINE" >"$CONF"
check "beside a wrong line the right one is logged out of" eval 'connect --logout; until_true 60 logged_out'
check "SIGTERM ends the target with status 0" stop_target
