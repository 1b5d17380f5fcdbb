#!/bin/sh
# rclone sync and checksum: a version with directories.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need rclone curl
export RCLONE_CONFIG=/dev/null
publish_tool

run mirrors.md 3
same_as_published synced
echo 'not on the server' >synced/linux/old
echo 'FOR AMD64' >synced/linux/amd64/tool
touch -d '2020-01-01' synced/linux/amd64/tool
refuses 'differences found' rclone checksum sha256 SHA256SUMS synced
run mirrors.md 3
same_as_published synced
