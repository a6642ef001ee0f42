#!/usr/bin/env bash
# The part of the driver that watches while a recipe's top level runs. Stands before driver.bash in one program, keeps
# the same rules, and calls what is defined there.
#
# Reading a recipe takes milliseconds. One that loops, forks or eats memory without end is stopped with a sentence long
# before the phase's own limit, which is made for compilers. The guard only uses builtins: where there are too many
# processes, it could not have another one. It ends when the pipe that it waits at says so or is gone.

# State, parent, group and session of a process, in _rbee_stat.
_rbee_stat_of() {
  local line
  _rbee_stat=()
  IFS= builtin read -r line 2>/dev/null <"/proc/$1/stat" || return 1
  # shellcheck disable=SC2206
  _rbee_stat=(${line##*) })
}

# Has more come from $$ than a recipe's head can need? Looked for only when the machine has so many more processes. What
# has left the session still comes from $$, or from who started it, who gets the orphans where there is a subreaper.
_rbee_crowd() {
  local entry up count=0 parents=()
  set -- /proc/[0-9]*
  if [ "$#" -lt $((_rbee_before + 300)) ]; then
    return 1
  fi
  for entry in "$@"; do
    if _rbee_stat_of "${entry#/proc/}"; then
      parents[${entry#/proc/}]=${_rbee_stat[1]}
    fi
  done
  for up in "${!parents[@]}"; do
    while [ "${up:-0}" -gt 1 ] && [ "$up" != "$PPID" ]; do
      up=${parents[$up]}
    done
    if [ "$up" = "$PPID" ]; then
      count=$((count + 1))
    fi
  done
  [ "$count" -gt 300 ]
}

# Pages of memory that $$ has, as far as the system tells: more than 1 GiB of 4 KiB each?
_rbee_fat() {
  local pages=
  builtin read -r _ pages _ 2>/dev/null <"/proc/$$/statm"
  [ "${pages:-0}" -gt 262144 ]
}

_rbee_guard() {
  local why='' began=$SECONDS
  # Not by `builtin`, which would end it with this line.
  exec >/dev/null 2>&1
  set -- /proc/[0-9]*
  _rbee_before=$#
  while [ -z "$why" ]; do
    if builtin read -r -t 1 -u 62 || [ ! -p "$_rbee_work/guard" ] || ! builtin kill -0 "$$"; then
      builtin exit 0
    elif _rbee_crowd; then
      why='started more than 300 processes'
    elif _rbee_fat; then
      why='took more than 1 GiB of memory'
    elif [ $((SECONDS - began)) -ge "$_rbee_read_limit" ]; then
      why="took longer than ${_rbee_read_limit}s"
    fi
  done
  (_rbee_fail "PKGBUILD $why when it was read")
  # All of a group end at one moment, so that none of them can start another one.
  if _rbee_stat_of "$$" && [ "${_rbee_stat[2]}" != "$$" ]; then
    builtin kill -KILL "$$"
  else
    builtin kill -KILL -- "-$$" || builtin kill -KILL "$$"
  fi
}

_rbee_guarded() {
  command rm -f -- "$_rbee_work/guard"
  if command mkfifo -- "$_rbee_work/guard" && exec 62<>"$_rbee_work/guard"; then
    # Nobody's child here: neither `wait` nor `$!` of a recipe knows of it.
    (_rbee_guard &)
  fi
}

_rbee_unguarded() {
  { builtin printf '\n' >&62; } 2>/dev/null
  exec 62>&-
  command rm -f -- "$_rbee_work/guard"
}
