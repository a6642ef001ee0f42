#!/usr/bin/env bash
# The part of the driver that downloads sources. Stands before driver.bash in one program, keeps the same rules, and
# calls what is defined there.
#
# A download grows in the user's cache as NAME.part and gets its name only when it was checked. A part that an earlier
# run left is gone on with; if that does not lead to the right file, it is fetched once more from the start.

_rbee_curl() {
  local url=$1 part=$2 protocols redirects
  case $url in
    https://*) protocols=https redirects=https ;;
    http://*) protocols=http redirects=http,https ;;
    *) protocols=${url%%:*} redirects=$protocols ;;
  esac
  command curl -q --globoff --fail --location --show-error --silent --proto "=$protocols" --proto-redir "=$redirects" \
    --max-redirs 10 --connect-timeout 30 --speed-limit 1 --speed-time 120 --retry 3 --retry-delay 1 \
    --continue-at - --output "$part" -- "$url" >&2
}

_rbee_get() {
  local url=$1 part=$2
  if _rbee_have curl; then
    _rbee_curl "$url" "$part"
  elif _rbee_have wget && [ "${url%%:*}" != file ]; then
    command wget -q -c -O "$part" -- "$url" >&2
  else
    _rbee_fail "no curl and no wget here, which the source $(_rbee_shown "$url") needs"
  fi
}

_rbee_download() {
  local suffix=$1 index=$2 name=$3 url=$4 shown place part fresh had
  shown=$(_rbee_shown "$url")
  _rbee_cache_place sources "$url"
  place=$_rbee_place/$name part=$place.part
  # What no checksum speaks for may have changed at its origin.
  if _rbee_unchecked "$suffix" "$index"; then
    _rbee_talk "nothing checks $shown: its checksum is SKIP"
    command rm -f -- "$place" "$part"
  elif [ -f "$place" ] && _rbee_matches "$suffix" "$index" "$shown" "$place"; then
    _rbee_talk "found $name"
    _rbee_use "$name" "$place"
    return 0
  fi
  had=
  for fresh in '' again; do
    if [ -n "$fresh" ]; then
      if [ -z "$had" ]; then
        break
      fi
      command rm -f -- "$part"
    fi
    had=
    if [ -s "$part" ]; then
      had=yes
      _rbee_talk "going on with $shown"
    else
      _rbee_talk "downloading $shown"
    fi
    _rbee_difference="cannot download $shown"
    if _rbee_get "$url" "$part" && _rbee_matches "$suffix" "$index" "$shown" "$part"; then
      command mv -f -- "$part" "$place" || _rbee_fail "cannot keep $name in the cache"
      _rbee_use "$name" "$place"
      return 0
    fi
  done
  case $_rbee_difference in
    # A wrong file is no beginning of a right one; a cut one is.
    checksum*) command rm -f -- "$part" ;;
  esac
  _rbee_fail "$_rbee_difference"
}
