# The keeper: starts the worker, keeps its log within bounds, and starts it again if it is to. Its folder is where this
# file is. Given: RESTART, KEYENV the variable that the API key goes to, COUNT pieces a log, and `program`.
# shellcheck disable=SC2154
umask 077
D=${0%/*}
# Nobody is here who does not stand in the box, unless it was kept.
[ -d "$D/kept" ] || { true >"$D/in/$$"; } 2>/dev/null || exit 1
# A cgroup of its own, where one can be had: what comes from here cannot leave it. It is known before anybody is in it. A
# service has one already; a run's is not left.
cage() {
  while read -r _ c u _; do [ "$u" != cgroup2 ] || break; done </proc/mounts
  [ "$u" = cgroup2 ] || return
  while IFS= read -r u; do
    case $u in 0::*) c=$c${u#0::} ;; esac
  done </proc/self/cgroup
  case $c in
    *\\* | */rbee-[0-9a-f]*-[0-9]*) return ;;
    */"rbee-worker-${D##*/}.service") put "$c" >"$D/cgroup" && cg=$c; return ;;
    */rbee-worker-*) c=${c%%/rbee-worker-*} ;;
  esac
  c=${c%/}
  [ -w "$c/cgroup.procs" ] || return
  c=$c/rbee-worker-${D##*/}
  mkdir -p "$c" && put "$c" >"$D/cgroup" && put "$$" >"$c/cgroup.procs" && cg=$c
}
cg=''
cage 2>/dev/null
cd "$HOME" || cd / || exit
me
put "$$ $s ${boot:-none}" >"$D/keeper.new" && mv "$D/keeper.new" "$D/keeper" || exit
nl='
'
w='' over='' pause=1 code=0
trap 'over=1; [ -z "$w" ] || kill -TERM "$w"' TERM INT
trap '' HUP

# Moves so many pieces of its input to a file; fails at the end of it. `bad` is set if the file took no more.
piece() {
  l=$(LC_ALL=C dd bs=4096 count="$1" 2>&1 >>"$2")
  bad=$?
  l=${l%%' records in'*} l=${l##*"$nl"}
  [ "$bad" != 0 ] || [ $((${l%+*} + ${l#*+})) -ge "$1" ]
}

# The log goes on in a new file from time to time, and the oldest goes. Where the disk is full, what is said is lost, and
# the worker goes on.
writer() {
  trap '' TERM INT
  while piece "$COUNT" "$D/log"; do
    if [ "$bad" != 0 ]; then
      piece 64 /dev/null || break
      continue
    fi
    mv -f "$D/log.2" "$D/log.3"
    mv -f "$D/log.1" "$D/log.2"
    mv -f "$D/log" "$D/log.1"
  done 2>/dev/null
}

start() {
  if [ -n "$KEYENV" ]; then
    IFS= read -r l <"$D/key"
    eval "$KEYENV=\$l; export $KEYENV"
  fi
  program
}

# Until it is kept, it ends with whoever started it, even if that was killed and could clean up nothing.
lonely() {
  { read -r v vs <"$D/lane"; } 2>/dev/null || return
  while born "$v" && [ "$s" = "$vs" ]; do
    sleep 1
    [ ! -d "$D/kept" ] || return
  done
  mv "$D/in" "$D/out" || return
  [ -z "$cg" ] || put 1 >"$cg/cgroup.kill"
  kill -KILL "-$$"
}

rm -f "$D/pipe" "$D/ended"
mkfifo "$D/pipe" || exit
writer <"$D/pipe" &
log=$!
# Some shells give up waiting for the other end when a child of theirs ends meanwhile: there is none but the writer.
exec >"$D/pipe" 2>&1
rm -f "$D/pipe"
if [ ! -d "$D/kept" ]; then lonely >/dev/null 2>&1 & fi
while [ -z "$over" ]; do
  began=$(date +%s)
  start </dev/null &
  w=$!
  born "$w"
  put "$w $s" >"$D/worker.new" && mv "$D/worker.new" "$D/worker"
  [ -z "$over" ] || kill -TERM "$w"
  wait "$w"
  code=$?
  # A signal ends a wait, not what is waited for.
  while kill -0 "$w" 2>/dev/null; do
    wait "$w"
    code=$?
  done
  w=''
  now=$(date +%s)
  put "$code $now" >"$D/ended.new" && mv "$D/ended.new" "$D/ended"
  [ -n "$RESTART" ] && [ -d "$D/kept" ] && [ -z "$over" ] && [ "$code" != 0 ] || break
  if [ $((now - began)) -ge 60 ]; then pause=1; fi
  put "rbee: the worker ended with status $code; it is started again in $pause s"
  sleep "$pause" &
  w=$!
  wait "$w"
  w=''
  pause=$((pause * 2))
  [ "$pause" -le 60 ] || pause=60
done
exec >/dev/null 2>&1
wait "$log"
exit "$code"
