#!/usr/bin/env bash
# Runs one phase of a recipe: bash driver.bash eval|gather|fetch|build|package WORK
#
#   WORK/recipe/   the recipe's folder ($startdir)        WORK/src/        $srcdir
#   WORK/pkg/      $pkgdir is below it                    WORK/result/     what the phase has to tell
#
# A phase tells by writing records that end in NUL to WORK/result/PHASE, the last one being "end"; what is printed is
# for people and means nothing. A phase without its file has not come to its end, whatever its status says.
#
# Runs on bash 3.2 as well: no associative arrays, no mapfile, no ${x@Q}, no ${x,,}, no `local -`. Names of a recipe
# and of this file live in one shell, so everything here starts with _rbee_.

exec </dev/null
umask 022
unset BASH_ENV ENV CDPATH GLOBIGNORE GREP_OPTIONS POSIXLY_CORRECT
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE GIT_PREFIX
# Not exported, even if the environment has such names.
unset srcdir pkgdir startdir CARCH
_rbee_strings='changelog epoch install pkgbase pkgdesc pkgrel pkgver url'
_rbee_sums='cksums md5sums sha1sums sha224sums sha256sums sha384sums sha512sums b2sums'
_rbee_arch_lists="checkdepends conflicts depends makedepends optdepends provides replaces source $_rbee_sums"
_rbee_lists="arch backup groups license noextract options validpgpkeys $_rbee_arch_lists"
unset pkgname $_rbee_strings $_rbee_lists

_rbee_phase=$1
_rbee_work=$2
_rbee_result=$_rbee_work/result
_rbee_path=$PATH

# --- telling ---------------------------------------------------------------------------------------------------------

_rbee_tell() {
  builtin printf '%s\0' "$@" end >|"$_rbee_result/$_rbee_phase"
}

_rbee_fail() {
  # Only the first one counts: what fails after it fails because of it.
  if [ ! -f "$_rbee_result/$_rbee_phase.error" ]; then
    builtin printf '%s' "$1" >|"$_rbee_result/$_rbee_phase.error"
  fi
  builtin exit 1
}

# A failure that might not be one elsewhere: told by the status.
_rbee_unreachable() {
  (_rbee_fail "$1")
  builtin exit 69
}

# The function that runs now, for the one who finds no result.
_rbee_at() {
  builtin printf '%s' "$1" >|"$_rbee_result/$_rbee_phase.at"
}

_rbee_talk() {
  builtin printf '==> %s\n' "$1" >&2
}

_rbee_have() {
  PATH=$_rbee_path builtin type -P "$1" >/dev/null 2>&1
}

# --- evaluating ------------------------------------------------------------------------------------------------------

_rbee_source() {
  _rbee_at PKGBUILD
  builtin cd -- "$startdir" || _rbee_fail "cannot enter the recipe's folder"
  _rbee_guarded
  builtin shopt -u extglob
  if ! builtin source "$startdir/PKGBUILD"; then
    _rbee_fail "PKGBUILD ended with an error when it was read"
  fi
  builtin shopt -s extglob
  IFS=$' \t\n'
  _rbee_unguarded
}

_rbee_check() {
  local found= entry
  if [ -z "${pkgname[0]}" ]; then
    _rbee_fail "PKGBUILD has no pkgname"
  fi
  for entry in "${pkgname[@]}" ${pkgbase:+"$pkgbase"}; do
    if [[ ! $entry =~ ^[A-Za-z0-9@_+][A-Za-z0-9@._+-]*$ ]]; then
      _rbee_fail "pkgname '$entry' may only have letters, digits and @._+-"
    fi
  done
  for entry in "${pkgname[@]:1}" "${pkgname[0]}"; do
    if [ "${#pkgname[@]}" -gt 1 ] && ! declare -F "package_$entry" >/dev/null; then
      _rbee_fail "PKGBUILD makes ${#pkgname[@]} packages, and has no package_$entry() function"
    fi
  done
  if [[ -z $pkgver || $pkgver = *[/:[:space:]-]* ]]; then
    _rbee_fail "pkgver '$pkgver' is empty or has one of '/', ':', '-' and white space"
  elif [ "${#pkgname[@]}" -eq 1 ] && ! declare -F package >/dev/null &&
    ! declare -F "package_${pkgname[0]}" >/dev/null; then
    _rbee_fail "PKGBUILD has no package() function"
  fi
  for entry in "${arch[@]}"; do
    if [ "$entry" = any ] || [ "$entry" = "$CARCH" ]; then
      found=1
    fi
  done
  if [ -z "$found" ]; then
    _rbee_fail "PKGBUILD is for ${arch[*]:-no architecture}, and this is $CARCH"
  fi
}

