# Sourced on the host and in the guest: one target with a null, a RAM and a file disk, and how an initiator logs in to it.

PORT=${SRPT_PORT:-5555}
ID_EXT=5355525000000001 IOC_GUID=5355525000000002

# three_disks_config FABRIC ADDRESS FILE: the target's configuration. The null disk is beyond 2 TiB, where 16-byte CDBs begin.
three_disks_config() {
  cat <<JSON
{"subsystems": [
  {"subsystem": "bdev", "config": [
    {"method": "bdev_null_create", "params": {"name": "null01", "num_blocks": 8589934592, "block_size": 512}},
    {"method": "bdev_malloc_create", "params": {"name": "ram01", "num_blocks": 524288, "block_size": 512}},
    {"method": "bdev_uring_create", "params": {"name": "disk01", "filename": "$3", "block_size": 512}}
  ]},
  {"subsystem": "srp", "config": [
    {"method": "srp_create_target", "params": {"name": "tgt0", "id_ext": "0x$ID_EXT", "ioc_guid": "0x$IOC_GUID"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "null01", "lun": 0}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "ram01", "lun": 1}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "disk01", "lun": 2}},
    {"method": "srp_create_listener", "params": {"fabric": "$1", "address": "$2", "port": $PORT}}
  ]}
]}
JSON
}

# login_string ADDRESS [IDS]: what an initiator writes to add_target. The kernel wants an IPv6 address in brackets.
login_string() { echo "${2:-id_ext=$ID_EXT,ioc_guid=$IOC_GUID},dest=$1:$PORT"; }
