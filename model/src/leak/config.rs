//! The parameters of a leak detector, and what each preset sets them to.
//!
//! **Invariant: every difference between releases is a field here**; the detector reads fields, never a version.

use crate::preset::Preset;
use core::num::NonZeroU32;
use serde::{Deserialize, Serialize};

/// How much is watched, and how closely.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Level {
    /// Nothing.
    Disabled,
    /// A sample, without its accesses.
    #[default]
    Simple,
    /// A sample, with its accesses.
    Advanced,
    /// Everything, with its accesses: for tests.
    Paranoid,
}

impl Level {
    /// All of them, least first.
    pub const ALL: [Self; 4] = [Self::Disabled, Self::Simple, Self::Advanced, Self::Paranoid];

    pub(super) fn unpack(word: u8) -> Self {
        Self::ALL[usize::from(word)]
    }
}

/// Who belongs to the sample of the levels `Simple` and `Advanced`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Sampling {
    /// Each with a probability of one in `interval`.
    Draw,
    /// One of each `interval` rounded up to a power of two (to 4.1.6 at least): the last of them, or the `first`, and with it
    /// the very first object of all (to 4.1.5).
    Count {
        /// Whether it is the first of them.
        first: bool,
    },
}

/// When a lost object is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Detection {
    /// At the moment when its last handle is dropped: ours.
    Exact,
    /// At that moment a weak reference to it is enqueued, and the queue is looked at when the next object of the sample is
    /// tracked: Netty with a collector that is always in time.
    Enqueued,
    /// As `Enqueued`, but references are enqueued only by [`Detector::collect`](super::Detector::collect): a run of the
    /// collector, for a scenario to place.
    Collected,
}

/// Which accesses of a tracked object are remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RecordPolicy {
    /// The `max` most recent (to 4.1.15). One that equals the one before it is merged with it.
    Recent {
        /// How many; 0: none.
        max: u32,
        /// Trimming looks at the length before the new record was added, so that one too many is kept, and a merged record
        /// costs an old one (to 4.1.13).
        late_trim: bool,
    },
    /// The 10 x `max` most recent; of these, with equal neighbours merged, the report shows the `max` *oldest* (4.1.16).
    Sampled {
        /// How many are shown; 0: none.
        max: u32,
    },
    /// About `target` (4.1.17 and later): with n records (the creation is one) below the target a new one is added; otherwise
    /// it is added with a probability of 1 / 2^min(n - target, 30) and else replaces the newest one. So the newest access
    /// is always there, and old ones are kept in ever larger steps.
    BackOff {
        /// Where backing off starts; 0: nothing but the creation.
        target: u32,
    },
}

impl RecordPolicy {
    /// To 4.1.13.
    pub const NETTY_4_1_2: Self = Self::Recent { max: 4, late_trim: true };
    /// 4.1.14 and 4.1.15.
    pub const NETTY_4_1_14: Self = Self::Recent { max: 4, late_trim: false };
    /// 4.1.16.
    pub const NETTY_4_1_16: Self = Self::Sampled { max: 4 };
    /// 4.1.17 and later.
    pub const NETTY_4_1_17: Self = Self::BackOff { target: 4 };
}

/// The parameters of a leak detector. The default is that of the default preset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeakConfig {
    /// The level it starts at.
    pub level: Level,
    /// Who belongs to the sample.
    pub sampling: Sampling,
    /// One of how many does.
    pub interval: NonZeroU32,
    /// When a lost object is found.
    pub detection: Detection,
    /// Which accesses are remembered.
    pub records: RecordPolicy,
    /// The level `Simple` remembers the place of creation (4.1.23 and later).
    pub simple_creation: bool,
    /// An object derived from a tracked one is always tracked (4.1.94 and later); otherwise it is one more candidate, so
    /// that a chain of d is tracked with a probability of 1 / interval^d.
    pub force_derived: bool,
    /// Accesses to the bytes are not remembered, only retain, release and touch.
    pub acquire_and_release_only: bool,
    /// The place of the last release is kept for later errors (4.2.4 and later).
    pub track_close: bool,
    /// A record has the whole stack, not only the place of the call. Slow: some microseconds each.
    pub backtraces: bool,
}

const INTERVAL: NonZeroU32 = NonZeroU32::new(128).expect("128 is not zero");

impl LeakConfig {
    fn netty_4_1_2() -> Self {
        Self {
            level: Level::Simple,
            sampling: Sampling::Count { first: true },
            interval: INTERVAL,
            detection: Detection::Enqueued,
            records: RecordPolicy::NETTY_4_1_2,
            simple_creation: false,
            force_derived: false,
            acquire_and_release_only: false,
            track_close: false,
            backtraces: false,
        }
    }

    fn netty_4_1_8() -> Self {
        Self { sampling: Sampling::Draw, ..Self::netty_4_1_2() }
    }

    fn netty_4_1_22() -> Self {
        Self { records: RecordPolicy::NETTY_4_1_17, ..Self::netty_4_1_8() }
    }

    fn netty_4_1_38() -> Self {
        Self { simple_creation: true, ..Self::netty_4_1_22() }
    }

    fn netty_4_2_7() -> Self {
        Self { force_derived: true, track_close: true, ..Self::netty_4_1_38() }
    }

    fn millpond() -> Self {
        Self { detection: Detection::Exact, ..Self::netty_4_2_7() }
    }
}

impl Default for LeakConfig {
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for LeakConfig {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Netty4_1_2 | Preset::Netty4_1_3 | Preset::Netty4_1_4 => Self::netty_4_1_2(),
            Preset::Netty4_0_43 | Preset::Netty4_1_8 => Self::netty_4_1_8(),
            Preset::Netty4_1_22 => Self::netty_4_1_22(),
            Preset::Netty4_1_38
            | Preset::Netty4_1_44
            | Preset::Netty4_1_66
            | Preset::Netty4_1_71
            | Preset::Netty4_1_88 => Self::netty_4_1_38(),
            Preset::Netty4_2_7 => Self::netty_4_2_7(),
            Preset::Millpond => Self::millpond(),
        }
    }
}
