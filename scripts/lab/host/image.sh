# Sourced: makes what the guest boots from, once, and keeps it under the cache folder until a new kernel or a changed script asks for another.
#
#   $LAB_CACHE/kernel/     Debian's stock kernel as its package has it: boot/vmlinuz-*, lib/modules/*
#   $LAB_CACHE/initrd.gz   busybox, the few modules that reach the host's root, and host/initrd-init as /init
#   $LAB_CACHE/run/        one folder per run with its logs, the newest KEEP_RUNS of them

LAB_CACHE=$SRPT_CACHE/lab
KEEP_RUNS=20

# What runs on the host, and what the guest uses of the host's root: one list, as both are one file system.
LAB_PACKAGES=(
  qemu-system-x86 busybox-static cpio kmod e2fsprogs util-linux python3              # host
  iproute2 udev libibverbs1 ibverbs-providers librdmacm1                             # the guest's RDMA device, and the target
  fio lsscsi sg3-utils rdmacm-utils ibverbs-utils perftest                           # the initiator's tools
)

# The modules between an empty initrd and the host's root, by name; their dependencies come along.
INITRD_MODULES=(virtio_pci 9pnet_virtio 9p overlay)

# make_image: everything above, as far as it is missing or outdated.
make_image() {
  [ "$(uname -m)" = x86_64 ] || die "the lab boots an x86-64 kernel and is only set up for x86-64 hosts"
  need_packages "${LAB_PACKAGES[@]}"
  mkdir -p "$LAB_CACHE/run"
  exec {image_lock}>"$LAB_CACHE/lock"
  flock "$image_lock" # two runs may start at the same time, the image is made once
  make_kernel
  make_initrd
  exec {image_lock}>&-
}

make_kernel() {
  local package version
  refresh_package_lists
  package=$(apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }')
  version=$(apt-cache show --no-all-versions "${package:-none}" 2>/dev/null | awk '/^Version:/ { print $2; exit }')
  if [ -z "$version" ]; then
    [ -e "$LAB_CACHE/kernel/stamp" ] || die "apt knows no linux-image-amd64: the lab needs Debian's kernel package (is this Debian?)"
    say "warning: apt knows no linux-image-amd64, using the kernel in the cache"
  elif [ "$(cat "$LAB_CACHE/kernel/stamp" 2>/dev/null)" != "$package $version" ]; then
    say "fetching $package $version"
    rm -rf "$LAB_CACHE/kernel" && mkdir -p "$LAB_CACHE/kernel/download"
    chmod 777 "$LAB_CACHE/kernel/download" # apt downloads as its own user
    (cd "$LAB_CACHE/kernel/download" && { apt-get -q download "$package" >&2 || { refresh_package_lists now; apt-get -q download "$package" >&2; }; }) ||
      die "apt could not download $package"
    dpkg-deb -x "$LAB_CACHE"/kernel/download/*.deb "$LAB_CACHE/kernel"
    rm -rf "$LAB_CACHE/kernel/download"
    /sbin/depmod -b "$LAB_CACHE/kernel" "${package#linux-image-}"
    printf '%s\n' "$package $version" >"$LAB_CACHE/kernel/stamp"
  fi
  KERNEL_RELEASE=$(ls "$LAB_CACHE/kernel/lib/modules")
}

make_initrd() {
  local here stamp root=$LAB_CACHE/initrd module file
  here=$(dirname "${BASH_SOURCE[0]}")
  stamp=$(cat "$LAB_CACHE/kernel/stamp" /bin/busybox "$here/image.sh" "$here/initrd-init" | sha256sum)
  [ "$(cat "$LAB_CACHE/initrd.stamp" 2>/dev/null)" != "$stamp" ] || return 0
  say "making the initrd"
  rm -rf "$root" && mkdir -p "$root"/{bin,dev,proc,sys,mnt,overlay,newroot,modules}
  cp /bin/busybox "$root/bin/"
  cp "$here/initrd-init" "$root/init" && chmod +x "$root/init"
  for module in "${INITRD_MODULES[@]}"; do
    /sbin/modprobe -d "$LAB_CACHE/kernel" -S "$KERNEL_RELEASE" --show-depends "$module" || die "the kernel has no module $module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$root/modules/all"
  while read -r file; do
    cp "$file" "$root/modules/" && basename "$file" >>"$root/modules/order" # dependencies first
  done <"$root/modules/all"
  (cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$LAB_CACHE/initrd.gz"
  rm -rf "$root"
  printf '%s\n' "$stamp" >"$LAB_CACHE/initrd.stamp"
}

# A lab without it still runs; the one scenario that wants SPDK's client then says that it is missing.
