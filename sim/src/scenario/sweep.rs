//! The cells of a sweep.
//!
//! **Invariant: a cell is an ordinary scenario**: its sweep is resolved, so that it means the same alone.
//!
//! ```text
//!   Matrix(preset: [A, B], event_loops: [1, 2])   ──>   A loops=1 · A loops=2 · B loops=1 · B loops=2
//! ```

use millpond_model::preset::Preset;

use super::{Scenario, Sweep};

/// One configuration of a swept scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Cell {
    /// Its position in the sweep, from 0.
    pub index: usize,
    /// What distinguishes it, such as `4.1.8 loops=2`: one label a cell.
    pub label: String,
    /// The configuration.
    pub scenario: Scenario,
}

/// The cells in the order in which their values are listed, presets varying slowest.
pub fn cells(scenario: &Scenario) -> Vec<Cell> {
    let mut out = Vec::new();
    let (presets, loops, threads) = match &scenario.sweep {
        Sweep::Single => (vec![], vec![], vec![]),
        Sweep::Matrix { preset, event_loops, business_threads } => {
            (preset.clone(), event_loops.clone(), business_threads.clone())
        }
    };
    for preset in listed(&presets) {
        for loops in listed(&loops) {
            for threads in listed(&threads) {
                out.push(cell(out.len(), scenario, preset, loops, threads));
            }
        }
    }
    out
}

/// The values of a dimension; that of the scenario itself if none is listed.
fn listed<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
}

fn cell(index: usize, base: &Scenario, preset: Option<Preset>, loops: Option<u32>, threads: Option<u32>) -> Cell {
    let mut scenario = base.clone();
    scenario.sweep = Sweep::Single;
    let mut label = Vec::new();
    if let Some(preset) = preset {
        scenario.pool.preset = preset;
        label.push(preset.version().to_string());
    }
    if let Some(loops) = loops {
        scenario.topology.event_loops = loops;
        label.push(format!("loops={loops}"));
    }
    if let Some(threads) = threads {
        scenario.topology.business_threads = threads;
        label.push(format!("threads={threads}"));
    }
    if label.is_empty() {
        label.push(base.pool.preset.version().to_string());
    }
    Cell { index, label: label.join(" "), scenario }
}
