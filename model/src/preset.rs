//! Which Netty release, or Millpond itself, the pool and the write path behave like.
//!
//! **Invariant: a preset is data.** It selects numbers and rules; no code asks "which version is this?".

use core::fmt;
use serde::{Deserialize, Serialize};

/// A release whose behaviour differs from its neighbours', or ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Preset {
    /// 4.0.43 (January 2017): the policy of 4.1.5 to 4.1.21.
    Netty4_0_43,
    /// 4.1.2: the side queues have no bound at all.
    Netty4_1_2,
    /// 4.1.3: bounded by 131,072, but the queues hold the pools of dead threads.
    Netty4_1_3,
    /// 4.1.4: bounded by 16,384, no ratio.
    Netty4_1_4,
    /// 4.1.8: ratio 8 on the owner's side, at most 2 x cores queues a thread.
    Netty4_1_8,
    /// 4.1.22: capacity 4,096.
    Netty4_1_22,
    /// 4.1.38: a link that is skipped gives its capacity back.
    Netty4_1_38,
    /// 4.1.44: the ratio applies to every object that another thread recycles.
    Netty4_1_44,
    /// 4.1.66: ... only to those never pooled before.
    Netty4_1_66,
    /// 4.1.71: the rewrite, one queue a thread.
    Netty4_1_71,
    /// 4.1.88: with a batch in front of the queue.
    Netty4_1_88,
    /// 4.2.7: the batch is not refilled from the queue.
    Netty4_2_7,
    /// Ours: the default.
    #[default]
    Millpond,
}

impl Preset {
    /// All presets, in order of age, ours last.
    pub const ALL: [Self; 13] = [
        Self::Netty4_0_43,
        Self::Netty4_1_2,
        Self::Netty4_1_3,
        Self::Netty4_1_4,
        Self::Netty4_1_8,
        Self::Netty4_1_22,
        Self::Netty4_1_38,
        Self::Netty4_1_44,
        Self::Netty4_1_66,
        Self::Netty4_1_71,
        Self::Netty4_1_88,
        Self::Netty4_2_7,
        Self::Millpond,
    ];

    /// The release number, or `millpond`.
    pub fn version(self) -> &'static str {
        match self {
            Self::Netty4_0_43 => "4.0.43",
            Self::Netty4_1_2 => "4.1.2",
            Self::Netty4_1_3 => "4.1.3",
            Self::Netty4_1_4 => "4.1.4",
            Self::Netty4_1_8 => "4.1.8",
            Self::Netty4_1_22 => "4.1.22",
            Self::Netty4_1_38 => "4.1.38",
            Self::Netty4_1_44 => "4.1.44",
            Self::Netty4_1_66 => "4.1.66",
            Self::Netty4_1_71 => "4.1.71",
            Self::Netty4_1_88 => "4.1.88",
            Self::Netty4_2_7 => "4.2.7",
            Self::Millpond => "millpond",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.version())
    }
}
