# The keeper: stands above a lane that outlives its connections, in the lane's folder. See mod.rs.
#
# $1 a POSIX shell, $2 what makes a session, $3 the lane's program.
# shellcheck disable=SC2015
echo "$$" >keeper

# Wakes the present relay, unless it has not taken the last ring yet: then it will see what is new anyway.
ring() {
  k='' a=''
  { read -r k; } <cur
  { read -r a; } <"a.$1.$k"
  [ -n "$k" ] || return
  [ "$k" = "$rk" ] || rk=$k ri=0
  [ "$a" = "$ri" ] || return
  ri=$((ri + 1))
  echo "$1 $ri" 1<>"r.$k"
}

# Moves a stream to segments of some 16 MiB, and waits when 16 of them were not taken: so the command waits, too.
pump() {
  n=0 c=0 rk='' ri=0
  while d=$(LC_ALL=C dd bs=65536 count=1 2>&1 >>"$1.$n"); do
    case $d in 0+0*) break ;; esac
    [ "$1" = e ] || [ -e up ] || : >up
    ring "$1"
    c=$((c + 1))
    [ "$c" -ge 64 ] || continue
    c=0
    [ $(($(wc -c <"$1.$n"))) -ge 16777216 ] || continue
    n=$((n + 1))
    : >"$1.$n"
    while [ -e "$1.$((n - 16))" ]; do sleep 1; done
  done
  : >"end.$1"
}

# A lane whose program never came whole has nobody who would end it.
guard() {
  trap 'kill "$z"; exit 0' TERM
  sleep 60 &
  z=$!
  wait "$z"
  [ -e up ] || kill -KILL "$lane"
}

s=$2
# Each opened for both first, so that nobody waits for an other end.
# shellcheck disable=SC2094
exec 3<>i 4<>o 5>o 6<o 4>&- 7<>e 8>e 9<e 7>&-
# By exec: a redirected function keeps copies of what it closes, and with them a pipe open that should end.
( exec <&6 3>&- 5>&- 6<&- 8>&- 9<&-; pump o ) &
po=$!
( exec <&9 3>&- 5>&- 6<&- 8>&- 9<&-; pump e ) &
pe=$!
( own "$1" -c "$3" ) <i >&5 2>&8 3>&- 5>&- 6<&- 8>&- 9<&- &
lane=$!
exec 5>&- 6<&- 8>&- 9<&-
( exec 3>&-; guard ) &
g=$!
wait "$lane"
n=40
until [ -e end.o ] && [ -e end.e ] || [ "$n" -le 0 ]; do nap; n=$((n - 1)); done
: >'done'
[ -e end.o ] || kill -KILL "$po"
[ -e end.e ] || kill -KILL "$pe"
kill "$g"
d=$(pwd)
# The last words wait a while for somebody to take them, and the folder for its end.
n=600
while [ -e 'done' ] && [ "$n" -gt 0 ]; do
  k=''
  { read -r k; } <cur
  [ -z "$k" ] || [ ! -p "r.$k" ] || [ $((n % 20)) != 0 ] || echo 'x 0' 1<>"r.$k"
  nap
  n=$((n - 1))
done
m='' y='' p='' z=''
{ read -r m y p z; } <"p.$k"
if [ -n "$p" ]; then
  ! is "$m" "$y" || kill "$m"
  ! is "$p" "$z" || kill -KILL "$p"
  nap
  ! is "$m" "$y" || kill -KILL "$m"
fi
cd / && rm -rf "$d" && rmdir "${d%/*}"
