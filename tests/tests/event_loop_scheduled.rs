//! Scheduled tasks: when they run, in which order, how they are cancelled, and what becomes of them.

mod write_path_support;

use millpond::engine::Sim;
use millpond_model::event_loop::{EventLoop, LoopConfig, LoopState, ScheduledState, ScheduledTask, Stall};
use millpond_model::platform::{AtomicOps, JoinOps, Lock};
use millpond_model::promise::Promise;
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{in_turn, soundly};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use write_path_support::{end, on_loop, ours, schedules, until};

on_both!(
    a_cancelled_task_is_dropped_by_the_loop,
    on_the_loop_it_is_dropped_at_once,
    a_task_that_ran_cannot_be_cancelled,
    a_periodic_task_may_cancel_itself,
    a_panic_ends_a_periodic_task,
    a_panic_of_a_single_task_is_told,
    the_end_of_the_loop_cancels_all,
    cancel_races_with_the_deadline,
    cancel_races_with_a_periodic_run,
    a_full_queue_takes_due_tasks_later,
    a_refused_one_comes_back;
    in_turn:
    periods_are_kept,
);

const MS: fn(u64) -> Duration = Duration::from_millis;
const HOUR: Duration = Duration::from_secs(3600);

type Word<P> = Arc<<P as Platform>::Atomic<u32>>;

fn word<P: Platform>(value: u32) -> Word<P> {
    Arc::new(P::Atomic::new(value))
}

/// What a closure owns: it notes the thread that drops it, and that it is dropped once.
struct Owned<P: Platform>(Word<P>);

const ALIVE: u32 = u32::MAX;

impl<P: Platform> Drop for Owned<P> {
    fn drop(&mut self) {
        let before = self.0.swap(P::current_id().0, Ordering::SeqCst);
        assert!(P::unwinding() || before == ALIVE, "dropped twice");
    }
}

fn owned<P: Platform>() -> (Owned<P>, Word<P>) {
    let dropped_on = word::<P>(ALIVE);
    (Owned(Arc::clone(&dropped_on)), dropped_on)
}

fn thread_of<P: Platform>(event_loop: &EventLoop<P>) -> u32 {
    let id = word::<P>(ALIVE);
    let theirs = Arc::clone(&id);
    on_loop(event_loop, move || theirs.store(P::current_id().0, Ordering::SeqCst));
    id.load(Ordering::SeqCst)
}

type Scheduling = fn(&EventLoop<Sim>, Box<dyn FnMut() + Send>) -> ScheduledTask<Sim>;

/// The times at which a task starts that is made by `schedule` and takes as many milliseconds as `takes` says, in turn.
fn starts(takes: &'static [u64], schedule: Scheduling) -> Vec<u128> {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    soundly(&in_turn(), || {
        let event_loop = EventLoop::<Sim>::new("loop", ours());
        let (inside, done) = (Arc::clone(&seen), Promise::<Sim>::untracked());
        let told = done.clone();
        let body = Box::new(move || {
            let mut seen = inside.lock().expect("one simulated thread at a time");
            let n = seen.len();
            seen.push(Sim::now().as_millis());
            drop(seen);
            match takes.get(n) {
                Some(time) => Sim::sleep(MS(*time)),
                None => drop(told.try_complete(Ok(()))),
            }
        });
        let task = schedule(&event_loop, body);
        assert_eq!(done.wait(), Ok(()));
        assert!(task.cancel());
        end(&event_loop);
    });
    let seen = seen.lock().expect("nobody else is there");
    seen[..=takes.len()].to_vec()
}

#[test]
fn fixed_rate_and_fixed_delay() {
    let rate = |l: &EventLoop<Sim>, f| l.schedule_at_fixed_rate(MS(50), MS(100), f).expect("it is open");
    let delay = |l: &EventLoop<Sim>, f| l.schedule_with_fixed_delay(MS(50), MS(100), f).expect("it is open");
    assert_eq!(starts(&[30, 30, 30], rate), [50, 150, 250, 350]);
    assert_eq!(starts(&[30, 30, 30], delay), [50, 180, 310, 440]);
    // What is late is made up for: the deadlines are 50, 150, 250, 350 and 450.
    assert_eq!(starts(&[250, 0, 0, 0], rate), [50, 300, 300, 350, 450]);
    assert_eq!(starts(&[250, 0, 0, 0], delay), [50, 400, 500, 600, 700]);
}

