# Sourced in the guest by compare.sh: how each peer is brought up, with its initiator, and kept from using the guest's CPUs while it is not its turn.
# start_PEER sets DEVICE[PEER], the disk as its initiator sees it, and DEVICE[PEER:separate], the same by a login without immediate data.

declare -A DEVICE PROCESS
VETH_ADDRESS=10.77.0.1
GIB=16

# prepare: soft-RoCE whose both ends are in the guest, if the boot did not make it; and what is stored nowhere, for the kernel's targets.
prepare() {
  RDMA=rxe0
  if [ "$FABRIC" = roce ]; then
    RDMA=rxe1
    ip link add v0 mtu 4200 type veth peer name v1 mtu 4200 && ip addr add $VETH_ADDRESS/24 dev v0 && ip link set v0 up && ip link set v1 up &&
      rdma link add rxe1 type rxe netdev v0 || return
  fi
  mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
  modprobe ib_srp ch_count=1
  modprobe null_blk nr_devices=1 queue_mode=2 irqmode=0 bs=512 gb=$GIB
}

pause() { send_signal STOP "$1"; }
resume() { send_signal CONT "$1"; }
send_signal() {
  case $2 in
  srpt-roce) on_host eval "kill -$1 \$TARGET_PID" ;;
  *) [ -z "${PROCESS[$2]:-}" ] || kill "-$1" "${PROCESS[$2]}" ;;
  esac
}

# ── Ours ────────────────────────────────────────────────────────────────────────────────────────────────────────────

start_srpt() { start_ours srpt 1 --adaptive; }
start_srpt_poll() { start_ours srpt-poll 2; }

# start_ours PEER NUMBER [ARGUMENT...]
start_ours() {
  local peer=$1 folder=/srv/lab/$1
  local PORT=$((5560 + $2)) ID_EXT=535052540000000$2 IOC_GUID=535052540000001$2
  mkdir -p "$folder"
  disks_config verbs $VETH_ADDRESS "$(null_bdev)" >"$folder/config.json"
  env -C "$folder" "$APP" -m 0x1 -c config.json -r "$folder/srpt.sock" --state-dir state --metrics-listen off "${@:3}" >"/run/lab/$peer.target.log" 2>&1 3>&- &
  PROCESS[$peer]=$!
  until_true 60 grep -qs "listening.*$PORT" "/run/lab/$peer.target.log" || { echo "the target does not listen"; return 1; }
  log_in_both_ways "$peer" "$RDMA" "id_ext=$ID_EXT,ioc_guid=$IOC_GUID,src=$VETH_ADDRESS,dest=$VETH_ADDRESS:$PORT"
}

null_bdev() { echo "{\"method\": \"bdev_null_create\", \"params\": {\"name\": \"null01\", \"num_blocks\": $((GIB << 21)), \"block_size\": 512}}"; }

start_srpt_roce() {
  write_config "$(null_bdev)" && start_target 0x1 --metrics-listen off || return
  log_in_both_ways srpt-roce rxe0 "$(login_string "$ADDRESS"),src=$INITIATOR_ADDRESS"
}

# ── The kernel's SRP target ─────────────────────────────────────────────────────────────────────────────────────────

