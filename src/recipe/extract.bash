#!/usr/bin/env bash
# The part of the driver that extracts archives, told by their content as makepkg does it. Stands before driver.bash
# in one program, keeps the same rules, and calls what is defined there.
#
# An archive is hostile: it writes below $srcdir only, makes no devices, and not more than _rbee_extract_limit bytes.

# The first bytes of stdin in hexadecimal.
_rbee_hex() {
  command od -An -v -tx1 -N"$1" | command tr -d ' \n'
}

# The program that decompresses what begins with these bytes, in _rbee_unpacker; empty when it is not compressed.
_rbee_compression() {
  case $1 in
    1f8b*) _rbee_unpacker=gzip _rbee_suffixes='gz z Z' ;;
    425a68*) _rbee_unpacker=bzip2 _rbee_suffixes='bz2 bz' ;;
    fd377a585a00*) _rbee_unpacker=xz _rbee_suffixes=xz ;;
    28b52ffd*) _rbee_unpacker=zstd _rbee_suffixes=zst ;;
    # One file in lz4 stays as it is with makepkg, too.
    04224d18*) _rbee_unpacker=lz4 _rbee_suffixes= ;;
    *) _rbee_unpacker= _rbee_suffixes= ;;
  esac
}

_rbee_plain() {
  if [ -n "$_rbee_unpacker" ]; then
    command "$_rbee_unpacker" -dc <"$1" 2>/dev/null
  else
    command cat <"$1"
  fi
}

_rbee_too_large() {
  _rbee_fail "$1 has more than $_rbee_extract_limit bytes when it is extracted; that is no source"
}

# Says why an archive was not extracted: it was cut at the limit, or it is broken.
_rbee_not_extracted() {
  local name=$1 file=$2 size
  size=$(_rbee_plain "$file" | command head -c "$((_rbee_extract_limit + 1))" | command wc -c)
  if [ "$size" -gt "$_rbee_extract_limit" ]; then
    _rbee_too_large "$name"
  fi
  _rbee_fail "cannot extract $name; name it in noextract if it is no archive"
}

# Without bsdtar, nothing would keep an archive from writing through a link that another one has left.
_rbee_no_links() {
  local link
  while IFS= builtin read -r -d '' link; do
    if [ -d "$link" ]; then
      _rbee_fail "cannot extract $1 beside the link ${link##*/} to a folder; install bsdtar (libarchive)"
    fi
  done < <(command find "$srcdir" -type l -print0)
}

# Did all of a pipe go well? Whoever wrote more than was wanted got SIGPIPE, which is fine.
_rbee_piped() {
  local status
  for status in "$@"; do
    case $status in
      0 | 141) ;;
      *) return 1 ;;
    esac
  done
}

# bsdtar with an archive, decompressed by the program that is known to be here.
_rbee_bsdtar() {
  local file=$1
  shift
  if [ -n "$_rbee_unpacker" ]; then
    _rbee_plain "$file" | command head -c "$_rbee_extract_limit" | command bsdtar "$@" -f -
    _rbee_piped "${PIPESTATUS[@]}"
  else
    command bsdtar "$@" -f "$file"
  fi
}

# All that bsdtar can read. It finds compression in whatever it is given, so only its own list says how much comes out.
_rbee_extract_with_bsdtar() {
  local name=$1 file=$2 size
  size=$(_rbee_bsdtar "$file" --numeric-owner -tv 2>/dev/null | command awk '{ s += $5 } END { printf "%.0f", s }')
  if [ "${size:-0}" -gt "$_rbee_extract_limit" ]; then
    _rbee_too_large "$name"
  fi
  _rbee_bsdtar "$file" --no-same-permissions -xo -C "$srcdir" || _rbee_not_extracted "$name" "$file"
}

_rbee_untar() {
  local name=$1 file=$2
  _rbee_talk "extracting $name"
  if _rbee_have bsdtar; then
    _rbee_extract_with_bsdtar "$@"
    return
  fi
  _rbee_no_links "$name"
  _rbee_plain "$file" | command head -c "$_rbee_extract_limit" | command tar --no-same-permissions -xof - -C "$srcdir"
  _rbee_piped "${PIPESTATUS[@]}" || _rbee_not_extracted "$name" "$file"
}

_rbee_unzip() {
  local name=$1 file=$2 size
  _rbee_talk "extracting $name"
  if _rbee_have bsdtar; then
    _rbee_extract_with_bsdtar "$@"
    return
  elif ! _rbee_have unzip; then
    _rbee_fail "no bsdtar and no unzip here, which $name needs"
  fi
  size=$(command unzip -l "$file" 2>/dev/null | command tail -n 1)
  builtin read -r size _ <<<"$size"
  if [[ $size =~ ^[0-9]+$ ]] && [ "$size" -gt "$_rbee_extract_limit" ]; then
    _rbee_too_large "$name"
  fi
  _rbee_no_links "$name"
  command unzip -q -o "$file" -d "$srcdir" || _rbee_not_extracted "$name" "$file"
}

# One compressed file, if its name says so too.
_rbee_decompress() {
  local name=$1 file=$2 suffix
  for suffix in $_rbee_suffixes; do
    if [ "${name##*.}" = "$suffix" ]; then
      _rbee_talk "extracting $name"
      if [ -d "$srcdir/${name%.*}" ] && [ ! -L "$srcdir/${name%.*}" ]; then
        _rbee_fail "cannot extract $name to the name of a folder"
      fi
      command rm -f -- "$srcdir/${name%.*}"
      _rbee_plain "$file" | command head -c "$((_rbee_extract_limit + 1))" >"$srcdir/${name%.*}"
      _rbee_piped "${PIPESTATUS[@]}" || _rbee_not_extracted "$name" "$file"
      if [ "$(command wc -c <"$srcdir/${name%.*}")" -gt "$_rbee_extract_limit" ]; then
        _rbee_too_large "$name"
      fi
      return 0
    fi
  done
}

_rbee_extract() {
  local name=$1 file=$2 magic
  magic=$(_rbee_hex 8 <"$file")
  _rbee_compression "$magic"
  if [ -n "$_rbee_unpacker" ] && ! _rbee_have "$_rbee_unpacker"; then
    _rbee_fail "no $_rbee_unpacker here, which $name needs"
  fi
  # "ustar" stands there in every tar of this century.
  if [ "$(_rbee_plain "$file" | command dd bs=1 skip=257 count=5 2>/dev/null | _rbee_hex 5)" = 7573746172 ]; then
    _rbee_untar "$name" "$file"
  elif [ -n "$_rbee_unpacker" ]; then
    _rbee_decompress "$name" "$file"
  elif [[ $magic = 504b0304* || $magic = 504b0506* ]]; then
    _rbee_unzip "$name" "$file"
  elif _rbee_have bsdtar && command bsdtar -tqf "$file" '*' >/dev/null 2>&1; then
    _rbee_untar "$name" "$file"
  else
    return 0
  fi
  if [ -n "$(command find "$srcdir" \( -type b -o -type c -o -type p -o -type s \) -print)" ]; then
    _rbee_fail "$name makes devices or pipes; that is no source"
  fi
}
