# shellcheck shell=sh
# What the scripts of this directory share. It is read by them (`. script/lib.sh`) and does nothing by itself.

have() { command -v "$1" >/dev/null 2>&1; }

# Prints the comment at the top of a script ($1), which is its help.
print_help() { sed -n '1d;/^#/!q;s/^# \{0,1\}//p' "$1"; }

# Answers --help ($2 is the first argument of script $1), before anything else is done.
answer_help() {
    case "${2-}" in
        -h | --help)
            print_help "$1"
            exit 0
            ;;
    esac
}

# An option for cargo: a person at a terminal sees its progress, a log doesn't need it.
quiet() { [ -t 2 ] || echo --quiet; }

# The home directory of a user (name or id), by the password database.
home_of() { getent passwd "$1" 2>/dev/null | cut -d: -f6 || true; }

# The oldest Rust that builds Packhouse: rust-version in Cargo.toml, such as 1.95. $1 is the root of the sources.
needed_rust() { sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' "$1/Cargo.toml"; }

# The version of the Rust in a directory of programs ("" for the PATH), such as 1.95.0; empty if there is none.
rust_version() {
    have "${1:+$1/}cargo" || return 0
    "${1:+$1/}rustc" --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p' || true
}

# Whether version $1 is at least $2, by major and minor number.
is_at_least() {
    [ -n "$1" ] || return 1
    major=${1%%.*} rest=${1#*.}
    minor=${rest%%.*}
    needed_minor=${2#*.}
    needed_minor=${needed_minor%%.*}
    [ "$major" -gt "${2%%.*}" ] || { [ "$major" -eq "${2%%.*}" ] && [ "$minor" -ge "$needed_minor" ]; }
}

# Puts a cargo that is new enough first in the PATH: the one that is there, else rustup's in the home directory, else,
# under sudo, rustup's of the user who called sudo (root's PATH and home are others). $1 is the root of the sources.
# Without one, says so and returns 1.
find_rust() {
    needed=$(needed_rust "$1")
    own=$(home_of "$(id -u)")
    # HOME may be unset or lead anywhere; Rust was installed in the home that the password database knows.
    HOME=${HOME:-$own}
    export HOME
    if [ -z "${CARGO_HOME-}" ] && [ ! -d "$HOME/.cargo" ] && [ -d "$own/.cargo" ]; then
        export CARGO_HOME="$own/.cargo"
    fi
    if [ -z "${RUSTUP_HOME-}" ] && [ ! -d "$HOME/.rustup" ] && [ -d "$own/.rustup" ]; then
        export RUSTUP_HOME="$own/.rustup"
    fi
    found=
    for directory in "" "${CARGO_HOME:-$HOME/.cargo}/bin"; do
        version=$(rust_version "$directory")
        if is_at_least "$version" "$needed"; then
            PATH="${directory:+$directory:}$PATH"
            export PATH
            return 0
        fi
        found=${found:-$version}
    done
    if [ -n "${SUDO_USER-}" ]; then
        theirs=$(home_of "$SUDO_USER")
        # Their cargo is rustup's, which looks for its toolchains in the home of whoever runs it.
        version=$(RUSTUP_HOME="$theirs/.rustup" rust_version "$theirs/.cargo/bin")
        if is_at_least "$version" "$needed"; then
            export RUSTUP_HOME="$theirs/.rustup"
            PATH="$theirs/.cargo/bin:$PATH"
            export PATH
            return 0
        fi
        found=${found:-$version}
    fi
    if [ -n "$found" ]; then
        echo "Packhouse needs Rust $needed or later, and this is Rust $found: run 'rustup update', or install Rust" \
            "from https://rustup.rs" >&2
    else
        echo "Packhouse needs Rust $needed or later, and there is none here: install it from https://rustup.rs" >&2
    fi
    return 1
}