start_lio() {
  local target=/sys/kernel/config/target gid port name guid
  mkdir -p /etc/target
  modprobe -a target_core_mod target_core_iblock ib_srpt
  mkdir -p $target/core/iblock_0/null01
  echo "udev_path=/dev/nullb0," >$target/core/iblock_0/null01/control
  echo 1 >$target/core/iblock_0/null01/enable || return
  gid=$(cat "/sys/class/infiniband/$RDMA/ports/1/gids/0")
  name=${gid#fe80:0000:0000:0000:}
  port=$target/srpt/$name/$name
  mkdir -p "$port/lun/lun_0"
  ln -s $target/core/iblock_0/null01 "$port/lun/lun_0/"
  # Over RDMA/CM it takes its own address for the initiator's name.
  mkdir -p "$port/acls/$VETH_ADDRESS/lun_0"
  ln -s "$port/lun/lun_0" "$port/acls/$VETH_ADDRESS/lun_0/"
  echo 1 >"$port/enable"
  echo 5555 >$target/srpt/discovery_auth/rdma_cm_port || return
  guid=$(cat /sys/module/ib_srpt/parameters/srpt_service_guid)
  log_in_both_ways lio "$RDMA" "id_ext=$guid,ioc_guid=$guid,src=$VETH_ADDRESS,dest=$VETH_ADDRESS:5555"
}

# log_in_both_ways PEER RDMA_DEVICE STRING: with and without immediate data, which is asked for by a parameter of the initiator.
log_in_both_ways() {
  local parameter=/sys/module/ib_srp/parameters/use_imm_data
  echo Y >$parameter && log_in "$1" "$2" "$3" && echo N >$parameter && log_in "$1:separate" "$2" "$3,initiator_ext=0000000000000002"
}

# log_in NAME RDMA_DEVICE STRING: sets DEVICE[NAME].
log_in() {
  local before host
  before=$(scsi_hosts)
  echo "login: $3,$LOGIN"
  echo "$3,$LOGIN" >"/sys/class/infiniband_srp/srp-$2-1/add_target" || return
  host=$(comm -13 <(echo "$before") <(scsi_hosts))
  until_true 30 disk_of_host "$host" || { echo "no disk at $host"; return 1; }
  DEVICE[$1]=$(disk_of_host "$host")
  echo none >"/sys/block/${DEVICE[$1]#/dev/}/queue/scheduler"
  echo "$1 is ${DEVICE[$1]}"
}
scsi_hosts() { (cd /sys/class/scsi_host && ls | sort); }
disk_of_host() {
  local block
  for block in /sys/block/sd*; do
    [[ $(realpath "$block/device") != */"$1"/* ]] || [ "$(cat "$block/size")" = 0 ] || { echo "/dev/${block##*/}"; return 0; }
  done
  return 1
}

# ── Other protocols ─────────────────────────────────────────────────────────────────────────────────────────────────

# One queue, as the SRP initiators have one channel. Writes of up to a page travel with their command, as immediate data does.
start_nvmet() {
  local nvmet=/sys/kernel/config/nvmet nqn=nqn.2026-01.example:null controller
  modprobe -a nvmet nvmet-rdma nvme-rdma
  mkdir -p $nvmet/subsystems/$nqn/namespaces/1 $nvmet/ports/1
  echo 1 >$nvmet/subsystems/$nqn/attr_allow_any_host
  echo /dev/nullb0 >$nvmet/subsystems/$nqn/namespaces/1/device_path
  echo 1 >$nvmet/subsystems/$nqn/namespaces/1/enable || return
  echo rdma >$nvmet/ports/1/addr_trtype
  echo ipv4 >$nvmet/ports/1/addr_adrfam
  echo $VETH_ADDRESS >$nvmet/ports/1/addr_traddr
  echo 4420 >$nvmet/ports/1/addr_trsvcid
  ln -s $nvmet/subsystems/$nqn $nvmet/ports/1/subsystems/ || return
  echo "transport=rdma,traddr=$VETH_ADDRESS,trsvcid=4420,nqn=$nqn,nr_io_queues=1,queue_size=128" >/dev/nvme-fabrics || return
  controller=$(ls /sys/class/nvme | tail -1)
  until_true 30 test -b "/dev/${controller}n1" || { echo "no disk at $controller"; return 1; }
  DEVICE[nvmet]=/dev/${controller}n1
  echo none >"/sys/block/${controller}n1/queue/scheduler"
}

# A null device of tgtd has no data, but it wants a file with a size. What Debian's cannot do: another port for iSER than 3260, and logins over iSER of
# initiators that it was not told by name.
start_tgt() {
  local iqn=iqn.2026-01.example:null initiator=iqn.2026-01.example:initiator before host
  echo "InitiatorName=$initiator" >/etc/iscsi/initiatorname.iscsi # the guest's own
  modprobe ib_iser
  truncate -s ${GIB}G /srv/lab/tgt.size
  # Never paused: it sleeps by itself, and the initiator gives up a target that does not answer its pings.
  tgtd -f --iscsi portal=127.0.0.1:3270 --iser pool_sz_mb=64 >/run/lab/tgtd.log 2>&1 3>&- &
  until_true 30 tgtadm --lld iser --mode sys --op show >/dev/null || return
  tgtadm --lld iser --mode target --op new --tid 1 --targetname $iqn &&
    tgtadm --lld iser --mode logicalunit --op new --tid 1 --lun 1 --bstype null --backing-store /srv/lab/tgt.size &&
    tgtadm --lld iser --mode target --op bind --tid 1 --initiator-address ALL &&
    tgtadm --lld iser --mode target --op bind --tid 1 --initiator-name $initiator || return
  mkdir -p /run/lock/iscsi
  iscsid --foreground >/run/lab/iscsid.log 2>&1 3>&- &
  before=$(scsi_hosts)
  iscsiadm --mode node --targetname $iqn --portal $VETH_ADDRESS:3260 --interface iser --op new &&
    iscsiadm --mode node --targetname $iqn --portal $VETH_ADDRESS:3260 --op update --name node.session.queue_depth --value 128 &&
    iscsiadm --mode node --targetname $iqn --portal $VETH_ADDRESS:3260 --login || return
  host=$(comm -13 <(echo "$before") <(scsi_hosts))
  until_true 30 disk_of_host "$host" || { echo "no disk at $host"; return 1; }
  DEVICE[tgt]=$(disk_of_host "$host")
  echo none >"/sys/block/${DEVICE[tgt]#/dev/}/queue/scheduler"
}
