//! Tail tasks, and how long a pass over the ordinary tasks is.

mod write_path_support;

use millpond::engine::{Sim, Strategy};
use millpond_model::event_loop::{EventLoop, LoopConfig, LoopState, RejectReason, Stall, TailRule};
use millpond_model::platform::{AtomicOps, JoinOps, Lock};
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{in_turn, random, scheduled, soundly};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use write_path_support::{World, end, on_loop, ours, until};

on_both!(
    tail_tasks_run_after_the_pass,
    a_pass_is_64_tasks,
    without_a_budget_a_pass_is_everything,
    a_tail_task_of_a_tail_task,
    tail_tasks_have_a_bound_of_their_own,
    a_tail_task_starts_and_wakes_the_loop,
    a_panicking_tail_task_harms_nobody,
    tail_tasks_of_a_loop_that_shuts_down,
);

const NETTY: Preset = Preset::Netty4_2_7;

/// Waits until the loop has gone to sleep after a task that it runs now.
fn await_sleep<P: Platform>(event_loop: &EventLoop<P>) {
    let (before, this) = (Arc::new(P::Atomic::new(0_u64)), event_loop.clone());
    let inside = Arc::clone(&before);
    on_loop(event_loop, move || inside.store(this.stats().sleeps, Ordering::SeqCst));
    until::<P>(|| event_loop.stats().sleeps > before.load(Ordering::SeqCst), "the loop sleeps");
}

type Seen<P> = Arc<<P as Platform>::Mutex<Vec<u32>>>;

/// What is seen when the loop is held up, gets what `program` gives it, and goes on; the stall is the first task of its pass.
fn seen<P: Platform>(config: LoopConfig, program: impl FnOnce(&EventLoop<P>, &Seen<P>)) -> Vec<u32> {
    let event_loop = EventLoop::<P>::new("loop", config);
    let seen: Seen<P> = Arc::new(P::Mutex::new(Vec::new()));
    await_sleep(&event_loop); // so that the stall is the first task of its pass
    let stall = Stall::hold(&event_loop).expect("it is open");
    stall.wait_until_reached();
    program(&event_loop, &seen);
    stall.release();
    end(&event_loop);
    let seen = seen.lock();
    seen.clone()
}

fn note<P: Platform>(seen: &Seen<P>, what: u32) -> impl FnOnce() + Send + use<P> {
    let seen = Arc::clone(seen);
    move || seen.lock().push(what)
}

/// Tail tasks are 1000 and up.
fn tail_tasks_run_after_the_pass<P: Platform>() {
    for preset in [NETTY, Preset::Millpond] {
        let order = seen::<P>(preset.into(), |event_loop, seen| {
            event_loop.execute_after_iteration(note::<P>(seen, 1000)).expect("it is open");
            event_loop.execute_fn(note::<P>(seen, 1)).expect("it is open");
            event_loop.execute_after_iteration(note::<P>(seen, 1001)).expect("it is open");
            let (this, theirs) = (event_loop.clone(), note::<P>(seen, 1002));
            event_loop
                .execute_fn(move || this.execute_after_iteration(theirs).expect("it is open"))
                .expect("it is open");
            event_loop.execute_fn(note::<P>(seen, 2)).expect("it is open");
        });
        assert_eq!(order, [1, 2, 1000, 1001, 1002], "{preset}");
    }
}

/// Where channels took no time, tasks have a budget of none, and the clock is first looked at after 64.
fn a_pass_is_64_tasks<P: Platform>() {
    for preset in [NETTY, Preset::Millpond] {
        let order = seen::<P>(preset.into(), |event_loop, seen| {
            event_loop.execute_after_iteration(note::<P>(seen, 1000)).expect("it is open");
            (1..=200).for_each(|n| event_loop.execute_fn(note::<P>(seen, n)).expect("it is open"));
        });
        // The stall and 63 others.
        let expected: Vec<u32> = (1..=63).chain([1000]).chain(64..=200).collect();
        assert_eq!(order, expected, "{preset}");
    }
}

fn without_a_budget_a_pass_is_everything<P: Platform>() {
    // What is above 100 is as 100.
    for io_ratio in [100, 200] {
        let order = seen::<P>(LoopConfig { io_ratio, ..ours() }, |event_loop, seen| {
            event_loop.execute_after_iteration(note::<P>(seen, 1000)).expect("it is open");
            (1..=200).for_each(|n| event_loop.execute_fn(note::<P>(seen, n)).expect("it is open"));
        });
        assert_eq!(order, (1..=200).chain([1000]).collect::<Vec<u32>>());
    }
}

