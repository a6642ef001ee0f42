# What the scripts about running workers share; the models' common.sh stands before it. POSIX sh.
# shellcheck disable=SC2034,SC2154,SC2086,SC2015
case ${XDG_STATE_HOME-} in
  /*) W=$XDG_STATE_HOME/rbee/workers ;;
  *) W=$HOME/.local/state/rbee/workers ;;
esac
me
boot=${boot:-none}

has() { command -v "$1" >/dev/null 2>&1; }

# Reads /proc/PID/stat; a name may hold blanks, brackets and line ends.
stat() {
  t=''
  { while IFS= read -r u || [ -n "$u" ]; do t="$t$u "; done <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${t##*) }
  [ $# -gt 21 ] && st=$1 se=$4 ticks=$((${12} + ${13})) rss=${22}
}

# Whether the process $1 is still the one that was born at $2.
lives() {
  [ -n "$1" ] && born "$1" && [ "$s" = "$2" ] || return 1
  [ ! -r /proc/self/stat ] || { stat "$1" && [ "$st" != Z ]; }
}

# Sets k and w to the keeper and the worker of the folder $1 with the time of their birth, `own` to the session and `cg` to
# the cgroup that are theirs, and `left` to the living processes that came from them.
members() {
  k='' ks='' kb='' w='' ws='' left='' own='' cg=''
  { read -r k ks kb <"$1/keeper"; } 2>/dev/null
  { read -r w ws <"$1/worker"; } 2>/dev/null
  # After another boot, numbers mean nothing.
  [ "${kb:-$boot}" = "$boot" ] || { k='' w=''; return 0; }
  # A session is known by its leader only as long as that is there.
  [ -z "$k" ] || { born "$k"; [ "$s" != "$ks" ] || own=$k; }
  if [ -r /proc/self/stat ]; then
    if [ -n "$own" ]; then
      for p in /proc/[0-9]*; do
        p=${p#/proc/}
        stat "$p" && [ "$st" != Z ] && [ "$se" = "$own" ] && left="$left $p"
      done
    fi
    { IFS= read -r cg <"$1/cgroup"; } 2>/dev/null
    # Nobody else's has this name, and after another boot it is not there.
    case $cg in */rbee-worker-"${1##*/}" | */rbee-worker-"${1##*/}.service") ;; *) cg='' ;; esac
    [ -z "$cg" ] || while read -r p; do
      case " $left " in *" $p "*) ;; *) stat "$p" && [ "$st" != Z ] && left="$left $p" ;; esac
    done 2>/dev/null <"$cg/cgroup.procs"
    marked "${1##*/}"
  else
    for p in $own "$1"/in/* "$1"/out/*; do
      p=${p##*/}
      case $p in *[!0-9]*) continue ;; esac
      left="$left $(ps -A -o pid= -o pgid= -o stat= | while read -r q g t; do
        case $t in Z*) ;; *) [ "$g" != "$p" ] || put "$q" ;; esac
      done)"
    done
    lives "$w" "$ws" && case " $left " in *" $w "*) ;; *) left="$left $w" ;; esac
    left=$(put $left)
  fi
  return 0
}

# Adds those that have the mark of the worker $1 in their environment.
marked() {
  [ -n "${grepl-}" ] || case $(grep --version 2>/dev/null) in *GNU*) grepl='gnu' ;; *) grepl='tr' ;; esac
  if [ "$grepl" = gnu ]; then
    found=$(grep -l "RBEE_WORKER=$1" /proc/[0-9]*/environ 2>/dev/null)
  else
    found=$(for p in /proc/[0-9]*; do
      { tr '\0' '\n' <"$p/environ" | grep -qxF "RBEE_WORKER=$1"; } 2>/dev/null && put "$p/environ"
    done)
  fi
  for p in $found; do
    p=${p#/proc/} p=${p%/environ}
    case " $left $$ " in *" $p "*) ;; *) stat "$p" && [ "$st" != Z ] && left="$left $p" ;; esac
  done
}

