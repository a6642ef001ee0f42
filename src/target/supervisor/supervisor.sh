# The supervisor: runs commands on a host and outlives none of them. POSIX sh; fed through stdin, see mod.rs.
#
# Given: N nonce of our records, K cookie that commands carry, L seconds a tick, M silent ticks before we are on our
# own, G naps of grace, F the first request if it came with us, V level of containment (from prelude.sh), D our cgroup
# where V is cgroup.
# shellcheck disable=SC2154,SC2015
# Descriptors: 3 control in, 1 control out and the command's stdout, 4 the command's stderr, 2 nowhere.
exec 3<&0 4>&2 </dev/null 2>/dev/null
# What we may have come in.
unset LC_RBEE_1 LC_RBEE_2
nl='
'
C='' A='' P='' T='' w='' I='' clean='' cg='' hard='' how='none' left='' setsid='' grepl='' reaping='' fine=''

# One record; a single write, so that it cannot be torn apart.
say() { printf '\036%s %s\n' "$N" "$*"; }

# A line as it is. The printf of mksh is a program: a fork for each line, and a secret would be among its arguments.
if [ -n "${KSH_VERSION-}" ]; then
  put() { print -r -- "$1"; }
else
  put() { printf '%s\n' "$1"; }
fi

# A signal that is said again may fail a sleep, too: only one that never slept so short knows no fractions.
nap() { if sleep 0.05; then fine=1; elif [ -z "$fine" ]; then sleep 1; n=$((n - 19)); fi; }

# Counts ticks since the last beat, which is a USR2; an upload that grows is a beat too. Forks one sleep a tick.
ticker() {
  exec >/dev/null 3<&- 4>&-
  trap 'm=0' USR2
  trap 'kill "$s" "$!"; exit 0' USR1 TERM
  m=0 z=''
  while kill -0 "$$"; do
    sleep "$L" & s=$!
    while kill -0 "$s"; do wait "$s"; done
    m=$((m + 1))
    if [ "$m" -gt 1 ] && [ -n "$P" ]; then
      y=$(wc -c <"$P")
      [ "$y" = "$z" ] || m=0
      z=$y
    fi
    if [ "$m" -gt "$M" ]; then
      trap '' USR1 TERM
      # Again and again: a shell that has just forked may lose a signal.
      while kill -0 "$$"; do
        kill -TERM "-$$" || kill -TERM "$$"
        sleep 1
      done
    fi
  done
}

tick() {
  [ -z "$T" ] || { kill -USR1 "$T"; wait "$T"; }
  # Until the ticker has its traps, a beat must not end it, and an end must. A forked shell that still has our trap for a
  # signal loses it, and mksh catches TERM even where there is none: so USR1, which nobody sends us while no command runs.
  trap '' USR2
  trap - USR1
  ticker &
  T=$!
  trap - USR2
  trap cancelled USR1
}

# Idle: waits for one request and prints it. "VERB … LINES", then as many lines. One that did not come whole fails.
next() {
  while IFS= read -r q <&3; do
    case $q in
      b) kill -USR2 "$T" ;;
      q | "#$N") break ;;
      *' '*)
        put "$q"
        n=${q##* }
        while [ "$n" -gt 0 ]; do
          IFS= read -r q <&3 && [ "$q" != "#$N" ] || return 1
          put "$q"
          n=$((n - 1))
        done
        return 0
        ;;
    esac
  done
  return 1
}

# Busy: beats, cancel, cancel without grace, and the end of everything.
watch() {
  exec >/dev/null 4>&-
  while IFS= read -r q <&3; do
    case $q in
      b) kill -USR2 "$T"; kill -0 "$$" || break ;;
      k) kill -USR1 "$$" ;;
      K) kill -HUP "$$" ;;
      "#$N") break ;;
      z) kill -STOP "-$C" ;;
      Z) kill -CONT "-$C" ;;
    esac
  done
  # Again and again: a shell may sleep through what comes just before its wait.
  while kill -TERM "$$"; do nap; done
  kill -KILL "-$C"
}

# Sets `left` to the living processes that came from the command, by the strongest means in force.
look() {
  left=''
  case $1$V in
    xcgroup)
      while read -r p; do left="$left $p"; done <"$cg/cgroup.procs"
      { read -r p; } <"$cg/cgroup.events"
      [ -n "$left" ] || [ "$p" = 'populated 0' ] || left=" $C"
      # The command moves in by itself: until it has, it is ours all the same.
      case " $left " in *" $C "*) ;; *) living "$C" && [ "$pp" = "$$" ] && left="$left $C" ;; esac
      ;;
    xsubreaper)
      front=$$
      while [ -n "$front" ]; do
        more=''
        for p in $front; do
          for f in "/proc/$p/task/"*/children; do
            kids=''
            { read -r kids <"$f"; }
            for k in $kids; do
              [ "$k" != "$T" ] && [ "$k" != "$w" ] && living "$k" || continue
              more="$more $k"
            done
          done
        done
        left="$left$more"
        front=$more
      done
      ;;
    xgroup)
      sweep
      # Between two programs, in its exec, a process has no environment for a moment.
      [ -n "$left" ] || { nap; sweep; }
      ;;
    # Our own code starts nothing that leaves its group. Zombies keep a group, too.
    *) ! kill -0 "-$C" || sweep ;;
  esac
}