# Writes NAME, the number of values, and the values.
_rbee_dump() {
  local name=$1 values
  builtin eval "values=(\"\${$name[@]}\")"
  builtin printf '%s\0' "$name" "${#values[@]}" "${values[@]}"
}

# Names of a recipe's variables, those of its architectures too, in _rbee_names.
_rbee_schema() {
  local machine name
  _rbee_names="pkgname $_rbee_strings $_rbee_lists"
  for machine in "${arch[@]}"; do
    if [[ $machine != any && $machine =~ ^[A-Za-z0-9_]+$ ]]; then
      for name in $_rbee_arch_lists; do
        _rbee_names+=" ${name}_$machine"
      done
    fi
  done
}

# Metadata is some lines; what is more is not even copied.
_rbee_bounded() {
  local name index length count most total=0
  for name in arch $_rbee_names; do
    builtin eval "count=\${#$name[@]}"
    most=20000
    if [ "$name" = arch ]; then
      # Each has variables of its own.
      most=50
    fi
    if [ "$count" -gt "$most" ]; then
      _rbee_fail "PKGBUILD has $count values in $name, and $most are the most"
    fi
    builtin eval "for index in \"\${!$name[@]}\"; do length=\${#$name[index]} total=\$((total + length)); done"
  done
  if [ "$total" -gt 1000000 ]; then
    _rbee_fail "PKGBUILD has more than 1 MB of metadata"
  fi
}

_rbee_eval() {
  local name kind arrays=() strings=() _rbee_names=
  _rbee_bounded
  _rbee_schema
  _rbee_bounded
  {
    for name in $_rbee_names; do
      _rbee_dump "$name"
      kind=$(declare -p "$name" 2>/dev/null)
      kind=${kind#declare -}
      case ${kind%% *} in
        '') ;;
        *[aA]*) arrays+=("$name") ;;
        *) strings+=("$name") ;;
      esac
    done
    builtin printf '%s\0' arrays "${#arrays[@]}" "${arrays[@]}" strings "${#strings[@]}" "${strings[@]}"
    local functions=()
    while IFS= builtin read -r name; do
      name=${name##* }
      case $name in
        _rbee_*) ;;
        *) functions+=("$name") ;;
      esac
    done < <(declare -F)
    builtin printf '%s\0' srcinfo 1 "$(_rbee_srcinfo)"
    builtin printf '%s\0' functions "${#functions[@]}" "${functions[@]}" end
  } >|"$_rbee_result/$_rbee_phase"
}

# --- running a function ----------------------------------------------------------------------------------------------

_rbee_trap() {
  local status=$1 where=
  # In a subshell only its end is told; whoever waits for it decides.
  if [ "$BASH_SUBSHELL" -gt "$_rbee_depth" ]; then
    builtin exit "$status"
  fi
  # Bash 3.2 counts lines from the start of the function.
  if [ "${BASH_VERSINFO[0]}" -ge 4 ] && [ "${BASH_SOURCE[1]}" = "$startdir/PKGBUILD" ]; then
    where=" (PKGBUILD line ${BASH_LINENO[0]})"
  fi
  _rbee_fail "$_rbee_function() failed with status $status$where"
}

# What runs a recipe's function has no plain local names: the function would see them, and set them.
_rbee_run() {
  local _rbee_options
  _rbee_function=$1
  _rbee_depth=$BASH_SUBSHELL
  _rbee_at "$1()"
  _rbee_options=$(builtin shopt -p; builtin shopt -p -o)
  builtin cd -- "$srcdir" || _rbee_fail "cannot enter \$srcdir"
  builtin set -o errexit -o errtrace
  builtin trap '_rbee_trap "$?"' ERR
  "$1"
  builtin trap - ERR
  builtin set +o errexit +o errtrace
  builtin eval "$_rbee_options"
}

