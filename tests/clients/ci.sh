#!/bin/sh
# GitHub Actions, GitLab CI, Woodpecker and Drone: the commands of the pipelines, with the variables that they set.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need curl bash perl

# The commands behind `KEY: |` or `- |` of a block, without their indentation: commands PAGE NUMBER KEY.
commands() {
    block "$1" yaml "$2" | perl -ne '
        if (defined $indent) {
            if (/^( *)\S/ && length($1) <= $indent) { undef $indent }
            else { print substr($_, $indent + 2) || "\n"; next }
        }
        $indent = length $1 if /^( *)(?:- |run: )\|$/;
    '
}

mkdir dist
echo 'the tool' >dist/tool
echo 'its notes' >'dist/notes.txt'
PACKAGE=$packages/tool
export PACKAGE

# Twice, as when a job is run again.
pipeline() {
    version=$1
    shift
    for again in first second; do
        env "$@" bash -e run.sh >log 2>&1 || fail "the $again run for $version failed: $(cat log)"
    done
    equal "$(curl -f "$packages/tool/$version/tool")" 'the tool'
    equal "$(curl -f "$packages/tool/$version/notes.txt")" 'its notes'
}

commands ci.md 1 >run.sh
grep -q 'curl' run.sh || fail "no commands in block 1"
pipeline 1.0 GITHUB_REF_NAME=v1.0
commands ci.md 2 >run.sh
pipeline 1.1 CI_COMMIT_TAG=v1.1
commands woodpecker.md 1 >run.sh
pipeline 1.2 CI_COMMIT_TAG=1.2
commands woodpecker.md 2 >run.sh
pipeline 1.3 DRONE_TAG=1.3

# A download in a job.
printf 'the program' >tool-linux-amd64
curl --fail-with-body -H "Authorization: Bearer $PACKHOUSE_TOKEN" -T tool-linux-amd64 "$packages/tool/1.4.2/"
mkdir job
cd job
run ci.md 1
cmp tool-linux-amd64 ../tool-linux-amd64 || fail "another file was downloaded"
