# The relay: joins a channel to a lane that outlives it. POSIX sh; fed through stdin, see mod.rs.
#
# Given: I the lane's folder, R nonce of our records, Q number of this connection, F 1 while no answer was seen, Y the
# lane's program, k the keeper's text, sh a POSIX shell; so oo and se eo, segment of stdout and stderr and how many bytes
# of it have arrived.
# shellcheck disable=SC2154,SC2015
# Descriptors: 0 and 3 the lane's input, 1 its output, 4 its errors, 5 and 6 the segments of both, 7 the doorbell, 2 nowhere.
exec 3<&0 4>&2 2>/dev/null
umask 077
b=${XDG_CACHE_HOME:-$HOME/.cache}/rbee/roam c='' in=''

# One record; a single write, so that it cannot be torn apart.
say() { printf '\036%s %s\n' "$R" "$*"; }
both() { say "$@"; say "$@" >&4; }

fail() {
  echo "without a connection no command can be kept alive there: $1"
  exit 1
}

# The lane and its keeper, in sessions of their own.
start() {
  cd "$b/$I" || fail "$b/$I cannot be entered"
  e=$(mkfifo i o e 2>&1) || { cd /; rm -rf "${b:?}/$I"; fail "$e"; }
  : >o.0
  : >e.0
  for s in setsid perl python3 ''; do command -v "$s" >/dev/null && break; done
  [ -n "$s" ] || { cd /; rm -rf "${b:?}/$I"; fail 'no setsid, perl or python3'; }
  ( own "$sh" -c "$k" keeper "$sh" "$s" "$Y" ) </dev/null >/dev/null 2>&1 3<&- 4>&- &
  : >ready
}

# Ends the relay before this one; its input is cut off where its count says.
evict() {
  m='' y='' p='' z=''
  { read -r m y p z; } <"p.$1"
  [ -n "$p" ] || return
  echo 'x 0' 1<>"r.$1"
  n=100
  while [ "$n" -gt 0 ]; do
    ! is "$p" "$z" || kill -KILL "$p"
    if is "$m" "$y"; then
      kill -TERM "$m"
      [ "$n" -gt 50 ] || kill -KILL "$m"
    elif [ -s "n.$1" ]; then
      return
    fi
    n=$((n - 1))
    nap
  done
}

# Leaves out so many bytes of a segment.
skip() {
  {
    [ "$1" -lt 65536 ] || dd bs=65536 count=$(($1 / 65536))
    [ $(($1 % 65536)) = 0 ] || dd bs=1 count=$(($1 % 65536))
  } >/dev/null
}

pour() {
  case $1 in
    o) cat <&5 & ;;
    e) cat <&6 >&4 & ;;
  esac
  c=$!
  wait "$c" || { c=''; leave; }
  c=''
}

# Sends all that is there. A segment is kept until the one after it was sent whole: what a channel takes in ahead of
# its reader is a part of that.
copy() {
  while :; do
    pour "$1"
    case $1 in o) n=$((so + 1)) ;; e) n=$((se + 1)) ;; esac
    [ -e "$1.$n" ] || return
    # What came before that one was begun.
    pour "$1"
    case $1 in
      o) so=$n; exec 5<"o.$n"; say seg ;;
      e) se=$n; exec 6<"e.$n"; say seg >&4 ;;
    esac
    rm -f "$1.$((n - 2))"
  done
}

leave() {
  [ -z "$c" ] || kill "$c"
  [ -z "$in" ] || ! is "$in" "$z" || kill -KILL "$in"
  exit 0
}

if [ "$F" = 1 ]; then
  e=$(mkdir -p -- "$b" 2>&1) || fail "$e"
  ! mkdir -- "$b/$I" || start
fi
cd "$b/$I" || { both gone; exit 0; }
n=100
until [ -e ready ] || [ "$n" -le 0 ]; do nap; n=$((n - 1)); done
n=100
until mkdir lock || [ "$n" -le 0 ]; do nap; n=$((n - 1)); done
q=''
{ read -r q; } <cur
if [ -n "$q" ]; then
  # A relay that comes late must not push a later one aside.
  [ "$q" -lt "$Q" ] || { rmdir lock; exit 0; }
  evict "$q"
  [ ! -e "p.$q" ] || [ -s "n.$q" ] || { rmdir lock; both broken; exit 0; }
fi
t=0
for f in n.*; do
  q=0
  { read -r q; } <"$f"
  t=$((t + q))
done
mkfifo "r.$Q"
exec 7<>"r.$Q"
echo 0 >"a.o.$Q"
echo 0 >"a.e.$Q"
echo "$Q" >cur
trap leave TERM
# The count says what went through tee, which is never killed: it ends when what feeds it does.
(
  {
    cat <&3 &
    born "$$"
    y=$t
    born "$!"
    echo "$$ $y $! $t" >"p.$Q"
    wait "$!"
  } | tee i | wc -c >"n.$Q"
  # A shell that waits at its bell may not hear a TERM; without the bell there is nothing left to wait for.
  { [ -p "r.$Q" ] && echo 'x 0' 1<>"r.$Q"; } || kill -KILL "$$"
) >/dev/null 4>&- 7>&- &
n=100
until [ -s "p.$Q" ] || [ "$n" -le 0 ]; do nap; n=$((n - 1)); done
{ read -r q y in z; } <"p.$Q"
rmdir lock
both at "$t"
exec 5<"o.$so" 6<"e.$se" || { both broken; leave; }
skip "$oo" <&5
skip "$eo" <&6
copy o
copy e
while [ ! -e 'done' ]; do
  read -r s n <&7
  case $s in
    # Said first: what is written after it rings again.
    o | e) echo "$n" >"a.$s.$Q"; copy "$s" ;;
    *) [ -e 'done' ] || leave ;;
  esac
done
copy o
copy e
q=''
{ read -r q; } <keeper
cd /
# It waits for nothing but this.
kill -TERM "$q"
rm -rf "${b:?}/$I"
rmdir "$b"
n=20
while [ "$n" -gt 0 ] && kill -0 "$q"; do nap; n=$((n - 1)); done
both over
leave
