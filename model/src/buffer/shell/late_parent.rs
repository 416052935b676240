//! A planted defect: a derived buffer gives its shell back before it reads what it was derived from (Netty 4.1.1, 7137d22994).
//!
//! **Invariant: memory is safe even so**: whoever reads late holds on to the memory of what is read.
//!
//! ```text
//!   a slice of A ends:     shell ──> pool ──> another thread: a slice of B begins in it
//!                            └──── only now: who is my parent? B. It is released, and A never is.
//! ```

use super::{Content, Held, Shell, ShellBox};
use crate::Platform;
use crate::platform::{AtomicOps, CellOps};
use crate::recycler::Pooled;
use alloc::sync::Arc;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

impl<P: Platform> Shell<P> {
    /// Gives the shell of an ended buffer back, and then reads its parent in it; `held` is the right one.
    ///
    /// # Safety
    /// Nobody else refers to the shell, which is `home`'s.
    #[cold]
    #[track_caller]
    pub(super) unsafe fn finish_late(
        shell: NonNull<Self>,
        home: Pooled<ShellBox<P>, P>,
        held: Option<Held<P>>,
    ) -> Option<Held<P>> {
        // SAFETY: `ShellBox` has it from an `Arc`, and is still here.
        let this = unsafe { keep(shell) };
        drop(home);
        // Relaxed: decides nothing; what is read late is read in a moment of its own, in which others may run.
        let _capacity = this.capacity.load(Relaxed);
        // SAFETY: a simulator's threads come in turn, and nobody leaves a closure: the cell is whole.
        let read = this.content.with(|content| match unsafe { &*content } {
            // SAFETY: the content has a handle of its parent, which keeps it.
            Content::Derived { parent, .. } => parent.shell.map(|parent| unsafe { keep(parent) }),
            _ => None,
        });
        let (Some(theirs), Some(Held::One { shell, .. })) = (read, &held) else { return held };
        // SAFETY: the memory is kept; what the count says decides as ever. The release is one too many.
        let _too_many = unsafe { Self::release(NonNull::from(&*theirs), 1) };
        Some(Held::One { shell: *shell, release: false })
    }
}

/// Keeps the memory of a shell.
///
/// # Safety
/// It lives now.
unsafe fn keep<P: Platform>(shell: NonNull<Shell<P>>) -> Arc<Shell<P>> {
    // SAFETY: every shell is in an `Arc`: see `ShellBox::new`. It lives, by the contract of this function.
    unsafe {
        Arc::increment_strong_count(shell.as_ptr());
        Arc::from_raw(shell.as_ptr())
    }
}
