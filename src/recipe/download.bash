#!/usr/bin/env bash
# The part of the driver that downloads sources. Stands before driver.bash in one program, keeps the same rules, and
# calls what is defined there.
#
# A download grows in the user's cache as NAME.part and gets its name only when it was checked. A part that an earlier
# run left is gone on with; if that does not lead to the right file, it is fetched once more from the start. What no
# checksum speaks for is never in the cache: it is fetched for each build, from its origin only.

# What a status of curl means, after a colon.
_rbee_curl_says() {
  local status=$1 code=$2
  case $status in
    1) _rbee_why='it leads to a protocol that is not allowed there' ;;
    5 | 6) _rbee_why='its server is not known' ;;
    7) _rbee_why='its server cannot be reached' ;;
    18) _rbee_why='the server closed the connection before the end' ;;
    22) _rbee_why="the server answers $code" ;;
    23) _rbee_why='it cannot be written (is the disk full?)' ;;
    28) _rbee_why='the server does not answer in time' ;;
    33) _rbee_why='the server cannot go on in mid-file' ;;
    35 | 51 | 58 | 60 | 77) _rbee_why="the server's certificate is not trusted" ;;
    37) _rbee_why='there is no such file' ;;
    47) _rbee_why='the server redirects without end' ;;
    52 | 56) _rbee_why='the server closed the connection' ;;
    63 | 153) _rbee_why="it has more than $_rbee_extract_limit bytes" ;;
    *) _rbee_why="curl ended with status $status" ;;
  esac
  if [ "$code" = 404 ]; then
    _rbee_why+=' (not found)'
  fi
}

# With $3, somebody else can be asked: it is given up earlier.
_rbee_curl() {
  local url=$1 part=$2 patience='--connect-timeout 30 --retry 3 --retry-delay 1' protocols redirects code status
  case $url in
    https://*) protocols=https redirects=https ;;
    http://*) protocols=http redirects=http,https ;;
    *) protocols=${url%%:*} redirects=$protocols ;;
  esac
  if [ -n "$3" ]; then
    patience='--connect-timeout 10'
  fi
  # The bound is for a server that never ends; curl itself believes what length is announced.
  code=$(
    builtin ulimit -f "$((_rbee_extract_limit / 1024 + 1))" 2>/dev/null
    command curl -q --globoff --fail --location --show-error --silent --proto "=$protocols" \
      --proto-redir "=$redirects" --max-redirs 10 --max-filesize "$_rbee_extract_limit" $patience \
      --speed-limit 1 --speed-time 120 --continue-at - --write-out '%{http_code}' --output "$part" -- "$url"
  )
  status=$?
  if [ "$status" -ne 0 ]; then
    _rbee_curl_says "$status" "${code##*$'\n'}"
    return 1
  fi
}

_rbee_get() {
  local url=$1 part=$2
  if _rbee_have curl; then
    _rbee_curl "$@"
  elif _rbee_have wget && [ "${url%%:*}" != file ]; then
    (
      builtin ulimit -f "$((_rbee_extract_limit / 1024 + 1))" 2>/dev/null
      command wget -q -c -O "$part" -- "$url" >&2
    ) || {
      _rbee_why="wget ended with status $?"
      return 1
    }
  else
    _rbee_unreachable "no curl and no wget here, which the source $(_rbee_shown "$url") needs"
  fi
}

# Is it a page for people, where a file was asked for?
_rbee_is_page() {
  case $(command head -c 64 <"$1" | command tr -d '\0' | command tr 'A-Z' 'a-z') in
    *'<!doctype'* | *'<html'*) return 0 ;;
  esac
  return 1
}

# One attempt: brings what stands at $url into $part, and checks it; says in _rbee_difference why not.
_rbee_attempt() {
  local suffix=$1 index=$2 url=$3 part=$4 more=$5 shown
  shown=$(_rbee_shown "$url")
  if ! _rbee_get "$url" "$part" "$more"; then
    _rbee_difference="cannot download $shown: $_rbee_why" _rbee_away=yes
    return 1
  fi
  _rbee_away=
  # Some tools make no file of nothing.
  if [ ! -f "$part" ]; then
    : >"$part"
  fi
  if _rbee_matches "$suffix" "$index" "$shown" "$part"; then
    return 0
  fi
  if _rbee_is_page "$part"; then
    _rbee_difference+='; what came is a web page'
  fi
  return 1
}

