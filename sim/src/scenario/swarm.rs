//! Swarm mode: each seed turns a random subset of the faults on, some of them to extremes.
//!
//! **Invariant: what a seed turns on depends on the scenario and the seed only**, and every fault that is listed, and none that
//! isn't, can be drawn.
//!
//! ```text
//!   faults: [a, b, c] ── seed 7 ──> a off, b as written, c to the extreme
//!   socket: as written ───────────> the window of a few bytes, every write partial, or a spin count of one
//! ```
//!
//! A run in which every fault happens a little explores less than runs in which some never happen and others all the time (Groce
//! et al., *Swarm testing*, ISSTA 2012).

use serde::{Deserialize, Serialize};

use super::{Fault, Scenario, Size, When};
use crate::engine::{Generator, Stream};

/// Whether each seed draws its own faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Swarm {
    /// Every seed has the faults as they are written.
    #[default]
    Off,
    /// Each seed draws which of them are on, and how much.
    EachSeed,
}

/// What a seed draws, apart from its other streams.
const INDEX: u64 = 1 << 40;
/// An extreme rate.
const OFTEN: f64 = 0.5;
/// Bytes of the smallest window.
const SMALL_WINDOW: u64 = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Draw {
    Off,
    AsWritten,
    Extreme,
}

fn draw(draws: &mut Generator) -> Draw {
    match draws.below(4) {
        0 | 1 => Draw::Off,
        2 => Draw::AsWritten,
        _ => Draw::Extreme,
    }
}

/// The scenario that `seed` draws, and in words what it drew; the scenario itself without a swarm.
pub fn of_seed(scenario: &Scenario, seed: u64) -> (Scenario, Option<String>) {
    let mut drawn = scenario.clone();
    if scenario.swarm == Swarm::Off {
        return (drawn, None);
    }
    let mut draws = Generator::new(seed, INDEX, Stream::Workload);
    let mut told = Vec::new();
    drawn.faults.clear();
    for fault in &scenario.faults {
        match draw(&mut draws) {
            Draw::Off => {}
            Draw::AsWritten => drawn.faults.push(fault.clone()),
            Draw::Extreme => drawn.faults.push(extreme(fault)),
        }
    }
    told.extend(drawn.faults.iter().map(|fault| format!("{fault:?}")));
    let socket = &mut drawn.socket;
    if draw(&mut draws) == Draw::Extreme {
        socket.send_window = Size::b(SMALL_WINDOW);
        told.push(format!("a window of {SMALL_WINDOW} bytes"));
    }
    if draw(&mut draws) == Draw::Extreme {
        socket.partial_write = 1.0;
        told.push("every write partial".to_string());
    }
    if draw(&mut draws) == Draw::Extreme {
        socket.write_spin = Some(1);
        told.push("a spin count of 1".to_string());
    }
    let told = if told.is_empty() { "nothing".to_string() } else { told.join(", ") };
    (drawn, Some(told))
}

/// The fault, as often as it makes sense.
fn extreme(fault: &Fault) -> Fault {
    let mut fault = fault.clone();
    if let Fault::MemoryLimit(size) = &mut fault {
        *size = Size::b(size.bytes() / 8);
    }
    if let Some(when) = fault.when_mut() {
        *when = match *when {
            When::Rate(p) => When::Rate(p.max(OFTEN)),
            When::Nth(_) => When::Nth(1),
            When::At(_) => When::Rate(OFTEN),
            When::Always => When::Always,
        };
    }
    fault
}
