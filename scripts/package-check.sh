#!/usr/bin/env bash
# Checks the Debian package: lintian, what is in it, its units; then installs it into a bare Debian, boots that in a container (systemd-nspawn), and has
# the service start as its own user without a capability, be reloaded, serve, be killed and come back, stop, and be removed. Needs root. Installs what is
# missing.
#
#   package-check.sh [PACKAGE]    of this package, or of one that it makes
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
SERVICE=$ROOT/scripts/service
. "$ROOT/scripts/lab/host/packages.sh"
. "$ROOT/scripts/root-mounted.sh"

# The most that `systemd-analyze security` may find exposed, of 100 (its own scale is to 10).
EXPOSURE_MAX=25

main() {
  [ "$(id -u)" = 0 ] || die "this makes a root file system and a container: run it as root"
  need_root_mounted "$@"
  need_packages lintian mmdebstrap systemd systemd-container udev binutils
  PACKAGE=$(realpath "${1:-$("$ROOT/scripts/package.sh")}")
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  check_package
  make_root
  check_units
  check_service
  check_purge
  say "the package is good: $PACKAGE"
}

check_package() {
  local file
  lintian --fail-on error --tag-display-limit 0 --allow-root "$PACKAGE" >&2 || die "lintian finds errors"
  dpkg-deb --fsys-tarfile "$PACKAGE" | tar -t >"$WORK/files"
  for file in usr/sbin/{srpt-app,hugepage-setup,srpt-irq-affinity,srpt-tune} usr/lib/srpt/tuning.sh usr/bin/{srptctl,srp-perf,bdevperf} usr/share/man/man1/srptctl{,-bdev-create-uring}.1.gz \
    usr/share/bash-completion/completions/srptctl usr/share/zsh/vendor-completions/_srptctl usr/share/fish/vendor_completions.d/srptctl.fish usr/lib/systemd/system/{srpt,hugepage-setup}.service \
    usr/lib/{sysusers,tmpfiles}.d/srpt.conf usr/lib/udev/rules.d/60-srpt.rules usr/share/srpt/initiator/srp-connect{,.service,.timer,.conf} etc/default/{srpt,hugepage-setup} etc/srpt/config.json \
    usr/share/doc/srpt/{README.md,service.md,tuning.md,copyright} usr/share/doc/srpt/examples/srpt.service.d/{xdp,passthrough}.conf; do
    grep -qxF "./$file" "$WORK/files" || die "$file is missing in the package"
  done
  dpkg-deb -x "$PACKAGE" "$WORK/unpacked"
  for file in irq-affinity tune; do
    "$WORK/unpacked/usr/sbin/srpt-$file" --help >/dev/null || die "srpt-$file does not find what it sources"
  done
  "$WORK/unpacked/usr/share/srpt/initiator/srp-connect" --help >/dev/null || die "srp-connect does not start"
  readelf -n "$WORK/unpacked/usr/sbin/srpt-app" | grep -q 'Name: command_start' || die "srpt-app has lost its USDT probes"
}

# make_root: the smallest Debian that boots, with the package.
make_root() {
  local suite
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  say "making a bare $suite"
  mmdebstrap --quiet --variant=minbase --include=systemd,dbus,procps,python3 "$suite" "$WORK/root" >&2
  cp "$PACKAGE" "$WORK/root/srv/srpt.deb"
  inside dpkg -i /srv/srpt.deb >&2
  grep -q '^srpt:' "$WORK/root/etc/passwd" || die "the user srpt was not made"
  [ ! -e "$WORK/root/etc/systemd/system/multi-user.target.wants/srpt.service" ] || die "the service is enabled, although nobody asked for it"
}

inside() {
  systemd-nspawn --quiet --register=no --keep-unit --private-network --pipe -D "$WORK/root" "$@"
}

