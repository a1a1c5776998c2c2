# spdk-rpc: SPDK's own client from PyPI makes, lists and deletes a null and a malloc bdev
# seconds: 600

spdk_rpc() { "$SPDK_CLIENT/bin/spdk-rpc" -s "$SOCKET" "$@"; }

must "spdk-rpc is installed" test -x "$SPDK_CLIENT/bin/spdk-rpc"
must "the target starts" start_target 0x3
check "spdk_get_version" prints '"version"' spdk_rpc spdk_get_version
check "rpc_get_methods" prints '"srp_create_target"' spdk_rpc rpc_get_methods
check "framework_get_reactors" prints '"lcore": 1' spdk_rpc framework_get_reactors
check "bdev_null_create" prints '^nullx$' spdk_rpc bdev_null_create nullx 16 512
check "bdev_malloc_create" prints '^ramx$' spdk_rpc bdev_malloc_create -b ramx 8 4096
check "bdev_get_bdevs lists the null bdev" prints '"name": "nullx"' spdk_rpc bdev_get_bdevs
check "bdev_get_bdevs lists the malloc bdev" prints '"num_blocks": 2048' spdk_rpc bdev_get_bdevs -b ramx
check "bdev_get_iostat" prints '"name": "ramx"' spdk_rpc bdev_get_iostat --names ramx
check "bdev_null_delete" spdk_rpc bdev_null_delete nullx
check "bdev_malloc_delete" spdk_rpc bdev_malloc_delete ramx
check "they are gone" eval '! prints "nullx|ramx" spdk_rpc bdev_get_bdevs'
check "save_config" prints '"srp_create_listener"' spdk_rpc save_config
check "an unknown bdev is an error that names it" eval '! spdk_rpc bdev_null_delete nobody >/tmp/error; cat /tmp/error; grep nobody /tmp/error'
check "spdk_kill_instance" spdk_rpc spdk_kill_instance SIGTERM
check "ends the target with status 0" wait "$TARGET_PID"
