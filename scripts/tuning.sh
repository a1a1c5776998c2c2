# Sourced by irq-affinity and tune: masks of cores, and files of /proc and /sys that are changed, remembered and put back.
#
# What a file held before it was first changed stands in $STATE, a line for each: PATH, a tab, VALUE. /run does not outlive a reboot, nor do the changes.
# It is not /run/srpt: systemd removes that when the service stops, and it is the service's own user's, who is not to choose what root writes.

# For tests: where /proc, /sys and /run are.
ROOT_DIR=
FAILED=0
CORE_LIMIT=1024

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() { warn "error: $*"; exit 1; }
usage_error() { warn "error: $*; --help says more"; exit 2; }

# set_root DIR
set_root() {
  [ -d "$1" ] || usage_error "--root: there is no folder $1"
  ROOT_DIR=${1%/}
}

# need_privilege: of the real system, only root can write.
need_privilege() {
  [ -n "$ROOT_DIR" ] || [ "$(id -u)" = 0 ] || die "only root can change this: run it as root"
}

# Cores, as numbers with spaces between, ascending.

# parse_mask MASK: sets CORES to the cores of a mask as srpt-app -m takes it, and checks that they are online.
parse_mask() {
  local text=${1//[[:space:]]/} absent
  case $text in
  '['*']')
    text=${text:1:-1}
    is_list "$text" || usage_error "the core list [$text] has something that is neither a core nor a range; write it as [0,2-4]"
    CORES=$(expand_list "$text") || usage_error "the core list [$text] has a range that runs backwards, or a core above $((CORE_LIMIT - 1))"
    ;;
  '['*) usage_error "the core list $text does not end with a closing bracket; write it as [0,2-4], quoted for the shell" ;;
  *)
    text=${text#0[xX]}
    [[ $text =~ ^[0-9a-fA-F]*$ ]] || usage_error "the core mask $1 is not hexadecimal; give a mask as 0x1d, or a list of cores in brackets as [0,2-4]"
    CORES=$(expand_hex "$text")
    ;;
  esac
  [ -n "$CORES" ] || usage_error "the core mask names no core; give at least one, as 0x1 or [0]"
  ONLINE=$(online_cores)
  absent=$(minus "$CORES" "$ONLINE")
  [ -z "$absent" ] || usage_error "core $(format_list "$absent") of the mask is not online here, only $(format_list "$ONLINE")"
  OTHERS=$(minus "$ONLINE" "$CORES")
}

online_cores() {
  local list
  list=$(read_value /sys/devices/system/cpu/online) && is_list "$list" || die "cannot read which cores are online (/sys/devices/system/cpu/online)"
  expand_list "$list"
}

is_list() { [[ $1 =~ ^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$ ]]; }

