//! The rules of an event loop: full queues, threads that don't start, tasks that are taken back.

mod write_path_support;

use millpond::engine::{Options, Sim, When};
use millpond_model::event_loop::{
    EventLoop, LazyRule, LoopConfig, LoopState, QueueRule, RejectReason, RejectionRule, ShutdownRule, Stall, StartRule,
    TailRule, Task,
};
use millpond_model::observe::{Fault, Reach};
use millpond_model::platform::{AtomicOps, JoinOps, Lock};
use millpond_model::task_queue::{Refusal, RemovableQueue};
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{in_turn, random, scheduled, soundly};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use write_path_support::{end, on_loop, ours, schedules};

on_both!(
    a_full_queue_gives_the_task_back,
    a_caller_backs_off_until_there_is_room,
    a_caller_backs_off_in_vain,
    on_the_loop_nobody_backs_off,
    a_loop_that_ends_meanwhile_refuses,
    removable_queue_in_order,
    removable_queue_takes_back,
    removable_queue_taken_or_polled,
    accepted_is_run_or_counted_under_every_rule,
);

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn presets() {
    for preset in Preset::ALL {
        let config = LoopConfig::from(preset);
        let ours = preset == Preset::Millpond;
        assert_eq!((config.io_ratio, config.rejection), (50, RejectionRule::Throw), "{preset}");
        assert_eq!((config.queue, config.idle_end, config.max_pending_tasks), (QueueRule::Mpsc, None, None));
        assert_eq!(config.tail, if ours { TailRule::Present } else { TailRule::UntilEmpty });
        // 4.1.19 put the state back; 4.0.43 is as old as 4.1.7.
        let start = match preset {
            Preset::Netty4_0_43 | Preset::Netty4_1_2 | Preset::Netty4_1_3 | Preset::Netty4_1_4 => {
                StartRule::StaysStarted
            }
            Preset::Netty4_1_8 => StartRule::StaysStarted,
            Preset::Millpond => StartRule::ThreadFirst,
            _ => StartRule::Restored,
        };
        assert_eq!(config.start, start, "{preset}");
        let executor = LoopConfig::executor(preset);
        assert_eq!(executor.queue, if ours { QueueRule::Mpsc } else { QueueRule::Removable });
        assert_eq!((executor.lazy, executor.shutdown), (LazyRule::Wake, config.shutdown));
    }
}

fn bounded(rejection: RejectionRule) -> LoopConfig {
    LoopConfig { max_pending_tasks: Some(2), rejection, ..ours() }
}

/// A stalled loop with two tasks in its queue, which is all that it takes.
fn full<P: Platform>(config: LoopConfig) -> (EventLoop<P>, Stall<P>) {
    let event_loop = EventLoop::<P>::new("loop", config);
    let stall = Stall::hold(&event_loop).expect("it is open");
    stall.wait_until_reached();
    (0..2).for_each(|_| event_loop.execute_fn(|| ()).expect("there is room"));
    (event_loop, stall)
}

fn a_full_queue_gives_the_task_back<P: Platform>() {
    let (event_loop, stall) = full::<P>(bounded(RejectionRule::Throw));
    let run = Arc::new(P::Atomic::new(false));
    let inside = Arc::clone(&run);
    let refused = event_loop.execute_fn(move || inside.store(true, Ordering::SeqCst)).expect_err("it is full");
    assert_eq!((refused.reason, run.load(Ordering::SeqCst)), (RejectReason::Full, false));
    let Task::Closure(f) = refused.task else { unreachable!("it was a closure") };
    f();
    assert!(run.load(Ordering::SeqCst), "it is the same task");
    stall.release();
    end(&event_loop);
    let stats = event_loop.stats();
    assert_eq!((stats.tasks_run, stats.tasks_rejected, stats.rejection_retries), (3, 1, 0));
}

const PATIENT: RejectionRule = RejectionRule::BackOff { retries: 1000, pause: Duration::from_millis(10) };

fn a_caller_backs_off_until_there_is_room<P: Platform>() {
    let (event_loop, stall) = full::<P>(bounded(PATIENT));
    let this = event_loop.clone();
    let caller = P::spawn("caller".to_string(), move || this.execute_fn(|| ()).expect("there will be room"));
    P::sleep(MS(25));
    stall.release();
    caller.expect("threads are to be had").join().expect("no panic");
    end(&event_loop);
    let stats = event_loop.stats();
    assert_eq!((stats.tasks_run, stats.tasks_rejected), (4, 0));
}

