//! The programs, each against the facade that the module above names.

mod batch_without_acquire;
mod capacity_of_skipped_link;
mod capacity_written_back;
mod channel_close_against_send;
mod close_against_write;
mod condvar_without_loop;
mod deque_without_fence;
mod double_checked_init;
mod double_release;
mod drain_between_swap_and_link;
mod drained_before_done;
mod free_list_aba;
mod hazard_without_fence;
mod idle_counted_twice;
mod link_reclaimed_early;
mod linked_before_made;
mod listener_lost;
mod lock_order;
mod lost_wakeup;
mod magazine_swap;
mod parent_read_after_recycle;
mod park_token_lost;
mod peterson_acq_rel;
mod promise_completed_twice;
mod publish_relaxed;
mod push_to_dying_owner;
mod recycle_without_cas;
mod refcount_relaxed;
mod resurrection;
mod retain_overflow;
mod retain_rolled_back;
mod ring_slot_given_back_early;
mod rwlock_upgrade;
mod seqlock_without_fence;
mod shared_cursor;
mod sleep_flag;
mod spinlock_relaxed_unlock;
mod stats_under_two_locks;
mod stub_node;
mod subpage_outside_lock;
mod tail_exchange_without_acquire;
mod task_lost_at_shutdown;
mod three_party_nesting;
mod two_consumers;
mod unique_without_acquire;
mod weak_exchange_once;
mod wrong_waiter_notified;

use super::facade;

/// What every program uses besides the types of its facade.
mod prelude {
    pub(super) use super::{Noise, Plain, go};
    pub(super) use crate::{About, Finding, Needs};
    pub(super) use std::sync::Arc;
    pub(super) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
}

