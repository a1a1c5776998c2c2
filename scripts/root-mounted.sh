# Sourced by scripts that make containers. systemd-nspawn and buildah change how / is mounted, for which it has to be a mount: after a chroot it is none.

# need_root_mounted ARGUMENT...: in a changed root, runs the script that calls this once more with these arguments, where / is a mount, and ends with its status.
need_root_mounted() {
  local place status=0
  ! awk '$5 == "/" { found = 1 } END { exit !found }' /proc/self/mountinfo || return 0
  place=$(mktemp -d)
  mount --rbind / "$place" && mount --make-rprivate "$place" || die "cannot make the root a mount"
  chroot "$place" env -C "$PWD" "$(realpath "$0")" "$@" || status=$?
  umount --lazy "$place" && rmdir "$place"
  exit "$status"
}
