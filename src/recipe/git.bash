#!/usr/bin/env bash
# The part of the driver that gets sources from git. Stands before driver.bash in one program, keeps the same rules,
# and calls what is defined there.
#
# One bare mirror for each URL holds what was ever asked of it; a build's work tree is made from the mirror, as if it had
# been cloned from its origin. What is asked for is $kind (tag, branch, commit or nothing) and $ref; $found is the
# mirror's name for it.

# Which protocols a fetch from $1 may use, redirects included.
_rbee_git_allow() {
  case $1 in
    https://*) GIT_ALLOW_PROTOCOL=https ;;
    http://*) GIT_ALLOW_PROTOCOL=http:https ;;
    ssh://*) GIT_ALLOW_PROTOCOL=ssh ;;
    git://*) GIT_ALLOW_PROTOCOL=git ;;
    file://*) GIT_ALLOW_PROTOCOL=file ;;
    *) return 1 ;;
  esac
  export GIT_ALLOW_PROTOCOL
}

# May the recipe's functions look at more of the history than the one commit?
_rbee_git_wants_all() {
  local name body
  if declare -F pkgver >/dev/null; then
    return 0
  fi
  for name in prepare build check; do
    body=$(declare -f "$name") || continue
    if [[ $body =~ (^|[^[:alnum:]_-])git[[:space:]] &&
      $body =~ (describe|rev-list|log|cherry-pick|revert|merge|rebase|checkout|switch|reset|submodule|fetch|worktree) ]]; then
      return 0
    fi
  done
  return 1
}

# Fetches what is wanted from $1 into the mirror.
_rbee_git_fetch() {
  local from=$1 deepen= all='+refs/heads/*:refs/remotes/origin/*'
  _rbee_git_allow "$from" || return 1
  if [ -f "$mirror/shallow" ]; then
    deepen=--unshallow
  fi
  if [ -n "$whole" ]; then
    command git -C "$mirror" fetch -q -f --tags $deepen "$from" "$all" +HEAD:refs/rbee/head
    return
  fi
  case $kind in
    tag) command git -C "$mirror" fetch -q --depth=1 "$from" "+refs/tags/$ref:refs/tags/$ref" ;;
    branch) command git -C "$mirror" fetch -q --depth=1 "$from" "+refs/heads/$ref:refs/remotes/origin/$ref" ;;
    '') command git -C "$mirror" fetch -q --depth=1 "$from" +HEAD:refs/rbee/head ;;
    commit)
      # Not every server hands out single commits, and none knows short names.
      if [ "${#ref}" -lt 40 ] || ! command git -C "$mirror" fetch -q --depth=1 "$from" "$ref" 2>/dev/null; then
        command git -C "$mirror" fetch -q -f --tags $deepen "$from" "$all"
      fi
      ;;
  esac
}

# Brings what is wanted into the mirror, and its commit into $commit.
_rbee_git_mirror() {
  local from done=
  if [ -d "$mirror" ]; then
    # Under the lock nobody is at work here: these are of one who was killed.
    command find "$mirror" -name '*.lock' -type f -exec rm -f -- '{}' +
    command find "$mirror/objects" -name 'tmp_*' -type f -exec rm -f -- '{}' + 2>/dev/null
  else
    command git init -q --bare "$mirror" && command git -C "$mirror" config gc.auto 0 || return 1
  fi
  # A commit never changes: what is there needs no network.
  if [ "$kind" != commit ] || [ "${#ref}" -lt 40 ] || { [ -n "$whole" ] && [ -f "$mirror/shallow" ]; } ||
    ! command git -C "$mirror" cat-file -e "$ref^{commit}" 2>/dev/null; then
    # Only a commit's whole name says what it must be wherever it comes from.
    _rbee_others=()
    if [ "$kind" = commit ] && [ "${#ref}" -ge 40 ]; then
      _rbee_find_mirrors "$url"
    fi
    for from in "$url" "${_rbee_others[@]}"; do
      if [ "$from" != "$url" ]; then
        _rbee_talk "trying the mirror $(_rbee_shown "$from")"
      fi
      if _rbee_git_fetch "$from"; then
        done=yes
        break
      fi
    done
    if [ -z "$done" ]; then
      return 1
    fi
  fi
  commit=$(command git -C "$mirror" rev-parse -q --verify "$found^{commit}") ||
    _rbee_fail "source $shown has no ${kind:-head}${ref:+ $ref}"
  if [ "$kind" = commit ]; then
    # What no name leads to is not handed on.
    command git -C "$mirror" update-ref "refs/rbee/commits/$commit" "$commit" || return 1
    found=refs/rbee/commits/$commit
  fi
}

