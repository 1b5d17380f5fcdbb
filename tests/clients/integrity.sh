#!/bin/sh
# Bazel and Nix: the SHA-256 in the form that they want, and Nix itself where it is installed.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need curl perl tar

mkdir greeter-1.0.0
echo hello >greeter-1.0.0/hello.txt
tar -czf greeter-1.0.0.tar.gz greeter-1.0.0
sha256=$(sha256sum greeter-1.0.0.tar.gz | cut -d' ' -f1)
base64=$(perl -MMIME::Base64 -e 'print encode_base64(pack("H*", shift), "")' "$sha256")
run bazel.md 1
equal "$(cat log)" "integrity = \"sha256-$base64\","
run nix.md 1
equal "$(cat log)" "hash = \"sha256-$base64\";"

command -v nix-instantiate >/dev/null || exit 0
block nix.md nix 2 >fetch.nix
NIX_STORE_DIR=$work/store NIX_STATE_DIR=$work/state NIX_LOG_DIR=$work/logs NIX_CONF_DIR=$work
export NIX_STORE_DIR NIX_STATE_DIR NIX_LOG_DIR NIX_CONF_DIR
echo 'build-users-group =' >nix.conf
archive=$(nix-instantiate --eval fetch.nix | tr -d '"')
cmp "$archive" greeter-1.0.0.tar.gz || fail "another file was downloaded"
sed -i "s/$sha256/$wrong/" fetch.nix
refuses 'hash mismatch' nix-instantiate --eval fetch.nix
