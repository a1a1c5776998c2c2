# Sourced: block devices and file systems for a target in the guest to stand on. remove_devices (of take_down) takes all of them away.

export DM_DISABLE_UDEV=1 # nobody runs it here

# file_system TYPE NAME MIB [MKFS-OPTION...]: on a loop device of that size, mounted at /mnt/target/NAME.
file_system() {
  local image=/srv/lab/$2.fs
  truncate -s "$3M" "$image" && "mkfs.$1" -q "${@:4}" "$image" && mkdir -p "/mnt/target/$2" && mount -o loop "$image" "/mnt/target/$2"
}

# loop_disk FILE: prints its device node.
loop_disk() { losetup --find --show --direct-io=on "$1"; }

# null_disk NAME MIB [ATTRIBUTE=VALUE...]: a null_blk that keeps what is written to it; prints its device node.
null_disk() {
  local folder=/sys/kernel/config/nullb/$1 attribute
  [ -e /sys/kernel/config/nullb ] || {
    modprobe null_blk nr_devices=0
    mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
  }
  mkdir "$folder" || return
  for attribute in "size=$2" memory_backed=1 "${@:3}" power=1; do
    echo "${attribute#*=}" >"$folder/${attribute%%=*}" || return
  done
  echo "/dev/$1"
}

# debug_disk MIB [PARAMETER=VALUE...]: scsi_debug, a disk in memory; prints its device node.
debug_disk() {
  modprobe scsi_debug "dev_size_mb=$1" "${@:2}" && until_true 20 disk scsi_debug
}

# mapped_disk NAME <TABLE: by the device mapper; prints its device node.
mapped_disk() { modprobe dm_mod && dmsetup create "$1" && echo "/dev/mapper/$1"; }

remove_devices() {
  local folder
  ! grep -q ' /mnt/target/' /proc/mounts || umount /mnt/target/*
  [ ! -e /sys/module/dm_mod ] || dmsetup remove_all
  losetup -D
  for folder in /sys/kernel/config/nullb/*/; do [ ! -e "$folder" ] || rmdir "$folder"; done
  [ ! -e /sys/module/brd ] || modprobe -r brd
  [ ! -e /sys/module/null_blk ] || modprobe -r null_blk
  # The kernel may hold on to a disk that was unplugged under load, after everybody has closed it.
  [ ! -e /sys/module/scsi_debug ] || until_true 30 modprobe -r scsi_debug || note "       the kernel keeps scsi_debug: what follows gets another guest"
}
