#!/bin/sh
# apt: a signed flat repository whose states are versions. apt works in directories of its own.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need apt-get dpkg-scanpackages dpkg-deb gpg curl

export GNUPGHOME="$work/gnupg"
mkdir -m 700 gnupg
trap 'gpgconf --kill gpg-agent 2>/dev/null || true; rm -rf "$work"' EXIT
gpg --batch --quiet --passphrase '' --quick-generate-key 'Ada <ada@example.org>' default default never 2>log ||
    fail "$(cat log)"

# A .deb: package VERSION.
package() {
    mkdir -p "build/DEBIAN" repository
    printf 'Package: greeter\nVersion: %s\nArchitecture: all\nMaintainer: Ada <ada@example.org>\nDescription: greets\n' \
        "$1" >build/DEBIAN/control
    dpkg-deb --build --root-owner-group build "repository/greeter_$1_all.deb" >/dev/null
}

publish() {
    (
        cd repository
        run apt.md 1
    )
}

mkdir -p root/keyrings root/sources root/state/lists/partial root/cache/archives/partial
: >root/state/status
apt() {
    command="$1"
    shift
    "apt-$command" -o Dir::State="$work/root/state" -o Dir::State::status="$work/root/state/status" \
        -o Dir::Cache="$work/root/cache" -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/root/sources" \
        -o Dir::Etc::trusted=/dev/null -o Dir::Etc::trustedparts="$work/root/keyrings" -o Dir::Etc::parts=/dev/null \
        -o Dir::Etc::main=/dev/null -o APT::Sandbox::User=root "$@"
}

package 1.0
publish
# The commands for a machine, up to those that would change it.
block apt.md bash 2 | sed -e '/^apt-get/d' -e "s|/etc/apt/keyrings|$work/root/keyrings|" \
    -e "s|/etc/apt/sources.list.d|$work/root/sources|" >install.sh
sh -eu install.sh 2>log || fail "$(cat log)"
apt get -q update >log 2>&1 || fail "$(cat log)"
equal "$(apt cache madison greeter | cut -d'|' -f2 | tr -d ' ')" 1.0

# A new version is the next state, which has both packages. States are named by the second.
package 1.1
sleep 1
publish
apt get -q update >log 2>&1 || fail "$(cat log)"
equal "$(apt cache madison greeter | cut -d'|' -f2 | tr -d ' \n')" 1.11.0
mkdir downloaded
(
    cd downloaded
    apt get -q download greeter >../log 2>&1
) || fail "$(cat log)"
cmp repository/greeter_1.1_all.deb downloaded/greeter_1.1_all.deb || fail "another file was downloaded"

# A list that someone else made, signed by nobody.
sed -i 's|debian/latest|debian/9|' root/sources/ada.sources
for file in Packages Release; do
    curl --fail-with-body -H "Authorization: Bearer $PACKHOUSE_TOKEN" -T "repository/$file" "$packages/debian/9/"
done
refuses 'not signed' apt get -q update