/// It tries at 10, 20 and 30 ms; the stall ends at 25.
#[test]
fn a_caller_tries_after_each_pause() {
    soundly(&in_turn(), || {
        let (event_loop, stall) = full::<Sim>(bounded(PATIENT));
        let opener = Sim::spawn("opener".to_string(), move || {
            Sim::sleep(MS(25));
            stall.release();
        });
        event_loop.execute_fn(|| ()).expect("there will be room");
        assert_eq!((Sim::now(), event_loop.stats().rejection_retries), (MS(30), 3));
        opener.expect("threads are to be had").join().expect("no panic");
        end(&event_loop);
    });
}

fn a_caller_backs_off_in_vain<P: Platform>() {
    let (event_loop, stall) = full::<P>(bounded(RejectionRule::BackOff { retries: 3, pause: MS(2) }));
    let began = P::now();
    assert_eq!(event_loop.execute_fn(|| ()).expect_err("it stays full").reason, RejectReason::Full);
    assert!(P::now() - began <= Duration::from_secs(60));
    let stats = event_loop.stats();
    assert_eq!((stats.rejection_retries, stats.tasks_rejected), (3, 1));
    stall.release();
    end(&event_loop);
}

fn on_the_loop_nobody_backs_off<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", bounded(PATIENT));
    let this = event_loop.clone();
    on_loop(&event_loop, move || {
        (0..2).for_each(|_| this.execute_fn(|| ()).expect("there is room"));
        assert_eq!(this.execute_fn(|| ()).expect_err("it is full").reason, RejectReason::Full);
    });
    end(&event_loop);
    let stats = event_loop.stats();
    assert_eq!((stats.rejection_retries, stats.tasks_rejected, stats.tasks_run), (0, 1, 3));
}

fn a_loop_that_ends_meanwhile_refuses<P: Platform>() {
    let (event_loop, stall) = full::<P>(LoopConfig { shutdown: ShutdownRule::FinalPass, ..bounded(PATIENT) });
    let this = event_loop.clone();
    let caller = P::spawn("caller".to_string(), move || {
        let given = this.execute_fn(|| ()).map_err(|refused| refused.reason);
        assert!(matches!(given, Ok(()) | Err(RejectReason::ShutDown)), "{given:?}");
    });
    event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    stall.release();
    event_loop.join().expect("the loop ends well");
    caller.expect("threads are to be had").join().expect("no panic");
    // Whether there was room before the end is a matter of time, but nobody waits for a thousand pauses.
    assert!(event_loop.stats().rejection_retries < 1000);
}

/// Makes the first start of a thread fail.
fn first_start_fails(options: &Options) -> Options {
    Options { faults: vec![(Fault::ThreadStartFails, When::Nth(1))], ..options.clone() }
}

#[test]
fn a_failed_start_gives_the_task_back() {
    for (start, state) in [
        (StartRule::StaysStarted, LoopState::Started),
        (StartRule::Restored, LoopState::NotStarted),
        (StartRule::ThreadFirst, LoopState::NotStarted),
    ] {
        let execution = soundly(&first_start_fails(&in_turn()), || {
            let event_loop = EventLoop::<Sim>::new("loop", LoopConfig { start, ..ours() });
            let refused = event_loop.execute_fn(|| ()).expect_err("there is no thread");
            let RejectReason::NoThread(error) = refused.reason else { panic!("{:?}", refused.reason) };
            assert_eq!((error.name.as_str(), event_loop.state()), ("loop", state));
            assert!(matches!(refused.task, Task::Closure(_)));
            event_loop.execute_fn(|| ()).expect("it is taken in any case");
            Sim::sleep(MS(1000));
            let stats = event_loop.stats();
            assert_eq!((stats.failed_starts, stats.tasks_rejected), (1, 1));
            if start == StartRule::StaysStarted {
                assert_eq!((stats.tasks_run, stats.queue_length), (0, 1), "nobody is there");
                return; // nor will it ever end
            }
            assert_eq!((stats.tasks_run, stats.queue_length, stats.state), (1, 0, LoopState::Started));
            end(&event_loop);
        });
        assert_eq!(execution.reach_counts[Reach::ThreadStartFailed as usize], 1);
    }
}

