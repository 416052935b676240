#!/bin/sh
# The model's tests with several real threads under ThreadSanitizer, which finds data races in optimised code.
#
#   tests/soundness/tsan.sh               all of them
#   ONLY=recycler tests/soundness/tsan.sh those whose line in common.sh has `recycler`
#
# Exit code: 0 nothing found, 1 something found, 2 the toolchain lacks something.
set -eu
cd "$(dirname "$0")/../.."
. tests/soundness/common.sh

need_toolchain
target=x86_64-unknown-linux-gnu
[ "$(uname -sm)" = 'Linux x86_64' ] || missing "this is $(uname -sm)" "ThreadSanitizer is run on $target"

# The standard library is built with it, too: its locks and channels are edges that ThreadSanitizer must see.
export RUSTFLAGS="-Zsanitizer=thread ${RUSTFLAGS:-}"
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tsan-run"

# What runs one thread at a time has no races to find.
lines=$(printf '%s\n' "$real_threads" "$too_large_for_miri" | grep -E 'on_(std|real_threads)')
each_line cargo "+$toolchain" test -q -Zbuild-std --target "$target" -p millpond-tests
