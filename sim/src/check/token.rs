//! One execution as a short text.
//!
//! **Invariant: with the program it is complete**: what a token says is all that its execution depends on.
//!
//! ```text
//!   1/0/131/weak 2@12>3 1@4>t 2#1=1
//!   │ │  │   │     │      │     └ thread 2, in its choice number 1, takes alternative 1
//!   │ │  │   │     │      └ thread 1, at its step 4, lets time move
//!   │ │  │   │     └ thread 2, at its step 12, gives way to thread 3
//!   │ │  │   └ memory: interleaving, races, weak
//!   │ │  └ number of the execution      both decide what the program itself draws
//!   │ └ seed
//!   └ version of this format
//! ```

use crate::engine::{Choice, MemoryModel, Options, Shift, Strategy, Switch};
use std::fmt;
use std::str::FromStr;

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// The seed.
    pub seed: u64,
    /// The number of the execution.
    pub index: u64,
    /// The memory model.
    pub memory: MemoryModel,
    /// Where the schedule isn't the default one, sorted.
    pub shifts: Vec<Shift>,
    /// What is chosen besides, sorted.
    pub choices: Vec<Choice>,
}

/// The version that is written and read.
const VERSION: &str = "1";

/// The word for a memory model.
pub(super) fn memory_word(memory: MemoryModel) -> &'static str {
    match memory {
        MemoryModel::Interleaving => "interleaving",
        MemoryModel::Races => "races",
        MemoryModel::Weak => "weak",
    }
}

impl Token {
    /// The options of its execution.
    pub(super) fn options(&self, base: Options) -> Options {
        Options {
            seed: self.seed,
            index: self.index,
            memory: self.memory,
            strategy: Strategy::Shifted(self.shifts.clone().into()),
            choices: Some(self.choices.clone().into()),
            ..base
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}/{}/{}/{}", self.seed, self.index, memory_word(self.memory))?;
        for Shift { thread, at, to } in &self.shifts {
            match *to {
                Switch::TIME => write!(f, " {thread}@{at}>t")?,
                to => write!(f, " {thread}@{at}>{to}")?,
            }
        }
        self.choices.iter().try_for_each(|Choice { thread, nth, pick }| write!(f, " {thread}#{nth}={pick}"))
    }
}

/// A text that is no token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{word}` in `{text}` {why}: a replay text looks like `1/0/131/weak 2@12>3 2#1=1`; copy all of it from the report"
)]
pub struct NotAToken {
    text: String,
    word: String,
    why: &'static str,
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let wrong = |word: &str, why| NotAToken { text: text.to_string(), word: word.to_string(), why };
        let mut words = text.split_whitespace();
        let head = words.next().unwrap_or_default();
        let parts: Vec<&str> = head.split('/').collect();
        let [version, seed, index, memory] = parts[..] else {
            return Err(wrong(head, "has not four parts"));
        };
        if version != VERSION {
            return Err(wrong(version, "is a version that this Millpond doesn't read"));
        }
        let models = [MemoryModel::Interleaving, MemoryModel::Races, MemoryModel::Weak];
        let memory = models.into_iter().find(|m| memory_word(*m) == memory);
        let number = |word: &str| word.parse().map_err(|_| wrong(word, "is not a number"));
        let mut token = Self {
            seed: number(seed)?,
            index: number(index)?,
            memory: memory.ok_or_else(|| wrong(head, "names no memory model"))?,
            shifts: Vec::new(),
            choices: Vec::new(),
        };
        for word in words {
            match entry(word).ok_or_else(|| wrong(word, "is neither a shift nor a choice"))? {
                Entry::Shift(shift) => token.shifts.push(shift),
                Entry::Choice(choice) => token.choices.push(choice),
            }
        }
        token.shifts.sort_by_key(|s| (s.thread, s.at));
        token.choices.sort_unstable();
        Ok(token)
    }
}

/// What a reduction may drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// A switch that the default schedule doesn't make.
    Shift(Shift),
    /// What a sequentially consistent memory wouldn't do.
    Choice(Choice),
}

fn entry(word: &str) -> Option<Entry> {
    if let Some((thread, rest)) = word.split_once('@') {
        let (at, to) = rest.split_once('>')?;
        let to = if to == "t" { Switch::TIME } else { to.parse().ok().filter(|to| *to != Switch::TIME)? };
        return Some(Entry::Shift(Shift { thread: thread.parse().ok()?, at: at.parse().ok()?, to }));
    }
    let (thread, rest) = word.split_once('#')?;
    let (nth, pick) = rest.split_once('=')?;
    Some(Entry::Choice(Choice { thread: thread.parse().ok()?, nth: nth.parse().ok()?, pick: pick.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let text = "1/7/131/weak 0@3>2 2@12>3 2@12>t 1#4=2";
        let token: Token = text.parse().unwrap();
        assert_eq!(token.to_string(), text);
        assert_eq!(token.shifts.len(), 3);
        assert_eq!(token.choices, [Choice { thread: 1, nth: 4, pick: 2 }]);
    }

    #[test]
    fn what_is_no_token_is_named() {
        for (text, word) in [
            ("", "``"),
            ("1/0/weak", "`1/0/weak`"),
            ("9/0/0/weak", "`9`"),
            ("1/x/0/weak", "`x`"),
            ("1/0/0/strong", "`1/0/0/strong`"),
            ("1/0/0/weak 3", "`3`"),
            ("1/0/0/weak 3@1", "`3@1`"),
            ("1/0/0/weak 3@1>4294967295", "`3@1>4294967295`"),
        ] {
            let error = text.parse::<Token>().unwrap_err().to_string();
            assert!(error.starts_with(word), "{error}");
        }
    }
}
