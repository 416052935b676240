//! What is remembered of a tracked object: where it was created, and where it was last used.
//!
//! **Invariant: the newest access is always among the records** (unless the policy keeps none), **and the creation is never
//! given up for an access.**
//!
//! ```text
//!   Recent    created | 3 4 5 6 <─ 7        3 goes, equal neighbours are one
//!   BackOff   created | 1 2 3 9 17 <─ 18    18 replaces 17, or with a probability of 1 / 2^n follows it
//! ```

use super::config::RecordPolicy;
use alloc::borrow::Cow;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt::{self, Write};
use core::panic::Location;
use std::backtrace::Backtrace;

/// What was done with a tracked object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Access {
    /// It was made.
    Created,
    /// Its count went up.
    Retained,
    /// Its count went down.
    Released,
    /// It passed a place that says so.
    Touched,
    /// Its bytes or indices were used.
    Used,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Retained => "retained",
            Self::Released => "released",
            Self::Touched => "touched",
            Self::Used => "used",
        })
    }
}

/// What can say where an object passes, such as the handler it is given to (`ResourceLeakHint`).
pub trait LeakHint {
    /// Its text. Asked for only when a record is made.
    fn leak_hint(&self) -> Cow<'static, str>;
}

impl LeakHint for &'static str {
    fn leak_hint(&self) -> Cow<'static, str> {
        Cow::Borrowed(self)
    }
}

impl LeakHint for String {
    fn leak_hint(&self) -> Cow<'static, str> {
        Cow::Owned(self.clone())
    }
}

/// One access. Its text is one line a piece of information, each indented by a tab and ended.
#[derive(Clone, Debug)]
pub struct Record {
    access: Access,
    hint: Option<Cow<'static, str>>,
    site: &'static Location<'static>,
    stack: Option<Arc<Backtrace>>,
}

impl Record {
    /// An access at `site`.
    pub fn new(access: Access, hint: Option<Cow<'static, str>>, site: &'static Location<'static>) -> Self {
        Self { access, hint, site, stack: None }
    }

    /// The same with the stack of the caller.
    #[must_use]
    pub fn with_stack(self) -> Self {
        Self { stack: Some(Arc::new(Backtrace::force_capture())), ..self }
    }

    /// What was done.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The hint given with it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Where.
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hint) = &self.hint {
            writeln!(f, "\tHint: {hint}")?;
        }
        writeln!(f, "\t{} at {}", self.access, self.site)?;
        if let Some(stack) = &self.stack {
            for line in stack.to_string().lines() {
                writeln!(f, "\t{line}")?;
            }
        }
        Ok(())
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        let stacks = [self, other].map(|record| record.stack.as_ref().map(ToString::to_string));
        self.access == other.access
            && self.site == other.site
            && self.hint == other.hint
            && stacks.iter().all(|stack| *stack == stacks[0])
    }
}

/// What became of the records when one more came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// It was compared with the policy at all: false when the policy keeps none.
    pub recorded: bool,
    /// It equals the one before it and was not added.
    pub merged: bool,
    /// One was given up.
    pub dropped: bool,
}

/// The records of one object.
#[derive(Clone, Debug)]
pub struct Records {
    policy: RecordPolicy,
    created: Option<Record>,
    /// Oldest first.
    accesses: VecDeque<Record>,
    dropped: u64,
}

impl Records {
    /// Of an object whose creation is remembered, or not.
    pub fn new(policy: RecordPolicy, created: Option<Record>) -> Self {
        Self { policy, created, accesses: VecDeque::new(), dropped: 0 }
    }

    /// The creation.
    pub fn created(&self) -> Option<&Record> {
        self.created.as_ref()
    }

    /// The accesses remembered, oldest first.
    pub fn accesses(&self) -> impl DoubleEndedIterator<Item = &Record> + ExactSizeIterator {
        self.accesses.iter()
    }

