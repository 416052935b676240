//! What stays after a burst: each pool in a process of its own, which says how much of its memory is resident.
//!
//! ```text
//!   one thread gets 200,000 objects ──> another recycles all ──> quiet: "after"
//!   ──> the first gets and recycles with 16 at once, 100,000 times: "after light use"
//! ```

use crate::measure::Source;
use std::sync::mpsc;
use std::thread;

/// Objects of the burst.
const OBJECTS: usize = 200_000;
/// Objects at once in the light use.
pub const LIGHT: usize = 16;
/// Objects got in the light use.
const LIGHT_USE: usize = 100_000;

/// KiB resident beyond the start: at the burst's height, after it, and after light use.
pub fn run<S: Source>(source: &S) -> [i64; 3] {
    let mut held = Vec::with_capacity(OBJECTS);
    let start = resident();
    let mut light = Vec::with_capacity(LIGHT);
    for _ in 0..OBJECTS {
        let mut object = source.get();
        S::word(&mut object);
        held.push(object);
    }
    let height = resident() - start;
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<S::Held<'_>>(64);
        scope.spawn(move || receive.into_iter().for_each(drop));
        held.into_iter().for_each(|object| send.send(object).unwrap_or_else(|_| unreachable!("it receives")));
    });
    let after = resident() - start;
    for _ in 0..LIGHT_USE / LIGHT {
        light.extend((0..LIGHT).map(|_| source.get()));
        light.clear();
    }
    [height, after, resident() - start]
}

/// Resident memory in KiB.
fn resident() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|n| n.parse::<i64>().ok());
    pages.map_or(0, |pages| pages * 4)
}