#[test]
fn a_loop_that_cannot_start_to_end_has_ended() {
    for preset in Preset::ALL {
        soundly(&first_start_fails(&in_turn()), || {
            let event_loop = EventLoop::<Sim>::new("loop", preset.into());
            end(&event_loop);
            assert_eq!(event_loop.state(), LoopState::Terminated);
            assert_eq!(event_loop.execute_fn(|| ()).expect_err("it has ended").reason, RejectReason::ShutDown);
        });
    }
}

/// Two callers, of whom one meets the thread that does not start: whether the other's task is accepted and not run.
fn strands_a_task(start: StartRule, options: &Options) -> bool {
    let mut stranded = false;
    soundly(&first_start_fails(options), || {
        let event_loop = EventLoop::<Sim>::new("loop", LoopConfig { start, ..ours() });
        let this = event_loop.clone();
        let other = Sim::spawn("other".to_string(), move || drop(this.execute_fn(|| ())));
        drop(event_loop.execute_fn(|| ()));
        other.expect("threads are to be had").join().expect("no panic");
        Sim::sleep(MS(1000));
        let stats = event_loop.stats();
        stranded = stats.queue_length > 0;
        assert_eq!((stats.tasks_rejected, stats.tasks_run + stats.queue_length), (1, 1));
        if start != StartRule::StaysStarted {
            end(&event_loop);
            assert_eq!(event_loop.stats().tasks_run, 1, "the end starts a thread, which runs it");
        }
    });
    stranded
}

#[test]
fn netty_strands_a_task_beside_a_failed_start() {
    let count = |start| schedules().filter(|options| strands_a_task(start, options)).count();
    let all = schedules().count();
    assert_eq!(count(StartRule::StaysStarted), all, "the thread never comes");
    assert!((1..all).contains(&count(StartRule::Restored)), "only when the other comes in between");
    assert_eq!(count(StartRule::ThreadFirst), 0);
}

#[test]
fn the_environment_refuses_a_task() {
    let options = Options { faults: vec![(Fault::TaskRejected, When::Nth(3))], ..in_turn() };
    soundly(&options, || {
        let event_loop = EventLoop::<Sim>::new("loop", ours());
        let given: Vec<_> = (0..5).map(|_| event_loop.execute_fn(|| ()).map_err(|refused| refused.reason)).collect();
        assert_eq!(given, [Ok(()), Ok(()), Err(RejectReason::Full), Ok(()), Ok(())]);
        end(&event_loop);
        assert_eq!((event_loop.stats().tasks_run, event_loop.stats().tasks_rejected), (4, 1));
    });
    // Who backs off has another chance.
    soundly(&options, || {
        let event_loop = EventLoop::<Sim>::new("loop", LoopConfig { rejection: PATIENT, ..ours() });
        (0..5).for_each(|_| event_loop.execute_fn(|| ()).expect("the second attempt succeeds"));
        end(&event_loop);
        assert_eq!((event_loop.stats().tasks_run, event_loop.stats().rejection_retries), (5, 1));
    });
}