# Reads /proc/PID/stat into state, parent, group and session; a name may hold blanks, brackets and line ends.
stat() {
  t=''
  { while IFS= read -r u || [ -n "$u" ]; do t="$t$u "; done <"/proc/$1/stat"; } || return 1
  # shellcheck disable=SC2086
  set -- ${t##*) }
  [ $# -gt 3 ] && st=$1 pp=$2 pg=$3 se=$4
}

living() { stat "$1" && [ "$st" != Z ]; }

# Without cgroup and subreaper: the session, the group, the descendants, and whoever carries the cookie.
sweep() {
  if [ -r /proc/self/stat ]; then
    tree=" $C "
    for d in /proc/[0-9]*; do
      p=${d#/proc/}
      [ "$p" != "$$" ] && [ "$p" != "$T" ] && [ "$p" != "$w" ] && stat "$p" && [ "$st" != Z ] || continue
      # The leader itself, too: it may not have its session yet.
      case "$p $se $pg" in
        "$C "* | *" $C "* | *" $C") left="$left $p"; tree="$tree$p "; continue ;;
      esac
      case $tree in *" $pp "*) left="$left $p"; tree="$tree$p " ;; esac
    done
    if [ -z "$grepl" ]; then
      case $(grep --version) in *GNU*) grepl='gnu' ;; *) grepl='tr' ;; esac
    fi
    if [ "$grepl" = gnu ]; then
      found=$(grep -l "RBEE_COOKIE=$K" /proc/[0-9]*/environ)
    else
      found=$(for d in /proc/[0-9]*; do tr '\0' '\n' <"$d/environ" | grep -qxF "RBEE_COOKIE=$K" && echo "$d/environ"; done)
    fi
    for d in $found; do
      p=${d#/proc/} p=${p%/environ}
      case " $left $$ $T $w " in *" $p "*) ;; *) living "$p" && left="$left $p" ;; esac
    done
  else
    found=$(ps -A -o pid= -o ppid= -o pgid= -o stat= | while read -r p pp pg st; do
      case $st in Z*) continue ;; esac
      [ "$pg" = "$C" ] || [ "$pp" = "$C" ] && echo "$p"
    done; ps axeww -o pid= -o command= | while read -r p t; do
      case $t in *"RBEE_COOKIE=$K"*) echo "$p" ;; esac
    done)
    for p in $found; do
      case " $left $$ $T $w " in *" $p "*) ;; *) kill -0 "$p" && left="$left $p" ;; esac
    done
  fi
}

# Signals the group, its leader and all that was found; a process may have forked since, so callers look again.
strike() {
  kill "-$1" "-$C"
  # shellcheck disable=SC2086
  kill "-$1" "$C" $left
  # A stopped process does not hear a TERM.
  [ "$1" = KILL ] || kill -CONT "-$C"
  [ "$1" != KILL ] || [ -z "$cg" ] || echo 1 >"$cg/cgroup.kill"
}

# TERM, grace, KILL, look.
reap() {
  how='none'
  look "$1"
  [ -n "$left" ] || return
  how='term'
  strike TERM
  n=$G
  while [ "$n" -gt 0 ] && [ -z "$hard" ]; do
    nap
    look "$1"
    [ -n "$left" ] || return
    n=$((n - 1))
  done
  how='kill'
  n=60
  while [ "$n" -gt 0 ]; do
    strike KILL
    nap
    look "$1"
    [ -n "$left" ] || return
    n=$((n - 1))
  done
}

# In a session of its own; the subshell becomes the command, so its pid is the group.
own() {
  case $setsid in
    setsid) exec setsid "$@" ;;
    # Perl's complaints about a locale would be the command's.
    perl)
      PERL_BADLANG=0
      export PERL_BADLANG
      exec perl -e 'use POSIX ();POSIX::setsid();delete $ENV{PERL_BADLANG};exec {$ARGV[0]} @ARGV' "$@"
      ;;
    python3) exec python3 -c 'import os,sys;os.setsid();os.execv(sys.argv[1],sys.argv[1:])' "$@" ;;
  esac
}

# The subshell that this is called in turns into the command.
become() {
  RBEE_COOKIE=$K
  export RBEE_COOKIE
  own "$sh" -c "$1"
}