# expand_list LIST: 0,2-4 as cores; fails if it is none, runs backwards, or goes too far.
expand_list() {
  local item first last core items=() found=()
  is_list "$1" || return 1
  IFS=, read -ra items <<<"$1"
  for item in "${items[@]}"; do
    first=${item%-*} last=${item#*-}
    ((${#first} < 10 && ${#last} < 10)) || return 1
    first=$((10#$first)) last=$((10#$last))
    ((first <= last && last < CORE_LIMIT)) || return 1
    for ((core = first; core <= last; core++)); do found[core]=$core; done
  done
  join_cores "${found[@]}"
}

# expand_hex MASK: the cores of a mask of any length, with or without the kernel's commas.
expand_hex() {
  local digits=${1//,/} at bit found=()
  for ((at = 0; at < ${#digits}; at++)); do
    for bit in 0 1 2 3; do
      (((16#${digits:${#digits}-1-at:1} >> bit & 1) == 0)) || found+=($((4 * at + bit)))
    done
  done
  join_cores "${found[@]}"
}

join_cores() { printf '%s' "$*"; }

# minus CORES CORES: those of the first that are not among the second.
minus() {
  local core left=()
  for core in $1; do [[ " $2 " == *" $core "* ]] || left+=("$core"); done
  join_cores "${left[@]}"
}

# format_list CORES: as the kernel writes lists, 0,2-4.
format_list() {
  local core first='' last='' text=''
  for core in $1 end; do
    if [ -n "$last" ] && [ "$core" = $((last + 1)) ]; then
      last=$core
      continue
    fi
    [ -z "$first" ] || text+=,$first
    [ "$first" = "$last" ] || text+=-$last
    first=$core last=$core
    [ "$core" != end ] || break
  done
  printf '%s' "${text#,}"
}

# format_hex CORES LIKE: as the kernel writes masks, with as many digits as LIKE, or more if it takes more.
format_hex() {
  local core at count=${2//,/} digits=() text=''
  count=${#count}
  for core in $1; do
    digits[core / 4]=$((${digits[core / 4]:-0} | 1 << core % 4))
    ((core / 4 < count)) || count=$((core / 4 + 1))
  done
  for ((at = 0; at < count; at++)); do
    ((at == 0 || at % 8)) || text=,$text
    printf -v text '%x%s' "${digits[at]:-0}" "$text"
  done
  printf '%s' "$text"
}

# Files

# read_value PATH: what it holds; of a choice as `always [madvise] never`, what is chosen.
read_value() {
  local value
  { value=$(<"$ROOT_DIR$1"); } 2>/dev/null || return 1
  value=${value%%$'\n'*}
  [[ $value =~ ^[^[]*\[([^]]+)\] ]] && value=${BASH_REMATCH[1]}
  printf '%s' "$value"
}

# write_value PATH VALUE: on failure ERROR says why.
write_value() {
  ERROR=$({ printf '%s\n' "$2" >"$ROOT_DIR$1"; } 2>&1) && return 0
  ERROR=${ERROR##*: }
  return 1
}

# For the scripts to replace: how a file is changed, what it is called, and what to do if that fails.
set_value() { write_value "$@"; }
label() { printf '%s' "$1"; }
refused() {
  warn "$(label "$1"): stays $2: $ERROR"
  FAILED=1
}

# What was, and what is wanted

declare -A WAS=() WANTED=()
REMEMBERED=() # paths of WAS, in order
PLANNED=()    # paths of WANTED, in order

# load_state NAME: what earlier calls of this script have changed.
load_state() {
  local path value
  STATE=$ROOT_DIR/run/srpt-tuning/$1
  [ -e "$STATE" ] || return 0
  while IFS=$'\t' read -r path value; do
    [[ $path =~ ^/(proc|sys)/ && $path != */../* ]] || die "$STATE: $path is no file of /proc or /sys; if nothing is to be put back, remove the file"
    remember "$path" "$value"
  done <"$STATE"
}

# save_state: a reader finds the old one or the new one.
save_state() {
  local path
  if ((${#REMEMBERED[@]} == 0)); then
    rm -f "$STATE"
    rmdir "${STATE%/*}" 2>/dev/null || true
    return
  fi
  mkdir -p "${STATE%/*}" || die "cannot make ${STATE%/*}: nothing was changed"
  for path in "${REMEMBERED[@]}"; do printf '%s\t%s\n' "$path" "${WAS[$path]}"; done >"$STATE.new" && mv "$STATE.new" "$STATE" ||
    die "cannot write $STATE"
}

remember() {
  [ -z "${WAS[$1]+known}" ] || return 0
  WAS[$1]=$2
  REMEMBERED+=("$1")
}

forget() {
  local path kept=()
  for path in "${REMEMBERED[@]}"; do [ "$path" = "$1" ] || kept+=("$path"); done
  unset "WAS[$1]"
  REMEMBERED=("${kept[@]}")
}

# first_value PATH: what it held before it was ever changed.
first_value() {
  if [ -n "${WAS[$1]+known}" ]; then printf '%s' "${WAS[$1]}"; else read_value "$1"; fi
}

# plan PATH VALUE: has it changed by apply_plan, unless it held that already, or cannot be read, so that nobody could put it back.
plan() {
  local first
  first=$(first_value "$1") && [ "$first" != "$2" ] || return 0
  WANTED[$1]=$2
  PLANNED+=("$1")
}

# apply_plan: puts back what an earlier call changed and this one does not ask for, and changes what is planned. All is remembered before anything is changed, since
# one change may bring about another.
apply_plan() {
  local path
  for path in "${REMEMBERED[@]}"; do
    [ -n "${WANTED[$path]+wanted}" ] || put_back "$path"
  done
  for path in "${PLANNED[@]}"; do remember "$path" "$(read_value "$path")"; done
  save_state
  for path in "${PLANNED[@]}"; do change "$path" "${WANTED[$path]}"; done
  save_state
}

change() {
  local before after
  before=$(read_value "$1")
  if [ "$before" = "$2" ]; then
    say "$(label "$1"): is $2 already; it was ${WAS[$1]}"
    return
  fi
  if set_value "$1" "$2"; then
    after=$(read_value "$1")
    if [ "$after" = "$2" ]; then
      say "$(label "$1"): was $before, is $after"
      return
    fi
    ERROR="the system took no $2"
  fi
  after=$(read_value "$1")
  refused "$1" "$after"
  [ "$after" != "${WAS[$1]}" ] || forget "$1"
}

# undo: in the order of the changes. A governor, for one, goes before the preferences that it rules.
undo() {
  local path
  ((${#REMEMBERED[@]})) || say "nothing is to be put back"
  for path in "${REMEMBERED[@]}"; do put_back "$path"; done
  save_state
}

put_back() {
  local before after was=${WAS[$1]}
  if ! before=$(read_value "$1"); then
    say "$(label "$1"): is not there any more"
    forget "$1"
  elif [ "$before" = "$was" ]; then
    say "$(label "$1"): is $was"
    forget "$1"
  elif write_value "$1" "$was"; then
    after=$(read_value "$1")
    say "$(label "$1"): was $before, is $after$([ "$after" = "$was" ] || printf ', %s was asked for' "$was")"
    forget "$1"
  else
    refused "$1" "$before"
    FAILED=1
  fi
}

# show_state: what was changed and not put back.
show_state() {
  local path
  ((${#REMEMBERED[@]})) || say "nothing is changed"
  for path in "${REMEMBERED[@]}"; do say "$(label "$path"): is $(read_value "$path" || printf gone), was ${WAS[$path]}"; done
}
