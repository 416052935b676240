//! Writability that the program itself decides.
//!
//! **Invariant: a channel is writable when no bit is set; a change is told when the first bit comes or the last one goes**, and not
//! in between.
//!
//! ```text
//!   bit   31 ... 2 1 | 0
//!        the program's | the water marks
//! ```

use super::Channel;
use crate::Platform;
use crate::platform::AtomicOps;
use core::sync::atomic::Ordering;

/// A bit that isn't the program's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the writability bits of a program are 1 to 31, not {0}")]
pub struct WritabilityIndex(pub u32);

fn mask(index: u32) -> Result<u32, WritabilityIndex> {
    if (1..=31).contains(&index) { Ok(1 << index) } else { Err(WritabilityIndex(index)) }
}

impl<P: Platform> Channel<P> {
    /// Says whether the channel is writable as far as the program's rule `index`, of 1 to 31, goes. From any thread; a change is
    /// told later, by a task, as in Netty (`setUserDefinedWritability`). Nobody is told when the channel is closed.
    ///
    /// # Errors
    /// [`WritabilityIndex`] for another index.
    pub fn set_user_writability(&self, index: u32, is_writable: bool) -> Result<(), WritabilityIndex> {
        let bit = mask(index)?;
        let bits = &self.0.pending.unwritable;
        // AcqRel: one of several that set the first bit, or clear the last one, tells; as with the water marks.
        if is_writable {
            if bits.fetch_and(!bit, Ordering::AcqRel) == bit {
                self.became_writable(true);
            }
        } else if bits.fetch_or(bit, Ordering::AcqRel) == 0 {
            self.became_unwritable(true);
        }
        Ok(())
    }

    /// Whether the channel is writable as far as the program's rule `index` goes.
    ///
    /// # Errors
    /// [`WritabilityIndex`] for another index than 1 to 31.
    pub fn user_writability(&self, index: u32) -> Result<bool, WritabilityIndex> {
        // Relaxed: nothing else is read on the strength of it.
        Ok(self.0.pending.unwritable.load(Ordering::Relaxed) & mask(index)? == 0)
    }
}