# Makes the work tree from the mirror; in the phase "gather", a mirror of only what is wanted.
_rbee_git_copy() {
  local refs=()
  if [ "$_rbee_phase" = gather ]; then
    refs=("+$found:$found")
  else
    refs=("+$found:refs/rbee/wanted")
  fi
  if [ -n "$whole" ]; then
    refs+=('+refs/tags/*:refs/tags/*' '+refs/remotes/origin/*:refs/remotes/origin/*')
  elif [ "$kind" = tag ] && [ "$_rbee_phase" != gather ]; then
    refs+=("+refs/tags/$ref:refs/tags/$ref")
  fi
  if [ "$_rbee_phase" = gather ]; then
    command git init -q --bare "$repository" || return 1
  else
    command git init -q "$dir" && command git -C "$dir" remote add origin "$url" || return 1
  fi
  GIT_ALLOW_PROTOCOL=file command git -C "$repository" fetch -q --no-tags --update-shallow "file://$mirror" \
    "${refs[@]}" || return 1
  if [ "$_rbee_phase" != gather ]; then
    command git -C "$dir" checkout -q --force --no-track -B makepkg "$commit"
  fi
}

# Makes $dir from one repository, and from those that it has in it.
_rbee_git_tree() {
  local name=$1 url=$2 kind=$3 ref=$4 dir=$5 level=$6 shown mirror old found asked repository commit=
  shown=$(_rbee_shown "$url")
  case $kind in
    tag) found=refs/tags/$ref ;;
    branch) found=refs/remotes/origin/$ref ;;
    commit) found=$ref ;;
    *) found=refs/rbee/head ;;
  esac
  asked=$found
  _rbee_cache_place git "$url"
  mirror=$_rbee_place/mirror.git repository=$dir
  if [ "$_rbee_phase" = gather ]; then
    repository=$_rbee_work/gathered/git/$_rbee_key/mirror.git
  else
    # An earlier archive may have left something of this name, a link that leads away even.
    command rm -rf -- "$dir" || _rbee_fail "cannot make $name"
  fi
  if [ -d "$_rbee_work/given" ]; then
    commit=$(command git -C "$mirror" rev-parse -q --verify "$found^{commit}" 2>/dev/null) ||
      _rbee_fail "source $name was not sent along"
    if [ "$kind" = commit ]; then
      found=refs/rbee/commits/$commit
    fi
    _rbee_git_copy || _rbee_fail "git cannot make $name"
  else
    _rbee_lock "$shown"
    _rbee_talk "fetching $shown${kind:+ ($kind $ref)}"
    if ! _rbee_git_mirror || ! _rbee_git_copy; then
      # A mirror that is damaged may be why: once more, beside it, so that what is good is not lost when it is not why.
      old=$mirror mirror=$mirror.new found=$asked
      command rm -rf -- "$repository" "$mirror"
      _rbee_git_mirror || {
        command rm -rf -- "$mirror"
        _rbee_unreachable "cannot fetch ${kind:+$kind $ref of }$shown"
      }
      _rbee_git_copy || _rbee_fail "git cannot make $name"
      command rm -rf -- "$old" && command mv -- "$mirror" "$old" || _rbee_fail "cannot replace $old"
    fi
    _rbee_unlock
  fi
  _rbee_pins+=("$name" "$commit")
  if [ -n "$_rbee_submodules" ]; then
    _rbee_git_submodules
  fi
}