use facade::cell::UnsafeCell;
use facade::sync::atomic::AtomicUsize;
use facade::thread;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A thread that has a share of the state. The counter of that share is `std`'s under every tester, so that none sees more points
/// than another; all threads are joined before the last share goes.
fn go<S, R>(shared: &Arc<S>, body: impl FnOnce(&S) -> R + Send + 'static) -> thread::JoinHandle<R>
where
    S: Send + Sync + 'static,
    R: Send + 'static,
{
    let shared = shared.clone();
    thread::spawn(move || body(&shared))
}

/// Operations on an atomic that nobody else has.
struct Noise {
    own: Option<AtomicUsize>,
    half: usize,
}

impl Noise {
    /// So many of them now.
    fn before(operations: usize) -> Self {
        let noise = Self { own: (operations > 0).then(|| AtomicUsize::new(0)), half: operations / 2 };
        noise.make(operations);
        noise
    }

    /// Half as many: not where the bug has its window, which they would widen, but between what the thread does besides.
    fn middle(&self) {
        self.make(self.half);
    }

    fn make(&self, operations: usize) {
        if let Some(own) = &self.own {
            for _ in 0..operations {
                // Relaxed: nobody reads it.
                own.fetch_add(1, Relaxed);
            }
        }
    }
}

/// A plain variable: nothing orders its accesses but what the program does besides. It stands for the bytes of a buffer, for a
/// `next` pointer, for the fields of a pooled object; freeing is a write to all of them.
struct Plain(UnsafeCell<usize>);

// SAFETY: none by itself. That two threads use it at once is what some programs get wrong, and a tester runs them one at a time;
// a word is as much as can be torn, and nothing is reached through it.
unsafe impl Send for Plain {}
// SAFETY: as above.
unsafe impl Sync for Plain {}

impl Plain {
    fn new(value: usize) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[track_caller]
    fn get(&self) -> usize {
        // SAFETY: the pointer is valid; see above for who else uses it.
        self.0.with(|value| unsafe { value.read() })
    }

    #[track_caller]
    fn set(&self, new: usize) {
        // SAFETY: as in `get`.
        self.0.with_mut(|value| unsafe { value.write(new) });
    }
}

/// All of them; the first eleven are those that testers are compared by.
pub static ALL: &[crate::Program] = &[
    crate::Program { about: &refcount_relaxed::ABOUT, run: refcount_relaxed::run },
    crate::Program { about: &publish_relaxed::ABOUT, run: publish_relaxed::run },
    crate::Program { about: &sleep_flag::ABOUT, run: sleep_flag::run },
    crate::Program { about: &double_release::ABOUT, run: double_release::run },
    crate::Program { about: &free_list_aba::ABOUT, run: free_list_aba::run },
    crate::Program { about: &drain_between_swap_and_link::ABOUT, run: drain_between_swap_and_link::run },
    crate::Program { about: &capacity_written_back::ABOUT, run: capacity_written_back::run },
    crate::Program { about: &recycle_without_cas::ABOUT, run: recycle_without_cas::run },
    crate::Program { about: &close_against_write::ABOUT, run: close_against_write::run },
    crate::Program { about: &push_to_dying_owner::ABOUT, run: push_to_dying_owner::run },
    crate::Program { about: &three_party_nesting::ABOUT, run: three_party_nesting::run },
    crate::Program { about: &link_reclaimed_early::ABOUT, run: link_reclaimed_early::run },
    crate::Program { about: &capacity_of_skipped_link::ABOUT, run: capacity_of_skipped_link::run },
    crate::Program { about: &two_consumers::ABOUT, run: two_consumers::run },
    crate::Program { about: &lost_wakeup::ABOUT, run: lost_wakeup::run },
    crate::Program { about: &wrong_waiter_notified::ABOUT, run: wrong_waiter_notified::run },
    crate::Program { about: &task_lost_at_shutdown::ABOUT, run: task_lost_at_shutdown::run },
    crate::Program { about: &resurrection::ABOUT, run: resurrection::run },
    crate::Program { about: &retain_rolled_back::ABOUT, run: retain_rolled_back::run },
    crate::Program { about: &retain_overflow::ABOUT, run: retain_overflow::run },
    crate::Program { about: &drained_before_done::ABOUT, run: drained_before_done::run },
    crate::Program { about: &magazine_swap::ABOUT, run: magazine_swap::run },
    crate::Program { about: &batch_without_acquire::ABOUT, run: batch_without_acquire::run },
    crate::Program { about: &seqlock_without_fence::ABOUT, run: seqlock_without_fence::run },
    crate::Program { about: &double_checked_init::ABOUT, run: double_checked_init::run },
    crate::Program { about: &peterson_acq_rel::ABOUT, run: peterson_acq_rel::run },
    crate::Program { about: &spinlock_relaxed_unlock::ABOUT, run: spinlock_relaxed_unlock::run },
    crate::Program { about: &stub_node::ABOUT, run: stub_node::run },
    crate::Program { about: &rwlock_upgrade::ABOUT, run: rwlock_upgrade::run },
    crate::Program { about: &channel_close_against_send::ABOUT, run: channel_close_against_send::run },
    crate::Program { about: &condvar_without_loop::ABOUT, run: condvar_without_loop::run },
    crate::Program { about: &park_token_lost::ABOUT, run: park_token_lost::run },
    crate::Program { about: &lock_order::ABOUT, run: lock_order::run },
    crate::Program { about: &promise_completed_twice::ABOUT, run: promise_completed_twice::run },
    crate::Program { about: &listener_lost::ABOUT, run: listener_lost::run },
    crate::Program { about: &parent_read_after_recycle::ABOUT, run: parent_read_after_recycle::run },
    crate::Program { about: &idle_counted_twice::ABOUT, run: idle_counted_twice::run },
    crate::Program { about: &deque_without_fence::ABOUT, run: deque_without_fence::run },
    crate::Program { about: &subpage_outside_lock::ABOUT, run: subpage_outside_lock::run },
    crate::Program { about: &shared_cursor::ABOUT, run: shared_cursor::run },
    crate::Program { about: &stats_under_two_locks::ABOUT, run: stats_under_two_locks::run },
    crate::Program { about: &linked_before_made::ABOUT, run: linked_before_made::run },
    crate::Program { about: &tail_exchange_without_acquire::ABOUT, run: tail_exchange_without_acquire::run },
    crate::Program { about: &unique_without_acquire::ABOUT, run: unique_without_acquire::run },
    crate::Program { about: &hazard_without_fence::ABOUT, run: hazard_without_fence::run },
    crate::Program { about: &ring_slot_given_back_early::ABOUT, run: ring_slot_given_back_early::run },
    crate::Program { about: &weak_exchange_once::ABOUT, run: weak_exchange_once::run },
];
