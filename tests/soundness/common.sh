# What miri.sh and tsan.sh share; read by them, not run.
#
# The tests that run on real threads and on memory of their own, one line each: a test binary and what of it. The simulator's
# tests are left out: its threads are coroutines (corosensei), which switch stacks in assembly, and neither tool can follow that.
# The recycler's golden vectors and recorded traces are left out, too: they have one size, which is hours under Miri, and run
# one thread at a time.

real_threads='
adaptive_model
adaptive_rules --skip on_sim
adaptive_threads on_std
buffer_derived on_std --skip a_long_chain
buffer_model
buffer_surface on_std
codec_decoder on_std
codec_encoders on_std
composite_bytes on_std
recycler_matrix on_std
recycler_stats on_std::every_fate
recycler_threads on_std
refcnt_schemes on_std
release_ownership on_std
'

toolchain=${TOOLCHAIN:-nightly}

missing() {
    echo "$0: $1" >&2
    echo "  $2" >&2
    exit 2
}

need_toolchain() {
    command -v rustup > /dev/null || missing 'no rustup' 'see https://rustup.rs'
    rustup run "$toolchain" rustc --version > /dev/null 2>&1 ||
        missing "no toolchain \`$toolchain\`" "rustup toolchain install $toolchain, or set TOOLCHAIN"
    sources="$(rustup run "$toolchain" rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml"
    [ -f "$sources" ] || missing "toolchain \`$toolchain\` has no rust-src" "rustup +$toolchain component add rust-src"
}

# Of several threads, with sizes that are too large for Miri: a test joins the list above when it asks `scale::scaled`.
too_large_for_miri='
allocator_threads on_real_threads
leak_buffers on_real_threads
leak_threads on_real_threads
recycler_hand_over on_std
'

# Runs "$@" for each line of $lines that matches ONLY (a part of it; default: all), with the line's binary and filter.
each_line() {
    failed=''
    count=0
    while read -r binary filter; do
        case "$binary $filter" in *"${ONLY:-}"*) ;; *) continue ;; esac
        [ -n "$binary" ] || continue
        count=$((count + 1))
        [ -f "tests/tests/$binary.rs" ] || { echo "$0: no test binary $binary" >&2; failed="$failed $binary"; continue; }
        echo "== $binary $filter"
        # shellcheck disable=SC2086 # the filter is several words
        "$@" --test "$binary" -- $filter < /dev/null || failed="$failed $binary"
    done <<END
$lines
END
    [ "$count" -gt 0 ] || { echo "$0: no line has \`${ONLY:-}\`" >&2; exit 1; }
    [ -z "$failed" ] || { echo "$0: failed:$failed" >&2; exit 1; }
}
