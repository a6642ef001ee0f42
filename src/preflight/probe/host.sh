# Who and where: user, folders, system.

# shellcheck disable=SC2046
set -- $(uname -srm)
os=${1-}
rec os "$os"
rec kernel "${2-}"
rec arch "${3-}"

who=$(id)
uid=${who#uid=}
uid=${uid%%[!0-9]*}
user=${who#*\(}
user=${user%%\)*}
rec uid "$uid"
rec user "$user"

# An entry of /etc/passwd fills in what the environment does not say.
if [ -z "${HOME-}" ] || [ -z "${SHELL-}" ]; then
    if [ "$os" != Darwin ] && [ -r /etc/passwd ]; then
        while IFS=: read -r name _ _ _ _ there shell; do
            [ "$name" = "$user" ] || continue
            HOME=${HOME:-$there} SHELL=${SHELL:-$shell}
            break
        done </etc/passwd
    fi
fi
rec home "${HOME-}"
rec shell "${SHELL-}"
rec path "$PATH"
base=${HOME-}
base=${base%/}

# absolute VALUE DEFAULT: sets `dir`; what is not absolute does not count.
absolute() {
    case $1 in
    /*) dir=${1%/} ;;
    *) dir=$2 ;;
    esac
}
absolute "${XDG_CACHE_HOME-}" "$base/.cache"
cache=$dir/rbee
absolute "${XDG_STATE_HOME-}" "$base/.local/state"
state=$dir/rbee
absolute "${XDG_DATA_HOME-}" "$base/.local/share"
data=$dir/rbee
absolute "${RBEE_PREFIX-}" /usr/local
system_bin=$dir/bin
system_data=$dir/share/rbee
user_bin=$base/.local/bin
absolute "${TMPDIR-}" /tmp
tmp=$dir
absolute "${CARGO_HOME-}" "$base/.cargo"
cargo_home=$dir
absolute "${RUSTUP_HOME-}" "$base/.rustup"
rustup_home=$dir
absolute "${CUDA_HOME-}" /usr/local/cuda
cuda_home=$dir
rec cache "$cache"
rec state "$state"
rec data "$data"
rec user_bin "$user_bin"
rec system_bin "$system_bin"
rec system_data "$system_data"

id='' version_id=''
for file in /etc/os-release /usr/lib/os-release; do
    [ -r "$file" ] || continue
    while IFS='=' read -r word value; do
        value=${value#[\"\']}
        value=${value%[\"\']}
        case $word in
        ID) id=$value ;;
        VERSION_ID) version_id=$value ;;
        esac
    done <"$file"
    break
done
[ -z "$id" ] || rec distribution "$id" "$version_id"

