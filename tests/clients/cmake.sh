#!/bin/sh
# CMake: FetchContent and file(DOWNLOAD) with their checksums.
set -eu
# shellcheck source=tests/clients/lib.sh
. "$(dirname "$0")/lib.sh"
need cmake curl tar

mkdir greeter-1.0.0
# shellcheck disable=SC2016 # CMake expands it
echo 'file(WRITE ${CMAKE_BINARY_DIR}/greeting.txt hello)' >greeter-1.0.0/CMakeLists.txt
tar -czf greeter-1.0.0.tar.gz greeter-1.0.0
run cmake.md 1
sha256=$(sha256sum greeter-1.0.0.tar.gz | cut -d' ' -f1)
equal "$(cat log)" "URL_HASH SHA256=$sha256"

mkdir firmware
block cmake.md cmake 1 >firmware/CMakeLists.txt
cmake -S firmware -B build >log || fail "$(cat log)"
equal "$(cat build/greeting.txt)" hello
cmp greeter-1.0.0.tar.gz build/greeter.tar.gz || fail "another file was downloaded"

# A token in a header, and one in ~/.netrc.
{
    sed -n '1,/^include/p' firmware/CMakeLists.txt
    block cmake.md cmake 2
    echo 'FetchContent_MakeAvailable(greeter)'
} >private.tmp
mkdir private
mv private.tmp private/CMakeLists.txt
cmake -S private -B build-private >log || fail "$(cat log)"
PACKHOUSE_TOKEN=phk_wrong refuses 'status_code: 22\|401' cmake -S private -B build-wrong-token

sed -i "s/$sha256/$wrong/" firmware/CMakeLists.txt
refuses 'hash' cmake -S firmware -B build-wrong
