# srp-perf: our own initiator over rdma-core, with every form of command, at our target and at the kernel's; both at once
# seconds: 240
# programs: srp-perf
# all: none

KERNEL_PORT=5600
TARGETS=/sys/kernel/config/target

# compares WHAT TARGET ARGUMENT...: srp-perf reads back what it wrote, and finds it as it was.
compares() {
  check "$1" prints '^[1-9][0-9]* reads compared, 0 differ' "$SHARED/srp-perf" --fabric verbs --target "$2" -c 0x2 --adaptive -w randrw -q 16 -d 1500 --verify "${@:3}"
}
refuses() { # refuses PATTERN ARGUMENT...
  local said
  said=$("$SHARED/srp-perf" --fabric verbs -t 1 "${@:2}" 2>&1) && { echo "it was not refused: $said"; return 1; }
  echo "$said"
  grep -qE -- "$1" <<<"$said"
}

# kernel_target: LIO's ib_srpt over a RAM disk, listening for RDMA/CM. It takes our address for our name.
kernel_target() {
  local gid
  modprobe -a target_core_mod target_core_iblock ib_srpt && modprobe brd rd_nr=1 rd_size=4096 && mkdir -p /etc/target || return
  mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config || return
  mkdir -p $TARGETS/core/iblock_0/ram && echo "udev_path=/dev/ram0," >$TARGETS/core/iblock_0/ram/control && echo 1 >$TARGETS/core/iblock_0/ram/enable || return
  gid=$(cat /sys/class/infiniband/rxe0/ports/1/gids/0)
  KERNEL_TPG=$TARGETS/srpt/${gid#fe80:0000:0000:0000:}/${gid#fe80:0000:0000:0000:}
  mkdir -p "$KERNEL_TPG/lun/lun_0" && ln -s $TARGETS/core/iblock_0/ram "$KERNEL_TPG/lun/lun_0/" || return
  mkdir -p "$KERNEL_TPG/acls/$ADDRESS/lun_0" && ln -s "$KERNEL_TPG/lun/lun_0" "$KERNEL_TPG/acls/$ADDRESS/lun_0/" || return
  echo 1 >"$KERNEL_TPG/enable" && echo $KERNEL_PORT >$TARGETS/srpt/discovery_auth/rdma_cm_port || return
  KERNEL_GUID=$(cat /sys/module/ib_srpt/parameters/srpt_service_guid)
}
end_kernel_target() {
  echo 0 >$TARGETS/srpt/discovery_auth/rdma_cm_port
  echo 0 >"$KERNEL_TPG/enable"
  rm "$KERNEL_TPG/acls/$ADDRESS/lun_0/lun_0" && rmdir "$KERNEL_TPG/acls/$ADDRESS/lun_0" "$KERNEL_TPG/acls/$ADDRESS" || return
  rm "$KERNEL_TPG/lun/lun_0/ram" && rmdir "$KERNEL_TPG/lun/lun_0" "$KERNEL_TPG" "$(dirname "$KERNEL_TPG")" $TARGETS/srpt $TARGETS/core/iblock_0/ram $TARGETS/core/iblock_0 || return
  timeout 60 modprobe -r ib_srpt target_core_iblock brd
}

# ── Our target ──────────────────────────────────────────────────────────────────────────────────────────────────────

write_config '{"method": "bdev_malloc_create", "params": {"name": "ram01", "num_blocks": 8192, "block_size": 512}}'
must "the target starts" start_target 0x1
OURS=$ADDRESS:$PORT,id_ext=$ID_EXT,ioc_guid=$IOC_GUID
for form in direct indirect partial immediate; do
  compares "form $form: what was written to our target is read back" "$OURS" --form $form
done
compares "so is it through two channels, in 64 KiB" "$OURS" --channels 2 -o 64k -q 4 -d 300
check "no login there is refused without a reason" refuses "no target is called" --target "$ADDRESS:$PORT,id_ext=1,ioc_guid=2"
check "nor where nobody listens" refuses "nothing listens there" --target "$ADDRESS:5999,id_ext=1,ioc_guid=2"
check "nor from an address that no RDMA device has" refuses "rdma link|No such device|Cannot assign" --target "$OURS" --local 127.0.0.1
check "no session is left" until_true 20 eval '[ "$(rpc srp_get_sessions)" = "[]" ]'

# ── The kernel's ────────────────────────────────────────────────────────────────────────────────────────────────────

must "the kernel's target starts" kernel_target
KERNELS=$ADDRESS:$KERNEL_PORT,id_ext=$KERNEL_GUID,ioc_guid=$KERNEL_GUID
for form in direct indirect immediate; do
  compares "form $form: what was written to the kernel's target is read back" "$KERNELS" --form $form
done
compares "both targets at once, at a rate" "$OURS" --target "$KERNELS" --rate 2000 -d 1000
check "the kernel's target goes away" end_kernel_target
