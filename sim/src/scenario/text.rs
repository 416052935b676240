//! A scenario as a file.
//!
//! **Invariant: what is written loads to the same scenario**, and holds only what differs from the defaults.

use super::Scenario;
use ron::ser::PrettyConfig;
use std::fmt::Write;

/// The text of `scenario`.
///
/// # Panics
/// If a value has no form in RON: none of the language's values is like that.
pub fn text_of(scenario: &Scenario) -> String {
    let plain: Scenario = super::dialect().from_str("(name: \"\")").expect("only `name` is required");
    let mut out = String::from("(\n");
    let pretty = PrettyConfig::default().compact_arrays(false).separate_tuple_members(false);
    macro_rules! fields {
        ($($field:ident),*) => {
            // Every field is named: a new one doesn't compile before it is here.
            let Scenario { $($field: _),* } = &plain;
            $(if scenario.$field != plain.$field {
                let value = super::dialect().to_string_pretty(&scenario.$field, pretty.clone()).expect("it has a form in RON");
                let _ = writeln!(out, "    {}: {},", stringify!($field), value.replace('\n', "\n    "));
            })*
        };
    }
    fields!(
        name, expect, topology, pool, allocator, socket, pipeline, workload, faults, swarm, plant, mended_in, schedule,
        deviations, memory, preempt, seeds, budget, oracles, sweep, table
    );
    out.push_str(")\n");
    out
}
