#!/bin/sh
# lftp mirror: a version with directories, and --delete.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need lftp curl
publish_tool

run mirrors.md 2
same_as_published copy
echo 'not on the server' >copy/linux/old
run mirrors.md 2
same_as_published copy