# Runs pkgver() and, if it says something new, writes that into the recipe, from where package reads it again.
_rbee_pkgver() {
  local _rbee_said _rbee_line _rbee_tail _rbee_text=
  _rbee_at 'pkgver()'
  _rbee_said=$(_rbee_run pkgver)
  if [ $? -ne 0 ]; then
    _rbee_fail "pkgver() failed"
  fi
  if [[ -z $_rbee_said || $_rbee_said = *[/:[:space:]-]* ]]; then
    _rbee_fail "pkgver() said '$_rbee_said', which is empty or has one of '/', ':', '-' and white space"
  fi
  if [ "$_rbee_said" = "$pkgver" ]; then
    return 0
  fi
  while IFS= builtin read -r _rbee_line || [ -n "$_rbee_line" ]; do
    _rbee_tail=
    case $_rbee_line in
      pkgver=*' '*) _rbee_tail=" ${_rbee_line#* }" _rbee_line="pkgver=$_rbee_said" ;;
      pkgver=*) _rbee_line="pkgver=$_rbee_said" ;;
      pkgrel=*' '*) _rbee_tail=" ${_rbee_line#* }" _rbee_line=pkgrel=1 ;;
      pkgrel=*) _rbee_line=pkgrel=1 ;;
    esac
    _rbee_text+=$_rbee_line$_rbee_tail$'\n'
  done <"$startdir/PKGBUILD"
  builtin printf '%s' "$_rbee_text" >|"$startdir/PKGBUILD"
  _rbee_source
}

# --- the phases ------------------------------------------------------------------------------------------------------

# The exported variables that build leaves are the only ones that package gets.
_rbee_keep_exports() {
  local name
  for name in $(builtin compgen -e); do
    case $name in
      PWD | OLDPWD | SHLVL | _ | SHELLOPTS | BASHOPTS | BASH_*) ;;
      *) builtin printf '%s\0' "$name=${!name}" ;;
    esac
  done >|"$_rbee_work/exports"
}

_rbee_load_exports() {
  local pair
  if [ -f "$_rbee_work/exports" ]; then
    while IFS= builtin read -r -d '' pair; do
      export "$pair" 2>/dev/null
    done <"$_rbee_work/exports"
  fi
}

_rbee_environment() {
  local os
  os=$(uname -s)
  case $os in
    Darwin) CHOST=$CARCH-apple-darwin ;;
    *) CHOST=$CARCH-pc-linux-gnu ;;
  esac
  if ! _rbee_enabled makeflags y; then
    unset MAKEFLAGS
  else
    MAKEFLAGS=-j$_rbee_jobs
  fi
  if ! _rbee_enabled buildflags y; then
    unset CPPFLAGS CFLAGS CXXFLAGS LDFLAGS RUSTFLAGS
  fi
  export CHOST CMAKE_BUILD_PARALLEL_LEVEL=$_rbee_jobs CARGO_BUILD_JOBS=$_rbee_jobs
  if [ -n "$MAKEFLAGS" ]; then
    export MAKEFLAGS
  fi
}

# What a package's function may say over the recipe's head; the next package finds the recipe's own again.
_rbee_overrides='pkgdesc arch url license groups depends optdepends provides conflicts replaces backup options install
  changelog'

_rbee_save_overrides() {
  local name
  for name in $_rbee_overrides; do
    builtin eval "_rbee_saved_$name=(\"\${$name[@]}\")"
  done
}

_rbee_restore_overrides() {
  local name
  for name in $_rbee_overrides; do
    builtin eval "$name=(\"\${_rbee_saved_$name[@]}\")"
  done
}

# Runs one package's function, in a folder of its own, and tidies what it installed.
_rbee_package_one() {
  local _rbee_name=$1
  pkgdir=$_rbee_work/pkg/$pkgname
  command mkdir -p -- "$pkgdir" || _rbee_fail "cannot make \$pkgdir"
  _rbee_talk "$_rbee_name()"
  _rbee_run "$_rbee_name"
  IFS=$' \t\n'
  _rbee_at "$_rbee_name()"
  builtin cd -- "$pkgdir" || _rbee_fail "$_rbee_name() removed \$pkgdir"
  _rbee_tidy
}

