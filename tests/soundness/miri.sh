#!/bin/sh
# The model's tests under Miri, which finds undefined behaviour: invalid pointers, uninitialised memory, data races, leaks.
#
#   tests/soundness/miri.sh               all of them: some minutes
#   ONLY=recycler tests/soundness/miri.sh those whose line in common.sh has `recycler`
#   MANY_SEEDS=0..16 ...                  each with so many schedules
#
# Exit code: 0 nothing found, 1 something found, 2 the toolchain lacks something.
set -eu
cd "$(dirname "$0")/../.."
. tests/soundness/common.sh

need_toolchain
rustup run "$toolchain" cargo miri --version > /dev/null 2>&1 ||
    missing "toolchain \`$toolchain\` has no Miri" "rustup +$toolchain component add miri"

# Isolation off: property tests look for the file of their regressions.
MIRIFLAGS="-Zmiri-disable-isolation ${MANY_SEEDS:+-Zmiri-many-seeds=$MANY_SEEDS} ${MIRIFLAGS:-}"
export MIRIFLAGS
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri-run"

if [ -z "${ONLY:-}" ]; then
    echo '== millpond-model, unit and documentation tests'
    cargo "+$toolchain" miri test -q -p millpond-model
fi
lines=$real_threads
each_line cargo "+$toolchain" miri test -q -p millpond-tests
