//! Buffers against a naive model, operation by operation: see [`millpond_tests::buffer_model`]. The fuzzer in `tests/fuzz` does the
//! same with inputs of its own.

use millpond_model::Preset;
use millpond_tests::buffer_model::{Machine, Op};
use millpond_tests::scale::scaled;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;

fn op() -> impl Strategy<Value = Op> {
    let (of, n) = (0..8_u8, 0..24_u8);
    prop_oneof![
        3 => (0..40_u8, 0..100_u8).prop_map(|(capacity, more)| Op::Allocate { capacity, more }),
        4 => (of.clone(), any::<u8>(), n.clone()).prop_map(|(of, byte, n)| Op::Put { of, byte, n }),
        1 => (of.clone(), n.clone()).prop_map(|(of, n)| Op::Advance { of, n }),
        2 => (of.clone(), n.clone()).prop_map(|(of, n)| Op::ReadInto { of, n }),
        1 => (of.clone(), n.clone(), n.clone()).prop_map(|(of, at, n)| Op::Slice { of, at, n }),
        1 => of.clone().prop_map(|of| Op::Duplicate { of }),
        1 => (of.clone(), n.clone()).prop_map(|(of, n)| Op::ReadSlice { of, n }),
        2 => (of.clone(), n.clone(), n.clone()).prop_map(|(of, at, n)| Op::RetainedSlice { of, at, n }),
        2 => of.clone().prop_map(|of| Op::RetainedDuplicate { of }),
        1 => (of.clone(), n.clone()).prop_map(|(of, n)| Op::ReadRetainedSlice { of, n }),
        1 => (of.clone(), n.clone(), n.clone()).prop_map(|(of, at, n)| Op::Copy { of, at, n }),
        1 => (of.clone(), n.clone()).prop_map(|(of, n)| Op::ReadBytes { of, n }),
        1 => of.clone().prop_map(|of| Op::Retain { of }),
        1 => (of.clone(), 0..3_u8).prop_map(|(of, n)| Op::RetainMany { of, n }),
        3 => of.clone().prop_map(|of| Op::Release { of }),
        1 => (of.clone(), 0..4_u8).prop_map(|(of, n)| Op::ReleaseMany { of, n }),
        1 => (of.clone(), 0..140_u8).prop_map(|(of, n)| Op::SetCapacity { of, n }),
        1 => (of.clone(), 0..100_u8).prop_map(|(of, n)| Op::EnsureWritable { of, n }),
        1 => of.clone().prop_map(|of| Op::Drop { of }),
        2 => of.prop_map(|of| Op::End { of }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: scaled(5000, 12) as u32,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn buffers_are_as_the_model_says(
        preset in select(&Preset::ALL),
        ops in prop::collection::vec(op(), 1..scaled(200, 60) as usize),
    ) {
        Machine::run(preset, ops);
    }
}
