# shellcheck shell=sh
# For the scripts of this folder. Each tries a real program with the blocks of its page in docs/usage/clients, so that
# what the page says is what was run. Sourced with the arguments of the script:
#
# Usage: tests/clients/NAME.sh URL TOKEN
#   URL    of a server with a user ada, who has published nothing yet
#   TOKEN  of ada, with the scope write:package
#
# Status 77 says that a program isn't installed, and 1 that it didn't do what the page says.
url=$1
packages=$url/api/packages/ada/generic
PACKHOUSE_TOKEN=$2
export PACKHOUSE_TOKEN
pages=$(cd "$(dirname "$0")/../../docs/usage/clients" && pwd)

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

need() {
    for program in "$@"; do
        if ! command -v "$program" >/dev/null; then
            echo "skipped, because $program is not installed"
            exit 77
        fi
    done
}

# Prints a block of a page: block PAGE LANGUAGE NUMBER. The server is the one of the test, and a SHA-256 is $sha256.
block() {
    awk -v "language=$2" -v "number=$3" '
        in_block && /^ *```$/ { in_block = 0; next }
        in_block { print; found = 1 }
        !in_block && $0 ~ "^ *```" language "$" && ++count == number { in_block = 1 }
        END { exit !found }
    ' "$pages/$1" >block.tmp || fail "$1 has no block $3 in $2"
    sed -e "s|https://packages\.example\.org|$url|g" -e "s/[0-9a-f]\{64\}/${sha256:-&}/g" block.tmp
    rm block.tmp
}

# Runs a block of a page in a shell: run PAGE NUMBER. Its output is in the file `log`.
run() {
    block "$1" bash "$2" >run.tmp
    sh -eu run.tmp >log 2>&1 || fail "block $2 of $1 failed: $(cat log)"
    rm run.tmp
}

# A command that must fail because of a checksum: refuses WORDS COMMAND. Its output has the words.
refuses() {
    words=$1
    shift
    if "$@" >refused.tmp 2>&1; then fail "not refused: $*"; fi
    grep -qi -e "$words" refused.tmp || fail "refused, but without '$words': $(cat refused.tmp)"
    rm refused.tmp
}

equal() {
    [ "$1" = "$2" ] || fail "expected '$2', got '$1'"
}

# Another SHA-256, for what must be refused.
# shellcheck disable=SC2034 # the scripts use it
wrong=$(printf wrong | sha256sum | cut -d' ' -f1)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
# The settings of this machine don't count.
export HOME="$work"
export no_proxy='*'
printf 'silent\nshow-error\n' >.curlrc
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

# Publishes a version of the package `tool` with two directories, as the directory `expected` has it.
publish_tool() {
    mkdir -p expected/linux/amd64 expected/linux/arm64
    echo 'for amd64' >expected/linux/amd64/tool
    echo 'for arm64' >expected/linux/arm64/tool
    echo 'a note' >'expected/read me & more.txt'
    (
        cd expected || exit 1
        find . -type f | while read -r file; do
            curl --fail-with-body -H "Authorization: Bearer $PACKHOUSE_TOKEN" -T "$file" \
                "$packages/tool/1.4.2/$(printf %s "${file#./}" | sed 's/ /%20/g; s/&/%26/g')"
        done
    )
}

# The copy has exactly what was published: same_as_published DIRECTORY.
same_as_published() {
    diff -r expected "$1" || fail "$1 differs from what was published"
}
