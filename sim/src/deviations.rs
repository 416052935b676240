//! A schedule as a short text: what differs from the default one.
//!
//! **Invariant: every list is a schedule.** What is impossible is skipped, so that an entry can be dropped.
//!
//! ```text
//!   2@12:3    thread 2, when it takes its own step 12, gives way to thread 3
//!   1@4:t     thread 1, at its own step 4, lets time move
//!   2#1=1     thread 2, in its own choice number 1, takes alternative 1: an older store, a spurious failure
//! ```
//!
//! Entries are separated by spaces or commas. By default the running thread goes on; if it can't, the one with the lowest number;
//! and every choice is that of a sequentially consistent memory.

use crate::engine::{Choice, Execution, Options, Shift, Strategy, Switch};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Deviations {
    /// Switches that the default schedule doesn't make, sorted by thread and step.
    shifts: Vec<Shift>,
    /// What a sequentially consistent memory wouldn't do, sorted by thread and number.
    choices: Vec<Choice>,
}

/// What a reduction may drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A switch.
    Shift(Shift),
    /// A choice.
    Choice(Choice),
}

impl Deviations {
    /// Those of an execution whose record is rich.
    pub fn of(execution: &Execution) -> Self {
        let shifts = execution.shifts.iter().copied().map(Entry::Shift);
        shifts.chain(execution.choices_taken.iter().copied().map(Entry::Choice)).collect()
    }

    /// Each of them.
    pub fn entries(&self) -> Vec<Entry> {
        let shifts = self.shifts.iter().copied().map(Entry::Shift);
        shifts.chain(self.choices.iter().copied().map(Entry::Choice)).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shifts.len() + self.choices.len()
    }

    /// Whether it is the default schedule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is chosen besides who runs.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// `options` with this schedule.
    #[must_use]
    pub fn applied(&self, options: Options) -> Options {
        let strategy = Strategy::Shifted(self.shifts.clone().into());
        Options { strategy, choices: Some(self.choices.clone().into()), ..options }
    }
}

impl FromIterator<Entry> for Deviations {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut all = Self::default();
        for entry in entries {
            match entry {
                Entry::Shift(shift) => all.shifts.push(shift),
                Entry::Choice(choice) => all.choices.push(choice),
            }
        }
        all.shifts.sort_by_key(|s| (s.thread, s.at)); // stable: time moves before the switch of the same step
        all.choices.sort_unstable();
        all
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Shift(Shift { thread, at, to: Switch::TIME }) => write!(f, "{thread}@{at}:t"),
            Self::Shift(Shift { thread, at, to }) => write!(f, "{thread}@{at}:{to}"),
            Self::Choice(Choice { thread, nth, pick }) => write!(f, "{thread}#{nth}={pick}"),
        }
    }
}

impl fmt::Display for Deviations {
    /// Separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, entry) in self.entries().iter().enumerate() {
            write!(f, "{}{entry}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A text that is no list of deviations.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is neither a switch nor a choice: write 2@12:3 (thread 2 at its step 12 gives way to thread 3), 1@4:t, or 2#1=1"
)]
pub struct NotADeviation(String);

impl FromStr for Deviations {
    type Err = NotADeviation;

    fn from_str(text: &str) -> Result<Self, NotADeviation> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        words.map(|word| entry(word).ok_or_else(|| NotADeviation(word.to_string()))).collect()
    }
}

fn entry(word: &str) -> Option<Entry> {
    if let Some((thread, rest)) = word.split_once('@') {
        let (at, to) = rest.split_once(':')?;
        let to = if to == "t" { Switch::TIME } else { to.parse().ok().filter(|to| *to != Switch::TIME)? };
        return Some(Entry::Shift(Shift { thread: thread.parse().ok()?, at: at.parse().ok()?, to }));
    }
    let (thread, rest) = word.split_once('#')?;
    let (nth, pick) = rest.split_once('=')?;
    Some(Entry::Choice(Choice { thread: thread.parse().ok()?, nth: nth.parse().ok()?, pick: pick.parse().ok()? }))
}

impl Serialize for Deviations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Deviations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let text = "0@3:2,2@12:3,2@12:t,1#4=2";
        let deviations: Deviations = text.parse().unwrap();
        assert_eq!(deviations.to_string(), text);
        assert_eq!(deviations.len(), 4);
        assert_eq!(deviations.choices(), [Choice { thread: 1, nth: 4, pick: 2 }]);
        assert_eq!(" 1#4=2  0@3:2 2@12:3,2@12:t ".parse(), Ok(deviations));
        assert!("".parse::<Deviations>().unwrap().is_empty());
    }

    #[test]
    fn what_is_none_is_named() {
        for word in ["3", "3@1", "3@1:4294967295", "3@x:1", "1#2", "1#2=-1", "@1:2"] {
            let error = format!("1@1:2 {word}").parse::<Deviations>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{word}`")), "{error}");
        }
    }
}
