#!/usr/bin/env bash
# Runs the loom tests of published crates under Millpond: their own source as the registry serves it, with a change of a few lines in
# their Cargo.toml. The same tests run under loom, from the unchanged source. Prints a table for the README. Nothing of theirs is kept
# in this repository.
#
#   tests/crates/run.sh [CRATE...]          all of crates.txt, or these
#
#   MILLPOND_CRATES   a directory for sources, builds and logs; target/crates if not set
#   EXECUTIONS        of each model under Millpond; 10,000 if not set
#   SECONDS_OF_LOOM   for each model under loom; 5 if not set, 0: not at all
#   LIMIT             seconds for each test, whoever runs it; 300 if not set
#   JOBS              of the builds; as cargo chooses if not set
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${MILLPOND_CRATES:-$root/target/crates}
executions=${EXECUTIONS:-10000}
loom_seconds=${SECONDS_OF_LOOM:-5}
limit=${LIMIT:-300}
only=("$@")

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

rows() { # [GROUP]: the lines of crates.txt, or those of a group
    awk -v group="${1:-}" '!/^#/ && NF && (group == "" || group == ($4 == "loom" ? "loom" : "own"))' "$here/crates.txt"
}

wanted() { # NAME: whether it was asked for
    [ ${#only[@]} -eq 0 ] || printf '%s\n' "${only[@]}" | grep -qxF "$1"
}

# Asks cargo for the sources: what it has already needs no network. `crates.txt` has the sums, and cargo checks what it fetches by those
# that it writes to Cargo.lock.
fetch() {
    local fetch=$work/fetch name version sum
    mkdir -p "$fetch/src"
    : > "$fetch/src/lib.rs"
    {
        printf '[workspace]\n[package]\nname = "published"\nversion = "0.0.0"\nedition = "2021"\npublish = false\n[dependencies]\n'
        rows | while read -r name version _; do echo "$name = { version = \"=$version\", default-features = false }"; done
    } > "$fetch/Cargo.toml"
    host=$(rustc -vV | awk '/^host: / { print $2 }')
    (cd "$fetch" && { cargo metadata --offline --format-version 1 --filter-platform "$host" > metadata 2> /dev/null ||
        cargo metadata --format-version 1 --filter-platform "$host" > metadata 2> log; }) ||
        fail "cargo can't fetch the crates; is the registry within reach? It says:"$'\n'"$(cat "$fetch/log")"
    rows | while read -r name version sum _; do
        awk -v name="\"$name\"" -v version="\"$version\"" -v sum="\"$sum\"" '
            $1 == "name" { is = $3 == name }
            is && $1 == "version" { is = $3 == version }
            is && $1 == "checksum" { found = $3 == sum; exit }
            END { exit !found }' "$fetch/Cargo.lock" ||
            fail "what the registry serves as $name $version has not the SHA-256 of crates.txt"
    done
}

# Copies a crate's source as it is.
copy() { # NAME VERSION DIRECTORY
    local manifest
    manifest=$(grep -oE "\"manifest_path\":\"[^\"]*/$1-$2/Cargo.toml\"" "$work/fetch/metadata" | head -1 | cut -d'"' -f4)
    [ -n "$manifest" ] || fail "cargo does not say where the source of $1 $2 is"
    rm -rf "${3:?}/$1"
    mkdir -p "$3/$1"
    cp -Rp "$(dirname "$manifest")/." "$3/$1/"
    chmod -R u+w "$3/$1"
    rm -f "$3/$1/Cargo.lock" "$3/$1/.cargo-ok"
}

# Crates are two workspaces: those for `--cfg loom`, of which other crates know, too, and those that have names of their own for it. What
# they depend on is built once, and if they depend on each other they get each other.
workspace() { # TESTER GROUP
    local group=$work/$1/$2 name version
    mkdir -p "$group"
    {
        echo '[workspace]'
        echo 'resolver = "2"'
        echo 'members = ['
        rows "$2" | while read -r name _; do echo "    \"$name\","; done
        echo ']'
        if [ "$1" = millpond ]; then # loom's own dependencies use some of them
            echo '[patch.crates-io]'
            rows "$2" | while read -r name _; do echo "$name = { path = \"$name\" }"; done
        fi
        echo '[profile.release]'
        echo 'debug-assertions = true'
        echo '[profile.release.package."*"]'
        echo 'debug-assertions = false'
    } > "$group/Cargo.toml"
    rows "$2" | while read -r name version _; do
        copy "$name" "$version" "$group"
        [ "$1" = millpond ] || continue
        mv "$group/$name/Cargo.toml" "$group/$name/Cargo.toml.published"
        awk -v sim="$root/sim" -f "$here/three.awk" "$group/$name/Cargo.toml.published" > "$group/$name/Cargo.toml"
    done
}

# Builds the tests of a group at once, since other features of what all depend on would be another build. Writes cargo's messages.
build() { # TESTER GROUP
    local group=$work/$1/$2 arguments=() features='' flags='' targets=() name cfg feature target bad before i
    while read -r name _ _ cfg _ feature target; do
        case " $flags " in *" $cfg "*) ;; *) flags="$flags --cfg $cfg" ;; esac
        wanted "$name" || continue
        arguments+=("--package=path+file://$group/$name")
        if [ "$target" = lib ]; then target=--lib; else target=--test=$target; fi
        case " ${targets[*]} " in *" $target "*) ;; *) targets+=("$target") ;; esac # cargo takes each once
        [ "$feature" = - ] || features="$features,$name/$feature"
    done < <(rows "$2")
    # A crate that can't be built is left out, and the others are built.
    while [ ${#arguments[@]} -gt 0 ]; do
        (cd "$group" && RUSTFLAGS="$flags -Awarnings" CARGO_TARGET_DIR=$work/target/$1/$2 cargo test --release --no-run \
            --message-format json-render-diagnostics ${JOBS:+-j "$JOBS"} "${arguments[@]}" --features "${features#,}" "${targets[@]}" \
            < /dev/null) > "$work/log/$2.$1.artifacts" 2> "$work/log/$2.$1.build" && return 0
        bad=$(sed -n 's/^error: could not compile `\([^`]*\)`.*/\1/p' "$work/log/$2.$1.build" | sort -u)
        before=${#arguments[@]}
        for name in $bad; do
            cp "$work/log/$2.$1.build" "$work/log/$name.$1.build"
            features=$(tr , '\n' <<< "$features" | grep -v "^$name/" | paste -sd, - || true)
            for i in "${!arguments[@]}"; do
                [ "${arguments[$i]}" != "--package=path+file://$group/$name" ] || unset "arguments[$i]"
            done
        done
        [ ${#arguments[@]} -lt "$before" ] || { echo "run.sh: nothing can be built; see $work/log/$2.$1.build" >&2; return 0; }
    done
}

# The executable of one of a crate's targets; nothing if it can't be built.
executable() { # TESTER GROUP NAME TARGET: lib, or the name of a test
    local kind=test
    [ ! -e "$work/log/$3.$1.build" ] || return 1
    [ "$4" != lib ] || kind='[a-z]*lib'
    grep -E "\"package_id\":\"[^\"]*/$2/$3#" "$work/log/$2.$1.artifacts" | grep -E "\"target\":\{\"kind\":\[\"$kind\"" |
        { [ "$4" = lib ] && cat || grep -F "\"name\":\"$4\""; } |
        grep -oE '"executable":"[^"]+"' | cut -d'"' -f4
}

# Runs a test by itself. Prints: name, whether it passed, models, complete ones, executions, seconds of the processors' time.
one() { # TESTER LOG EXECUTABLE TEST BOUND
    local out=$work/out result=passed cpu
    local TIMEFORMAT='%U %S'
    local settings=(LOOM_LOG=1 "LOOM_MAX_PERMUTATIONS=$executions")
    if [ "$1" = loom ]; then
        settings=(LOOM_LOG=info LOOM_CHECKPOINT_INTERVAL=100 "LOOM_MAX_DURATION=$loom_seconds" "LOOM_MAX_PREEMPTIONS=$5")
    fi
    {
        time env "${settings[@]}" RUST_BACKTRACE=0 timeout "$limit" "$3" --exact "$4" --nocapture --test-threads 1 \
            > "$out" 2>&1 < /dev/null || result=$?
    } 2> "$out.time"
    case $result in passed) ;; 101) result=failed ;; 124) result='out of time' ;; *) result="exit code $result" ;; esac
    { echo "=== $4: $result"; cat "$out"; } >> "$2"
    cpu=$(awk 'END { print $1 + $2 }' "$out.time")
    sed 's/\x1b\[[0-9;]*m//g' "$out" | awk -v name="$4" -v result="$result" -v cpu="$cpu" -v OFS='\t' '
        /millpond: .* executions, .* steps in / { for (i = 2; i <= NF; i++) if ($i == "executions,") n += $(i - 1); models++; complete++ }
        / =+ Iteration [0-9]+ =+/ { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) at = $i; if (at <= before) { n += before; models++ } before = at }
        /Completed in [0-9]+ iterations/ { for (i = 3; i < NF; i++) if ($i == "in") n += $(i + 1); models++; complete++; before = 0 }
        END { if (before) { n += before; models++ } print name, result, models + 0, complete + 0, n + 0, cpu }'
}

