# shellcheck shell=bash
# What the scripts beside this file share. The three variables are there for tests and for hosts that differ.
: "${CIVIC_ROOT:=/srv/civic-orchestrator}"
: "${CIVIC_ETC:=/etc/civic-orchestrator}"
# what starts, stops and asks the service: a program with the commands of the file `service` beside this one
: "${CIVIC_SERVICE:=${BASH_SOURCE[0]%/*}/service}"
env_file=$CIVIC_ETC/env_file

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# usage_of FILE: the comment at the top of a script
usage_of() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"; }

# setting NAME: its value in env_file; quotes around it are not part of it
setting() {
  sed -n -E "s/^$1=[\"']?([^\"']*)[\"']?[[:space:]]*\$/\1/p" "$env_file" | tail -n 1
}

data_dir() {
  local dir
  dir=$(setting DATA_DIR)
  printf '%s\n' "${dir:-$CIVIC_ROOT/data}"
}

# http METHOD PATH [HEADER]: the answer, head and body, from the receiver. Needs no tool besides bash; the header may hold a
# token, so it travels in the environment and not in arguments, which everybody on the host can see.
http() {
  local address
  address=$("$CIVIC_SERVICE" address)
  # shellcheck disable=SC2016 # the inner shell expands them
  HTTP_HEAD=$(printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n%s' "$1" "$2" "${3:-Accept: */*}") \
    timeout 5 bash -c '
      exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || exit 1
      printf "%s\r\n\r\n" "$HTTP_HEAD" >&3
      cat <&3' http "$address" 2>/dev/null
}

# Ready, or paused by the operator: then it runs as it should. What it said is left in `ready_answer`.
is_ready() {
  local answer
  answer=$(http GET /ready) || return 1
  ready_answer=${answer##*$'\n'}
  case $answer in
    'HTTP/1.1 200 '*) return 0 ;;
    *) grep -qE '"reasons":\["paused: ([^"\]|\\.)*"\]' <<<"$ready_answer" ;;
  esac
}

# wait_ready SECONDS
wait_ready() {
  local until=$((SECONDS + $1))
  until is_ready; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.2
  done
}

# write_atomically FILE: standard input becomes its content; owner and mode stay
write_atomically() {
  local new
  new=$(mktemp "$1.XXXXXX")
  # shellcheck disable=SC2064 # the name as it is now
  trap "rm -f '$new'" EXIT
  cat >"$new"
  if [ -e "$1" ]; then
    chown --reference="$1" "$new"
    chmod --reference="$1" "$new"
  fi
  sync "$new"
  mv -T "$new" "$1"
  trap - EXIT
}

random_token() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
