# What all of these scripts share. POSIX sh; the value of each variable that is not set here is put before the text.
# shellcheck disable=SC2034,SC2154,SC2086,SC2015,SC2046

# A line as it is. The printf of mksh is a program: what it prints would be among its arguments.
if [ -n "${KSH_VERSION-}" ]; then
  put() { print -r -- "$*"; }
else
  put() { printf '%s\n' "$*"; }
fi

nap() { sleep 0.2 2>/dev/null || sleep 1; }

# The hub's cache, as its own clients find it.
C=${HF_HUB_CACHE:-${HUGGINGFACE_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}/hub}}

# Sets `n` to the length of a file. Some `wc` read all of it, and some shells cannot count so far.
size() {
  set -- $(ls -nL "$1") && n=$5
}

# Makes sure that a rename to $1 puts something there: into a folder, or a link to one, it would be moved.
vacant() {
  [ ! -d "$1" ] || { [ -L "$1" ] && rm -f "$1"; }
}

# Prints the digest of its input with whatever there is.
hashed() {
  if command -v openssl >/dev/null 2>&1 && openssl dgst "-$1" </dev/null >/dev/null 2>&1; then
    openssl dgst "-$1"
  elif command -v "${1}sum" >/dev/null 2>&1; then
    "${1}sum"
  elif command -v shasum >/dev/null 2>&1; then
    shasum -a "${1#sha}"
  else
    put 'no openssl, sha256sum or shasum on this host' >&2
    return 69
  fi
}

# The digest alone, out of `SHA2-256(stdin)= HEX` or `HEX  -`.
hex() {
  IFS= read -r d
  d=${d##*= }
  put "${d%% *}"
}

# Prints the digest that a blob of the name $1 must have, of the file $2.
digest() {
  if [ "${#1}" = 64 ]; then
    hashed sha256 <"$2" | hex
  else
    size "$2" && { printf 'blob %s\0' "$n"; cat "$2"; } | hashed sha1 | hex
  fi
}

# Who this process is, beyond its number: another of that number, or another boot, is somebody else.
born() {
  s=''
  { read -r s <"/proc/$1/stat"; } 2>/dev/null && { s=${s##*) }; set -- $s; shift 19; s=$1; } ||
    s=$(ps -o lstart= -p "$1" 2>/dev/null | tr -dc 0-9A-Za-z)
  s=${s:-gone}
}

me() {
  boot=''
  { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || boot=$(sysctl -n kern.boottime 2>/dev/null | tr -dc 0-9)
  born "$$"
  me="$(uname -n) $$ $s ${boot:-none}"
}

# Whether the lease in $1 is somebody's, who is then in `holder`: on this machine if its process is there, on another one if
# it beats.
held() {
  lh='' lp='' lt='' lb='' lk=''
  { read -r lh lp lt lb lk <"$1"; } 2>/dev/null
  [ -n "$lh" ] || { sleep 1; { read -r lh lp lt lb lk <"$1"; } 2>/dev/null; }
  holder="process $lp on $lh"
  if [ "$lh" = "${me%% *}" ]; then
    born "${lp:-0}"
    [ "$lb" = "${me##* }" ] && [ "$s" = "$lt" ]
  else
    sleep 5
    lj=''
    { read -r lh lp lt lb lj <"$1"; } 2>/dev/null
    [ "$lj" != "$lk" ]
  fi
}