# As many attempts as make sense at one place. A wrong file is no beginning of a right one; a cut one is.
_rbee_fetch_part() {
  local part=$4 had=
  if [ -s "$part" ]; then
    had=yes
    _rbee_talk "going on with $(_rbee_shown "$3")"
  else
    _rbee_talk "downloading $(_rbee_shown "$3")"
  fi
  if _rbee_attempt "$@"; then
    return 0
  fi
  if [ -n "$had" ]; then
    _rbee_talk "$_rbee_difference; once more from the start"
    command rm -f -- "$part"
    if _rbee_attempt "$@"; then
      return 0
    fi
  fi
  if [ -z "$_rbee_away" ]; then
    command rm -f -- "$part"
  fi
  return 1
}

# Nothing but the origin speaks for this one.
_rbee_download_unchecked() {
  local name=$3 url=$4 part
  _rbee_talk "nothing checks $(_rbee_shown "$url"): its checksum is SKIP"
  _rbee_unverified+=("$name (SKIP)")
  if [ "${url%%:*}" = https ] && ! _rbee_have curl; then
    _rbee_unreachable "no curl here, which the source $(_rbee_shown "$url") needs: wget may follow it to http, and nothing checks it"
  fi
  _rbee_place=$_rbee_work/unchecked/$_rbee_key
  _rbee_make_place
  part=$_rbee_place/$name
  command rm -f -- "$part"
  _rbee_fetch_part "$1" "$2" "$url" "$part" '' || _rbee_unreachable "$_rbee_difference"
  _rbee_take "$name" "$part"
}

_rbee_download_checked() {
  local suffix=$1 index=$2 name=$3 url=$4 place part from tried=0
  place=$_rbee_place/$name part=$place.part
  _rbee_lock "$name"
  if [ -f "$place" ] && _rbee_matches "$suffix" "$index" '' "$place"; then
    _rbee_talk "found $name"
  # Whoever fetched it was ended before it could say so.
  elif [ -s "$part" ] && _rbee_matches "$suffix" "$index" '' "$part"; then
    _rbee_talk "found $name"
    command mv -f -- "$part" "$place" || _rbee_fail "cannot keep $name in the cache"
  else
    _rbee_find_mirrors "$url"
    for from in "$url" "${_rbee_others[@]}"; do
      tried=$((tried + 1))
      if [ "$tried" -gt 1 ]; then
        _rbee_talk "$_rbee_difference; trying a mirror"
      fi
      if _rbee_fetch_part "$suffix" "$index" "$from" "$part" \
        "${_rbee_others[$((tried - 1))]-}"; then
        command mv -f -- "$part" "$place" || _rbee_fail "cannot keep $name in the cache"
        tried=
        break
      fi
    done
    if [ -n "$tried" ]; then
      if [ "$tried" -gt 1 ]; then
        _rbee_difference+=" (the last of $tried places)"
      fi
      if [ -n "$_rbee_away" ]; then
        _rbee_unreachable "$_rbee_difference"
      fi
      _rbee_fail "$_rbee_difference"
    fi
  fi
  _rbee_take "$name" "$place"
  _rbee_unlock
}

_rbee_download() {
  local suffix=$1 index=$2 name=$3 url=$4
  _rbee_cache_place sources "$url"
  if [ -d "$_rbee_work/given" ]; then
    _rbee_taken=$_rbee_place/$name
    if [ ! -f "$_rbee_taken" ]; then
      _rbee_fail "source $name was not sent along"
    fi
    if _rbee_unchecked "$suffix" "$index"; then
      _rbee_unverified+=("$name (SKIP)")
    fi
    _rbee_verify "$suffix" "$index" "$name, as it was sent," "$_rbee_taken"
  elif _rbee_unchecked "$suffix" "$index"; then
    _rbee_download_unchecked "$@"
  else
    _rbee_download_checked "$@"
  fi
  _rbee_use "$name" "$_rbee_taken"
}
