#!/bin/sh
# mise: the http backend with its checksums and its list of versions.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need mise curl tar

printf '#!/bin/sh\necho tool 1.4.2\n' >tool
chmod +x tool
for platform in linux-x64 linux-arm64 macos-x64 macos-arm64; do
    tar -czf "tool-$platform.tar.gz" tool
done
run mise.md 2
grep -qx 'checksum = "sha256:[0-9a-f]\{64\}" # tool-linux-x64.tar.gz' log || fail "$(cat log)"
sha256=$(sha256sum tool-linux-x64.tar.gz | cut -d' ' -f1)
block mise.md toml 1 >mise.toml
export MISE_TRUSTED_CONFIG_PATHS="$work" MISE_YES=1
run mise.md 1
equal "$(grep -x 'tool 1.4.2' log)" 'tool 1.4.2'
equal "$(grep -x '1.4.2' log)" 1.4.2

sed -i "s/$sha256/$wrong/" mise.toml
refuses 'checksum mismatch' mise install --force
