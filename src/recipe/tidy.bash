#!/usr/bin/env bash
# The part of the driver that tidies a package as makepkg does when package() has ended. Stands before driver.bash in
# one program, keeps the same rules, and calls what is defined there.
#
# What is tidied is decided by the options that the recipe has *after* its function, with Arch's own as the standard.
# The order is makepkg's too: empty folders go before what would leave more of them.

# Is the option on? The last word on it counts.
_rbee_enabled() {
  local name=$1 state=$2 entry
  for entry in "${options[@]}"; do
    case $entry in
      "$name") state=y ;;
      "!$name") state=n ;;
    esac
  done
  [ "$state" = y ]
}

_rbee_tidy_static() {
  local file
  while IFS= builtin read -r -d '' file; do
    if [ -f "${file%.a}.so" ] || [ -h "${file%.a}.so" ]; then
      command rm -f -- "$file"
    fi
  done < <(command find . ! -type d -name '*.a' -print0)
}

_rbee_tidy_man() {
  local file link inode known=() folders=() folder
  for folder in usr/man usr/info usr/share/man usr/share/info usr/local/man usr/local/info usr/local/share/man \
    usr/local/share/info; do
    if [ -d "$folder" ]; then
      folders+=("$folder")
    fi
  done
  if [ "${#folders[@]}" -eq 0 ] || ! _rbee_have gzip; then
    return 0
  fi
  while IFS= builtin read -r -d '' file; do
    while IFS= builtin read -r -d '' link; do
      if [ "$file" -ef "$link" ]; then
        command rm -f -- "$link" "$link.gz"
        if [ "${file%/*}" = "${link%/*}" ]; then
          command ln -s -- "${file##*/}.gz" "$link.gz"
        else
          command ln -s -- "/$file.gz" "$link.gz"
        fi
      fi
    done < <(command find "${folders[@]}" -type l -print0)
    builtin read -r inode _ < <(command ls -di -- "$file")
    # A page of two names stays one.
    if [ -z "${known[$inode]}" ]; then
      known[$inode]=$file
      command gzip -9 -n -f -- "$file"
    else
      command rm -f -- "$file"
      command ln -- "${known[$inode]}.gz" "$file.gz"
      command chmod 644 "$file.gz"
    fi
  done < <(command find "${folders[@]}" -type f ! -name '*.gz' ! -name '*.bz2' -print0)
}

_rbee_strip() {
  local file=$1 part=$1.rbee-strip
  shift
  if command strip "$@" "$file" -o "$part" 2>/dev/null; then
    # Into the same file: its mode and its other names stay.
    command cat "$part" >|"$file"
  fi
  command rm -f -- "$part"
}

_rbee_tidy_strip() {
  local file
  if [ "$(command uname -s)" = Darwin ]; then
    # Would take the signature off, without which nothing runs there.
    return 0
  fi
  if ! _rbee_have strip || ! _rbee_have readelf; then
    _rbee_talk 'no strip here: symbols stay'
    return 0
  fi
  while IFS= builtin read -r -d '' file; do
    case $(LC_ALL=C command readelf -h "$file" 2>/dev/null) in
      *Type:*'DYN ('*) _rbee_strip "$file" --strip-unneeded ;;
      *Type:*'EXEC ('*) _rbee_strip "$file" --strip-all ;;
      *Type:*'REL ('*)
        if command ar t "$file" >/dev/null 2>&1; then
          _rbee_strip "$file" --strip-debug
          _rbee_strip "$file" -R '.gnu.lto_*' -R '.gnu.debuglto_*' -N __gnu_lto_v1
        elif [ "${file%.ko}" != "$file" ]; then
          _rbee_strip "$file" --strip-unneeded
        fi
        ;;
    esac
  done < <(command find . -type f -perm -200 -print0)
}

# Tidies the package in the current folder.
_rbee_tidy() {
  local file
  builtin shopt -s nullglob
  if ! _rbee_enabled docs y; then
    command rm -rf -- usr/{,local/}{,share/}{doc,gtk-doc} opt/*/{doc,gtk-doc}
  fi
  if ! _rbee_enabled emptydirs y; then
    command find . -depth -type d -exec rmdir '{}' ';' 2>/dev/null
  fi
  if ! _rbee_enabled libtool n; then
    command find . ! -type d -name '*.la' -exec rm -f -- '{}' +
  fi
  if _rbee_enabled purge y; then
    command rm -f usr/info/dir usr/share/info/dir
    command find . ! -type d \( -name .packlist -o -name '*.pod' \) -exec rm -f -- '{}' +
  fi
  if ! _rbee_enabled staticlibs n; then
    _rbee_tidy_static
  fi
  if _rbee_enabled strip y; then
    _rbee_tidy_strip
  fi
  if _rbee_enabled zipman y; then
    _rbee_tidy_man
  fi
  builtin shopt -u nullglob
}
