//! The options of the two commands, and their workers.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Words and numbers by name.
pub struct Options(Vec<(String, String)>);

impl Options {
    /// `--name value`, for these names; whatever else is there ends the process with code 2.
    pub fn of_command_line(names: &[&str]) -> Self {
        Self::new(std::env::args().skip(1), names).unwrap_or_else(|e| wrong(&e))
    }

    /// As [`of_command_line`](Self::of_command_line), without the word that cargo gives to every benchmark.
    pub fn of_bench(names: &[&str]) -> Self {
        Self::new(std::env::args().skip(1).filter(|word| word != "--bench"), names).unwrap_or_else(|e| wrong(&e))
    }

    fn new(mut words: impl Iterator<Item = String>, names: &[&str]) -> Result<Self, String> {
        let mut found = Vec::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").filter(|name| names.contains(name));
            let name = name.ok_or_else(|| format!("{word} is not an option; those are --{}", names.join(", --")))?;
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            found.push((name.to_string(), value));
        }
        Ok(Self(found))
    }

    /// The value of an option; empty if it isn't given.
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().rfind(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The number of an option, or this one if it isn't given. What is no number ends the process with code 2.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        match self.text(name) {
            "" => default,
            text => text.parse().unwrap_or_else(|_| wrong(&format!("--{name} {text}: not a number"))),
        }
    }

    /// What `f` makes of each piece of work, in its order, on as many threads as `--jobs` says (1).
    ///
    /// # Panics
    /// If `f` does.
    pub fn on_all_jobs<W: Sync, R: Send>(&self, work: &[W], f: impl Fn(&W) -> R + Sync) -> Vec<R> {
        on_all(usize::try_from(self.number("jobs", 1)).unwrap_or(1), work, f)
    }
}

/// What `f` makes of each piece of work, in its order, on so many threads; 0: one for each core.
///
/// # Panics
/// If `f` does.
pub fn on_all<W: Sync, R: Send>(jobs: usize, work: &[W], f: impl Fn(&W) -> R + Sync) -> Vec<R> {
    let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(work.len())));
    thread::scope(|scope| {
        for _ in 0..if jobs == 0 { cores() } else { jobs } {
            scope.spawn(|| {
                loop {
                    // Relaxed: it only deals out numbers.
                    let i = next.fetch_add(1, Relaxed);
                    let Some(piece) = work.get(i) else { return };
                    let result = f(piece);
                    done.lock().expect("no worker panics").push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no worker panics");
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

fn wrong(words: &str) -> ! {
    eprintln!("{words}");
    std::process::exit(2)
}
