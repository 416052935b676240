//! Groups of event loops, the global executor, and the wait that can be replaced.

mod write_path_support;

use millpond::engine::Sim;
use millpond_model::event_loop::{
    EventLoop, EventLoopGroup, GlobalExecutor, LoopConfig, LoopState, Selector, Stall, Waker,
};
use millpond_model::platform::{AtomicOps, JoinOps, Lock, ThreadOps};
use millpond_model::promise::Promise;
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{in_turn, soundly};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use write_path_support::{end, on_loop, ours, until};

on_both!(
    loops_are_asked_in_turn,
    callers_share_the_turns,
    a_group_ends_when_its_last_loop_has,
    several_groups_side_by_side,
    loops_know_themselves,
    the_global_executor_takes_tasks_for_ever,
    the_global_executor_is_asked_by_several,
    another_wait_serves_as_well,
    a_selector_brings_work_by_itself;
    in_turn:
    a_loop_without_work_ends_by_itself,
);

const MS: fn(u64) -> Duration = Duration::from_millis;

fn end_group<P: Platform>(group: &EventLoopGroup<P>) {
    group.shutdown_gracefully(Duration::ZERO, Duration::from_secs(5));
    group.join().expect("the loops end well");
}

fn loops_are_asked_in_turn<P: Platform>() {
    for count in [1, 3, 4] {
        let group = EventLoopGroup::<P>::new("workers", count, &ours());
        let names: Vec<_> = (0..2 * count).map(|_| group.next().name().to_string()).collect();
        let expected: Vec<_> = (0..2 * count).map(|i| format!("workers-{}", i % count)).collect();
        assert_eq!((names, group.loops().len()), (expected, count));
        end_group(&group);
    }
}

fn callers_share_the_turns<P: Platform>() {
    let group = EventLoopGroup::<P>::new("workers", 3, &ours());
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let group = group.clone();
            let body = move || (0..10).for_each(|_| group.next().execute_fn(|| ()).expect("it is open"));
            P::spawn("caller".to_string(), body).expect("threads are to be had")
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
    end_group(&group);
    assert_eq!(group.stats().iter().map(|s| s.tasks_run).collect::<Vec<_>>(), [10; 3]);
}

fn a_group_ends_when_its_last_loop_has<P: Platform>() {
    let group = EventLoopGroup::<P>::new("workers", 3, &ours());
    let told = Arc::new(P::Atomic::new(0_u32));
    let (inside, theirs) = (Arc::clone(&told), group.clone());
    group.terminated().add_listener(move |outcome| {
        assert!(outcome.is_ok() && theirs.is_terminated());
        inside.fetch_add(1, Ordering::SeqCst);
    });
    let stall = Stall::hold(&group.loops()[1]).expect("it is open");
    stall.wait_until_reached();
    let states = || (group.is_shutting_down(), group.is_terminated(), group.terminated().is_done());
    end(&group.loops()[0]);
    assert_eq!(states(), (false, false, false));
    group.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
    group.loops()[2].join().expect("the loop ends well");
    assert_eq!((states(), told.load(Ordering::SeqCst)), ((true, false, false), 0));
    stall.release();
    group.join().expect("the loops end well");
    assert_eq!((states(), told.load(Ordering::SeqCst)), ((true, true, true), 1));
    let ended = group.stats();
    assert!(ended.iter().all(|stats| stats.state == LoopState::Terminated && stats.tasks_abandoned == 0));
}

/// An acceptor gives to workers, they to business executors, and these back to the acceptor.
fn several_groups_side_by_side<P: Platform>() {
    let boss = EventLoopGroup::<P>::new("boss", 1, &ours());
    let workers = EventLoopGroup::<P>::new("worker", 2, &ours());
    let business = EventLoopGroup::<P>::new("business", 2, &LoopConfig::executor(Preset::Netty4_2_7));
    let (left, done) = (Arc::new(P::Atomic::new(20_u32)), Promise::<P>::untracked());
    let handed = |group: &EventLoopGroup<P>, task: Box<dyn FnOnce() + Send>| -> Box<dyn FnOnce() + Send> {
        let group = group.clone();
        Box::new(move || group.next().execute_fn(task).expect("it is open"))
    };
    for _ in 0..20 {
        let (left, done, theirs) = (Arc::clone(&left), done.clone(), boss.clone());
        let back = move || {
            assert!(theirs.loops()[0].in_loop());
            if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                done.complete(Ok(()));
            }
        };
        let accept = handed(&workers, handed(&business, handed(&boss, Box::new(back))));
        boss.next().execute_fn(accept).expect("it is open");
    }
    assert_eq!(done.wait(), Ok(()));
    for (group, tasks) in [(&workers, [10, 10].as_slice()), (&business, &[10, 10]), (&boss, &[40])] {
        end_group(group);
        assert_eq!(group.stats().iter().map(|s| s.tasks_run).collect::<Vec<_>>(), tasks);
    }
}

