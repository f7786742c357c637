# shellcheck shell=bash
# Functions that the scripts beside this file share. Tests, and hosts with other paths, set the variables.
#
# Only root is trusted. An attacker may control the user of the service. Root therefore never opens, renames or removes a name in a
# directory that this user can write to; such work is done as this user (`as_receiver`). Text from the receiver, from a server or
# from a file of others is printed through `printable`. A lock lies where nobody else can open it.
: "${CIVIC_ROOT:=/srv/civic-orchestrator}"
: "${CIVIC_ETC:=/etc/civic-orchestrator}"
: "${CIVIC_USER:=civic-orchestrator}"
# The program that starts, stops and asks the service. It has the commands of the file `service` beside this one.
: "${CIVIC_SERVICE:=${BASH_SOURCE[0]%/*}/service}"
env_file=$CIVIC_ETC/env_file
# With this locale tools print English, and sort and match bytes.
export LC_ALL=C

# A closed terminal must not end a script between two steps, so errors of printing are ignored.
say() { printf '%s: %s\n' "${0##*/}" "$*" 2>/dev/null || true; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2 || true
  exit 1
}

# usage_of FILE: prints the comment at the top of a script
usage_of() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"; }

# printable TEXT: prints the text of somebody else without anything that moves the cursor or controls the terminal. Every byte that is
# not printable ASCII is shown in the notation of `cat -v`, because such a byte means different things to different terminals.
printable() { printf '%s' "${1:0:4000}" | tr '\n\t' '  ' | cat -v; }

# try WHAT COMMAND...: runs the command; if it fails, prints one sentence and ends the script
try() {
  local what=$1 said
  shift
  said=$("$@" 2>&1) || die "$what: $(reason "$said")"
}

# reason TEXT: prints in one line why a tool failed, from the output of the tool. On a full disk some tools print a line for each file.
reason() {
  case $1 in
    *'No space left on device'* | *'Disk quota exceeded'*) printf 'no room is left on the disk, nothing was changed' ;;
    '') printf 'it does not say why' ;;
    *) printable "${1%%$'\n'*}" ;;
  esac
}

# setting NAME: prints the value in env_file as systemd reads it: without blanks around it, quotes, and a CR at its end
setting() {
  sed -n -E "/^[[:space:]]*$1[[:space:]]*=/{
    s/^[^=]*=[[:space:]]*//
    s/[[:space:]]+\$//
    s/^\"(.*)\"\$/\1/
    s/^'(.*)'\$/\1/
    p
  }" "$env_file" | tail -n 1
}

data_dir() {
  local dir
  dir=$(setting DATA_DIR)
  printf '%s\n' "${dir:-$CIVIC_ROOT/data}"
}

# only_one NAME [SECONDS]: takes this lock, and ends the script when another process still holds it after so many seconds. Anyone who
# can open the file of a lock, even only for reading, can hold the lock for ever. So the files lie in a directory that only root can
# enter. Descriptor 9 is the lock.
only_one() {
  local locks=$CIVIC_ROOT/.locks
  try "$locks cannot be made" install -d -m 0700 "$locks"
  exec 9>"$locks/$1"
  # A process that a killed run started may hold the lock for a moment.
  flock -w "${2:-5}" 9 || die "another $1 is at work"
}

# as_receiver SECONDS COMMAND...: runs the command as the user of the service. An attacker with this user can stop the command, trace
# it and answer in its place. So the command gets no terminal, no environment, no lock, and a time limit. Do not let it write to a
# pipe, because the script would wait for any process that keeps the pipe open.
as_receiver() {
  local seconds=$1
  shift
  if [ "$(id -u)" != 0 ]; then
    env -i PATH="$PATH" "$@" 9>&-
    return
  fi
  timeout --kill-after=1 "$seconds" setsid env -i PATH="$PATH" \
    setpriv --reuid="$CIVIC_USER" --regid="$CIVIC_USER" --clear-groups --no-new-privs -- "$@" 9>&-
}

# put_as_receiver FILE MODE: writes standard input to FILE, whatever stands at that name, as the receiver's user. The receiver removes
# temporary files of this name when it starts.
put_as_receiver() {
  # shellcheck disable=SC2016 # the inner shell expands them
  as_receiver 10 bash -c '
    set -eC
    umask 077
    new=${1%/*}/.tmp-$$-$(od -An -N6 -tx1 /dev/urandom | tr -d " \n")
    trap "rm -f \"$new\"" EXIT
    cat >"$new"
    chmod "$2" "$new"
    sync "$new"
    mv -T "$new" "$1"' put "$1" "$2" >/dev/null 2>&1
}

# http METHOD PATH [HEADER]: prints the answer, head and body, from the first address of the receiver that accepts a connection. The
# header may hold a token, so it is passed in the environment and not in arguments, which everybody on the host can see.
http() {
  local address
  local -x HTTP_HEAD
  HTTP_HEAD=$(printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n%s' "$1" "$2" "${3:-Accept: */*}")
  for address in $("$CIVIC_SERVICE" address); do
    case $address in
      /*) http_by_socket "$address" && return ;;
      *) http_by_port "$address" && return ;;
    esac
  done
  return 1
}

# This uses node, because bash knows no unix sockets.
http_by_socket() {
  # shellcheck disable=SC2016 # it is JavaScript
  timeout --foreground 5 node -e '
    const socket = require("node:net").connect(process.argv[1])
    let left = 65536
    socket.on("error", () => process.exit(1))
    socket.on("data", (part) => {
      process.stdout.write(part.subarray(0, left))
      left -= part.length
      if (left <= 0) process.exit()
    })
    socket.write(`${process.env.HTTP_HEAD}\r\n\r\n`)' "$1" 2>/dev/null | tr -d '\0'
}

http_by_port() {
  # shellcheck disable=SC2016 # the inner shell expands them
  timeout --foreground 5 bash -c '
    exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || exit 1
    printf "%s\r\n\r\n" "$HTTP_HEAD" >&3
    exec head -c 65536 <&3' http "$1" 2>/dev/null | tr -d '\0'
}

# Whether the receiver is ready, or paused by the operator, which also means that it runs as it should. The body of its answer is left
# in `ready_answer`.
is_ready() {
  local answer
  answer=$(http GET /ready) || return 1
  ready_answer=${answer##*$'\n'}
  case $answer in
    'HTTP/1.1 200 '*) return 0 ;;
    *) grep -qE '"reasons":\["paused: ([^"\]|\\.)*"\]' <<<"$ready_answer" ;;
  esac
}

# wait_ready SECONDS: waits until the receiver is ready; false after SECONDS, and at once when the variable `interrupted` is set
wait_ready() {
  local until=$((SECONDS + $1))
  until is_ready; do
    [ -z "${interrupted:-}" ] && [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.2
  done
}

# write_atomically FILE MODE: writes standard input to FILE; an existing file keeps its owner and mode. Use it only in directories of
# root, under a lock.
write_atomically() {
  local new=$1.new
  rm -f "$new" &&
    (umask 077 && cat >"$new") &&
    if [ -e "$1" ]; then chown --reference="$1" "$new" && chmod --reference="$1" "$new"; else chmod "$2" "$new"; fi &&
    sync "$new" &&
    mv -T "$new" "$1" && return
  rm -f "$new"
  return 1
}

random_token() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
