//! The table that puts the cells of a sweep side by side.
//!
//! **Invariant: a cell of the table is read from samples of the cell's first execution**; `-` means that the step was not
//! reached.

use super::numbers::{bytes, count, table};
use crate::observed::{CROSSING, Sample, Samples, retained_bytes};
use crate::outcome::CellSummary;
use crate::scenario::{Cell, Column, Metric};
use millpond_model::observe::DropReason;
use millpond_model::recycler::Drops;

/// The tables of a sweep: one for the columns, and one more for each curve.
pub fn tables(columns: &[Column], cells: &[(&Cell, &CellSummary)]) -> String {
    let plain: Vec<&Column> = columns.iter().filter(|c| !matches!(c, Column::Curve { .. })).collect();
    let mut out = String::new();
    if !plain.is_empty() {
        let head: Vec<String> = [String::new()].into_iter().chain(plain.iter().map(|c| heading(c))).collect();
        let rows: Vec<Vec<String>> = cells
            .iter()
            .map(|(cell, summary)| {
                let read = |c: &&Column| first(summary).and_then(|s| value(c, s)).unwrap_or_else(|| "-".to_string());
                [cell.label.clone()].into_iter().chain(plain.iter().map(read)).collect()
            })
            .collect();
        out.push_str(&table(&head, &rows));
    }
    for column in columns {
        if let Column::Curve { during } = column {
            out.push_str(&curve(during, cells));
        }
    }
    out
}

fn first(summary: &CellSummary) -> Option<&Samples> {
    summary.first.as_ref().map(|o| &o.samples)
}

fn heading(column: &Column) -> String {
    match column {
        Column::Retained { after } => format!("kept\nafter\n{after}"),
        Column::Bytes { after } => format!("bytes\nafter\n{after}"),
        Column::PerThread { after } => format!("most a thread\nafter\n{after}"),
        Column::Queues { after } => format!("queues/links\nafter\n{after}"),
        Column::Created { during } => format!("created\nin\n{during}"),
        Column::StoppedBy { during } => format!("stopped most\nin\n{during}"),
        Column::Queued { after } => format!("backlog\nafter\n{after}"),
        Column::Value { metric, after } => format!("{metric:?}\nafter\n{after}"),
        Column::Curve { during } => format!("kept\nduring\n{during}"),
    }
}

/// What `column` shows of `samples`.
pub fn value(column: &Column, samples: &Samples) -> Option<String> {
    Some(match column {
        Column::Retained { after } => count(samples.after(after)?.metric(Metric::CrossThreadRetained)),
        Column::Bytes { after } => bytes(crossing_bytes(samples.after(after)?)),
        Column::PerThread { after } => {
            count(samples.after(after)?.crossing().map(|p| p.retained).max().unwrap_or_default())
        }
        Column::Queues { after } => {
            let sample = samples.after(after)?;
            let (queues, links) = sample.crossing().fold((0, 0), |(q, l), p| (q + p.queues, l + p.links));
            if queues == 0 { "none".to_string() } else { format!("{}/{}", count(queues), count(links)) }
        }
        Column::Created { during } => count(created(samples, during)?),
        Column::StoppedBy { during } => stopped_by(&drops(samples, during)?),
        Column::Queued { after } => count(samples.after(after)?.metric(Metric::QueuedTasks)),
        Column::Value { metric, after } => count(samples.after(after)?.metric(*metric)),
        Column::Curve { .. } => return None,
    })
}

/// Estimated bytes of the crossing types in a sample.
pub fn crossing_bytes(sample: &Sample) -> u64 {
    sample.pools.iter().filter(|r| CROSSING.contains(&r.kind)).map(retained_bytes).sum()
}

/// Objects of the crossing types created during a step.
pub fn created(samples: &Samples, during: &str) -> Option<u64> {
    let sum = |s: &Sample| s.crossing().map(|p| p.created).sum::<u64>();
    Some(sum(samples.after(during)?) - samples.before(during).map_or(0, sum))
}

/// Recycled objects of the crossing types that were not kept during a step, by reason.
pub fn drops(samples: &Samples, during: &str) -> Option<Vec<(DropReason, u64)>> {
    let sums = |s: &Sample| {
        let mut sum = Drops::default();
        for pool in s.crossing() {
            sum += pool.dropped;
        }
        sum.by_reason()
    };
    let after = sums(samples.after(during)?);
    let before = samples.before(during).map(sums);
    Some(
        after.iter().enumerate().map(|(i, (reason, n))| (*reason, n - before.as_ref().map_or(0, |b| b[i].1))).collect(),
    )
}

/// The reason that stopped most, in words.
fn stopped_by(drops: &[(DropReason, u64)]) -> String {
    match drops.iter().max_by_key(|(_, n)| *n) {
        Some((reason, n)) if *n > 0 => format!("{} {}", cap(*reason), count(*n)),
        _ => "nothing".to_string(),
    }
}

/// A reason as the name of the cap that acted.
pub fn cap(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Ratio => "ratio",
        DropReason::PoolFull => "full pool",
        DropReason::NoSharedCapacity => "shared capacity",
        DropReason::DelayedLimit => "queue limit",
        DropReason::OwnerDead => "dead owner",
        DropReason::NotPoolable => "never poolable",
        DropReason::Unused => "given back",
    }
}

fn curve(during: &str, cells: &[(&Cell, &CellSummary)]) -> String {
    let points: Vec<u64> = cells
        .iter()
        .filter_map(|(_, summary)| first(summary))
        .map(|s| s.inside(during).map(|(k, _)| k).collect::<Vec<_>>())
        .max_by_key(Vec::len)
        .unwrap_or_default();
    let head: Vec<String> =
        [format!("kept by {during} after")].into_iter().chain(points.iter().map(|k| count(*k))).collect();
    let rows: Vec<Vec<String>> = cells
        .iter()
        .map(|(cell, summary)| {
            let at = |k: &u64| {
                first(summary).and_then(|s| curve_point(s, during, *k)).map_or_else(|| "-".to_string(), count)
            };
            [cell.label.clone()].into_iter().chain(points.iter().map(at)).collect()
        })
        .collect();
    format!("\n{}", table(&head, &rows))
}

/// Objects retained for the threads that write in the phase `during`, after `k` writes of each.
pub fn curve_point(samples: &Samples, during: &str, k: u64) -> Option<u64> {
    let (_, sample) = samples.inside(during).find(|(at, _)| *at == k)?;
    Some(
        sample
            .writers
            .iter()
            .map(|t| sample.crossing().filter(|p| p.owner == *t).map(|p| p.retained).sum::<u64>())
            .sum(),
    )
}
