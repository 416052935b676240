//! Whatever the text, the loader answers promptly, and its answer can be printed.

use millpond::scenario::{Colour, check, dialect, parse};
use proptest::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// Loads a text, and renders what is wrong with it.
fn survives(text: String) -> Result<(), TestCaseError> {
    let begun = Instant::now();
    match parse(Path::new("fuzz.ron"), text) {
        Ok(loaded) => {
            prop_assert!(check(&loaded.scenario).is_empty());
            let again = dialect().to_string(&loaded.scenario).expect("it serializes");
            let again = parse(Path::new("again.ron"), again).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(again.scenario, loaded.scenario);
        }
        Err(error) => {
            let rendered = error.render(Colour::None);
            prop_assert!((1..=10).contains(&error.problems().len()));
            prop_assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{:?}", rendered);
            for problem in error.problems() {
                prop_assert!(problem.span.is_none() || error.position(problem).is_some());
            }
        }
    }
    prop_assert!(begun.elapsed() < Duration::from_secs(2));
    Ok(())
}

/// A text to spoil.
const VALID: &str = r#"#![type = "x"]
(name: "ü", expect: MustFind(Leak), topology: (event_loops: 2, business_threads: 4), socket: (send_window: KiB(64),
peer: ReadsAfter(Ms(5)), high_water: KiB(64)), workload: [Phase(name: "a", threads: 0..4, writes: 1_000, clients:
Open(per_s: 3, arrival: Burst(every: Ms(5), size: 3)), message: Buffer(Mix([(1, B(3))])), sample_at: [1, 2]), Drain(),
Exchange(name: "b", buffers: 3, size: Uniform(B(1), KiB(2)), form: Nested, area: Heap, to: Held, forgets: Nth(3)), Release(),
Close(linger: S(1)), Shutdown()], faults: [PeerReset(Rate(0.5))], plant: [ForgottenRelease(Nth(3))], schedule:
Pct(depth: 3), seeds: 0..8, oracles: [Safety, Bounded(metric: LiveBuffers, at_most: 3, after: "a"),
Sometimes(PartialWrite)], sweep: Matrix(preset: [Netty4_1_8, Millpond], event_loops: [2, 4]),
table: [Curve(during: "a")])"#;

/// What a text is spoilt with.
const PIECES: [&str; 43] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "'",
    "..",
    "..=",
    "0.5",
    "-1",
    "99999999999999999999",
    "NaN",
    "Some(",
    "None",
    "r#",
    "r#\"",
    "/*",
    "*/",
    "//",
    "\n",
    "\r",
    "\t",
    "\\",
    "#![",
    "KiB",
    "Ms(5)",
    "Phase",
    "0x1F",
    "1e999",
    "\u{1b}",
    "\u{202e}",
    "b\"",
    "b'",
    "'\\''",
    "true",
    "()",
    "é",
    "\u{1F600}",
    "\0",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(PIECES.as_slice()).prop_map(str::to_string), 1 => ".{0,6}"]
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        survives(text)?;
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(String::from_utf8_lossy(&bytes).into_owned())?;
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(piece(), 0..40)) {
        survives(pieces.concat())?;
    }

    #[test]
    fn a_valid_text_with_pieces_cut_and_put(
        edits in prop::collection::vec((0..VALID.len(), 0..12_usize, piece()), 1..4)
    ) {
        let mut text = VALID.to_string();
        for (at, len, piece) in edits {
            let (from, to) = (boundary(&text, at), boundary(&text, at + len));
            text.replace_range(from..to, &piece);
        }
        survives(text)?;
    }
}

#[test]
fn the_text_to_spoil_is_valid() {
    assert!(parse(Path::new("valid.ron"), VALID.to_string()).is_ok());
}
