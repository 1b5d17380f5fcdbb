#!/bin/sh
# GoReleaser: uploads with a checksum, and directories in the target.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need goreleaser go git curl
export GOFLAGS=-mod=mod GOCACHE="$work/cache" GOPATH="$work/go" GIT_CONFIG_GLOBAL=/dev/null

mkdir greeter
cd greeter
printf 'module example.org/greeter\n\ngo 1.21\n' >go.mod
printf 'package main\n\nfunc main() { println("hello") }\n' >main.go
echo /dist/ >.gitignore
git init -q
git remote add origin https://git.example.org/ada/greeter.git
git add .
commit() { git -c user.name=ada -c user.email=ada@example.org "$@"; }
commit commit -qm first
commit tag 1.0.0

# The page's uploads, in a project without a release elsewhere: project NUMBER.
project() {
    printf 'version: 2\nproject_name: greeter\nbuilds:\n  - goos: [linux]\n    goarch: [amd64]\n    goamd64: [v1]\n'
    printf '    env: [CGO_ENABLED=0]\nrelease:\n  disable: true\n'
    block goreleaser.md yaml "$1"
}

project 1 >../goreleaser.yaml
sed 's/goreleaser release/& --config ..\/goreleaser.yaml/' >/dev/null </dev/null
release() {
    block goreleaser.md bash 1 | sed 's|--clean|--clean --config ../goreleaser.yaml|' >../release.sh
    sh -eu ../release.sh >../log 2>&1 || fail "$(cat ../log)"
}
release
curl -f "$packages/greeter/1.0.0/SHA256SUMS" >../published || fail "nothing was published: $(cat ../log)"
grep -q ' greeter_1.0.0_linux_amd64.tar.gz$' ../published || fail "$(cat ../published)"
grep -q ' greeter_1.0.0_checksums.txt$' ../published || fail "$(cat ../published)"

commit tag -d 1.0.0 >/dev/null
commit tag 1.1.0
project 2 >../goreleaser.yaml
release
curl -f "$packages/greeter/1.1.0/linux/amd64/greeter" | cmp - dist/greeter_linux_amd64_v1/greeter ||
    fail "the program is not in its directory: $(cat ../log)"
