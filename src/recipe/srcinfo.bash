#!/usr/bin/env bash
# The part of the driver that writes a recipe's metadata in the form of .SRCINFO, as makepkg --printsrcinfo does. Stands
# before driver.bash in one program, keeps the same rules, and calls what is defined there.

# The value of a variable at the recipe's head, in _rbee_value.
_rbee_info_head() {
  local name=$1 kind=$2
  _rbee_value=()
  if [ "$kind" = list ]; then
    builtin eval "_rbee_value=(\"\${$name[@]}\")"
    [ "${#_rbee_value[@]}" -gt 0 ]
  else
    _rbee_value=("${!name}")
    [ -n "${!name}" ]
  fi
}

# What a package's function says over the head, found as makepkg finds it: line by line, without running the function.
_rbee_info_over() {
  local function=package name=$2 kind=$3 line found=1 form='[^(]'
  if declare -F "package_$1" >/dev/null; then
    function=package_$1
  fi
  if [ "$kind" = list ]; then
    form='\('
  fi
  while IFS= builtin read -r line; do
    line=${line#"${line%%[![:space:]]*}"}
    if [ "$kind" != list ]; then
      _rbee_value=${_rbee_value[0]}
    fi
    builtin eval "${line/#$name/_rbee_value}"
    found=0
  done < <(declare -f "$function" 2>/dev/null | command grep -E "^[[:space:]]* $name\+?=$form")
  return "$found"
}

_rbee_info_line() {
  local name=$1 kind=$2 package=$3 value
  if [ -z "$package" ]; then
    _rbee_info_head "$name" "$kind" || return 0
  else
    _rbee_info_head "$name" "$kind"
    _rbee_info_over "$package" "$name" "$kind" || return 0
  fi
  if [ "${#_rbee_value[@]}" -eq 0 ]; then
    _rbee_value=('')
  fi
  for value in "${_rbee_value[@]}"; do
    value=${value//+([[:space:]])/ }
    value=${value#[[:space:]]}
    builtin printf '\t%s = %s\n' "$name" "${value%[[:space:]]}"
  done
}

_rbee_info_section() {
  local package=$1 single=$2 multiple=$3 name machine machines
  for name in $single; do
    _rbee_info_line "$name" one "$package"
  done
  for name in $multiple; do
    _rbee_info_line "$name" list "$package"
  done
  _rbee_info_head arch list
  if [ -n "$package" ]; then
    _rbee_info_over "$package" arch list
  fi
  machines=("${_rbee_value[@]}")
  for machine in "${machines[@]}"; do
    if [ "$machine" != any ]; then
      for name in source provides conflicts depends replaces optdepends makedepends checkdepends $_rbee_sums; do
        _rbee_info_line "${name}_$machine" list "$package"
      done
    fi
  done
}

_rbee_srcinfo() {
  local _rbee_name
  builtin printf 'pkgbase = %s\n' "${pkgbase:-${pkgname[0]}}"
  _rbee_info_section '' 'pkgdesc pkgver pkgrel epoch url install changelog' "arch groups license checkdepends makedepends
    depends optdepends provides conflicts replaces noextract options backup source validpgpkeys $_rbee_sums"
  for _rbee_name in "${pkgname[@]}"; do
    builtin printf '\npkgname = %s\n' "$_rbee_name"
    _rbee_info_section "$_rbee_name" 'pkgdesc url install changelog' 'arch groups license checkdepends depends optdepends
      provides conflicts replaces options backup'
  done
}
