//! Rounds of all rows, and the table.
//!
//! **Invariant: a ratio is taken within a round**, between two rows that ran a moment apart; what is shown is the median of
//! the rounds' ratios.

/// A row: what is measured, by whom, and how.
struct Row {
    group: &'static str,
    name: &'static str,
    run: Box<dyn FnMut() -> f64>,
    samples: Vec<f64>,
}

/// That one row takes at most so many times another.
struct Target {
    ours: (&'static str, &'static str),
    peer: (&'static str, &'static str),
    at_most: f64,
}

/// The rows in the order in which they run, and what is wanted of them.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    targets: Vec<Target>,
}

/// The name of our own row in each group.
pub const OURS: &str = "millpond";

impl Table {
    pub fn row(&mut self, group: &'static str, name: &'static str, run: impl FnMut() -> f64 + 'static) {
        self.rows.push(Row { group, name, run: Box::new(run), samples: Vec::new() });
    }

    /// Ours in `group` takes at most `at_most` times `name` in the same group.
    pub fn target(&mut self, group: &'static str, name: &'static str, at_most: f64) {
        self.compare(group, (group, name), at_most);
    }

    /// Ours in `group` takes at most `at_most` times `peer`.
    pub fn compare(&mut self, group: &'static str, peer: (&'static str, &'static str), at_most: f64) {
        self.targets.push(Target { ours: (group, OURS), peer, at_most });
    }

    /// Measures: each round runs every row whose group contains `filter`.
    pub fn run(&mut self, rounds: usize, filter: &str) {
        let always = |group: &str| group == FLOOR;
        self.rows.retain(|row| always(row.group) || row.group.contains(filter));
        for round in 0..=rounds {
            for row in &mut self.rows {
                let sample = (row.run)();
                if round > 0 {
                    row.samples.push(sample); // the first round only warms up
                }
            }
        }
    }

    fn find(&self, (group, name): (&str, &str)) -> Option<&Row> {
        self.rows.iter().find(|row| row.group == group && row.name == name)
    }

    /// Prints everything.
    pub fn print(&self) {
        println!("{:<26} {:<26} {:>9} {:>9} {:>9}", "row", "", "median", "least", "greatest");
        let mut group = "";
        for row in &self.rows {
            let mut sorted = row.samples.clone();
            sorted.sort_by(f64::total_cmp);
            let shown = if row.group == group { "" } else { row.group };
            group = row.group;
            let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
            println!("{shown:<26} {:<26} {:>9.2} {low:>9.2} {high:>9.2}", row.name, median(&sorted));
        }
        println!();
        println!("{:<26} {:<34} {:>9} {:>9} {:>7} {:>7}", "target", "against", "ours", "theirs", "ratio", "at most");
        for target in &self.targets {
            let (Some(ours), Some(peer)) = (self.find(target.ours), self.find(target.peer)) else { continue };
            let ratios: Vec<f64> = ours.samples.iter().zip(&peer.samples).map(|(o, p)| o / p).collect();
            let ratio = median(&ratios);
            let against = if target.peer.0 == target.ours.0 || target.peer.0 == FLOOR {
                target.peer.1.to_string()
            } else {
                format!("{}, {}", target.peer.0, target.peer.1)
            };
            println!(
                "{:<26} {against:<34} {:>9.2} {:>9.2} {ratio:>7.2} {:>7.2}  {}",
                target.ours.0,
                median(&ours.samples),
                median(&peer.samples),
                target.at_most,
                if ratio <= target.at_most { "ok" } else { "SHORT" }
            );
        }
    }
}

/// The group of the physical rows, which run always.
pub const FLOOR: &str = "floor";

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
