//! Buffers against the naive model of [`millpond_tests::buffer_model`], with operation sequences that the fuzzer makes up. Address
//! sanitizer watches memory, and leak sanitizer that all of it comes back.
//!
//! ```sh
//! cargo install cargo-fuzz --locked
//! cd tests/fuzz && cargo +nightly fuzz run buffers -- -max_total_time=300
//! ```
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use millpond_model::Preset;
use millpond_tests::buffer_model::{Machine, Op};

#[derive(Arbitrary, Debug)]
struct Input {
    preset: u8,
    ops: Vec<Op>,
}

fuzz_target!(|input: Input| {
    let preset = Preset::ALL[usize::from(input.preset) % Preset::ALL.len()];
    Machine::run(preset, input.ops.into_iter().take(2000));
});