_rbee_package() {
  local _rbee_names _rbee_file _rbee_files
  _rbee_names=("${pkgname[@]}")
  command rm -rf -- "$_rbee_work/pkg"
  if [ "${#_rbee_names[@]}" -eq 1 ] && declare -F package >/dev/null; then
    pkgname=${_rbee_names[0]}
    _rbee_package_one package
  else
    _rbee_save_overrides
    # In its function, pkgname is the one package's.
    unset pkgname
    for pkgname in "${_rbee_names[@]}"; do
      _rbee_package_one "package_$pkgname"
      _rbee_restore_overrides
    done
  fi
  builtin cd -- "$_rbee_work/pkg" || _rbee_fail "package() removed \$pkgdir"
  if [ -n "$(command find . -name "*"$'\n'"*")" ]; then
    _rbee_fail "a package has a file with a line's end in its name"
  fi
  _rbee_files=()
  while IFS= builtin read -r -d '' _rbee_file; do
    _rbee_files+=("${_rbee_file#./}")
  done < <(command find . -type f \( -perm -100 -o -perm -010 -o -perm -001 \) -print0)
  _rbee_tell "$pkgver" "${#_rbee_names[@]}" "${_rbee_names[@]}" "${_rbee_files[@]}"
}

# Left by the one who staged the recipe: CARCH, _rbee_jobs and the host's own environment.
builtin source "$_rbee_work/environment" || exit 1
_rbee_path=$PATH
startdir=$_rbee_work/recipe
srcdir=$_rbee_work/src
command mkdir -p -- "$srcdir" "$_rbee_result" || exit 1
command rm -f -- "$_rbee_result/$_rbee_phase" "$_rbee_result/$_rbee_phase.error" "$_rbee_result/$_rbee_phase.at"
if [ "${BASH_VERSINFO[0]}" -lt 3 ] || { [ "${BASH_VERSINFO[0]}" -eq 3 ] && [ "${BASH_VERSINFO[1]}" -lt 2 ]; }; then
  _rbee_fail "bash $BASH_VERSION is too old: recipes need 3.2"
fi
# One moment for all phases; see reproducible-builds.org.
if [ -z "$SOURCE_DATE_EPOCH" ]; then
  if [ ! -f "$_rbee_work/epoch" ]; then
    command date +%s >"$_rbee_work/epoch"
  fi
  IFS= read -r SOURCE_DATE_EPOCH <"$_rbee_work/epoch"
fi
export SOURCE_DATE_EPOCH

case $_rbee_phase in
  eval)
    _rbee_source
    _rbee_eval
    ;;
  gather | fetch)
    _rbee_source
    _rbee_check
    _rbee_at 'fetching'
    _rbee_pins=() _rbee_unverified=()
    _rbee_find_locker
    _rbee_fetch_all ''
    _rbee_fetch_all "_$CARCH"
    if [ "$_rbee_phase" = gather ]; then
      _rbee_pack
    fi
    _rbee_tell "${#_rbee_unverified[@]}" "${_rbee_unverified[@]}" "${_rbee_pins[@]}"
    ;;
  build)
    _rbee_source
    _rbee_check
    if declare -F prepare >/dev/null; then
      _rbee_talk 'prepare()'
      _rbee_run prepare
    fi
    if declare -F pkgver >/dev/null; then
      _rbee_pkgver
    fi
    pkgdir=$_rbee_work/pkg/${pkgbase:-${pkgname[0]}}
    _rbee_environment
    if declare -F build >/dev/null; then
      _rbee_talk 'build()'
      _rbee_run build
    fi
    if [ -n "$_rbee_want_check" ] && declare -F check >/dev/null; then
      _rbee_talk 'check()'
      _rbee_run check
    fi
    IFS=$' \t\n'
    _rbee_keep_exports
    _rbee_tell
    ;;
  package)
    _rbee_load_exports
    _rbee_source
    _rbee_check
    _rbee_environment
    _rbee_package
    ;;
  *)
    _rbee_fail "no such phase: $_rbee_phase"
    ;;
esac
