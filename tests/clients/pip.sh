#!/bin/sh
# pip: --find-links, and --require-hashes.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need python3 curl
python3 -m venv env >log 2>&1 || {
    echo "skipped, because python3-venv is not installed"
    exit 77
}
PATH=$work/env/bin:$PATH
for setting in $(env | sed -n 's/^\(PIP_[A-Z_]*\)=.*/\1/p'); do unset "$setting"; done
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONFIG_FILE=/dev/null

mkdir dist
python3 - <<'TEXT'
import zipfile

for version in ["1.0.0", "1.1.0"]:
    info = f"greeter-{version}.dist-info/"
    with zipfile.ZipFile(f"dist/greeter-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greeter.py", f"version = '{version}'\n")
        wheel.writestr(info + "METADATA", f"Metadata-Version: 2.1\nName: greeter\nVersion: {version}\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "")
TEXT
run pip.md 1
run pip.md 2
equal "$(python3 -c 'import greeter; print(greeter.version)')" 1.1.0

sha256=$(sha256sum dist/greeter-1.0.0-py3-none-any.whl | cut -d' ' -f1)
block pip.md text 1 >requirements.txt
run pip.md 3
equal "$(python3 -c 'import greeter; print(greeter.version)')" 1.0.0
pip uninstall -q -y greeter
sed -i "s/$sha256/$wrong/" requirements.txt
refuses 'do not match the hashes' pip install --no-cache-dir --require-hashes -r requirements.txt
