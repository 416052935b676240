//! Buffers that are written several as one: their bytes, counts and promises.

mod codec_support;

use codec_support::{Line, OURS, Witness, bytes_of, found, nothing_left};
use millpond::engine::{Options, Sim, When};
use millpond::ledger::FindingKind::{DoubleRelease, UseAfterRelease};
use millpond_model::Platform;
use millpond_model::buffer::{Buffer, Owned};
use millpond_model::codec::{CoalescingQueue, CompositeCumulator, HandlerError, MergeCumulator};
use millpond_model::promise::{Cause, Outcome, Promise};
use millpond_tests::sim::{in_turn, soundly};

released_on_both!(several_go_out_as_one, nothing_is_there, all_are_failed, a_dropped_queue_leaves_nothing);

/// A queue of these texts, with the witnesses and promises.
struct Filled<P: Platform> {
    line: Line<P, ()>,
    queue: CoalescingQueue<P>,
    promises: Vec<Promise<P>>,
    witnesses: Vec<Witness<P>>,
}

impl<P: Platform> Filled<P> {
    fn new(mut queue: CoalescingQueue<P>, texts: &[&str]) -> Self {
        let line = Line::new(());
        let (mut promises, mut witnesses) = (Vec::new(), Vec::new());
        for text in texts {
            let buffer = line.buffer(text);
            witnesses.push(Witness(buffer.duplicate().expect("it is alive")));
            promises.push(Promise::new());
            queue.add(buffer, promises[promises.len() - 1].clone());
        }
        Self { line, queue, promises, witnesses }
    }

    fn remove(&mut self, bytes: usize, whole: &Promise<P>) -> Result<Option<Buffer<P>>, HandlerError> {
        self.queue.remove(&self.line.allocator, bytes, whole)
    }

    fn outcomes(&self) -> Vec<Option<Outcome>> {
        self.promises.iter().map(Promise::outcome).collect()
    }
}

fn queues<P: Platform>() -> [CoalescingQueue<P>; 2] {
    [CoalescingQueue::new(MergeCumulator::new(OURS)), CoalescingQueue::new(CompositeCumulator)]
}

fn several_go_out_as_one<P: Platform>() {
    for queue in queues::<P>() {
        let mut filled = Filled::new(queue, &["ab", "cdef", "", "g"]);
        assert_eq!(filled.queue.readable(), 7);
        let first = Promise::new();
        let out = filled.remove(3, &first).expect("there is memory").expect("there are bytes");
        assert_eq!((bytes_of(&out), filled.queue.readable()), (b"abc".to_vec(), 4));
        drop(Owned::from(out));
        filled.witnesses[0].assert_released();
        first.complete(Err(Cause::ConnectionReset));
        let reset = Some(Err(Cause::ConnectionReset));
        assert_eq!(filled.outcomes(), [reset, None, None, None], "one that is out in part waits for the rest");
        let second = Promise::new();
        let out = filled.remove(usize::MAX, &second).expect("there is memory").expect("there are bytes");
        assert_eq!((bytes_of(&out), filled.queue.readable()), (b"defg".to_vec(), 0));
        assert!(filled.queue.is_empty());
        drop(Owned::from(out));
        second.complete(Ok(()));
        assert_eq!(filled.outcomes(), [reset, Some(Ok(())), Some(Ok(())), Some(Ok(()))]);
        filled.witnesses.iter().for_each(Witness::assert_released);
    }
}

fn nothing_is_there<P: Platform>() {
    let mut filled = Filled::new(CoalescingQueue::<P>::new(CompositeCumulator), &[]);
    let whole = Promise::untracked();
    assert!(filled.remove(3, &whole).expect("nothing fails").is_none());
    let mut filled = Filled::new(CoalescingQueue::<P>::new(CompositeCumulator), &["a"]);
    assert!(filled.remove(0, &whole).expect("nothing fails").is_none());
    assert_eq!((filled.queue.readable(), whole.is_done()), (1, false));
}

fn all_are_failed<P: Platform>() {
    let mut filled = Filled::new(CoalescingQueue::<P>::new(CompositeCumulator), &["ab", "c"]);
    filled.queue.release_and_fail_all(Cause::Rejected);
    assert_eq!((filled.queue.readable(), filled.outcomes()), (0, vec![Some(Err(Cause::Rejected)); 2]));
    filled.witnesses.iter().for_each(Witness::assert_released);
}

fn a_dropped_queue_leaves_nothing<P: Platform>() {
    let Filled { queue, promises, witnesses, .. } =
        Filled::new(CoalescingQueue::<P>::new(CompositeCumulator), &["ab", "c"]);
    drop(queue);
    witnesses.iter().for_each(Witness::assert_released);
    assert!(promises.iter().all(|promise| promise.outcome() == Some(Err(Cause::ClosedChannel))));
}

/// D16: a buffer that somebody has released makes the merge fail; the number of bytes is right all the same.
#[test]
fn a_dead_buffer_in_the_queue() {
    let found = found(None, || {
        for bytes in [2, 3, 99] {
            for queue in queues::<Sim>() {
                let mut filled = Filled::new(queue, &["a", "bb", "cc"]);
                assert_eq!(filled.witnesses[1].0.release(), Ok(true));
                let whole = Promise::new();
                let result = filled.remove(bytes, &whole);
                assert!(result.is_err(), "{bytes} bytes");
                assert_eq!(whole.outcome(), Some(Err(Cause::IllegalCount)));
                assert_eq!(filled.outcomes()[..2], [whole.outcome(), whole.outcome()]);
                assert_eq!(filled.queue.readable(), 2, "what is there is there: {bytes} bytes");
                let rest = filled.remove(99, &Promise::untracked()).expect("the others are alive");
                assert_eq!(rest.map(|rest| bytes_of(&Owned::from(rest))), Some(b"cc".to_vec()));
                assert!(filled.queue.is_empty());
                filled.promises[2].complete(Ok(()));
            }
        }
    });
    assert_eq!(found, [DoubleRelease, UseAfterRelease]);
}

#[test]
fn each_allocation_refused() {
    for nth in 1..10 {
        let execution = soundly(&Options { alloc_fails: Some(When::Nth(nth)), ..in_turn() }, || {
            for mut queue in queues::<Sim>() {
                let line = Line::<Sim, ()>::new(());
                for text in [&b"ab"[..], b"cd", b"ef"] {
                    if let Ok(mut buffer) = line.allocator.allocate(2) {
                        buffer.put(text).expect("there is room");
                        queue.add(buffer, Promise::new());
                    }
                }
                let whole = Promise::new();
                match queue.remove(&line.allocator, 5, &whole) {
                    Ok(out) => {
                        drop(out.map(Owned::from));
                        whole.complete(Ok(()));
                    }
                    Err(error) => assert_eq!(whole.outcome(), Some(Err(error.cause()))),
                }
                let there = queue.readable();
                queue.release_and_fail_all(Cause::ClosedChannel);
                assert!(there <= 4 && queue.readable() == 0);
            }
        });
        nothing_left(&execution);
    }
}
