#!/usr/bin/env bash
# The part of the driver that gets and checks a recipe's sources: files of its folder, and git. Stands before
# driver.bash in one program, keeps the same rules, and calls what is defined there.

# Prints the digest of a file; fails when no tool knows the algorithm.
_rbee_digest() {
  local algorithm=$1 file=$2 said=
  if _rbee_have "${algorithm}sum"; then
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

_rbee_verify() {
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
      _rbee_fail "checksum of $shown does not match: want $want, got $got"
    fi
  done
}

# A URL without the name and password that it may carry.
_rbee_shown() {
  local rest=${1#*://}
  case $rest in
    *@*) builtin printf '%s' "${1%%://*}://${rest#*@}" ;;
    *) builtin printf '%s' "$1" ;;
  esac
}

# Is it an archive, by its first bytes and not by its name?
_rbee_is_archive() {
  local magic
  magic=$(command od -An -tx1 -N6 <"$1" | command tr -d ' \n')
  case $magic in
    1f8b* | fd377a585a00 | 425a68* | 28b52ffd* | 504b0304*) return 0 ;;
  esac
  [ "$(command dd if="$1" bs=1 skip=257 count=5 2>/dev/null | command tr -d '\0')" = ustar ]
}

_rbee_local() {
  local suffix=$1 index=$2 name=$3 path=$4 entry
  case /$path/ in
    //* | */../* | */./*) _rbee_fail "source $path leads out of the recipe's folder" ;;
  esac
  if [ ! -f "$startdir/$path" ]; then
    _rbee_fail "source $path is not in the recipe's folder"
  fi
  _rbee_verify "$suffix" "$index" "$path" "$startdir/$path"
  command ln -sf -- "$startdir/$path" "$srcdir/$name" || _rbee_fail "cannot put $path into \$srcdir"
  for entry in "${noextract[@]}"; do
    if [ "$entry" = "$name" ]; then
      return 0
    fi
  done
  if _rbee_is_archive "$startdir/$path"; then
    _rbee_talk "extracting $path"
    if _rbee_have bsdtar; then
      command bsdtar -xf "$startdir/$path" -C "$srcdir"
    elif [ "$(command dd if="$startdir/$path" bs=1 count=2 2>/dev/null)" = PK ] && _rbee_have unzip; then
      command unzip -q -o "$startdir/$path" -d "$srcdir"
    else
      command tar -xf "$startdir/$path" -C "$srcdir"
    fi || _rbee_fail "cannot extract $path; name it in noextract if it is no archive"
  fi
}

_rbee_git() {
  local suffix=$1 index=$2 name=$3 url=$4 fragment= kind= ref= allow depth shown commit dir wanted
  case $url in
    *'#'*) fragment=${url#*#} url=${url%%#*} ;;
  esac
  url=${url#git+}
  shown=$(_rbee_shown "$url")
  case $url in
    *\?signed) _rbee_fail "source $shown: signed commits are not supported" ;;
    https://*) allow=https ;;
    http://*) allow=http:https ;;
    ssh://*) allow=ssh ;;
    git://*) allow=git ;;
    file://*) allow=file ;;
    *) _rbee_fail "source $shown: git over this protocol is not supported" ;;
  esac
  case $fragment in
    '') ;;
    tag=?* | branch=?* | commit=?*) kind=${fragment%%=*} ref=${fragment#*=} ;;
    *) _rbee_fail "source $shown: '#$fragment' is none of #tag=, #branch= and #commit=" ;;
  esac
  case $ref in
    -* | *[[:space:]:^~?*\\[]* | *..*) _rbee_fail "source $shown: '$ref' is no name of a $kind" ;;
  esac
  if [ "$kind" = commit ] && [[ ! $ref =~ ^[0-9a-fA-F]{7,64}$ ]]; then
    _rbee_fail "source $shown: '$ref' is no commit"
  fi
  _rbee_verify "$suffix" "$index" "$shown" ''
  _rbee_have git || _rbee_fail "no git here, which the source $shown needs"

  export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true GIT_ALLOW_PROTOCOL=$allow
  if [ -z "$GIT_SSH_COMMAND" ]; then
    export GIT_SSH_COMMAND='ssh -oBatchMode=yes'
  fi
  # A recipe that counts commits or describes them needs them all.
  depth=--depth=1
  if declare -F pkgver >/dev/null; then
    depth=--tags
  fi
  dir=$srcdir/$name
  _rbee_talk "fetching $shown${kind:+ ($kind $ref)}"
  command git init -q "$dir" && command git -C "$dir" remote add origin "$url" || _rbee_fail "git cannot make $name"
  case $kind in
    tag) wanted="+refs/tags/$ref:refs/tags/$ref" ;;
    branch) wanted="+refs/heads/$ref:refs/remotes/origin/$ref" ;;
    commit) wanted=$ref ;;
    *) wanted=HEAD ;;
  esac
  if [ "$kind" = commit ]; then
    # Not every server hands out single commits, and none knows short names.
    if [ "$depth" = --tags ] || [ "${#ref}" -lt 40 ] || ! command git -C "$dir" fetch -q "$depth" origin "$wanted"; then
      command git -C "$dir" fetch -q --tags origin '+refs/heads/*:refs/remotes/origin/*' ||
        _rbee_fail "cannot fetch $shown"
    fi
    wanted=$ref
  else
    command git -C "$dir" fetch -q "$depth" origin "$wanted" || _rbee_fail "cannot fetch ${kind:+$kind $ref of }$shown"
    case $kind in
      tag) wanted=refs/tags/$ref ;;
      *) wanted=FETCH_HEAD ;;
    esac
    # With --tags, the head that was asked for is not the only one fetched.
    if [ "$kind" = branch ]; then
      wanted=refs/remotes/origin/$ref
    fi
  fi
  commit=$(command git -C "$dir" rev-parse -q --verify "$wanted^{commit}") ||
    _rbee_fail "source $shown has no ${kind:-head}${ref:+ $ref}"
  command git -C "$dir" checkout -q --force --no-track -B makepkg "$commit" || _rbee_fail "git cannot check out $name"
  _rbee_pins+=("$name" "$commit")
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
      '' | . | .. | -* | */*) _rbee_fail "source $(_rbee_shown "$entry") has no usable name" ;;
    esac
    case $url in
      git+* | git://*) _rbee_git "$suffix" "$index" "$name" "$url" ;;
      http://* | https://* | ftp://*) _rbee_fail "source $(_rbee_shown "$url"): downloads are not supported yet" ;;
      *://*) _rbee_fail "source $(_rbee_shown "$url"): this protocol is not supported" ;;
      *) _rbee_local "$suffix" "$index" "$name" "$url" ;;
    esac
  done
}