    /// How many were given up.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// One more access. `draw` gives 64 random bits, if they are needed.
    pub fn record(&mut self, record: Record, draw: impl FnOnce() -> u64) -> Change {
        let len = self.accesses.len();
        let change = match self.policy {
            RecordPolicy::Recent { max: 0, .. }
            | RecordPolicy::Sampled { max: 0 }
            | RecordPolicy::BackOff { target: 0 } => return Change::default(),
            RecordPolicy::Recent { max, late_trim } => {
                let merged = self.accesses.back() == Some(&record);
                let limit = max as usize + usize::from(late_trim);
                let full = len >= limit;
                if !merged {
                    self.accesses.push_back(record);
                }
                let dropped = full && (late_trim || !merged);
                if dropped {
                    self.accesses.pop_front();
                }
                Change { recorded: true, merged, dropped }
            }
            RecordPolicy::Sampled { max } => {
                let dropped = len as u64 >= 10 * u64::from(max);
                self.accesses.push_back(record);
                if dropped {
                    self.accesses.pop_front();
                }
                Change { recorded: true, merged: false, dropped }
            }
            RecordPolicy::BackOff { target } => {
                let back_off = (len + 1).saturating_sub(target as usize).min(30) as u32;
                let dropped = back_off > 0 && draw() >> (64 - back_off) != 0;
                if dropped {
                    self.accesses.pop_back();
                }
                self.accesses.push_back(record);
                Change { recorded: true, merged: false, dropped }
            }
        };
        self.dropped += u64::from(change.dropped);
        change
    }

    /// The report on them; empty when there are none. The text that duplicates are recognised by.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.created.is_none() && self.accesses.is_empty() {
            return text;
        }
        text.push('\n');
        match self.policy {
            RecordPolicy::BackOff { target } => self.newest_first(&mut text, target),
            RecordPolicy::Recent { max, .. } => {
                if self.dropped > 0 {
                    discarded(&mut text, self.dropped, max);
                }
                self.numbered_by_age(&mut text, self.accesses());
            }
            RecordPolicy::Sampled { max } => {
                let mut shown: VecDeque<&Record> = VecDeque::new();
                for record in &self.accesses {
                    if shown.back() != Some(&record) {
                        shown.push_back(record);
                    }
                }
                let removed = shown.len().saturating_sub(max as usize);
                if removed > 0 {
                    discarded(&mut text, removed as u64, max);
                }
                if self.dropped > 0 {
                    let limit = 10 * u64::from(max);
                    line(&mut text, format_args!("{} records were not sampled: at most {limit} are", self.dropped));
                }
                shown.truncate(max as usize);
                self.numbered_by_age(&mut text, shown.into_iter());
            }
        }
        text.truncate(text.trim_end_matches('\n').len());
        text
    }

    /// The form of 4.1.17 and later: #1 is the newest, of equal ones the newest is shown.
    fn newest_first(&self, text: &mut String, target: u32) {
        line(text, format_args!("Recent access records:"));
        let mut seen = BTreeSet::new();
        let mut number = 0;
        for record in self.accesses().rev() {
            let words = record.to_string();
            if !seen.contains(&words) {
                number += 1;
                line(text, format_args!("#{number}:"));
                text.push_str(&words);
                seen.insert(words);
            }
        }
        self.creation(text);
        let duplicates = self.accesses.len() - number;
        if duplicates > 0 {
            line(text, format_args!(": {duplicates} records were discarded because they were duplicates"));
        }
        if self.dropped > 0 {
            let n = self.dropped;
            line(text, format_args!(": {n} records were discarded because the record count is targeted to {target}"));
        }
    }

    /// The form to 4.1.16: the newest is shown first and has the highest number.
    fn numbered_by_age<'a>(
        &self,
        text: &mut String,
        oldest_first: impl DoubleEndedIterator<Item = &'a Record> + ExactSizeIterator,
    ) {
        line(text, format_args!("Recent access records: {}", oldest_first.len()));
        for (index, record) in oldest_first.enumerate().rev() {
            line(text, format_args!("#{}:", index + 1));
            text.push_str(&record.to_string());
        }
        self.creation(text);
    }

    fn creation(&self, text: &mut String) {
        if let Some(created) = &self.created {
            line(text, format_args!("Created at:"));
            text.push_str(&created.to_string());
        }
    }
}

fn discarded(text: &mut String, n: u64, max: u32) {
    line(text, format_args!("WARNING: {n} records were discarded because the record count is limited to {max}"));
}

fn line(text: &mut String, words: fmt::Arguments<'_>) {
    writeln!(text, "{words}").expect("a string takes all");
}
