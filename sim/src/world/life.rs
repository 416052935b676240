//! The life of a business thread, which a fault may end.
//!
//! **Invariant: a thread that dies has put back what it had begun, and named its successor**, which serves the same mailbox: no
//! order is lost, and none is carried out twice.
//!
//! ```text
//!   business-0 ── message, message, dies ──┐  its thread-locals end with it
//!   business-0.2 ────────────────────────── rest of the order, further orders
//! ```

use super::business::{Heirs, Mailbox, Order, name, serve};
use super::desk::Desk;
use super::stream;
use crate::engine::Chances;
use crate::scenario::When;
use millpond_model::Platform;
use millpond_model::platform::{JoinOps, Lock, ThreadOps};
use std::sync::Arc;

/// See the [module](self).
pub(super) struct Life<P: Platform> {
    pub(super) index: u32,
    /// How many threads had this place, it included.
    pub(super) age: u32,
    pub(super) seed: u64,
    pub(super) desk: Arc<Desk<P>>,
    /// Where its successors are found; there if it can die.
    pub(super) heirs: Option<Heirs<P>>,
    pub(super) dies: Option<When>,
    pub(super) chances: Chances,
}

impl<P: Platform> Life<P> {
    /// Whether it ends now, after a message.
    pub(super) fn ends(&mut self) -> bool {
        let Some(when) = self.dies else { return false };
        let (seed, age, index) = (self.seed, self.age, self.index);
        let number = self.chances.occasions;
        let part = 1 << 60 | u64::from(age) << 40 | u64::from(index) << 28 | number & 0xfff_ffff;
        self.chances.strike(when.into(), P::now(), |threshold| stream(seed, part).chance(threshold))
    }

    /// Leaves `rest` and its place to a successor. `false`: there is none to be had, and the thread lives on.
    pub(super) fn bequeath(&self, mailbox: &Arc<Mailbox<P>>, rest: Option<Order<P>>) -> bool {
        if let Some(rest) = rest {
            mailbox.give_back(rest);
        }
        let Some(heirs) = &self.heirs else { return false };
        let Self { index, seed, dies, .. } = *self;
        let age = self.age + 1;
        let (desk, heirs_too, chances) = (Arc::clone(&self.desk), Some(Arc::clone(heirs)), self.chances);
        let life = Self { index, age, seed, desk, heirs: heirs_too, dies, chances };
        let theirs = Arc::clone(mailbox);
        // Locked before it runs: it may die at once, and its own heir comes after it.
        let mut heirs = heirs.lock();
        let Ok(heir) = P::spawn(name(index, age), move || serve(theirs, life)) else { return false };
        let thread = heir.thread().clone();
        if self.desk.is_manned() {
            self.desk.succeed(index, mailbox, &thread);
        }
        heirs.push(heir);
        drop(heirs);
        thread.unpark(); // whoever gave it an order meanwhile has woken this one
        true
    }
}