fn removable_queue_in_order<P: Platform>() {
    let queue = RemovableQueue::<u32, P>::new(Some(3));
    assert!(queue.is_empty());
    assert_eq!((0..3).map(|n| queue.offer(n).expect("there is room")).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(queue.offer(3), Err((3, Refusal::Full)));
    assert_eq!((queue.len(), queue.poll()), (3, Some(0)));
    assert_eq!(queue.offer(4), Ok(3));
    queue.close();
    assert_eq!(queue.offer(5), Err((5, Refusal::Closed)));
    assert_eq!([queue.poll(), queue.poll(), queue.poll(), queue.poll()], [Some(1), Some(2), Some(4), None]);
    assert_eq!(queue.peak(), 3);
}

fn removable_queue_takes_back<P: Platform>() {
    let queue = RemovableQueue::<&str, P>::new(None);
    let [a, b, c] = ["a", "b", "c"].map(|task| queue.offer(task).expect("no bound"));
    assert_eq!((queue.take_back(b), queue.take_back(b)), (Some("b"), None));
    assert_eq!((queue.poll(), queue.take_back(a)), (Some("a"), None));
    queue.close();
    assert_eq!((queue.take_back(c), queue.len()), (Some("c"), 0));
}

fn removable_queue_taken_or_polled<P: Platform>() {
    let queue = RemovableQueue::<u32, P>::new(None);
    let theirs = queue.clone();
    let taken = Arc::new(P::Mutex::new(Vec::new()));
    let back = Arc::clone(&taken);
    let producer = P::spawn("producer".to_string(), move || {
        for n in 0..50 {
            let number = theirs.offer(n).expect("no bound");
            if n % 2 == 0
                && let Some(task) = theirs.take_back(number)
            {
                back.lock().push(task);
            }
        }
        theirs.close();
    });
    let mut polled = Vec::new();
    while queue.offer(1000).is_ok() || !queue.is_empty() {
        polled.extend(queue.poll().filter(|task| *task < 1000));
        P::spin_hint();
    }
    producer.expect("threads are to be had").join().expect("no panic");
    let mut all: Vec<u32> = taken.lock().iter().copied().chain(polled).collect();
    all.sort_unstable();
    assert_eq!(all, (0..50).collect::<Vec<u32>>());
}

/// Tasks until one is refused, while the loop ends: accepted ones that were not run, which must be those counted.
fn lost<P: Platform>(shutdown: ShutdownRule, queue: QueueRule) -> u64 {
    let event_loop = EventLoop::<P>::new("loop", LoopConfig { shutdown, queue, ..ours() });
    on_loop(&event_loop, || ());
    let (accepted, run) = (Arc::new(P::Atomic::new(0_u64)), Arc::new(P::Atomic::new(0_u64)));
    let (this, theirs, inside) = (event_loop.clone(), Arc::clone(&accepted), Arc::clone(&run));
    let producer = P::spawn("producer".to_string(), move || {
        let give = |_: &u32| {
            let run = Arc::clone(&inside);
            this.execute_fn(move || assert!(run.fetch_add(1, Ordering::SeqCst) < 12)).is_ok()
        };
        theirs.store((0..12).take_while(give).count() as u64, Ordering::SeqCst);
    });
    event_loop.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    event_loop.join().expect("the loop ends well");
    producer.expect("threads are to be had").join().expect("no panic");
    let lost = accepted.load(Ordering::SeqCst) - run.load(Ordering::SeqCst);
    assert_eq!(event_loop.stats().tasks_abandoned, lost);
    lost
}

const SHUTDOWNS: [ShutdownRule; 3] = [ShutdownRule::NoFinalPass, ShutdownRule::FinalPass, ShutdownRule::CloseQueue];

fn accepted_is_run_or_counted_under_every_rule<P: Platform>() {
    for shutdown in SHUTDOWNS {
        for queue in [QueueRule::Mpsc, QueueRule::Removable] {
            let lost = lost::<P>(shutdown, queue);
            assert!(lost == 0 || shutdown != ShutdownRule::CloseQueue);
        }
    }
}

/// A queue out of which a task can be taken back saves some of them; only one that closes saves all.
#[test]
fn a_task_that_can_be_taken_back_is_lost_less_often() {
    let options: Vec<Options> = random(1000)
        .chain(scheduled(&[millpond::engine::Strategy::Pct { depth: 2 }], 1000))
        .map(|options| Options { pct_steps: 300, ..options })
        .collect();
    let losing = |shutdown, queue| {
        let loses = |options: &&Options| {
            let mut n = 0;
            soundly(options, || n = lost::<Sim>(shutdown, queue));
            n > 0
        };
        options.iter().filter(loses).count()
    };
    for shutdown in SHUTDOWNS {
        let [mpsc, removable] = [QueueRule::Mpsc, QueueRule::Removable].map(|queue| losing(shutdown, queue));
        match shutdown {
            ShutdownRule::CloseQueue => assert_eq!((mpsc, removable), (0, 0)),
            _ => assert!(
                removable < mpsc,
                "{shutdown:?}: {mpsc} schedules lose a task, {removable} where it can be removed"
            ),
        }
    }
}
