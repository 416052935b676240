#!/usr/bin/env bash
# Runs the loom tests of published crates under Millpond: their own source as the registry serves it, with a change of three lines in
# their Cargo.toml. Prints a table for the README. Nothing of theirs is kept in this repository.
#
#   tests/crates/run.sh [CRATE...]          all of crates.txt, or these
#
#   MILLPOND_CRATES   a directory for downloads and builds; target/crates if not set
#   EXECUTIONS        of each test; 10,000 if not set
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${MILLPOND_CRATES:-$root/target/crates}
executions=${EXECUTIONS:-10000}
mkdir -p "$work"

wanted() { # NAME: whether it was asked for
    [ ${#only[@]} -eq 0 ] || printf '%s\n' "${only[@]}" | grep -qx "$1"
}

fetch() { # NAME VERSION SHA256 DIRECTORY: the crate, changed
    local file="$work/$1-$2.crate"
    [ -f "$file" ] || curl -sSfL --retry 3 -o "$file" "https://static.crates.io/crates/$1/$1-$2.crate"
    echo "$3  $file" | sha256sum --check --quiet
    rm -rf "$4/$1"
    mkdir -p "$4/$1"
    tar xzf "$file" -C "$4/$1" --strip-components 1
    mv "$4/$1/Cargo.toml" "$4/$1/Cargo.toml.published"
    awk -v sim="$root/sim" -f "$here/three.awk" "$4/$1/Cargo.toml.published" > "$4/$1/Cargo.toml"
}

# Crates of one cfg are one workspace: what they depend on is built once, and if they depend on each other they get each other.
workspace() { # CFG
    local group="$work/$1"
    mkdir -p "$group"
    {
        echo '[workspace]'
        echo 'resolver = "2"'
        echo 'members = ['
        rows "$1" | while read -r name _; do echo "    \"$name\","; done
        echo ']'
        echo '[patch.crates-io]'
        rows "$1" | while read -r name _; do echo "$name = { path = \"$name\" }"; done
        echo '[profile.release]'
        echo 'debug-assertions = true'
    } > "$group/Cargo.toml"
    rows "$1" | while read -r name version sum _; do fetch "$name" "$version" "$sum" "$group"; done
}

rows() { # CFG: the lines of crates.txt
    awk -v cfg="$1" '!/^#/ && $4 == cfg' "$here/crates.txt"
}

only=("$@")
echo '| crate | tests | executions | a second | found |'
echo '|---|---|---|---|---|'
for cfg in $(awk '!/^#/ && NF { print $4 }' "$here/crates.txt" | sort -u); do
    workspace "$cfg"
    rows "$cfg" | while read -r name version _ _ arguments; do
        wanted "$name" || continue
        log="$work/$name.log"
        # shellcheck disable=SC2086
        (cd "$work/$cfg" && RUSTFLAGS="--cfg $cfg -Awarnings" LOOM_LOG=1 LOOM_MAX_PERMUTATIONS=$executions \
            CARGO_TARGET_DIR="$work/target/$cfg" cargo test --release -p "$name" $arguments -- --nocapture --test-threads=1) \
            > "$log" 2>&1 < /dev/null || true
        awk -v crate="$name $version" '
            /^millpond: .* executions, .* steps, .* s$/ {
                for (i = 1; i <= NF; i++) { if ($(i + 1) == "executions,") n += $i; if ($(i + 1) == "s") t += $i }
            }
            /^test result:/ { for (i = 1; i <= NF; i++) { if ($(i + 1) == "passed;") p += $i; if ($(i + 1) == "failed;") f += $i } }
            END {
                if (p + f == 0) { printf "| %s | not built | | | |\n", crate; exit }
                printf "| %s | %d | %d | %.0f | %s |\n", crate, p + f, n, (t > 0 ? n / t : 0), (f ? f " tests fail" : "nothing")
            }' "$log"
    done
done
