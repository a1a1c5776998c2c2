# Sourced by scenarios with more than one path: udev, dm-multipath with ALUA, and what they say. A path is named by the id_ext of its target.

# start_multipath: udev, which multipathd asks for names, and multipathd itself.
start_multipath() {
  unset DM_DISABLE_UDEV # of devices.sh
  modprobe -a dm_multipath dm_service_time || return
  /lib/systemd/systemd-udevd --daemon || return
  udevadm trigger --subsystem-match=block --action=add && udevadm settle
  # What the user guide recommends, and beside it what is the guest's: it looks more often, and leaves its own disks alone.
  mkdir -p /etc/multipath/conf.d
  cp "$LAB/../multipath.conf" /etc/multipath.conf
  cat >/etc/multipath/conf.d/lab.conf <<'CONF'
defaults {
  polling_interval 1
  max_polling_interval 2
  skip_kpartx yes
}
blacklist {
  devnode "^(vd|loop|sr)"
}
CONF
  multipathd -d -s >"/run/lab/$SCENARIO.multipathd.log" 2>&1 3>&- &
  until_true 30 multipathd show daemon
}

# stop_multipath: all of it ends, and no map is left.
# (The daemon may be gone before it has answered.)
stop_multipath() { multipathd shutdown || true; until_true 30 no_maps && udevadm control --exit; }
no_maps() { multipath -F; [ -z "$(dmsetup ls --target multipath | grep -v "No devices")" ]; }

# path NAME ID_EXT: the device node of the disk that INQUIRY names so, through the target with that id_ext.
path() {
  local host entry model
  for host in /sys/class/scsi_host/host*; do
    [ "$(cat "$host/id_ext" 2>/dev/null)" = "0x$2" ] || continue
    for entry in "$host"/device/target*/*/block/sd*; do
      read -r model <"$entry/device/model" 2>/dev/null && [ "$model" = "$1" ] && [ -b "/dev/${entry##*/}" ] && echo "/dev/${entry##*/}" && return
    done
  done
  return 1
}

# map DEVICE: the device node of the multipath map that a path belongs to.
map() { local holder; for holder in "/sys/block/${1##*/}"/holders/dm-*; do [ -e "$holder" ] && echo "/dev/${holder##*/}" && return; done; return 1; }

# in_use MAP: the working paths of the path group that I/O goes through. The status has features, hardware handler, the numbers of groups and of the next
# one; per group its state (A: in use), its selector's words, the numbers of paths and of words per path; per path device, state (A: works), failures, words.
in_use() {
  local number found=''
  for number in $(dmsetup status -j "$(cut -d: -f1 "/sys/block/${1##*/}/dev")" -m "$(cut -d: -f2 "/sys/block/${1##*/}/dev")" | awk '{
      i = 4; i += $i + 1; i += $i + 1; groups = $i; i += 2
      for (; groups > 0; groups--) {
        state = $i; i += $(i + 1) + 2; paths = $i; words = $(i + 1)
        i += 2
        for (; paths > 0; paths--) { if (state == "A" && $(i + 1) == "A") print $i; i += 3 + words }
      } }'); do
    found+="${found:+ }/dev/$(basename "$(readlink "/sys/dev/block/$number")")"
  done
  echo "$found"
}
# goes_through PATH MAP: after a read, which has the map choose a group.
goes_through() { dd if="$2" of=/dev/null bs=4k count=1 iflag=direct status=none; same "$1" "$(in_use "$2")"; }

# access_state DEVICE: what the kernel's ALUA handler takes it for.
access_state() { cat "/sys/block/${1##*/}/device/access_state"; }
state_is() { same "$1" "$(access_state "$2")"; }

# ios DEVICE: reads and writes that it has done. takes_io DEVICE: they grow.
ios() { awk '{ print $1 + $5 }' "/sys/block/${1##*/}/stat"; }
takes_io() { local before; before=$(ios "$1") && sleep 1 && [ "$(ios "$1")" -gt "$((before + 2))" ]; }
