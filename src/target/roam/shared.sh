# What the relay and the keeper both need.
# shellcheck disable=SC2154,SC2034
# A moment; `n` counts down by moments.
nap() { sleep 0.05 || { sleep 1; n=$((n - 19)); }; }

# In a session of its own, by the means `s`.
own() {
  case $s in
    setsid) exec setsid "$@" ;;
    perl) exec perl -e 'use POSIX ();POSIX::setsid();exec {$ARGV[0]} @ARGV' "$@" ;;
    python3) exec python3 -c 'import os,sys;os.setsid();os.execvp(sys.argv[1],sys.argv[1:])' "$@" ;;
  esac
}

# Sets `t` to when a process began: its number alone may be another one's by now.
born() {
  t=''
  { read -r t; } <"/proc/$1/stat" || { t=$(ps -o lstart= -p "$1" | tr -dc 0-9A-Za-z); return; }
  # shellcheck disable=SC2086
  set -- ${t##*) }
  t=''
  [ $# -gt 19 ] && [ "$1" != Z ] || return
  shift 19
  t=$1
}

# Whether it is still the one that began then.
is() { born "$1"; [ -n "$t" ] && [ "$t" = "$2" ]; }