fn loops_know_themselves<P: Platform>() {
    let [a, b] = ["loop", "loop"].map(|name| EventLoop::<P>::new(name, ours()));
    assert!(a.is_same(&a.clone()) && !a.is_same(&b));
    assert_eq!(a.config(), &ours());
    end(&a);
    end(&b);
}

fn the_global_executor_takes_tasks_for_ever<P: Platform>() {
    let global = GlobalExecutor::<P>::new("global");
    let run = |n| {
        let (global, done) = (global.clone(), Promise::<P>::untracked());
        let (told, current) = (done.clone(), global.current());
        let task = move || {
            assert!(!current.in_loop() || current.name() == format!("global-{n}"));
            told.complete(Ok(()));
        };
        global.execute_fn(task).expect("threads are to be had");
        assert_eq!(done.wait(), Ok(()));
    };
    run(1);
    assert_eq!(global.started(), 1);
    // As if the quiet second had passed.
    end(&global.current());
    run(2);
    assert_eq!((global.started(), global.current().state()), (2, LoopState::Started));
    end(&global.current());
    assert_eq!(global.current().stats().tasks_abandoned, 0);
}

/// Whoever finds that it has ended starts one other, and no task is lost.
fn the_global_executor_is_asked_by_several<P: Platform>() {
    let global = GlobalExecutor::<P>::new("global");
    let run = Arc::new(P::Atomic::new(0_u32));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (global, run) = (global.clone(), Arc::clone(&run));
            let body = move || {
                for _ in 0..5 {
                    let run = Arc::clone(&run);
                    let task = move || assert!(run.fetch_add(1, Ordering::SeqCst) < 15);
                    global.execute_fn(task).expect("threads are to be had");
                    global.current().shutdown_gracefully(Duration::ZERO, Duration::ZERO);
                }
            };
            P::spawn("caller".to_string(), body).expect("threads are to be had")
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
    until::<P>(|| run.load(Ordering::SeqCst) == 15, "all have run");
    assert!((1..=15).contains(&global.started()));
    global.current().join().expect("the loop ends well");
}

/// To the millisecond: the thread ends a second after its last task, and a scheduled task counts as one to come.
#[test]
fn the_global_executor_rests_after_a_second() {
    soundly(&in_turn(), || {
        let global = GlobalExecutor::<Sim>::new("global");
        global.execute_fn(|| Sim::sleep(MS(300))).expect("threads are to be had");
        let first = global.current();
        Sim::sleep(MS(1299));
        assert_eq!(first.state(), LoopState::Started);
        Sim::sleep(MS(2));
        assert_eq!((first.state(), global.started()), (LoopState::Terminated, 1));
        global.execute_fn(|| ()).expect("threads are to be had");
        let second = global.current();
        second.schedule(MS(5000), || ()).expect("it is open");
        Sim::sleep(MS(5999));
        assert_eq!((second.state(), global.started()), (LoopState::Started, 2));
        Sim::sleep(MS(2));
        assert_eq!((second.state(), second.stats().tasks_run), (LoopState::Terminated, 3));
    });
}

/// A task that comes when the second is just over is run, by this thread or the next one.
#[test]
fn the_end_of_the_second_races_with_a_task() {
    let mut started = [0; 2];
    for options in write_path_support::schedules().chain(millpond_tests::sim::random(200)) {
        soundly(&options, || {
            let global = GlobalExecutor::<Sim>::new("global");
            global.execute_fn(|| ()).expect("threads are to be had");
            Sim::sleep(MS(1000));
            let done = Promise::<Sim>::untracked();
            let told = done.clone();
            global.execute_fn(move || assert!(told.complete(Ok(())))).expect("threads are to be had");
            assert_eq!(done.wait(), Ok(()));
            started[global.started() as usize - 1] += 1;
            global.current().await_termination();
        });
    }
    assert!(started.iter().all(|n| *n > 0), "{started:?}");
}

fn a_loop_without_work_ends_by_itself<P: Platform>() {
    let event_loop = EventLoop::<P>::new("loop", LoopConfig { idle_end: Some(MS(100)), ..ours() });
    let began = P::now();
    on_loop(&event_loop, || ());
    event_loop.join().expect("the loop ends well");
    assert!(P::now() - began >= MS(100));
    assert_eq!(event_loop.stats().tasks_run, 1);
}

