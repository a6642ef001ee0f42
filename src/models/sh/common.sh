# What all of these scripts share. POSIX sh; the value of each variable that is not set here is put before the text.
# shellcheck disable=SC2034,SC2154

# A line as it is. The printf of mksh is a program: what it prints would be among its arguments.
if [ -n "${KSH_VERSION-}" ]; then
  put() { print -r -- "$*"; }
else
  put() { printf '%s\n' "$*"; }
fi

nap() { sleep 0.2 2>/dev/null || sleep 1; }

# The hub's cache, as its own clients find it.
C=${HF_HUB_CACHE:-${HUGGINGFACE_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}/hub}}

size() { n=$(wc -c <"$1") && n=$((n)); }

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
