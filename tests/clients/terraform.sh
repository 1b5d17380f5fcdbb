#!/bin/sh
# Terraform or OpenTofu: the http backend, and a module with its checksum.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need curl tar
if ! command -v terraform >/dev/null; then
    need tofu
    mkdir bin
    ln -s "$(command -v tofu)" bin/terraform
    PATH=$work/bin:$PATH
fi
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_CLI_ARGS=-no-color

printf 'output "name" {\n  value = "the network"\n}\n' >outputs.tf
tar -czf network.tar.gz outputs.tf
rm outputs.tf
sha256=$(sha256sum network.tar.gz | cut -d' ' -f1)
curl --fail-with-body -H "Authorization: Bearer $PACKHOUSE_TOKEN" -T network.tar.gz "$packages/network/1.0.0/"

run terraform.md 1
block terraform.md hcl 1 >main.tf
block terraform.md hcl 2 >network.tf
printf 'output "name" {\n  value = module.network.name\n}\n' >output.tf
run terraform.md 2
state=$packages/infrastructure/production/terraform.tfstate
curl -f "$state" | grep -q '"hello"' || fail "the state is not there: $(cat log)"

# The state is replaced, and read by another machine.
sed -i 's/"hello"/"good morning"/' main.tf
run terraform.md 2
curl -f "$state" | grep -q '"good morning"' || fail "the state was not replaced: $(cat log)"
rm -rf .terraform
run terraform.md 2
grep -q 'No changes' log || fail "the state was not read: $(cat log)"

sed -i "s/$sha256/$wrong/" network.tf
rm -rf .terraform
refuses 'checksum' terraform init -input=false