/// A task that comes too late when it is given from outside, because the loop was held up, runs when the loop comes to it.
#[test]
fn a_deadline_counts_from_the_call() {
    soundly(&in_turn(), || {
        let event_loop = EventLoop::<Sim>::new("loop", ours());
        let stall = Stall::hold(&event_loop).expect("it is open");
        stall.wait_until_reached();
        let at = Arc::new(<Sim as Platform>::Atomic::new(0_u64));
        let (early, late) = (Arc::clone(&at), Arc::clone(&at));
        let note = |at: &<Sim as Platform>::Atomic<u64>, weight: u64| {
            at.fetch_add(weight * u64::try_from(Sim::now().as_millis()).expect("small"), Ordering::SeqCst);
        };
        event_loop.schedule(MS(10), move || note(&early, 1)).expect("it is open");
        event_loop.schedule(MS(40), move || note(&late, 1000)).expect("it is open");
        Sim::sleep(MS(25));
        stall.release();
        Sim::sleep(MS(50));
        assert_eq!(at.load(Ordering::SeqCst), 25 + 1000 * 40);
        end(&event_loop);
    });
}

#[test]
fn due_tasks_queue_up_behind_the_others() {
    soundly(&in_turn(), || {
        let event_loop = EventLoop::<Sim>::new("loop", ours());
        let seen = Arc::new(<Sim as Platform>::Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let seen = Arc::clone(&seen);
            move || seen.lock().push(what)
        };
        let (this, first, second, third) = (event_loop.clone(), note("at 1"), note("at 2"), note("at 1 too"));
        on_loop(&event_loop, move || {
            this.schedule(MS(2), second).expect("the loop's own");
            this.schedule(MS(1), first).expect("the loop's own");
            this.schedule(MS(1), third).expect("the loop's own");
        });
        let stall = Stall::hold(&event_loop).expect("it is open");
        stall.wait_until_reached();
        event_loop.execute_fn(note("before")).expect("it is open");
        Sim::sleep(MS(5));
        event_loop.execute_fn(note("waiting")).expect("it is open");
        stall.release();
        on_loop(&event_loop, || ());
        until::<Sim>(|| seen.lock().len() == 5, "all have run");
        assert_eq!(*seen.lock(), ["before", "waiting", "at 1", "at 1 too", "at 2"]);
        end(&event_loop);
    });
}

fn periods_are_kept<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let (seen, done) = (Arc::new(P::Mutex::new(Vec::new())), Promise::<P>::untracked());
    let (inside, told) = (Arc::clone(&seen), done.clone());
    let began = P::now();
    let body = move || {
        let mut seen = inside.lock();
        seen.push(P::now());
        if seen.len() == 4 {
            told.complete(Ok(()));
        }
    };
    let task = event_loop.schedule_at_fixed_rate(MS(20), MS(20), body).expect("it is open");
    assert_eq!(done.wait(), Ok(()));
    assert!(task.cancel());
    end(&event_loop);
    for (n, at) in (1..).zip(seen.lock().iter()) {
        assert!(*at - began >= MS(20 * n), "number {n} came after {:?}", *at - began);
    }
}

fn a_cancelled_task_is_dropped_by_the_loop<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let (witness, dropped_on) = owned::<P>();
    let task = event_loop.schedule(HOUR, move || drop(witness)).expect("it is open");
    let thread = thread_of(&event_loop);
    assert_eq!(task.state(), ScheduledState::Waiting);
    assert!(task.cancel() && !task.cancel());
    assert_eq!(task.state(), ScheduledState::Cancelled);
    until::<P>(|| dropped_on.load(Ordering::SeqCst) != ALIVE, "the loop drops the closure");
    assert_eq!(dropped_on.load(Ordering::SeqCst), thread);
    end(&event_loop);
    let stats = event_loop.stats();
    assert_eq!((stats.scheduled_removed, stats.scheduled_cancelled), (1, 0));
}

fn on_the_loop_it_is_dropped_at_once<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let (witness, dropped_on) = owned::<P>();
    let this = event_loop.clone();
    on_loop(&event_loop, move || {
        let mut witness = Some(witness);
        let task = this.schedule_at_fixed_rate(HOUR, HOUR, move || drop(witness.take())).expect("the loop's own");
        assert_eq!(dropped_on.load(Ordering::SeqCst), ALIVE);
        assert!(task.cancel());
        assert_eq!(dropped_on.load(Ordering::SeqCst), P::current_id().0);
    });
    end(&event_loop);
    assert_eq!(event_loop.stats().scheduled_removed, 1);
}