/// A wait of the test's own: a flag under a lock, and the thread that looks at it.
struct Toy<P: Platform> {
    shared: Arc<ToyShared<P>>,
}

struct ToyShared<P: Platform> {
    state: P::Mutex<ToyState<P>>,
    selects: P::Atomic<u32>,
    polls: P::Atomic<u32>,
}

struct ToyState<P: Platform> {
    thread: Option<P::Thread>,
    woken: bool,
    /// What "the sockets" bring: given to the loop from inside the wait.
    ready: Vec<Box<dyn FnOnce() + Send>>,
}

impl<P: Platform> ToyShared<P> {
    fn new() -> Arc<Self> {
        let state = ToyState { thread: None, woken: false, ready: Vec::new() };
        let (selects, polls) = (P::Atomic::new(0), P::Atomic::new(0));
        Arc::new(Self { state: P::Mutex::new(state), selects, polls })
    }

    fn update(&self, f: impl FnOnce(&mut ToyState<P>)) {
        let mut state = self.state.lock();
        f(&mut state);
        if let Some(thread) = &state.thread {
            thread.unpark();
        }
    }

    fn take(&self) -> bool {
        let mut state = self.state.lock();
        let woken = std::mem::take(&mut state.woken);
        let ready = std::mem::take(&mut state.ready);
        drop(state);
        let any = !ready.is_empty();
        ready.into_iter().for_each(|event| event());
        woken || any
    }
}

impl<P: Platform> Waker for ToyShared<P> {
    fn wake(&self) {
        self.update(|state| state.woken = true);
    }
}

impl<P: Platform> Selector<P> for Toy<P> {
    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.shared) as Arc<dyn Waker>
    }

    fn bind(&mut self) {
        self.shared.state.lock().thread = Some(P::current());
    }

    fn select(&mut self, limit: Option<Duration>) -> bool {
        self.shared.selects.fetch_add(1, Ordering::SeqCst);
        if self.shared.take() {
            return true;
        }
        match limit {
            None => P::park(),
            Some(limit) => P::park_timeout(limit),
        }
        self.shared.take()
    }

    fn select_now(&mut self) {
        self.shared.polls.fetch_add(1, Ordering::SeqCst);
        self.shared.take();
    }
}

fn another_wait_serves_as_well<P: Platform>() {
    let shared = ToyShared::<P>::new();
    let event_loop = EventLoop::<P>::with_selector("loop", ours(), Box::new(Toy { shared: Arc::clone(&shared) }));
    let run = Arc::new(P::Atomic::new(0_u32));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (event_loop, run) = (event_loop.clone(), Arc::clone(&run));
            let body = move || {
                for _ in 0..10 {
                    let run = Arc::clone(&run);
                    on_loop(&event_loop, move || assert!(run.fetch_add(1, Ordering::SeqCst) < 20));
                }
            };
            P::spawn("caller".to_string(), body).expect("threads are to be had")
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
    let timer = event_loop.schedule(MS(3), || ()).expect("it is open");
    until::<P>(|| timer.state() == millpond_model::event_loop::ScheduledState::Ended, "timers end a wait");
    // More than one pass: before the second the loop has work, and doesn't wait.
    let stall = Stall::hold(&event_loop).expect("it is open");
    stall.wait_until_reached();
    (0..100).for_each(|_| event_loop.execute_fn(|| ()).expect("it is open"));
    stall.release();
    on_loop(&event_loop, || ());
    end(&event_loop);
    assert_eq!((run.load(Ordering::SeqCst), event_loop.stats().tasks_abandoned), (20, 0));
    assert!(shared.selects.load(Ordering::SeqCst) > 0, "it waited");
    assert!(shared.polls.load(Ordering::SeqCst) > 0, "a busy loop looks without waiting");
}

/// What becomes ready wakes nobody by the loop's own flag: the wait itself gives the loop work.
fn a_selector_brings_work_by_itself<P: Platform>() {
    let shared = ToyShared::<P>::new();
    let event_loop = EventLoop::<P>::with_selector("loop", ours(), Box::new(Toy { shared: Arc::clone(&shared) }));
    on_loop(&event_loop, || ());
    for _ in 0..5 {
        let (done, this) = (Promise::<P>::untracked(), event_loop.clone());
        let told = done.clone();
        let event = move || {
            assert!(this.in_loop());
            this.execute_fn(move || assert!(told.complete(Ok(())))).expect("it is open");
        };
        shared.update(|state| state.ready.push(Box::new(event)));
        assert_eq!(done.wait(), Ok(()));
    }
    end(&event_loop);
    assert_eq!(event_loop.stats().tasks_run, 6);
}
