#!/bin/sh
# How much slower a program is that is tested with `cargo test`: optimised, unoptimised with the profile that the README asks for, and
# unoptimised altogether. Nanoseconds of an execution, and times as slow, as Markdown.
set -eu
cd "$(dirname "$0")/../.."
rates() {
    cargo run --locked --quiet --profile "$1" -p millpond-specimens --example rates
}
rates release > target/rates.release
rates user > target/rates.user
rates user-plain > target/rates.user-plain
echo '| program | optimised, ns | the profile of the README | without it |'
echo '|---|---|---|---|'
paste target/rates.release target/rates.user target/rates.user-plain |
    awk -F '\t' '{ printf "| %s | %d | %.1fx | %.1fx |\n", $1, $2, $4 / $2, $6 / $2 }'
