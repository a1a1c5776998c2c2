#!/usr/bin/env bash
# Opens every dashboard as a person does: srpt-app serves under load, a real Prometheus (Debian's) scrapes it with our rules and consoles, and a headless
# Chromium draws each console page. A panel that shows no data, or an error on a page, fails this. Screenshots are left in target/dashboards, to be looked
# at. Installs what is missing.
#
#   dashboards-check.sh [SECONDS]    with load for so long before the pages are opened (20)
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
PROMETHEUS=$ROOT/scripts/prometheus
SCREENSHOTS=$ROOT/target/dashboards
. "$ROOT/scripts/lab/host/packages.sh"
# Addresses on loopback, others in each run.
NETWORK=127.129.$(($$ % 256))
ADDRESS=$NETWORK.1
CONSOLES=http://$ADDRESS:9090/consoles

# What a page is opened with: all that there is, in the shortest range; and one with choices made.
PAGES=(srpt-overview.html?range=300 srpt-lun.html?range=300 srpt-session.html?range=300 srpt-reactors.html?range=300
  'srpt-lun.html?range=300&target=tgt0&lun=0')
# Panels that may be empty. srp-perf sends no task management; a host may have no huge pages; and with choices made, what LUN 0 does not do.
MAY_BE_EMPTY='^(Aborts and task management|Free huge pages of the host)$'
MAY_BE_EMPTY_CHOSEN='^(Commands that fail or are aborted|Errors of the devices behind)$'

main() {
  local page
  need_packages prometheus chromium fonts-dejavu-core curl
  APP=${SRPT_APP:-$(build "$ROOT" bin srpt-app)}
  PERF=${SRP_PERF:-$(build "$ROOT" bin srp-perf)}
  WORK=$(mktemp -d)
  trap 'clean_up' EXIT
  trap 'exit 1' INT TERM
  mkdir -p "$SCREENSHOTS"
  start_target
  start_prometheus
  start_load
  say "load for ${1:-20} s"
  sleep "${1:-20}"
  ask_too_much
  for page in "${PAGES[@]}"; do
    check_page "$page"
  done
  [ -z "${WRONG:-}" ] || die "dashboards are not as they should be: see above, and $SCREENSHOTS"
  say "all panels show what they should; see for yourself: $SCREENSHOTS"
}

start_target() {
  write_config >"$WORK/config.json"
  start "$APP" -m 0x1 -c "$WORK/config.json" -r "$WORK/socket" --state-dir "$WORK/state" --metrics-listen $ADDRESS:5590 --adaptive --channels 6
  wait_for "the target" "http://$ADDRESS:5590/readyz"
}

# write_config: limits that leave the machine time for the rest, a file with a threshold, and a disk whose writes fail.
write_config() {
  cat <<JSON
{"subsystems": [
  {"subsystem": "bdev", "config": [
    {"method": "bdev_malloc_create", "params": {"name": "ram0", "num_blocks": 32768, "block_size": 512}},
    {"method": "bdev_uring_create", "params": {"name": "disk01", "filename": "$WORK/disk01.img", "size": 67108864, "threshold_percent": 99}},
    {"method": "bdev_null_create", "params": {"name": "disk02", "num_blocks": 32768, "block_size": 512}},
    {"method": "bdev_error_create", "params": {"base_name": "disk02"}},
    {"method": "bdev_error_inject_error", "params": {"name": "EE_disk02", "io_type": "write", "error_type": "failure", "num": 1000000}},
    {"method": "bdev_set_qos_limit", "params": {"name": "ram0", "rw_ios_per_sec": 2000}},
    {"method": "bdev_set_qos_limit", "params": {"name": "disk01", "rw_ios_per_sec": 60}},
    {"method": "bdev_set_qos_limit", "params": {"name": "EE_disk02", "rw_ios_per_sec": 500}}]},
  {"subsystem": "srp", "config": [
    {"method": "srp_create_target", "params": {"name": "tgt0", "id_ext": "1", "ioc_guid": "2"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "ram0"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "disk01"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "EE_disk02"}},
    {"method": "srp_create_listener", "params": {"fabric": "roce", "address": "$ADDRESS", "port": 5555}}]}]}
JSON
}

start_prometheus() {
  cat >"$WORK/prometheus.yml" <<YAML
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: ['$PROMETHEUS/srpt.rules.yml']
scrape_configs: [{job_name: srpt, static_configs: [{targets: ['$ADDRESS:5590']}]}]
YAML
  start prometheus --config.file="$WORK/prometheus.yml" --storage.tsdb.path="$WORK/tsdb" --web.listen-address=$ADDRESS:9090 \
    --web.console.templates="$PROMETHEUS/consoles" --web.console.libraries="$PROMETHEUS/console_libraries"
  wait_for Prometheus "http://$ADDRESS:9090/-/ready"
  sleep 2 # counters are scraped before they count, so that their increase is known
}

# start_load: small and mixed, large on two channels, and failing.
start_load() {
  perf 2 --lun 0 -w randrw -q 8 -o 4k
  perf 3 --lun 1 -w randread -q 4 -o 1M --channels 2
  perf 4 --lun 2 -w randrw -q 4 -o 4k
}

