//! One execution as a short text.
//!
//! **Invariant: with the program it is complete**: what a token says is all that its execution depends on.
//!
//! ```text
//!   1/0/131/weak 2@12:3,2#1=1
//!   │ │  │   │    └ the schedule, as [`Deviations`] write it
//!   │ │  │   └ memory: interleaving, races, weak
//!   │ │  └ number of the execution      both decide what the program itself draws
//!   │ └ seed
//!   └ version of this format
//! ```

use super::Checker;
use crate::deviations::Deviations;
use crate::engine::{MAX_THREADS, MemoryModel, Options};
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
    /// Steps, threads, bytes of stack, and whether there are unseen owners, where they are not those of [`Checker::new`].
    pub limits: [Option<u64>; 4],
    /// The schedule.
    pub deviations: Deviations,
}

/// What the limits are called.
const LIMITS: [&str; 4] = ["steps", "threads", "stack", "unseen"];

/// The limits of `options` that differ from the usual ones.
pub(super) fn limits(options: &Options) -> [Option<u64>; 4] {
    let values =
        |o: &Options| [o.max_steps, u64::from(o.max_threads), o.stack_bytes as u64, u64::from(o.unseen_owners)];
    let usual = values(&Checker::new().base());
    let mine = values(options);
    std::array::from_fn(|i| (mine[i] != usual[i]).then_some(mine[i]))
}

/// The version that is written and read.
const VERSION: &str = "1";

impl Token {
    /// The options of its execution.
    pub(super) fn options(&self, base: Options) -> Options {
        let [steps, threads, stack, unseen] = self.limits;
        let options = Options {
            seed: self.seed,
            index: self.index,
            memory: self.memory,
            max_steps: steps.unwrap_or(base.max_steps),
            max_threads: threads.map_or(base.max_threads, |n| n as u32),
            stack_bytes: stack.map_or(base.stack_bytes, |n| n as usize),
            unseen_owners: unseen.map_or(base.unseen_owners, |n| n != 0),
            ..base
        };
        self.deviations.applied(options)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}/{}/{}/{}", self.seed, self.index, self.memory)?;
        let limits = LIMITS.iter().zip(self.limits).filter_map(|(name, limit)| Some(format!("{name}={}", limit?)));
        let limits: Vec<String> = limits.collect();
        if !limits.is_empty() {
            write!(f, "/{}", limits.join(","))?;
        }
        if !self.deviations.is_empty() {
            write!(f, " {}", self.deviations)?;
        }
        Ok(())
    }
}

/// A text that is no token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}`: {why}. A replay text looks like `1/0/131/weak 2@12:3,2#1=1`; copy all of it from the report")]
pub struct NotAToken {
    text: String,
    why: String,
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let wrong = |why: String| NotAToken { text: text.to_string(), why };
        let (head, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let parts: Vec<&str> = head.split('/').collect();
        let (version, seed, index, memory, rest_of_head) = match parts[..] {
            [version, seed, index, memory] => (version, seed, index, memory, ""),
            [version, seed, index, memory, limits] => (version, seed, index, memory, limits),
            _ => return Err(wrong(format!("`{head}` has not four parts"))),
        };
        if version != VERSION {
            return Err(wrong(format!("`{version}` is a version that this Millpond doesn't read")));
        }
        let number = |word: &str| word.parse().map_err(|_| wrong(format!("`{word}` is not a number")));
        let mut limits = [None; 4];
        for word in rest_of_head.split(',').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let at = LIMITS.iter().position(|limit| *limit == name);
            limits[at.ok_or_else(|| wrong(format!("`{word}` is no limit")))?] = Some(number(value)?);
        }
        if limits[1].is_some_and(|n| !(1..=u64::from(MAX_THREADS)).contains(&n)) {
            return Err(wrong(format!("`{rest_of_head}` is more than {MAX_THREADS} threads, or none")));
        }
        Ok(Self {
            limits,
            seed: number(seed)?,
            index: number(index)?,
            memory: memory.parse().map_err(|why: String| wrong(why))?,
            deviations: rest.parse().map_err(|why: crate::deviations::NotADeviation| wrong(why.to_string()))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for text in ["1/7/131/weak 0@3:2,2@12:3,1#4=2", "1/0/0/interleaving", "1/0/0/races/steps=1000,threads=8 1@2:3"]
        {
            assert_eq!(text.parse::<Token>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_token_is_named() {
        for (text, word) in [
            ("", "``"),
            ("1/0/weak", "`1/0/weak`"),
            ("9/0/0/weak", "`9`"),
            ("1/x/0/weak", "`x`"),
            ("1/0/0/strong", "`strong`"),
            ("1/0/0/weak 3", "`3`"),
        ] {
            let error = text.parse::<Token>().unwrap_err().to_string();
            assert!(error.contains(&format!(": {word} ")), "{error}");
        }
    }
}
