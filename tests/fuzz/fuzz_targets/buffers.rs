//! Buffers against the naive model of `tests/src/buffer_model.rs`, with operation sequences that the fuzzer makes up. Address
//! sanitizer watches memory, and leak sanitizer that all of it comes back.
//!
//! The model is the test suite's, by its path: the rest of the suite, with the simulator, needs not be built.
//!
//! ```sh
//! cargo install cargo-fuzz --locked
//! cd tests/fuzz && cargo +nightly fuzz run buffers -- -max_total_time=300
//! ```
#![no_main]

#[path = "../../src/buffer_model.rs"]
mod buffer_model;

use arbitrary::Arbitrary;
use buffer_model::{Machine, Op};
use libfuzzer_sys::fuzz_target;
use millpond_model::Preset;

#[derive(Arbitrary, Debug)]
struct Input {
    preset: u8,
    ops: Vec<Op>,
}

fuzz_target!(|input: Input| {
    let preset = Preset::ALL[usize::from(input.preset) % Preset::ALL.len()];
    Machine::run(preset, input.ops.into_iter().take(2000));
});
