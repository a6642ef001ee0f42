#!/usr/bin/env bash
# The part of the driver that gets and checks a recipe's sources. Stands before driver.bash in one program, keeps the
# same rules, and calls what is defined there.

# Prints the digest of a file; fails when no tool knows the algorithm.
_rbee_digest() {
  local algorithm=$1 file=$2 said=
  if [ "$algorithm" = ck ]; then
    said=$(command cksum <"$file") || return 1
  elif _rbee_have "${algorithm}sum"; then
    said=$(command "${algorithm}sum" <"$file") || return 1
  elif [ "$algorithm" != b2 ] && [ "$algorithm" != md5 ] && _rbee_have shasum; then
    said=$(command shasum -a "${algorithm#sha}" <"$file") || return 1
  elif _rbee_have openssl; then
    case $algorithm in
      b2) algorithm=blake2b512 ;;
    esac
    said=$(command openssl dgst -r "-$algorithm" <"$file") || return 1
  else
    return 1
  fi
  builtin printf '%s' "${said%%[ *]*}"
}

# Checks the arrays of checksums against the sources in number; _rbee_any tells whether there is one at all.
_rbee_count_sums() {
  local suffix=$1 count=$2 algorithm name values covered=
  for algorithm in ck md5 sha1 sha224 sha256 sha384 sha512 b2; do
    name=${algorithm}sums$suffix
    builtin eval "values=(\"\${$name[@]}\")"
    if [ "${#values[@]}" -gt 0 ]; then
      covered=1
      if [ "${#values[@]}" -ne "$count" ]; then
        _rbee_fail "$name and source$suffix differ in length: ${#values[@]} and $count"
      fi
    fi
  done
  if [ "$count" -gt 0 ] && [ -z "$covered" ]; then
    _rbee_fail "source$suffix has no checksums; add sha256sums$suffix"
  fi
}

# Is the source's content left unchecked by every checksum?
_rbee_unchecked() {
  local suffix=$1 index=$2 algorithm values
  for algorithm in ck md5 sha1 sha224 sha256 sha384 sha512 b2; do
    builtin eval "values=(\"\${${algorithm}sums$suffix[@]}\")"
    if [ "${#values[@]}" -gt 0 ] && [ "${values[$index]}" != SKIP ]; then
      return 1
    fi
  done
}

# Compares a file with every checksum of its source; says the difference in _rbee_difference.
_rbee_matches() {
  local suffix=$1 index=$2 shown=$3 file=$4 algorithm name values want got
  for algorithm in ck md5 sha1 sha224 sha256 sha384 sha512 b2; do
    name=${algorithm}sums$suffix
    builtin eval "values=(\"\${$name[@]}\")"
    want=${values[$index]}
    if [ "${#values[@]}" -eq 0 ] || [ "$want" = SKIP ]; then
      continue
    fi
    if [ -z "$file" ]; then
      _rbee_fail "$name: the checksum of a git source ($shown) is not supported; write SKIP and pin a commit"
    fi
    got=$(_rbee_digest "$algorithm" "$file") || _rbee_fail "no tool here knows ${algorithm}, which $name needs"
    want=$(builtin printf '%s' "$want" | command tr 'A-F' 'a-f')
    if [ "$want" != "$got" ]; then
      _rbee_difference="checksum of $shown does not match: want $want, got $got"
      return 1
    fi
  done
}

_rbee_verify() {
  _rbee_matches "$@" || _rbee_fail "$_rbee_difference"
}

# Puts a file into $srcdir under its name, and extracts it if it is an archive.
_rbee_use() {
  local name=$1 file=$2 entry
  if [ "$_rbee_phase" = gather ]; then
    return 0
  fi
  # An earlier archive may have left something of this name, a link that leads away even.
  if [ -d "$srcdir/$name" ] && [ ! -L "$srcdir/$name" ]; then
    _rbee_fail "source $name has the name of a folder that another source made"
  fi
  command rm -f -- "$srcdir/$name" && command ln -s -- "$file" "$srcdir/$name" ||
    _rbee_fail "cannot put $name into \$srcdir"
  for entry in "${noextract[@]}"; do
    if [ "$entry" = "$name" ]; then
      return 0
    fi
  done
  _rbee_extract "$name" "$file"
}

_rbee_local() {
  local suffix=$1 index=$2 name=$3 path=$4
  case /$path/ in
    //* | */../* | */./*) _rbee_fail "source $path leads out of the recipe's folder" ;;
  esac
  if [ ! -f "$startdir/$path" ]; then
    _rbee_fail "source $path is not in the recipe's folder"
  fi
  _rbee_verify "$suffix" "$index" "$path" "$startdir/$path"
  _rbee_use "$name" "$startdir/$path"
}

# A URL without the name and password that it may carry.
_rbee_shown() {
  local rest=${1#*://}
  case $rest in
    *@*) builtin printf '%s' "${1%%://*}://${rest#*@}" ;;
    *) builtin printf '%s' "$1" ;;
  esac
}

_rbee_fetch_all() {
  local suffix=$1 entries entry index name url
  builtin eval "entries=(\"\${source$suffix[@]}\")"
  _rbee_count_sums "$suffix" "${#entries[@]}"
  for ((index = 0; index < ${#entries[@]}; index++)); do
    entry=${entries[$index]}
    url=$entry name=
    case $entry in
      *::*) name=${entry%%::*} url=${entry#*::} ;;
    esac
    if [ -z "$name" ]; then
      name=${url%%#*} name=${name%%\?*} name=${name%/} name=${name##*/}
      case $url in
        git+* | git://*) name=${name%.git} ;;
      esac
    fi
    case $name in
      '' | . | .. | -* | */* | *[[:cntrl:]]*) _rbee_fail "source $(_rbee_shown "$entry") has no usable name" ;;
    esac
    case $url in
      *[[:cntrl:]]*) _rbee_fail "source $name has a control character in its URL" ;;
    esac
    case $url in
      git+* | git://*) _rbee_git "$suffix" "$index" "$name" "$url" ;;
      http://* | https://* | ftp://* | file://*) _rbee_download "$suffix" "$index" "$name" "$url" ;;
      *://*) _rbee_fail "source $(_rbee_shown "$url"): this protocol is not supported" ;;
      *) _rbee_local "$suffix" "$index" "$name" "$url" ;;
    esac
  done
}