run() {
  if [ -z "$setsid" ]; then
    for setsid in setsid perl python3 ''; do command -v "$setsid" >/dev/null && break; done
    [ -n "$setsid" ] || { say refuse no setsid, perl or python3; I=''; return; }
  fi
  pre=''
  if [ "$1$V" = xcgroup ]; then
    [ -n "$cg" ] || cgroup || V=group
    [ -z "$cg" ] || pre="echo 0 >'$cg/cgroup.procs' || exit 125$nl"
  fi
  kind=$1 hard='' how='none' before=$! C=new
  if [ -z "$I" ]; then
    (become "$pre$2") 3<&- 2>&4 4>&- &
    C=$!
  else
    # Of a pipeline the last process counts, which is the command.
    put "$I" | (become "$pre$2") 3<&- 2>&4 4>&- &
    C=$! I=''
  fi
  # The group must be known before anybody can ask to end it.
  n=20000
  until kill -0 "-$C" || [ "$n" = 0 ]; do n=$((n - 1)); done
  watch &
  w=$!
  say go "$C"
  wait "$C"
  code=$?
  # A cancel interrupts the wait; its trap has done the killing by now.
  while kill -0 "$C"; do
    wait "$C"
    code=$?
  done
  was=$how
  reap "$kind"
  [ "$how" != none ] || how=$was
  # It may have been forked a moment ago: only KILL is never lost. And it must be gone: one that dies in its read still
  # takes the first byte of the next request.
  kill -KILL "$w"
  while kill -0 "$w"; do wait "$w"; done
  C='' w=''
  say end "$code" "$how" "$V" $left
  say eof >&4
}

# A child cgroup for the commands of this lane.
cgroup() { mkdir "$D/rbee-$K-$$" && cg=$D/rbee-$K-$$; }

# The controller says it again and again until it is done; once is enough.
cancelled() {
  [ -z "$C" ] || [ -n "$reaping" ] || { reaping=1; reap "$kind"; reaping=''; }
}

# Ends the processes of an upload: each stands in the box under its number, before it does anything else. Once the box
# has another name, nobody can come in any more.
evict() {
  mv "$A" "$A.x" && A=$A.x
  n=60
  while [ "$n" -gt 0 ]; do
    left=''
    for p in "$A"/*; do
      p=${p##*/}
      case $p in '' | *[!0-9]*) continue ;; esac
      kill -KILL "-$p"
      kill -KILL "$p"
      if [ -r /proc/self/stat ]; then living "$p"; else kill -0 "$p"; fi && left="$left $p"
    done
    [ -n "$left" ] || break
    nap
    n=$((n - 1))
  done
  rm -rf "$A"
  A=''
}

# The end of the lane. Nothing is written to a channel before all is dead and clean.
finish() {
  trap '' USR1 TERM HUP PIPE
  [ "$C" != new ] || [ "$!" = "$before" ] || C=$!
  case $C in '' | new) left='' ;; *) reap "$kind" ;; esac
  kill -USR1 "$T"
  [ -z "$w" ] || kill -KILL "$w"
  [ -z "$A" ] || evict
  # Files go as fast as the disk lets them. Said by another, so that no channel can hold up the cleaning.
  t=''
  [ -n "$1$left" ] || { say dead & t=$!; }
  # Each cleanup sets `bad` when it could not.
  (bad='' && eval "$clean" && [ -z "$bad" ]) >/dev/null 3<&- 4>&-
  trash=$?
  [ -z "$t" ] || kill -KILL "$t"
  [ -z "$cg" ] || rmdir "$cg"
  # The ticker that found us lost sees to it that we end; it goes after us.
  [ -n "$1" ] || wait "$T"
  [ -n "$1" ] || say gone "$trash" $left
  exit 0
}

trap 'hard=1; cancelled' HUP
trap 'finish lost' TERM
# A channel that is gone is a reason to clean up, not to die of.
trap 'finish lost' PIPE
tick
say hello "$V" "$$"
say hello >&4
while :; do
  if [ -n "$F" ]; then q=$F F=''; else q=$(next) || break; fi
  case $q in
    'c '*) clean="$clean$nl${q#*"$nl"}"; say ok ;;
    'g '*)
      [ -z "$A" ] || evict
      P=''
      case $q in *"$nl"*) P=${q#*"$nl"} A=$P.in ;; esac
      tick
      # Made here, so that it is there before anybody writes to it, and new.
      if [ -n "$A" ] && ! t=$(umask 077; { mkdir "$A" && set -C && true >"$P"; } 2>&1); then
        say no "${t%%"$nl"*}"
      else
        say ok
      fi
      ;;
    'i '*) I=${q#*"$nl"} ;;
    'x '* | 'r '*) run "${q%% *}" "${q#*"$nl"}" ;;
    # The last one: its end is that of the lane.
    'X '*) run x "${q#*"$nl"}"; break ;;
    'R '*) run r "${q#*"$nl"}"; break ;;
    *) break ;;
  esac
done
finish
