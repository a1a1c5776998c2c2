# spdk-rpc: SPDK's own client from PyPI makes, lists and deletes a null and a malloc bdev
# seconds: 600

spdk_rpc() { "$SPDK_CLIENT/bin/spdk-rpc" -s "$SOCKET" "$@"; }
# The client takes its time in an emulated guest: several calls go to one process, a line each.
spdk_rpc_lines() { printf '%s\n' "$@" | spdk_rpc >/tmp/answers; local status=$?; cat /tmp/answers; return $status; }

must "spdk-rpc is installed" test -x "$SPDK_CLIENT/bin/spdk-rpc"
must "the target starts" start_target 0x3
check "bdev_null_create" prints '^nullx$' spdk_rpc bdev_null_create nullx 16 512
check "bdev_malloc_create" prints '^ramx$' spdk_rpc bdev_malloc_create -b ramx 8 4096
check "bdev_get_bdevs lists the null bdev" prints '"name": "nullx"' spdk_rpc bdev_get_bdevs
check "bdev_get_bdevs lists the malloc bdev" prints '"num_blocks": 2048' spdk_rpc bdev_get_bdevs -b ramx

check "questions, one process" spdk_rpc_lines spdk_get_version rpc_get_methods framework_get_reactors "bdev_get_iostat --names ramx" save_config
check "spdk_get_version" grep '"version"' /tmp/answers
check "rpc_get_methods" grep '"srp_create_target"' /tmp/answers
check "framework_get_reactors" grep '"lcore": 1' /tmp/answers
check "bdev_get_iostat" grep '"num_read_ops"' /tmp/answers
check "save_config" grep '"srp_create_listener"' /tmp/answers

check "bdev_null_delete, bdev_malloc_delete" spdk_rpc_lines "bdev_null_delete nullx" "bdev_malloc_delete ramx" bdev_get_bdevs
check "the others are still there" grep '"name": "null01"' /tmp/answers
check "they are gone" eval '! grep -E "nullx|ramx" /tmp/answers'
check "an unknown bdev is an error that names it" eval '! spdk_rpc bdev_null_delete nobody >/tmp/error; cat /tmp/error; grep nobody /tmp/error'
check "spdk_kill_instance" spdk_rpc spdk_kill_instance SIGTERM
check "ends the target with status 0" wait "$TARGET_PID"