# The URL of a submodule, in _rbee_url; one that begins with a dot is meant from its parent's.
_rbee_git_resolve() {
  local base=${1%/}
  _rbee_url=$2
  case $2 in
    ./* | ../*) ;;
    *) return 0 ;;
  esac
  while :; do
    case $_rbee_url in
      ./*) _rbee_url=${_rbee_url#./} ;;
      ../*) _rbee_url=${_rbee_url#../} base=${base%/*} ;;
      *) break ;;
    esac
  done
  _rbee_url=$base/$_rbee_url
}

# What .gitmodules says is as hostile as anything: git's own tree tells what is a submodule, and at which commit.
_rbee_git_submodules() {
  local entry key path from line pinned whole=
  if ! command git -C "$repository" cat-file -e "$commit:.gitmodules" 2>/dev/null; then
    return 0
  fi
  if [ "$level" -ge 8 ]; then
    _rbee_fail "source $name has submodules in submodules without end"
  fi
  # On a descriptor of its own: git's helpers may read stdin.
  while IFS= builtin read -r -u 8 -d '' entry; do
    key=${entry%%$'\n'*} path=${entry#*$'\n'}
    case /$path/ in
      //* | */../* | */./* | *//* | */.[gG][iI][tT]/* | *[[:cntrl:]]*)
        _rbee_fail "source $name has a submodule that leads out of it" ;;
    esac
    line=$(command git -C "$repository" ls-tree "$commit" -- "$path") || _rbee_fail "git cannot read $name"
    case $line in
      '160000 commit '*) pinned=${line#160000 commit } pinned=${pinned%%$'\t'*} ;;
      *) continue ;;
    esac
    from=$(command git -C "$repository" config --blob "$commit:.gitmodules" --get "${key%.path}.url") ||
      _rbee_fail "source $name has a submodule without a URL: $path"
    _rbee_git_resolve "$url" "$from"
    case $_rbee_url@$url in
      *[[:cntrl:]]* | -*) _rbee_fail "source $name has a submodule with a strange URL: $path" ;;
      https://*) ;;
      *) [ "${_rbee_url%%://*}" = "${url%%://*}" ] ||
        _rbee_fail "submodule $path of $name: $(_rbee_shown "$_rbee_url") is less safe than its parent" ;;
    esac
    if [ "$_rbee_phase" != gather ]; then
      # Or git would say that it was never asked for.
      command git -C "$dir" config "${key%.path}.url" "$_rbee_url" || _rbee_fail "git cannot write to $name"
    fi
    _rbee_git_tree "$name/$path" "$_rbee_url" commit "$pinned" "$dir/$path" "$((level + 1))"
  done 8< <(command git -C "$repository" config --blob "$commit:.gitmodules" -z --get-regexp '^submodule\..*\.path$')
}

_rbee_git() {
  local suffix=$1 index=$2 name=$3 url=$4 fragment= kind= ref= shown whole=
  case $url in
    *'#'*) fragment=${url#*#} url=${url%%#*} ;;
  esac
  url=${url#git+}
  shown=$(_rbee_shown "$url")
  case $url in
    *\?signed) _rbee_fail "source $shown: signed commits are not supported" ;;
  esac
  _rbee_git_allow "$url" || _rbee_fail "source $shown: git over this protocol is not supported"
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
  _rbee_have git || _rbee_unreachable "no git here, which the source $shown needs"
  if [ "$kind" != commit ] || [ "${#ref}" -lt 40 ]; then
    _rbee_unverified+=("$name (git, ${kind:-newest commit}${ref:+ $ref})")
  fi
  export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true
  if [ -z "$GIT_SSH_COMMAND" ]; then
    export GIT_SSH_COMMAND='ssh -oBatchMode=yes'
  fi
  if _rbee_git_wants_all; then
    whole=yes
  fi
  _rbee_git_tree "$name" "$url" "$kind" "$ref" "$srcdir/$name" 0
}