# ask_too_much: an initiator that has commands wait for buffers, and goes without a word: connections meet timeouts, a channel fails.
ask_too_much() {
  perf 5 --lun 1 -w randread -q 64 -o 1M
  sleep 6
  kill -9 "${STARTED[-1]}"
  wait "${STARTED[-1]}" 2>/dev/null || true
  sleep 6
}

# perf HOST OPTIONS...: an initiator of its own.
perf() {
  local host=$1
  shift
  start "$PERF" --adaptive --target $ADDRESS:5555 --local "$NETWORK.$host" --id-ext 1 --ioc-guid 2 -t 100000 "$@"
}

STARTED=()
# start COMMAND...: in the background, with a log of its own; it ends with this script.
start() {
  "$@" >"$WORK/${#STARTED[@]}.log" 2>&1 &
  STARTED+=($!)
}

# wait_for NAME URL: until it answers.
wait_for() {
  for _ in $(seq 300); do
    kill -0 "${STARTED[-1]}" 2>/dev/null || break
    ! curl -sf --noproxy '*' -o /dev/null "$2" || return 0
    sleep 0.2
  done
  die "$1 did not come up: $(tail -n 5 "$WORK/$((${#STARTED[@]} - 1)).log")"
}

# check_page PAGE: a template of ours, with its choices.
check_page() {
  local page=$1 template=${1%%\?*} name panels
  name=${template%.html}
  may_be_empty=$MAY_BE_EMPTY
  case $page in *lun=*) name+=-chosen may_be_empty+="|$MAY_BE_EMPTY_CHOSEN" ;; esac
  open_page "$CONSOLES/$page" "$SCREENSHOTS/$name.png"
  panels=$(grep -c '<section' "$PROMETHEUS/consoles/$template")
  judge_page "$panels" "$may_be_empty" <"$WORK/page.html" >"$WORK/verdict" || WRONG=1
  # What a script throws, or a request that fails, is told on the page's console.
  ! grep -a ':CONSOLE' "$WORK/chromium.log" >>"$WORK/verdict" || WRONG=1
  say "$page: $panels panels"
  sed 's/^/  /' "$WORK/verdict" >&2
}

# open_page URL PNG: leaves the page as it was drawn in page.html, and what Chromium said in chromium.log.
open_page() {
  local options=(--headless --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-proxy-server --user-data-dir="$WORK/chromium" --enable-logging=stderr)
  [ "$(id -u)" != 0 ] || options+=(--no-sandbox) # it refuses to have one as root
  rm -f "$2"
  # Virtual time stands still while requests are under way, so a slow machine sees the same page.
  timeout 120 chromium "${options[@]}" --window-size=1400,2200 --virtual-time-budget=5000 --screenshot="$2" --dump-dom "$1" \
    >"$WORK/page.html" 2>"$WORK/chromium.log" || die "chromium could not open $1: $(tail -n 5 "$WORK/chromium.log")"
  [ -s "$2" ] || die "chromium took no picture of $1: $(tail -n 5 "$WORK/chromium.log")"
}

# judge_page PANELS MAY_BE_EMPTY: reads a page, in which each panel is a line; tells what is wrong, and what is empty and may be.
judge_page() {
  awk -v panels="$1" -v may_be_empty="$2" '
    function wrong(what) { print "WRONG: " title ": " what; bad = 1 }
    !/^<section / { next }
    {
      seen++
      title = kind = picture = $0
      sub(/.*<h2>/, "", title); sub(/<\/h2>.*/, "", title)
      sub(/.*data-kind="/, "", kind); sub(/".*/, "", kind)
      sub(/.*<div class="picture">/, "", picture)
    }
    picture ~ /class="wrong"/ { sub(/.*class="wrong">/, "", picture); sub(/<\/div>.*/, "", picture); wrong(picture); next }
    picture ~ /^<div class="quiet">nothing</ { if (title ~ may_be_empty) print title ": empty, as it may be"; else wrong("nothing is shown"); next }
    picture ~ /NaN|Infinity|undefined/ { wrong("it shows what is no number") }
    # Two points make a line; a mere M is one point, of something that happened once.
    kind == "graph" && title !~ may_be_empty && picture !~ /<path d="M[0-9.]+ [0-9.]+L/ { wrong("no line is drawn") }
    kind == "graph" && picture !~ /<td class="value">[0-9]/ { wrong("the legend has no number") }
    kind == "stat" && picture !~ /<div class="big">[0-9]/ { wrong("there is no number") }
    kind == "stat" && title != "Alerts" && picture ~ /<div class="big">0[^.0-9]/ { wrong("it is 0, under load") }
    kind == "table" && picture !~ /<td/ { wrong("it has no row") }
    END { title = "page"; if (seen != panels) wrong(seen + 0 " panels, of " panels); exit bad }'
}

clean_up() {
  [ ${#STARTED[@]} = 0 ] || kill "${STARTED[@]}" 2>/dev/null || true
  wait
  rm -rf "$WORK"
}

main "$@"