# Runs the tests of a crate one by one; false if they can't be built.
tests() { # TESTER GROUP NAME BOUND TARGET
    local log=$work/log/$3.$1 executable test
    : > "$log"
    : > "$log.tsv"
    executable=$(executable "$1" "$2" "$3" "$5") || return 1
    "$executable" --list 2> /dev/null | sed -n 's/: test$//p' | while read -r test; do
        (cd "$work/$1/$2/$3" && one "$1" "$log" "$executable" "$test" "$4") >> "$log.tsv"
    done
}

row() { # NAME VERSION: the table's line
    local lines loom=$work/log/$1.loom.tsv
    lines=$(diff "$work/millpond/$3/$1/Cargo.toml.published" "$work/millpond/$3/$1/Cargo.toml" | grep -c '^[<>]' || true)
    [ -s "$loom" ] || loom=/dev/null
    awk -F'\t' -v crate="$1 $2" -v lines="$lines" '
        function thousands(n, s, end) {
            s = sprintf("%.0f", n)
            for (end = ""; length(s) > 3; s = substr(s, 1, length(s) - 3)) end = "," substr(s, length(s) - 2) end
            return s end
        }
        # Where loom is done in less than a tenth of a second, the time is that of starting the process.
        FILENAME == ARGV[1] && $6 >= .1 && $5 { loom[$1] = $5 / $6; ln += $5; lt += $6 }
        FILENAME == ARGV[1] { as[$1] = $2; if ($3) { all++; done += $4 == $3 && $2 == "passed" } next }
        $3 { models++; n += $5; t += $6; if (loom[$1] > 0 && $5 > 0) { logs += log($5 / ($6 > .001 ? $6 : .001) / loom[$1]); both++ } }
        $2 != "passed" { found = found (found ? ", " : "") "`" $1 "` " $2 (as[$1] && as[$1] != "passed" ? " (fails under loom, too)" : "") }
        END {
            printf "| %s | %d | %d | %s | %s | ", crate, lines, models, thousands(n), thousands(t > 0 ? n / t : 0)
            if (both) printf "%s | %.1f | ", thousands(ln / lt), exp(logs / both); else printf "| | "
            if (all) printf "%d of %d | ", done, all; else printf "| "
            print (found ? found : "nothing") " |"
        }' "$loom" "$work/log/$1.millpond.tsv"
}

