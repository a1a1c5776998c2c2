# Sourced: a Ceph cluster of one node, from Debian's packages, for scripts/ceph-check.sh and the scenario rbd.

. "${BASH_SOURCE[0]%/*}/wait.sh"

CEPH_PACKAGES=(ceph-mon ceph-osd ceph-common)

# start_cluster FOLDER: one monitor, one storage daemon that keeps everything in memory, one pool `rbd`, on the loopback of this network
# namespace. Returns when it serves; $CEPH_CONF leads to it. Its daemons are children of this shell; what they say is in the folder.
start_cluster() {
  local folder=$1 fsid uuid
  fsid=$(cat /proc/sys/kernel/random/uuid) uuid=$(cat /proc/sys/kernel/random/uuid)
  mkdir -p "$folder"/{mon,osd,run}
  export CEPH_CONF=$folder/ceph.conf
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:3300,v1:127.0.0.1:6789]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
keyring = $folder/keyring
run dir = $folder/run
admin socket =
log file = $folder/\$name.log
mon cluster log to file = false
mon data = $folder/mon
mon allow pool size one = true
mon data avail warn = 0
mon data avail crit = 0
osd data = $folder/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
CONF
  ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
  ceph-authtool "$folder/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' >/dev/null
  monmaptool --create --addv a '[v2:127.0.0.1:3300,v1:127.0.0.1:6789]' --fsid "$fsid" "$folder/monmap" >/dev/null
  ceph-mon --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
  "${LEASH[@]}" ceph-mon -f -i a --conf "$CEPH_CONF" >"$folder/mon.out" 2>&1 &
  until_true 60 ceph_says quorum timeout 5 ceph -s || return
  ceph osd new "$uuid" >/dev/null
  ceph-osd --mkfs -i 0 --osd-uuid "$uuid" >"$folder/osd.out" 2>&1
  "${LEASH[@]}" ceph-osd -f -i 0 --conf "$CEPH_CONF" >>"$folder/osd.out" 2>&1 &
  until_true 60 ceph_says '1 up' ceph osd stat || return
  ceph osd pool create rbd 8 2>/dev/null && rbd pool init rbd
}

# end_cluster FOLDER: without a word; nothing in it is to survive.
end_cluster() {
  [ ! -e "$1/ceph.conf" ] || pkill -KILL -f -- "^ceph-(mon|osd) .*--conf $1/ceph.conf" || true
}

# ceph_says PATTERN COMMAND...
ceph_says() { "${@:2}" 2>/dev/null | grep -- "$1" >/dev/null; } # grep -q would end before ceph has