/// Under Netty's rule it still belongs to this pass.
fn a_tail_task_of_a_tail_task<P: Platform>() {
    for (tail, expected) in [(TailRule::UntilEmpty, [1000, 1001, 1]), (TailRule::Present, [1000, 1, 1001])] {
        let order = seen::<P>(LoopConfig { tail, ..ours() }, |event_loop, seen| {
            let (this, seen) = (event_loop.clone(), Arc::clone(seen));
            let tail = move || {
                seen.lock().push(1000);
                this.execute_after_iteration(note::<P>(&seen, 1001)).expect("it is open");
                this.execute_fn(note::<P>(&seen, 1)).expect("it is open");
            };
            event_loop.execute_after_iteration(tail).expect("it is open");
        });
        assert_eq!(order, expected, "{tail:?}");
    }
}

fn tail_tasks_have_a_bound_of_their_own<P: Platform>() {
    let order = seen::<P>(LoopConfig { max_pending_tasks: Some(2), ..ours() }, |event_loop, seen| {
        for n in 0..2 {
            event_loop.execute_fn(note::<P>(seen, n)).expect("there is room");
            event_loop.execute_after_iteration(note::<P>(seen, 1000 + n)).expect("there is room there too");
        }
        let full = event_loop.execute_after_iteration(|| unreachable!("refused")).expect_err("two are its bound");
        assert_eq!(full.reason, RejectReason::Full);
        let stats = event_loop.stats();
        assert_eq!((stats.queue_length, stats.tail_length, stats.tasks_rejected), (2, 2, 1));
    });
    assert_eq!(order, [0, 1, 1000, 1001]);
}

fn a_tail_task_starts_and_wakes_the_loop<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let seen: Seen<P> = Arc::new(P::Mutex::new(Vec::new()));
    event_loop.execute_after_iteration(note::<P>(&seen, 1000)).expect("it is open");
    until::<P>(|| seen.lock().len() == 1, "it starts the loop");
    await_sleep(&event_loop);
    event_loop.execute_after_iteration(note::<P>(&seen, 1001)).expect("it is open");
    until::<P>(|| seen.lock().len() == 2, "it wakes the loop");
    end(&event_loop);
    let stats = event_loop.stats();
    assert_eq!((stats.tail_tasks_run, stats.tasks_run), (2, 1));
}

fn a_panicking_tail_task_harms_nobody<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    event_loop.execute_after_iteration(|| panic!("its own business")).expect("it is open");
    on_loop(&event_loop, || ());
    end(&event_loop);
    let stats = event_loop.stats();
    assert_eq!((stats.tasks_panicked, stats.tail_tasks_run), (1, 1));
}

/// Tail tasks that race with a shutdown: how many were accepted, how many were run, how many are counted as abandoned.
fn race<P: Platform>(preset: Preset) -> [u64; 3] {
    let event_loop = EventLoop::<P>::new("loop", preset.into());
    on_loop(&event_loop, || ());
    let run = Arc::new(P::Atomic::new(0_u64));
    let accepted = Arc::new(P::Atomic::new(0_u64));
    let (this, counted, theirs) = (event_loop.clone(), Arc::clone(&run), Arc::clone(&accepted));
    let producer = P::spawn("producer".to_string(), move || {
        for _ in 0..20 {
            let run = Arc::clone(&counted);
            if this.execute_after_iteration(move || assert!(run.fetch_add(1, Ordering::SeqCst) < 20)).is_err() {
                break;
            }
            theirs.fetch_add(1, Ordering::SeqCst);
        }
    });
    event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    event_loop.join().expect("the loop ends well");
    producer.expect("threads are to be had").join().expect("no panic");
    assert_eq!(event_loop.state(), LoopState::Terminated);
    let stats = event_loop.stats();
    assert_eq!(stats.tail_tasks_run, run.load(Ordering::SeqCst));
    [accepted.load(Ordering::SeqCst), stats.tail_tasks_run, stats.tasks_abandoned]
}

fn tail_tasks_of_a_loop_that_shuts_down<P: Platform>() {
    for preset in [Preset::Netty4_1_8, Preset::Netty4_1_44, Preset::Millpond] {
        let [accepted, run, abandoned] = race::<P>(preset);
        assert_eq!(accepted, run + abandoned, "{preset}");
        assert!(abandoned == 0 || preset != Preset::Millpond);
    }
}

