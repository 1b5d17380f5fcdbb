#!/bin/sh
# wget --recursive: a version with directories.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need wget curl
publish_tool

run mirrors.md 1
same_as_published tool/1.4.2
equal "$(find . -name '*robots*' -o -name 'index.html*')" ''
# Nothing is downloaded again.
run mirrors.md 1
! grep -q 'tool/1.4.2/linux/amd64/tool" \[' log || fail "downloaded again: $(cat log)"
same_as_published tool/1.4.2