# Signals the session and all that was found.
strike() {
  {
    [ -z "$own" ] || kill "-$1" "-$own"
    kill "-$1" $left
    [ "$1" != KILL ] || [ -z "$cg" ] || put 1 >"$cg/cgroup.kill"
    # A stopped process does not hear a TERM.
    [ "$1" = KILL ] || kill -CONT $left
  } 2>/dev/null
}

# Ends all of the folder $1: TERM, G naps, KILL, and looks. `how` says what was needed.
finish() {
  how='none'
  members "$1"
  [ -n "$left" ] || return 0
  how='term'
  strike TERM
  n=$G
  while [ "$n" -gt 0 ]; do
    nap
    members "$1"
    [ -n "$left" ] || return 0
    n=$((n - 1))
  done
  how='kill'
  n=30
  while [ "$n" -gt 0 ]; do
    strike KILL
    nap
    members "$1"
    [ -n "$left" ] || return 0
    n=$((n - 1))
  done
  return 1
}

# Takes away what is left of the folder $1, of which nothing runs any more.
forget() {
  { IFS= read -r cg <"$1/cgroup"; } 2>/dev/null && case $cg in */rbee-worker-"${1##*/}") rmdir "$cg" 2>/dev/null ;; esac
  rm -rf "$1"
}

# Asks http://HOST:PORT/PATH ($1 $2 $3) for a few seconds with whatever there is; h is the status, or empty.
get() {
  h='' l=''
  case $1 in *:*) at="[$1]" ;; *) at=$1 ;; esac
  r="GET $3 HTTP/1.0"
  if has curl; then
    h=$(curl -s -g -m 3 --noproxy '*' -o /dev/null -w '%{http_code}' "http://$at:$2$3" 2>/dev/null)
    [ "$h" != 000 ] || h=''
    return 0
  elif has python3; then
    l=$(python3 -c 'import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
c.sendall((sys.argv[3] + "\r\nHost: localhost\r\n\r\n").encode())
print(c.recv(64).decode("latin-1"))' "$1" "$2" "$r" 2>/dev/null)
  elif has perl; then
    l=$(perl -MIO::Socket::IP -e '$SIG{ALRM} = sub { exit 1 }; alarm 3;
$c = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], Timeout => 3) or exit 1;
print $c "$ARGV[2]\r\nHost: localhost\r\n\r\n"; print scalar <$c>' "$1" "$2" "$r" 2>/dev/null)
  elif has bash; then
    l=$(bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf "%s\r\nHost: localhost\r\n\r\n" "$2" >&3 && IFS= read -r -t 3 l <&3 && echo "$l"' \
      "$1" "$2" "$r" 2>/dev/null)
  elif has nc; then
    l=$(printf '%s\r\nHost: localhost\r\n\r\n' "$r" | nc -w 3 "$1" "$2" 2>/dev/null | head -n 1)
  else
    # Nobody here can ask: that somebody listens has to do.
    h=200
    listened "$2" || h=''
    return 0
  fi
  case $l in HTTP/1.*' '*) h=${l#* } h=${h%%"${h#???}"} ;; esac
}

# The sockets on which somebody listens on port $1, as numbers in `nodes`; fails if there is none.
listened() {
  nodes='' x=$(printf '%04X' "$1")
  for f in /proc/net/tcp /proc/net/tcp6; do
    { while read -r _ l _ t _ _ _ _ _ u _; do
      [ "$t" = 0A ] && [ "${l##*:}" = "$x" ] && nodes="$nodes $u"
    done <"$f"; } 2>/dev/null
  done
  [ -n "$nodes" ]
}

# Whether who listens on port $1 is one of `left`; true where nobody can tell.
ours() {
  if [ -r /proc/net/tcp ]; then
    listened "$1" || return 0
    for p in $left; do
      l=$(ls -l "/proc/$p/fd" 2>/dev/null)
      for u in $nodes; do
        case $l in *"socket:[$u]"*) return 0 ;; esac
      done
    done
    return 1
  elif has lsof; then
    l=$(lsof -nP -t "-iTCP:$1" -sTCP:LISTEN 2>/dev/null)
    [ -n "$l" ] || return 0
    for p in $l; do
      case " $left " in *" $p "*) return 0 ;; esac
    done
    return 1
  fi
}
