# Sourced on the host and in the guest: the target's configuration, with a null, a RAM and a file disk or with others, and how an initiator
# logs in to it.

PORT=${SRPT_PORT:-5555}
ID_EXT=5355525000000001 IOC_GUID=5355525000000002

# three_disks_config FABRIC ADDRESS FILE: the null disk is beyond 2 TiB, where 16-byte CDBs begin.
three_disks_config() {
  disks_config "$1" "$2" \
    '{"method": "bdev_null_create", "params": {"name": "null01", "num_blocks": 8589934592, "block_size": 512}}' \
    '{"method": "bdev_malloc_create", "params": {"name": "ram01", "num_blocks": 524288, "block_size": 512}}' \
    "$(uring disk01 "$3" '"block_size": 512')"
}

# uring NAME FILE [PARAMETERS]: the call that makes a bdev of a file or a block device.
uring() { echo "{\"method\": \"bdev_uring_create\", \"params\": {\"name\": \"$1\", \"filename\": \"$2\"${3:+, $3}}}"; }

# disks_config FABRIC ADDRESS CALL...: one target whose LUN N is the bdev that the Nth call makes.
disks_config() {
  local fabric=$1 address=$2 call name lun=0 bdevs='' luns=''
  shift 2
  for call; do
    name=${call#*'"name": "'}
    bdevs+=${bdevs:+,}$'\n    '$call
    luns+="    {\"method\": \"srp_target_add_lun\", \"params\": {\"target\": \"tgt0\", \"bdev_name\": \"${name%%\"*}\", \"lun\": $((lun++))}},"$'\n'
  done
  cat <<JSON
{"subsystems": [
  {"subsystem": "bdev", "config": [$bdevs
  ]},
  {"subsystem": "srp", "config": [
    {"method": "srp_create_target", "params": {"name": "tgt0", "id_ext": "0x$ID_EXT", "ioc_guid": "0x$IOC_GUID"}},
$luns    {"method": "srp_create_listener", "params": {"fabric": "$fabric", "address": "$address", "port": $PORT}}
  ]}
]}
JSON
}

# login_string ADDRESS [IDS]: what an initiator writes to add_target. The kernel wants an IPv6 address in brackets.
login_string() { echo "${2:-id_ext=$ID_EXT,ioc_guid=$IOC_GUID},dest=$1:$PORT"; }