# check_units: as they are, and with each of the drop-ins.
check_units() {
  local unit dropin said
  for dropin in none "$SERVICE"/drop-ins/*.conf; do
    rm -rf "$WORK/root/etc/systemd/system/srpt.service.d"
    [ "$dropin" = none ] || install -D -m 644 "$dropin" "$WORK/root/etc/systemd/system/srpt.service.d/${dropin##*/}"
    for unit in srpt.service hugepage-setup.service; do
      said=$(systemd-analyze verify --root="$WORK/root" "$unit" 2>&1) && [ -z "$said" ] || die "systemd-analyze verify $unit (drop-in: $dropin): $said"
    done
  done
  rm -rf "$WORK/root/etc/systemd/system/srpt.service.d"
  check_initiator_units
  check_udev_rule
  for unit in srpt.service hugepage-setup.service; do
    systemd-analyze security --offline=true --root="$WORK/root" --threshold=$EXPOSURE_MAX --no-pager "$unit" >"$WORK/security" ||
      die "$unit is exposed too much: $(tail -n 1 "$WORK/security")"
    say "$unit: $(tail -n 1 "$WORK/security" | sed 's/[^ -~]//g')"
  done
}

# check_initiator_units: installed as docs/initiator.md says.
check_initiator_units() {
  local from=$WORK/root/usr/share/srpt/initiator unit said
  install -m 755 "$from/srp-connect" "$WORK/root/usr/sbin/srp-connect"
  install -m 644 "$from"/srp-connect.{service,timer} "$WORK/root/etc/systemd/system/"
  for unit in srp-connect.service srp-connect.timer; do
    said=$(systemd-analyze verify --root="$WORK/root" "$unit" 2>&1) && [ -z "$said" ] || die "systemd-analyze verify $unit: $said"
  done
  rm "$WORK/root/usr/sbin/srp-connect" "$WORK/root/etc/systemd/system"/srp-connect.{service,timer}
}

# check_udev_rule: udev understands it (newer ones say), and it gives the service's group what its unit is let to open.
check_udev_rule() {
  local rule=$WORK/root/usr/lib/udev/rules.d/60-srpt.rules said
  ! udevadm --help | grep -q '^  verify' || said=$(udevadm verify "$rule" 2>&1) || die "udevadm verify: $said"
  grep -qx 'SUBSYSTEM=="infiniband_mad", KERNEL=="umad\*", GROUP="srpt", MODE="0660"' "$rule" || die "the udev rule does not give umad to the group srpt"
}

# check_service: boots, has the script below as a unit of its own, and powers off.
check_service() {
  local root=$WORK/root
  sed -i 's/^SRPT_OPTIONS=.*/SRPT_OPTIONS=--adaptive --channels 4/' "$root/etc/default/srpt"
  ln -s /lib/systemd/system/srpt.service "$root/etc/systemd/system/multi-user.target.wants/srpt.service"
  install -m 755 "$SERVICE/check-inside.sh" "$root/srv/check-inside.sh"
  cat >"$root/etc/systemd/system/check.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c '/srv/check-inside.sh >/srv/check.log 2>&1; echo $? >/srv/check.status'
ExecStopPost=/bin/systemctl poweroff --no-block
TimeoutStartSec=300
[Install]
WantedBy=default.target
UNIT
  mkdir -p "$root/etc/systemd/system/graphical.target.wants"
  ln -s ../check.service "$root/etc/systemd/system/graphical.target.wants/check.service"
  say "booting it"
  timeout 400 systemd-nspawn --quiet --register=no --keep-unit --private-network --boot -D "$root" >"$WORK/console" 2>&1 </dev/null ||
    die "the container did not boot or not end: $(tail -n 20 "$WORK/console")"
  sed 's/^/  /' "$root/srv/check.log" >&2
  [ "$(cat "$root/srv/check.status" 2>/dev/null)" = 0 ] || die "the service is not as it should be: see above"
}

# check_purge: everything of the package goes, and nothing that an initiator wrote.
check_purge() {
  local left image=var/lib/srpt/disk01.img
  rm "$WORK/root/etc/systemd/system/check.service" "$WORK/root/etc/systemd/system/graphical.target.wants/check.service"
  touch "$WORK/root/var/lib/srpt/unit-0000000000000001.json"
  echo data >"$WORK/root/$image"
  inside dpkg --purge srpt >&2
  left=$(cd "$WORK/root" && find etc/srpt etc/default/srpt var/lib/srpt/* usr/sbin/srpt-app etc/systemd/system/multi-user.target.wants/srpt.service 2>/dev/null || true)
  [ "$left" = "$image" ] || die "of the package and the disk image beside its states, this is left: $left"
}

main "$@"
