#!/bin/sh
# Ansible: get_url with the server's list of checksums, and uri to publish.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need ansible-playbook curl
export ANSIBLE_HOME="$work/.ansible" ANSIBLE_NOCOLOR=1 LC_ALL=C.UTF-8
ANSIBLE_PYTHON_INTERPRETER=$(command -v python3)
export ANSIBLE_PYTHON_INTERPRETER

play() {
    ansible-playbook -i localhost, -c local "$@" >log 2>&1 || fail "$(cat log)"
}

printf '#!/bin/sh\necho tool\n' >tool-linux-amd64
block ansible.md yaml 3 >publish.yml
block ansible.md yaml 1 | sed "s|/usr/local/bin|$work|" >install.yml
# The last task with a token in its header.
{
    sed '/tasks:/q' install.yml
    block ansible.md yaml 2 | sed "s|/usr/local/bin/tool|$work/private|"
} >private.yml
play publish.yml install.yml private.yml
curl -f "$packages/tool/1.4.2/tool-linux-amd64" | cmp - tool-linux-amd64 || fail "another file was published"
equal "$("$work/tool")" tool
cmp private tool-linux-amd64 || fail "another file was downloaded"

play publish.yml install.yml private.yml
grep -q 'changed=0 ' log || fail "the second run changed something: $(cat log)"

sed -i "s|sha256:{{ tool_url }}/SHA256SUMS|sha256:$wrong|" install.yml
rm tool
refuses 'checksum' ansible-playbook -i localhost, -c local install.yml
[ ! -e tool ] || fail "the wrong file was installed"