fn a_task_that_ran_cannot_be_cancelled<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let handle = Arc::new(P::Mutex::new(None::<ScheduledTask<P>>));
    let (inside, asked) = (Arc::clone(&handle), word::<P>(0));
    let told = Arc::clone(&asked);
    let stall = Stall::hold(&event_loop).expect("it is open");
    stall.wait_until_reached();
    let task = event_loop.schedule(Duration::ZERO, move || {
        let task = inside.lock().clone().expect("the stall ends later");
        assert_eq!((task.state(), task.cancel()), (ScheduledState::Running, false));
        told.store(1, Ordering::SeqCst);
    });
    let task = task.expect("it is open");
    *handle.lock() = Some(task.clone());
    stall.release();
    until::<P>(|| task.state() == ScheduledState::Ended, "it runs");
    assert_eq!((asked.load(Ordering::SeqCst), task.cancel()), (1, false));
    *handle.lock() = None;
    end(&event_loop);
    assert_eq!(event_loop.stats().scheduled_removed, 0);
}

fn a_periodic_task_may_cancel_itself<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let handle = Arc::new(P::Mutex::new(None::<ScheduledTask<P>>));
    let (inside, runs) = (Arc::clone(&handle), word::<P>(0));
    let counted = Arc::clone(&runs);
    let (witness, dropped_on) = owned::<P>();
    let stall = Stall::hold(&event_loop).expect("it is open");
    stall.wait_until_reached();
    let task = event_loop.schedule_with_fixed_delay(Duration::ZERO, MS(1), move || {
        let _witness = &witness;
        if counted.fetch_add(1, Ordering::SeqCst) == 2 {
            assert!(inside.lock().take().expect("the stall ends later").cancel());
        }
    });
    let task = task.expect("it is open");
    *handle.lock() = Some(task.clone());
    stall.release();
    until::<P>(|| dropped_on.load(Ordering::SeqCst) != ALIVE, "its closure is dropped");
    P::sleep(MS(10));
    assert_eq!((runs.load(Ordering::SeqCst), task.state()), (3, ScheduledState::Cancelled));
    end(&event_loop);
}

fn a_panic_ends_a_periodic_task<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let (witness, dropped_on) = owned::<P>();
    let mut runs = 0;
    let task = event_loop.schedule_at_fixed_rate(Duration::ZERO, MS(1), move || {
        let _witness = &witness;
        runs += 1;
        assert!(runs < 3, "a task's own business");
    });
    let task = task.expect("it is open");
    until::<P>(|| task.state() == ScheduledState::Panicked, "it panics");
    until::<P>(|| dropped_on.load(Ordering::SeqCst) != ALIVE, "its closure is dropped");
    assert!(!task.cancel());
    P::sleep(MS(10));
    end(&event_loop);
    // It was due when it was given: its first run is when the loop comes to it.
    let stats = event_loop.stats();
    assert_eq!((stats.tasks_panicked, stats.scheduled_cancelled, stats.tasks_run), (1, 0, 3));
}

fn a_panic_of_a_single_task_is_told<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let task = event_loop.schedule(MS(1), || panic!("a task's own business")).expect("it is open");
    until::<P>(|| task.state() == ScheduledState::Panicked, "it panics");
    end(&event_loop);
    assert_eq!(event_loop.stats().tasks_panicked, 1);
}

fn the_end_of_the_loop_cancels_all<P: Platform>() {
    for preset in [Preset::Netty4_1_8, Preset::Netty4_1_44, Preset::Millpond] {
        let event_loop = EventLoop::<P>::new("loop", preset.into());
        let (once, dropped_once) = owned::<P>();
        let (again, dropped_again) = owned::<P>();
        let mut again = Some(again);
        let tasks = [
            event_loop.schedule(HOUR, move || drop(once)).expect("it is open"),
            event_loop.schedule_at_fixed_rate(HOUR, HOUR, move || drop(again.take())).expect("it is open"),
        ];
        let thread = thread_of(&event_loop);
        end(&event_loop);
        assert!(tasks.iter().all(|task| task.state() == ScheduledState::Cancelled && !task.cancel()));
        assert_eq!([dropped_once, dropped_again].map(|on| on.load(Ordering::SeqCst)), [thread; 2]);
        let stats = event_loop.stats();
        assert_eq!((stats.scheduled_cancelled, stats.scheduled_removed, stats.tasks_abandoned), (2, 0, 0));
    }
}

