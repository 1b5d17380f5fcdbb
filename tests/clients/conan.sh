#!/bin/sh
# Conan 2: a backup of sources, whose .json is replaced.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need conan curl tar python3

mkdir greeter-1.0.0
echo hello >greeter-1.0.0/hello.txt
tar -czf greeter-1.0.0.tar.gz greeter-1.0.0
sha256=$(sha256sum greeter-1.0.0.tar.gz | cut -d' ' -f1)
run conan.md 1

# The original site is another package of the same server.
origin=$packages/origin/1/greeter-1.0.0.tar.gz
curl --fail-with-body -H "Authorization: Bearer $PACKHOUSE_TOKEN" -T greeter-1.0.0.tar.gz "$origin"

# A machine of its own: machine NAME.
machine() {
    export CONAN_HOME="$work/$1"
    mkdir -p "$CONAN_HOME"
    block conan.md ini 1 >"$CONAN_HOME/global.conf"
    block conan.md json 1 >"$CONAN_HOME/source_credentials.json"
    conan profile detect >log 2>&1 || fail "$(cat log)"
}

block conan.md python 1 | sed "s|https://origin.example.org/greeter-1.0.0.tar.gz|$origin|" >conanfile.py
machine one
run conan.md 2
backup=$packages/conan-sources/backup
curl -f "$backup/$sha256" | cmp - greeter-1.0.0.tar.gz || fail "the backup has another file"
curl -f "$backup/$sha256.json" >first.json || fail "the backup has no .json"

# Another recipe with the same sources, on a machine that can't reach the original site any more.
curl --fail-with-body -H "Authorization: Bearer $PACKHOUSE_TOKEN" -X DELETE "$origin"
sed -i 's/name = "greeter"/name = "other"/' conanfile.py
machine two
run conan.md 2
curl -f "$backup/$sha256.json" | grep -q other || fail "the .json was not replaced: $(cat log)"
