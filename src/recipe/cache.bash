#!/usr/bin/env bash
# The part of the driver that keeps what was fetched. Stands before driver.bash in one program, keeps the same rules,
# and calls what is defined there.
#
#   CACHE/rbee/sources/KEY/NAME            a checked download; NAME.part while it grows
#   CACHE/rbee/git/KEY/mirror.git          what was fetched of one repository
#   CACHE/rbee/{sources,git}/KEY/.held     held (flock) by the one who changes what lies beside it
#
# KEY stands for one URL. A lock ends with the last process that has it open, so a build that was killed blocks nobody,
# and one whose curl still runs does. A build never reads in the cache: it has links or copies of its own in WORK, which
# stay as they are whatever another build fetches.
#
# In the phase "gather" sources are put into WORK/gathered and packed, to be unpacked as WORK/given elsewhere: where
# that folder is, nothing is fetched.

_rbee_key_of() {
  local key
  key=$(builtin printf '%s' "$1" | _rbee_digest sha256 /dev/stdin) || return 1
  builtin printf '%s' "${key:0:24}"
}

# A folder of this user's cache for one URL, in _rbee_place. What lies there is checked each time it is used.
_rbee_cache_place() {
  local kind=$1 cache=${XDG_CACHE_HOME:-$HOME/.cache}
  case $cache in
    /*) ;;
    *) cache=$HOME/.cache ;;
  esac
  _rbee_key=$(_rbee_key_of "$2") || _rbee_fail 'no tool here knows sha256'
  if [ -d "$_rbee_work/given" ]; then
    _rbee_place=$_rbee_work/given/$kind/$_rbee_key
    return 0
  fi
  _rbee_place=$cache/rbee/$kind/$_rbee_key
  if [ -z "$_rbee_locker" ]; then
    # Nothing can keep two builds apart here, so each has a cache of its own.
    _rbee_place=$_rbee_work/cache/$kind/$_rbee_key
  fi
  _rbee_make_place
}

_rbee_make_place() {
  (umask 077 && command mkdir -p -- "$_rbee_place") || _rbee_fail "cannot make $_rbee_place"
}

# What can take a lock that the kernel ends with its holder.
_rbee_find_locker() {
  local locker
  _rbee_locker=
  for locker in flock perl; do
    if _rbee_have "$locker"; then
      _rbee_locker=$locker
      return 0
    fi
  done
}

_rbee_try_lock() {
  case $_rbee_locker in
    flock) command flock -n 9 ;;
    # LOCK_EX | LOCK_NB, of the file that is open here already.
    perl) command perl -e 'open(my $f, ">>&=", 9) or exit 2; exit(flock($f, 6) ? 0 : 1)' ;;
  esac
}

# Waits until nobody else changes _rbee_place; $1 is what it is for.
_rbee_lock() {
  local waited=0
  if [ -d "$_rbee_work/given" ] || [ -z "$_rbee_locker" ]; then
    return 0
  fi
  exec 9>>"$_rbee_place/.held" || _rbee_fail "cannot write to $_rbee_place"
  until _rbee_try_lock; do
    # Said again and again, or it would pass for a build that stands still.
    if ((waited % 30 == 0)); then
      _rbee_talk "waiting for another build that fetches $1"
    fi
    command sleep 1
    waited=$((waited + 1))
  done
}

_rbee_unlock() {
  exec 9>&-
}

# Gives this build a file of the cache for its own, at _rbee_taken.
_rbee_take() {
  local name=$1 file=$2 into=$_rbee_work/sources
  if [ "$_rbee_phase" = gather ]; then
    into=$_rbee_work/gathered/sources
  fi
  into=$into/$_rbee_key
  command mkdir -p -- "$into" && command rm -f -- "$into/$name" || _rbee_fail "cannot write to $into"
  command ln -- "$file" "$into/$name" 2>/dev/null || command cp -- "$file" "$into/$name" ||
    _rbee_fail "cannot copy $name from the cache"
  _rbee_taken=$into/$name
}

# One archive of all that was gathered.
_rbee_pack() {
  command mkdir -p -- "$_rbee_work/gathered" &&
    COPYFILE_DISABLE=1 command tar -cf "$_rbee_work/sources.tar" -C "$_rbee_work/gathered" . &&
    command rm -rf -- "$_rbee_work/gathered" || _rbee_fail 'cannot pack the sources'
}

# The other places of a URL that something speaks for, in _rbee_others; HTTPS is never left for HTTP.
_rbee_find_mirrors() {
  local url=$1 prefix to
  _rbee_others=()
  while IFS= builtin read -r prefix && IFS= builtin read -r to; do
    case $url@$prefix in
      "$prefix"*@*/ | "$prefix@$prefix") ;;
      *) continue ;;
    esac
    case $prefix@$to in
      https://*@https://* | https://*@file://* | http://*@http://* | http://*@https://* | http://*@file://* | \
        ftp://*@*://* | git://*@*://* | ssh://*@*://* | file://*@*://*) _rbee_others+=("$to${url#"$prefix"}") ;;
    esac
  done < <(builtin printf '%s' "$_rbee_mirrors")
}
