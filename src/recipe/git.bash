#!/usr/bin/env bash
# The part of the driver that gets sources from git. Stands before driver.bash in one program, keeps the same rules,
# and calls what is defined there.

# Brings what is wanted into the mirror, and its commit into $commit. Of the caller it takes mirror, url, kind, ref and
# whole.
_rbee_git_mirror() {
  local wanted depth=--depth=1 found
  if [ ! -d "$mirror" ]; then
    command git init -q --bare "$mirror" && command git -C "$mirror" config gc.auto 0 || return 1
  fi
  if [ -n "$whole" ]; then
    depth=--tags
    if [ -f "$mirror/shallow" ]; then
      depth='--tags --unshallow'
    fi
  fi
  case $kind in
    tag) wanted=+refs/tags/$ref:refs/tags/$ref found=refs/tags/$ref ;;
    branch) wanted=+refs/heads/$ref:refs/remotes/origin/$ref found=refs/remotes/origin/$ref ;;
    commit) wanted=$ref found=$ref ;;
    *) wanted=+HEAD:refs/rbee/head found=refs/rbee/head ;;
  esac
  # A commit never changes: what is there needs no network.
  if [ "$kind" != commit ] || [ "${#ref}" -lt 40 ] || { [ -n "$whole" ] && [ -f "$mirror/shallow" ]; } ||
    ! command git -C "$mirror" cat-file -e "$ref^{commit}" 2>/dev/null; then
    if [ "$kind" != commit ]; then
      command git -C "$mirror" fetch -q $depth "$url" "$wanted" || return 1
    # Not every server hands out single commits, and none knows short names.
    elif [ -n "$whole" ] || [ "${#ref}" -lt 40 ] ||
      ! command git -C "$mirror" fetch -q $depth "$url" "$wanted" 2>/dev/null; then
      depth=--tags
      if [ -f "$mirror/shallow" ]; then
        depth='--tags --unshallow'
      fi
      command git -C "$mirror" fetch -q $depth "$url" '+refs/heads/*:refs/remotes/origin/*' || return 1
    fi
  fi
  commit=$(command git -C "$mirror" rev-parse -q --verify "$found^{commit}") ||
    _rbee_fail "source $shown has no ${kind:-head}${ref:+ $ref}"
  command git -C "$mirror" update-ref refs/rbee/wanted "$commit"
}

# Makes the work tree from the mirror, as if it had been cloned from its origin.
_rbee_git_copy() {
  local refs=('+refs/rbee/wanted:refs/rbee/wanted')
  if [ -n "$whole" ]; then
    refs+=('+refs/tags/*:refs/tags/*' '+refs/remotes/origin/*:refs/remotes/origin/*')
  elif [ "$kind" = tag ]; then
    refs+=("+refs/tags/$ref:refs/tags/$ref")
  fi
  command git init -q "$dir" && command git -C "$dir" remote add origin "$url" &&
    GIT_ALLOW_PROTOCOL=file command git -C "$dir" fetch -q --no-tags --update-shallow "file://$mirror" "${refs[@]}" &&
    command git -C "$dir" checkout -q --force --no-track -B makepkg "$commit"
}

_rbee_git() {
  local suffix=$1 index=$2 name=$3 url=$4 fragment= kind= ref= allow whole shown commit dir mirror
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
  whole=
  if declare -F pkgver >/dev/null; then
    whole=yes
  fi
  _rbee_cache_place git "$url"
  mirror=$_rbee_place/mirror.git dir=$srcdir/$name
  _rbee_talk "fetching $shown${kind:+ ($kind $ref)}"
  if ! _rbee_git_mirror || ! _rbee_git_copy; then
    # What a killed run or another one left there may be why: once more, from nothing.
    command rm -rf -- "$dir"
    command mv -- "$mirror" "$mirror.$$" 2>/dev/null && command rm -rf -- "$mirror.$$"
    _rbee_git_mirror || _rbee_fail "cannot fetch ${kind:+$kind $ref of }$shown"
    _rbee_git_copy || _rbee_fail "git cannot make $name"
  fi
  _rbee_pins+=("$name" "$commit")
}
