//! Promises that tell how far they are.
//!
//! **Invariant: whoever listens is told of growing progress, and of none after the end.** One thread at a time tells: the event
//! loop, for a write.
//!
//! ```text
//!   write of 10 bytes:  4 taken ──> (4, 10)   6 taken ──> (10, 10) ──> complete
//! ```

use super::Promise;
use crate::Platform;
use crate::observe::Kind;
use crate::platform::Lock;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The promise doesn't tell how far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("only a promise made by `Promise::progressive` tells its progress")]
pub struct NotProgressive;

type Listener = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// See the [module](self).
pub(super) struct Progress<P: Platform>(P::Mutex<Vec<Listener>>);

impl<P: Platform> Progress<P> {
    /// Nobody is told any more.
    pub(super) fn end(&self) {
        let listeners = core::mem::take(&mut *self.0.lock());
        drop(listeners); // unlocked: what they own may do anything
    }
}

impl<P: Platform> Promise<P> {
    /// A pending promise that tells how far it is: Netty's `ChannelProgressivePromise`.
    #[track_caller]
    pub fn progressive() -> Self {
        let id = P::identify(Kind::Promise);
        Self::with(Some((id, P::obtained(id))), Some(Box::new(Progress(P::Mutex::new(Vec::new())))))
    }

    /// Whether it tells how far it is.
    pub fn is_progressive(&self) -> bool {
        self.inner().is_ok_and(|inner| inner.progress.is_some())
    }

    /// Calls `listener` with what is done and the total at each progress, until the promise is complete. For a write: bytes, each
    /// time that the transport has taken some of them, on the event loop.
    ///
    /// # Errors
    /// [`NotProgressive`]: it wasn't made for that. The listener is dropped.
    pub fn on_progress(&self, listener: impl Fn(u64, u64) + Send + Sync + 'static) -> Result<(), NotProgressive> {
        let progress = self.inner().ok().and_then(|inner| inner.progress.as_ref()).ok_or(NotProgressive)?;
        let listeners = &mut *progress.0.lock();
        if !self.is_done() {
            listeners.push(Arc::new(listener));
        }
        Ok(())
    }

    /// Tells that `done` of `total` is done; `false` when the promise is complete, or doesn't tell.
    ///
    /// # Panics
    /// When `done` is more than `total`.
    pub fn try_progress(&self, done: u64, total: u64) -> bool {
        assert!(done <= total, "{done} of {total}");
        let Some(progress) = self.inner().ok().and_then(|inner| inner.progress.as_ref()) else { return false };
        let listeners = progress.0.lock().clone();
        for listener in listeners {
            // One of them may have ended it.
            if self.is_done() {
                return false;
            }
            if P::catch(|| listener(done, total)).is_err() {
                self.mark_panicked();
            }
        }
        !self.is_done()
    }

    fn mark_panicked(&self) {
        if let Ok(inner) = self.inner() {
            let marked = inner.update(|word| Some(word | super::PANICKED));
            debug_assert!(marked.is_ok(), "an unconditional update succeeds");
        }
    }
}
