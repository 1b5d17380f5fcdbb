#!/bin/sh
# Meson: a wrap file with source_hash.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need meson ninja curl tar

mkdir greeter-1.0.0
cat >greeter-1.0.0/meson.build <<'TEXT'
project('greeter')
meson.override_dependency('greeter', declare_dependency(variables: {'greeting': 'hello'}))
TEXT
tar -czf greeter-1.0.0.tar.gz greeter-1.0.0
run meson.md 1
sha256=$(sha256sum greeter-1.0.0.tar.gz | cut -d' ' -f1)
equal "$(cat log)" "source_hash = $sha256"

mkdir -p firmware/subprojects
block meson.md ini 1 >firmware/subprojects/greeter.wrap
block meson.md text 1 >firmware/meson.build
echo "message('it says', greeter.get_variable('greeting'))" >>firmware/meson.build
cp -r firmware wrong
meson setup firmware/build firmware >log || fail "$(cat log)"
grep -q 'it says hello' log || fail "$(cat log)"
cmp greeter-1.0.0.tar.gz firmware/subprojects/packagecache/greeter-1.0.0.tar.gz || fail "another file was downloaded"

sed -i "s/$sha256/$wrong/" wrong/subprojects/greeter.wrap
refuses 'incorrect hash' meson setup wrong/build wrong
