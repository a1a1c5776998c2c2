#!/usr/bin/env bash
# Checks the container file without a registry, a daemon or podman: buildah builds the image on a Debian of mmdebstrap's and runs it, and srp-perf puts load on
# it over loopback. Needs root. Installs what is missing.
#
#   container-check.sh [PACKAGE]    with this package, or with one that it makes
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
. "$ROOT/scripts/root-mounted.sh"
ADDRESS=127.78.1.1

main() {
  local container lun
  [ "$(id -u)" = 0 ] || die "this makes a root file system and a container: run it as root"
  need_root_mounted "$@"
  need_packages buildah mmdebstrap
  PERF=$(build "$ROOT" bin srp-perf)
  WORK=$(mktemp -d)
  PLACES=(--root "$WORK/images" --runroot "$WORK/run" --storage-driver vfs)
  trap 'clean_up' EXIT
  cp "${1:-$("$ROOT/scripts/package.sh")}" "$WORK"
  make_base
  buildah_here bud --quiet --isolation chroot --build-arg BASE=localhost/base -t srpt -f "$ROOT/packaging/Containerfile" "$WORK" >&2
  container=$(buildah_here from srpt)
  write_config >"$WORK/config.json"
  # Chroot isolation knows no entry point: it is read from the image.
  mapfile -t ENTRY < <(buildah_here inspect --type image --format '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}' srpt | sed '/^$/d')
  # In a process group of its own, because buildah does not pass signals on.
  setsid buildah "${PLACES[@]}" run --isolation chroot --user srpt -v "$WORK/config.json:/etc/srpt/config.json:ro" "$container" -- \
    "${ENTRY[@]}" -m 0x1 -c /etc/srpt/config.json --adaptive --channels 4 >"$WORK/log" 2>&1 &
  RUN=$!
  for _ in $(seq 100); do
    ! grep -q 'is ready' "$WORK/log" || break
    kill -0 $RUN 2>/dev/null || die "the container ended: $(cat "$WORK/log")"
    sleep 0.2
  done
  for lun in 0 1; do
    "$PERF" --adaptive --target $ADDRESS:5555 --local 127.78.1.2 --id-ext 1 --ioc-guid 2 --lun $lun -w randrw -q 4 -o 4k -d 300 --verify >"$WORK/perf" 2>&1 ||
      die "load on LUN $lun: $(cat "$WORK/perf" "$WORK/log")"
    say "LUN $lun keeps what is written"
  done
  say "the image is good"
}

# make_base: what the image stands on, without a registry.
make_base() {
  local container suite
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mmdebstrap --quiet --variant=minbase "$suite" "$WORK/base.tar" >&2
  container=$(buildah_here from scratch)
  buildah_here add --quiet "$container" "$WORK/base.tar" / >&2
  buildah_here commit --quiet --rm "$container" localhost/base >&2
}

write_config() {
  chmod 755 "$WORK"
  cat <<JSON
{"subsystems": [
  {"subsystem": "bdev", "config": [
    {"method": "bdev_malloc_create", "params": {"name": "ram0", "num_blocks": 4096, "block_size": 512}},
    {"method": "bdev_uring_create", "params": {"name": "disk01", "filename": "/var/lib/srpt/disk01.img", "size": 8388608}}]},
  {"subsystem": "srp", "config": [
    {"method": "srp_create_target", "params": {"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "ram0"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "disk01"}},
    {"method": "srp_create_listener", "params": {"fabric": "roce", "address": "$ADDRESS", "port": 5555}}]}]}
JSON
}

# buildah_here ARGUMENTS...: with images and containers of this run alone.
buildah_here() { buildah "${PLACES[@]}" "$@"; }

clean_up() {
  [ -z "${RUN:-}" ] || { kill -- "-$RUN" 2>/dev/null && wait "$RUN" 2>/dev/null; } || true
  buildah_here rm --all >/dev/null 2>&1 || true
  rm -rf "$WORK"
}

main "$@"
