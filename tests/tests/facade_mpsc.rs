//! The facade's channels.

mod facade_support;

use facade_support::{always, everywhere, inside, somewhere};
use millpond::sync::atomic::Ordering::SeqCst;
use millpond::sync::atomic::{AtomicIsize, AtomicUsize};
use millpond::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError, channel, sync_channel};
use millpond::thread;
use millpond::time::Instant;
use proptest::prelude::*;
use std::sync::mpsc as host;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn messages_come_in_order_each_once_and_then_the_end() {
    everywhere(2, || {
        let (sender, receiver) = channel();
        let other = sender.clone();
        let threads = [
            thread::spawn(move || (0..2).for_each(|i| sender.send((0, i)).expect("a receiver"))),
            thread::spawn(move || (0..2).for_each(|i| other.send((1, i)).expect("a receiver"))),
        ];
        let all: Vec<(usize, i32)> = receiver.iter().collect();
        for from in 0..2 {
            let numbers: Vec<i32> = all.iter().filter(|m| m.0 == from).map(|m| m.1).collect();
            assert_eq!(numbers, [0, 1]);
        }
        assert_eq!(
            (all.len(), receiver.recv(), receiver.try_recv()),
            (4, Err(RecvError), Err(TryRecvError::Disconnected))
        );
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
    });
}

#[test]
fn a_bound_is_kept() {
    everywhere(2, || {
        let (sender, receiver) = sync_channel(1);
        let inside = AtomicIsize::new(0);
        thread::scope(|scope| {
            let inside = &inside;
            scope.spawn(move || {
                for i in 0..3 {
                    sender.send(i).expect("a receiver");
                    assert!(inside.fetch_add(1, SeqCst) < 2, "one in the channel, one on its way out");
                }
            });
            for i in 0..3 {
                assert_eq!(receiver.recv(), Ok(i));
                inside.fetch_sub(1, SeqCst);
            }
        });
    });
}

#[test]
fn without_places_a_message_is_handed_over() {
    everywhere(2, || {
        let (sender, receiver) = sync_channel(0);
        let received = AtomicUsize::new(0);
        thread::scope(|scope| {
            let received = &received;
            scope.spawn(move || {
                if let Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) = sender.try_send(0) {
                    assert_eq!(message, 0, "it comes back");
                }
                if sender.send(1).is_ok() {
                    // The receiver has it: it may not have counted it yet.
                    assert!(received.load(SeqCst) <= 2);
                }
            });
            while let Ok(_message) = receiver.recv() {
                received.fetch_add(1, SeqCst);
            }
        });
        assert!((1..=2).contains(&received.into_inner()));
    });
    let verdict = somewhere(0, || {
        let (sender, _receiver) = sync_channel(0);
        sender.send(1).expect("a receiver");
    });
    assert!(verdict.to_string().contains("a place in channel"), "{verdict}");
}

#[test]
fn without_a_receiver_a_message_comes_back() {
    everywhere(2, || {
        for bound in [0, 1] {
            let (sender, receiver) = sync_channel(bound);
            let other =
                thread::spawn(move || sender.send(String::from("a")).and_then(|()| sender.send(String::from("b"))));
            drop(receiver);
            let SendError(text) = other.join().expect("no panic").expect_err("nobody receives");
            assert!(text == "a" || (text == "b" && bound == 1));
        }
    });
}

#[test]
fn a_message_that_nobody_sends_is_a_deadlock_and_one_with_a_limit_is_not() {
    let verdict = somewhere(0, || {
        let (_sender, receiver) = channel::<()>();
        _ = receiver.recv();
    });
    assert!(verdict.to_string().contains("a message from channel"), "{verdict}");
    inside(|| {
        let (sender, receiver) = channel();
        let start = Instant::now();
        assert_eq!(receiver.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
        assert_eq!(start.elapsed(), MS);
        sender.send(1).expect("a receiver");
        assert_eq!(receiver.recv_timeout(MS), Ok(1));
        drop(sender);
        assert_eq!(receiver.recv_timeout(MS), Err(RecvTimeoutError::Disconnected));
        assert_eq!(start.elapsed(), MS);
    });
}

#[test]
fn messages_that_nobody_receives_are_destroyed_once() {
    struct Counted<'a>(&'a std::sync::atomic::AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    always(|| {
        let drops = std::sync::atomic::AtomicUsize::new(0);
        thread::scope(|scope| {
            let (sender, receiver) = channel();
            let drops = &drops;
            scope.spawn(move || (0..3).for_each(|_| _ = sender.send(Counted(drops))));
            scope.spawn(move || drop(receiver.recv().ok()));
        });
        assert_eq!(drops.into_inner(), 3);
    });
}

#[derive(Clone, Debug)]
enum Step {
    TrySend(u8),
    TryReceive,
    DropSender,
    DropReceiver,
    CloneSender,
}

proptest! {
    /// On one thread it does what the channel of `std` does.
    #[test]
    fn one_thread_can_t_tell_it_from_that_of_std(
        bound in 1_usize..4,
        steps in prop::collection::vec(prop_oneof![
            4 => any::<u8>().prop_map(Step::TrySend),
            4 => Just(Step::TryReceive),
            1 => Just(Step::DropSender),
            1 => Just(Step::DropReceiver),
            1 => Just(Step::CloneSender),
        ], 0..40),
    ) {
        let theirs: Vec<String> = {
            let (sender, receiver) = host::sync_channel(bound);
            let (mut senders, mut receiver) = (vec![sender], Some(receiver));
            steps.iter().map(|step| match step {
                Step::TrySend(v) => format!("{:?}", senders.last().map(|s| s.try_send(*v))),
                Step::TryReceive => format!("{:?}", receiver.as_ref().map(host::Receiver::try_recv)),
                Step::DropSender => format!("{:?}", senders.pop().is_some()),
                Step::DropReceiver => format!("{:?}", receiver.take().is_some()),
                Step::CloneSender => { let new = senders.last().cloned(); senders.extend(new); String::new() }
            }).collect()
        };
        let ours: Vec<String> = inside(|| {
            let (sender, receiver) = sync_channel(bound);
            let (mut senders, mut receiver) = (vec![sender], Some(receiver));
            steps.iter().map(|step| match step {
                Step::TrySend(v) => format!("{:?}", senders.last().map(|s| s.try_send(*v))),
                Step::TryReceive => format!("{:?}", receiver.as_ref().map(|r| r.try_recv())),
                Step::DropSender => format!("{:?}", senders.pop().is_some()),
                Step::DropReceiver => format!("{:?}", receiver.take().is_some()),
                Step::CloneSender => { let new = senders.last().cloned(); senders.extend(new); String::new() }
            }).collect()
        });
        prop_assert_eq!(ours, theirs);
    }
}