#[test]
fn netty_loses_tail_tasks_in_some_schedule() {
    let loses = |options: &_| {
        let mut abandoned = 0;
        soundly(options, || abandoned = race::<Sim>(Preset::Netty4_1_44)[2]);
        abandoned > 0
    };
    assert!(random(2000).chain(scheduled(&[Strategy::Pct { depth: 2 }], 500)).any(|options| loses(&options)));
}

/// Channels that take time give tasks as much time: here 30 ms for three flushes by a transport that takes 10 ms a write, and
/// a task takes 100 us.
fn tasks_in_a_pass(io_ratio: u8) -> usize {
    let mut counted = 0;
    soundly(&in_turn(), || {
        let loops = LoopConfig { io_ratio, ..ours() };
        let (transport, tap) = slow::transport(Duration::from_millis(10));
        let encoder = Box::new(millpond_model::channel::FillEncoder(7));
        let (world, _) = World::<Sim>::over(Preset::Millpond, loops, Box::new(transport), encoder, None);
        world.settle();
        let written = world.write_and_flush("abc");
        world.settle();
        assert!(!written.promise.is_done(), "there is no room");
        let event_loop = &world.event_loop;
        await_sleep(event_loop);
        let stall = Stall::hold(event_loop).expect("it is open");
        stall.wait_until_reached();
        tap.open();
        let seen: Seen<Sim> = Arc::new(<Sim as Platform>::Mutex::new(Vec::new()));
        for n in 0..2000 {
            let note = note::<Sim>(&seen, n);
            let task = move || {
                Sim::sleep(Duration::from_micros(100));
                note();
            };
            event_loop.execute_fn(task).expect("it is open");
        }
        // The pass that the stall is in has no budget: it ends after 64 tasks, the stall being the first. Then comes the one
        // with the channel, and the tail task that it gives ends it.
        let (tail, this) = (Arc::new(<Sim as Platform>::Atomic::new(0_u64)), event_loop.clone());
        let (theirs, all) = (Arc::clone(&tail), Arc::clone(&seen));
        let second = move || {
            this.execute_after_iteration(move || theirs.store(all.lock().len() as u64, Ordering::SeqCst))
                .expect("it is open");
        };
        event_loop.execute_after_iteration(second).expect("it is open");
        stall.release();
        until::<Sim>(|| tail.load(Ordering::SeqCst) > 0, "the second pass is over");
        counted = tail.load(Ordering::SeqCst) as usize - 63;
        written.assert_ended(Ok(()));
        world.shut_down();
    });
    counted
}

/// One write of 10 ms: with a ratio of 50 tasks get 10 ms, 100 tasks, and the look at the clock comes after 128. With 20 they
/// get 40 ms: 400 tasks, seen after 448. With 90 it is 1.1 ms, 11 tasks, seen after 64.
#[test]
fn tasks_get_their_share_of_the_time() {
    assert_eq!(tasks_in_a_pass(50), 128);
    assert_eq!(tasks_in_a_pass(20), 448);
    assert_eq!(tasks_in_a_pass(90), 64);
}

/// A transport without room until it is opened, that then takes its time.
mod slow {
    use super::*;
    use millpond_model::transport::{Readiness, Transport, WriteOutcome};

    struct State {
        open: bool,
        told: Option<Readiness<Sim>>,
    }

    type Shared = Arc<<Sim as Platform>::Mutex<State>>;

    pub struct Slow(Shared, Duration);
    pub struct Tap(Shared);

    pub fn transport(takes: Duration) -> (Slow, Tap) {
        let shared: Shared = Arc::new(<Sim as Platform>::Mutex::new(State { open: false, told: None }));
        (Slow(Arc::clone(&shared), takes), Tap(shared))
    }

    impl Tap {
        pub fn open(&self) {
            let mut state = self.0.lock();
            state.open = true;
            let readiness = state.told.take();
            drop(state);
            readiness.expect("the channel was opened").writable();
        }
    }

    impl Transport<Sim> for Slow {
        fn open(&mut self, readiness: Readiness<Sim>) {
            self.0.lock().told = Some(readiness);
        }

        fn write(&mut self, chunks: &[&[u8]]) -> WriteOutcome {
            if !self.0.lock().open {
                return WriteOutcome::WouldBlock;
            }
            Sim::sleep(self.1);
            WriteOutcome::Wrote(chunks.iter().map(|c| c.len()).sum())
        }

        fn linger(&self) -> Option<Duration> {
            None
        }

        fn close(&mut self) {}
    }
}
