# Sourced: boots the guest.

# boot_guest RUN_FOLDER SECONDS: boots, prints the guest's console, and returns when the guest is off: 0, or 124 when its time was up (no SECONDS: never).
# RUN_FOLDER/env tells guest/init.sh what to do; RUN_FOLDER/console.log keeps the console.
# With a network (host/network.sh), QEMU is in its namespace and the guest has a card.
# Call it from the main shell, not from a subshell or a pipe: QEMU dies with the shell that started it, however that one ends.
boot_guest() {
  local run=$1 seconds=$2 status=0
  truncate -s 3G "$run/disk.img" # sparse; its room is given back below
  /sbin/mke2fs -q -F -t ext4 -m 0 -N 8192 -E lazy_itable_init=0,lazy_journal_init=0 "$run/disk.img" >&2
  setpriv --pdeathsig TERM \
    "${IN_NETWORK[@]}" \
    timeout -k 10 "${seconds:-0}" \
    qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp "${LAB_CPUS:-2}" -m 4096 -nodefaults -no-reboot -display none -serial stdio \
    -kernel "$LAB_CACHE/kernel/boot/vmlinuz-$KERNEL_RELEASE" -initrd "$LAB_CACHE/initrd.gz" \
    -append "console=ttyS0 quiet loglevel=2 panic=-1 log_buf_len=4M mitigations=off random.trust_cpu=on hugepages=${LAB_HUGEPAGES:-320}${LAB_KERNEL_ARGUMENTS:+ $LAB_KERNEL_ARGUMENTS}" \
    -virtfs "local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap" \
    -virtfs "local,path=${run//,/,,},mount_tag=run,security_model=none,multidevs=remap" \
    -drive "file=${run//,/,,}/disk.img,format=raw,if=virtio,cache=unsafe,discard=unmap" \
    "${NETWORK_CARD[@]}" \
    </dev/null > >(sed -u 's|\r$||; /reboot: Power down/d' | tee -a "$run/console.log") 2>&1 &
  QEMU_PID=$!
  wait "$QEMU_PID" || status=$?
  QEMU_PID=
  rm -f "$run/disk.img"
  return "$status"
}

# stop_guest: for the EXIT trap of whoever called boot_guest.
stop_guest() {
  [ -z "${QEMU_PID:-}" ] || { kill "$QEMU_PID" 2>/dev/null; wait "$QEMU_PID" 2>/dev/null; } || true
}
