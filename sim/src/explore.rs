//! Many executions on all cores, results in order.
//!
//! **Invariant: what is reported does not depend on the number of workers.** Executions share nothing; their results are
//! handed on in ascending order of (cell, seed), whatever order they end in.
//!
//! ```text
//!   worker 0 ──┐   index 4, 1, 7 ...            ┌──────────────────────┐
//!   worker 1 ──┼──> results, in any order ──────> held until their turn ├──> `each`, in order
//!   worker n ──┘                                └──────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// How many results a worker may be ahead of the one whose turn it is: bounds memory.
const AHEAD_MAX: usize = 256;

/// Runs `work(0)`, ..., `work(count - 1)` on `jobs` OS threads and calls `each` with the results in order, on this thread.
/// Ends early when `each` says so.
///
/// # Panics
/// If a worker panics: the harness itself is broken then.
pub fn in_order<R: Send>(
    count: usize,
    jobs: usize,
    work: impl Fn(usize) -> R + Sync,
    mut each: impl FnMut(usize, R) -> ControlFlow<()>,
) {
    assert!(jobs > 0, "at least one worker");
    if jobs == 1 || count <= 1 {
        for index in 0..count {
            if each(index, work(index)).is_break() {
                return;
            }
        }
        return;
    }
    // Relaxed throughout: the counters only hand out numbers, results travel through the channel.
    let next = AtomicUsize::new(0);
    let handed_on = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.min(count) {
            let send = send.clone();
            let (next, handed_on, stop, work) = (&next, &handed_on, &stop, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    while index < count
                        && index > handed_on.load(Ordering::Relaxed) + AHEAD_MAX
                        && !stop.load(Ordering::Relaxed)
                    {
                        thread::park_timeout(std::time::Duration::from_millis(1));
                    }
                    if index >= count || stop.load(Ordering::Relaxed) || send.send((index, work(index))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut held = BTreeMap::new();
        let mut turn = 0;
        for (index, result) in receive {
            held.insert(index, result);
            while let Some(result) = held.remove(&turn) {
                if each(turn, result).is_break() {
                    stop.store(true, Ordering::Relaxed);
                    return;
                }
                turn += 1;
                handed_on.store(turn, Ordering::Relaxed);
            }
        }
        assert_eq!(turn, count, "every execution has a result");
    });
}