main() {
    local tool name group version bound target
    for tool in awk cargo diff rustc timeout; do
        command -v "$tool" > /dev/null || fail "$tool is needed"
    done
    for name in ${only[@]+"${only[@]}"}; do
        rows | awk -v name="$name" '$1 == name { found = 1 } END { exit !found }' || fail "no crate of that name is in crates.txt: $name"
    done
    rm -rf "$work/log"
    mkdir -p "$work/log"
    fetch
    echo '| crate | lines | tests | executions | a second | loom a second | times as fast | complete in loom | found |'
    echo '|---|---|---|---|---|---|---|---|---|'
    for group in loom own; do
        [ -n "$(rows "$group" | while read -r name _; do if wanted "$name"; then echo "$name"; fi; done)" ] || continue
        workspace millpond "$group"
        build millpond "$group"
        if [ "$loom_seconds" != 0 ]; then
            workspace loom "$group"
            build loom "$group"
        fi
        rows "$group" | while read -r name version _ _ bound _ target; do
            wanted "$name" || continue
            tests millpond "$group" "$name" "$bound" "$target" ||
                { echo "| $name $version | | not built: $work/log/$name.millpond.build | | | | | | |"; continue; }
            rm -f "$work/log/$name.loom.tsv"
            [ "$loom_seconds" = 0 ] || tests loom "$group" "$name" "$bound" "$target" || true
            row "$name" "$version" "$group"
        done
    done
}

main # read as a whole before it begins
