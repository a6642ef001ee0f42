# Finding tools, and what may be asked of them.

developer=
if [ "$os" = Darwin ]; then
    developer=$(xcode-select -p 2>/dev/null)
fi

# Where toolchains live that a command over SSH does not find.
beyond=$cargo_home/bin:$base/.cargo/bin:/opt/homebrew/bin:/usr/local/bin:$cuda_home/bin:/usr/local/cuda/bin
beyond=$beyond:/opt/cuda/bin:$user_bin:/home/linuxbrew/.linuxbrew/bin:/opt/rocm/bin:/usr/lib/wsl/lib:/snap/bin
beyond=$beyond:/usr/sbin:/sbin

# within FOLDERS NAME: sets `at`.
within() {
    at=
    IFS=:
    set -f
    for dir in $1; do
        dir=${dir%/}
        case $dir in
        /*) ;;
        *) continue ;;
        esac
        if [ ! -f "$dir/$2" ] || [ ! -x "$dir/$2" ]; then
            continue
        fi
        # Without the developer tools these are stubs that open a dialog.
        if [ "$os$dir$developer" = Darwin/usr/bin ]; then
            case $2 in
            cc | c++ | gcc | g++ | clang | clang++ | ld | git | make | python3 | pip3 | m4 | flex | bison) continue ;;
            esac
        fi
        at=$dir/$2
        break
    done
    set +f
    IFS=$space
}

# seek NAME: sets `at` and `seen`.
seek() {
    seen=on
    within "$PATH" "$1"
    [ -n "$at" ] && return
    seen=off
    within "$beyond" "$1"
    [ -n "$at" ]
}

# toolchain NAME: sets `run` to the program behind a rustup proxy; nothing when there is none yet.
toolchain() {
    run=
    chain=${RUSTUP_TOOLCHAIN-}
    if [ -z "$chain" ] && [ -f "$rustup_home/settings.toml" ]; then
        while read -r word _ value; do
            case $word in
            default_toolchain)
                chain=${value#[\"\']}
                chain=${chain%%[\"\']*}
                break
                ;;
            esac
        done <"$rustup_home/settings.toml"
    fi
    case $chain in
    '' | */*) return ;;
    esac
    for dir in "$rustup_home/toolchains/$chain" "$rustup_home/toolchains/$chain"-*; do
        if [ -x "$dir/bin/$1" ]; then
            run=$dir/bin/$1
            return
        fi
    done
}

# harmless NAME PATH: sets `run` to what may be asked for its version without changing anything; else to nothing.
harmless() {
    run=$2
    case $2 in
    # Shims may install what they stand for; a snap makes folders in the home.
    */shims/* | /snap/* | /var/lib/snapd/*) run= ;;
    /usr/bin/cc | /usr/bin/c++ | /usr/bin/gcc | /usr/bin/g++ | /usr/bin/clang | /usr/bin/clang++ | /usr/bin/ld | \
        /usr/bin/git | /usr/bin/make | /usr/bin/python3 | /usr/bin/pip3 | /usr/bin/m4 | /usr/bin/flex | /usr/bin/bison)
        # The stubs of macOS keep a cache in TMPDIR; what they stand for does not.
        [ "$os" = Darwin ] || return
        run=$developer/usr/bin/$1
        [ -x "$run" ] || run=$developer/Toolchains/XcodeDefault.xctoolchain/usr/bin/$1
        [ -x "$run" ] || run=
        ;;
    esac
}

# dotted TEXT: sets `number` to the first dotted number in it.
dotted() {
    set -f
    for word in $1; do
        while :; do
            case $word in
            *[0-9]*) ;;
            *) break ;;
            esac
            word=${word#"${word%%[0-9]*}"}
            number=${word%%[!0-9.]*}
            case $number in
            *[0-9].[0-9]*)
                number=${number%.}
                set +f
                return
                ;;
            esac
            word=${word#"$number"}
        done
    done
    number=
    set +f
}