/// Either it runs or it was cancelled, and its closure is dropped once, by the loop.
fn cancel_races_with_the_deadline<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let thread = thread_of(&event_loop);
    for round in 0..10 {
        let (witness, dropped_on) = owned::<P>();
        let runs = word::<P>(0);
        let counted = Arc::clone(&runs);
        let task = event_loop.schedule(Duration::from_micros(20), move || {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(witness);
        });
        let task = task.expect("it is open");
        P::sleep(Duration::from_micros(15 + round));
        let cancelled = task.cancel();
        until::<P>(|| dropped_on.load(Ordering::SeqCst) != ALIVE, "its closure is dropped");
        assert_eq!(runs.load(Ordering::SeqCst), u32::from(!cancelled));
        assert_eq!(dropped_on.load(Ordering::SeqCst), thread);
        until::<P>(|| matches!(task.state(), ScheduledState::Cancelled | ScheduledState::Ended), "it ends");
        assert_eq!(task.state() == ScheduledState::Cancelled, cancelled);
    }
    end(&event_loop);
}

fn cancel_races_with_a_periodic_run<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    let (witness, dropped_on) = owned::<P>();
    let runs = word::<P>(0);
    let counted = Arc::clone(&runs);
    let task = event_loop.schedule_at_fixed_rate(Duration::ZERO, Duration::from_micros(10), move || {
        let _witness = &witness;
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let task = task.expect("it is open");
    P::sleep(Duration::from_micros(50));
    let theirs = task.clone();
    let other = P::spawn("canceller".to_string(), move || assert!(!theirs.cancel() || !theirs.cancel()));
    task.cancel();
    other.expect("threads are to be had").join().expect("no panic");
    until::<P>(|| dropped_on.load(Ordering::SeqCst) != ALIVE, "its closure is dropped");
    let last = runs.load(Ordering::SeqCst);
    P::sleep(MS(1));
    assert_eq!((runs.load(Ordering::SeqCst), task.state()), (last, ScheduledState::Cancelled));
    end(&event_loop);
    assert_eq!(event_loop.stats().scheduled_removed, 1, "one of the two cancelled it");
}

fn a_full_queue_takes_due_tasks_later<P: Platform>() {
    for io_ratio in [50, 100] {
        let config = LoopConfig { max_pending_tasks: Some(2), io_ratio, ..ours() };
        let event_loop = EventLoop::<P>::new("loop", config);
        let seen = Arc::new(P::Mutex::new(Vec::new()));
        let (this, inside) = (event_loop.clone(), Arc::clone(&seen));
        on_loop(&event_loop, move || {
            for n in 0..7 {
                let seen = Arc::clone(&inside);
                this.schedule(MS(1), move || seen.lock().push(n)).expect("timers have no bound");
            }
        });
        until::<P>(|| seen.lock().len() == 7, "all run");
        end(&event_loop);
        assert_eq!(*seen.lock(), [0, 1, 2, 3, 4, 5, 6]);
        let stats = event_loop.stats();
        assert_eq!((stats.tasks_rejected, stats.tasks_run), (0, 8));
        assert!(stats.peak_queue_length <= 2);
    }
}

fn a_refused_one_comes_back<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", ours());
    on_loop(&event_loop, || ());
    end(&event_loop);
    assert_eq!(event_loop.state(), LoopState::Terminated);
    let (witness, dropped_on) = owned::<P>();
    let refused = event_loop.schedule(MS(1), move || drop(witness)).map(drop).expect_err("it has ended");
    assert_eq!(dropped_on.load(Ordering::SeqCst), ALIVE);
    drop(refused.task);
    assert_eq!(dropped_on.load(Ordering::SeqCst), P::current_id().0);
}

/// In some schedule the deadline wins, in some the cancel does: the race is one.
#[test]
fn the_race_of_cancel_and_deadline_goes_both_ways() {
    let mut cancelled = [0_u32; 2];
    for options in schedules() {
        soundly(&options, || {
            let event_loop = EventLoop::<Sim>::new("loop", ours());
            on_loop(&event_loop, || ());
            let task = event_loop.schedule(Duration::from_micros(20), || ()).expect("it is open");
            Sim::sleep(Duration::from_micros(20));
            cancelled[usize::from(task.cancel())] += 1;
            end(&event_loop);
        });
    }
    assert!(cancelled.iter().all(|n| *n > 0), "{cancelled:?}");
}
