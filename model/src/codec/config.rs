//! The rules of the codecs, and what each preset sets them to.
//!
//! **Invariant: each field names the release that changed it**; no other code knows releases.

use crate::preset::Preset;
use serde::{Deserialize, Serialize};

/// What a decoder does when it is called while it is on the stack: when what it calls feeds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ReentrantRead {
    /// It decodes at once, with the cumulation under the feet of the outer call, whose accesses are then refused.
    Immediate,
    /// The outer call does it when it has done with what it has.
    Queued,
}

/// The rules of the codecs that differ between releases. Sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodecConfig {
    /// What a decoder does when it is fed while it is on the stack: decode through 4.1.128 and 4.2.7, queue from then on (Netty
    /// #15833, #15834) and in Millpond. Netty queues only inside `decode` itself, and only messages; Millpond wherever
    /// the decoder is on the stack, and the end of the input and the removal, too, so that everything stays in order.
    pub reentrant_read: ReentrantRead,
    /// Whether the removal of a decoder waits for the end of `decode`: from 4.0.47 and 4.1.11.
    pub defer_removal: bool,
    /// Whether a removed decoder gives what it hasn't read on as a copy, through 4.1.42, or as the cumulation itself.
    pub copy_on_removal: bool,
    /// Whether a failed cumulation releases its input: from 4.1.30 (#8325).
    pub release_input_on_failure: bool,
    /// Whether a cumulation that could not be replaced releases the replacement: from 4.1.44 (#9812).
    pub release_new_on_failure: bool,
    /// Reads after which a decoder discards what has been read: 16.
    pub discard_after_reads: u32,
    /// Whether a message-to-byte encoder holds on to its output until the write has succeeded, and so releases it for the
    /// second time when it hasn't: Netty, to this day.
    pub keep_output: bool,
    /// Whether the promise of a message that was encoded to several waits for all of them, from 4.1.32, or is the last one's.
    pub combine_promises: bool,
    /// Whether a message-to-message encoder that fails still writes what it had made: Netty, to this day.
    pub write_partial_output: bool,
}

impl Default for CodecConfig {
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for CodecConfig {
    fn from(preset: Preset) -> Self {
        // The presets stand in order of age, but for 4.0.43, which was released together with 4.1.7.
        let from = |first: Preset| preset >= first;
        let is_ours = preset == Preset::Millpond;
        Self {
            reentrant_read: if is_ours { ReentrantRead::Queued } else { ReentrantRead::Immediate },
            defer_removal: from(Preset::Netty4_1_22),
            copy_on_removal: !from(Preset::Netty4_1_44),
            release_input_on_failure: from(Preset::Netty4_1_38),
            release_new_on_failure: from(Preset::Netty4_1_44),
            discard_after_reads: 16,
            keep_output: !is_ours,
            combine_promises: from(Preset::Netty4_1_38),
            write_partial_output: !is_ours,
        }
    }
}
