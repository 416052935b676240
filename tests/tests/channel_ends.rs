//! The ends of channels, handlers and loops, where two of them come at once: each of these went wrong once.

mod write_path_support;

use millpond::engine::Sim;
use millpond_model::channel::{Channel, ChannelSetup, FillEncoder};
use millpond_model::event_loop::{EventLoop, LoopConfig};
use millpond_model::handler::{Context, DuplexHandler, HandlerError, Inbound, Outbound};
use millpond_model::message::Message;
use millpond_model::pipeline::Named;
use millpond_model::platform::{AtomicOps, JoinOps, Lock};
use millpond_model::promise::{Cause, Outcome, Promise};
use millpond_model::transport::LocalTransport;
use millpond_model::write_path::WritePathConfig;
use millpond_model::{Platform, Preset};
use millpond_tests::sim::{in_turn, random, to_the_end};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use write_path_support::{World, end};

type P = Sim;
/// What a handler does with its channel.
type Does = Box<dyn Fn(&Channel<P>) + Send>;
type Log = Arc<<P as Platform>::Mutex<Vec<String>>>;

fn log() -> Log {
    Arc::new(<P as Platform>::Mutex::new(Vec::new()))
}

fn event_loop(name: &str) -> EventLoop<P> {
    EventLoop::new(name, LoopConfig::from(Preset::Millpond))
}

struct Rec {
    log: Log,
    on_removed: Option<Does>,
}

impl Inbound<P> for Rec {
    fn read(&self, _: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        self.log.lock().push("read".into());
        message.release();
        Ok(())
    }
    fn inactive(&self, c: &dyn Context<P>) -> Result<(), HandlerError> {
        self.log.lock().push("inactive".into());
        c.fire_inactive();
        Ok(())
    }
    fn unregistered(&self, c: &dyn Context<P>) -> Result<(), HandlerError> {
        self.log.lock().push("unregistered".into());
        c.fire_unregistered();
        Ok(())
    }
    fn removed(&self, c: &dyn Context<P>) -> Result<(), HandlerError> {
        self.log.lock().push("removed".into());
        if let Some(f) = &self.on_removed {
            f(c.channel().unwrap());
        }
        Ok(())
    }
}

fn rec(name: &str, log: &Log) -> Named<P> {
    Named::inbound(name, Rec { log: Arc::clone(log), on_removed: None })
}

#[test]
fn a_business_handler_hears_of_the_end() {
    for options in random(50) {
        to_the_end(&options, || {
            let (log, business) = (log(), event_loop("business"));
            let world = World::<P>::with_handlers(Preset::Millpond, vec![rec("far", &log).on(&business)], |_| ());
            assert_eq!(world.close(), Ok(()));
            end(&world.event_loop);
            end(&business);
            end(&world.linger);
            assert_eq!(*log.lock(), ["inactive", "unregistered", "removed"], "far");
        });
    }
}

#[test]
fn a_close_while_it_is_being_registered() {
    for options in random(200) {
        to_the_end(&options, || {
            let world = Arc::new(World::<P>::unregistered(
                Preset::Millpond,
                event_loop("loop"),
                event_loop("linger"),
                Vec::new(),
                |_| (),
            ));
            let theirs = Arc::clone(&world);
            let t =
                P::spawn("registers".into(), move || theirs.channel.register(&theirs.event_loop, Promise::untracked()));
            let closed = Promise::<P>::untracked();
            world.channel.close(closed.clone());
            t.unwrap().join().unwrap();
            assert_eq!(closed.wait(), Ok(()));
            end(&world.event_loop);
            end(&world.linger);
        });
    }
}

#[test]
fn a_deregistered_channel_whose_loop_ended_can_be_closed() {
    to_the_end(&in_turn(), || {
        let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ());
        let waits = world.write("pending");
        world.settle();
        let p = Promise::new();
        world.channel.deregister(p.clone());
        assert_eq!(p.wait(), Ok(()));
        end(&world.event_loop);
        let closed = world.close();
        world.channel.close_forcibly();
        let outcome = (closed, waits.promise.outcome(), world.channel.is_open(), world.peer.is_closed());
        end(&world.linger);
        assert_eq!(outcome, (Ok(()), Some(Err(Cause::ClosedChannel)), false, true));
    });
}

#[test]
fn a_replacement_while_the_pipeline_is_destroyed() {
    to_the_end(&in_turn(), || {
        let log = log();
        let inner = Arc::clone(&log);
        let last = Rec {
            log: Arc::clone(&log),
            on_removed: Some(Box::new(move |channel| {
                let r = channel.pipeline().replace("first", rec("new", &inner));
                inner.lock().push(format!("{r:?}"));
            })),
        };
        let handlers = vec![rec("first", &log), Named::inbound("last", last)];
        let world = World::<P>::with_handlers(Preset::Millpond, handlers, |_| ());
        assert_eq!(world.close(), Ok(()));
        end(&world.event_loop);
        end(&world.linger);
        assert_eq!(world.channel.pipeline().names(), Vec::<String>::new(), "{:?}", log.lock().clone());
    });
}

#[test]
fn what_came_before_the_channel_is_read() {
    to_the_end(&in_turn(), || {
        let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ());
        let log = log();
        let (a, b) = LocalTransport::pair();
        let setup = |t, handlers| ChannelSetup {
            linger_executor: None,
            pools: Arc::clone(&world.pools),
            config: Arc::new(WritePathConfig::from(Preset::Millpond)),
            transport: Box::new(t),
            encoder: Box::new(FillEncoder(7)),
            handlers,
        };
        let a = Channel::open(&world.event_loop, setup(a, Vec::new())).expect("a");
        let p = Promise::new();
        let message = world
            .pools
            .buffers
            .allocate(8)
            .map(|mut b| {
                b.put_repeated(1, 8).unwrap();
                b
            })
            .unwrap();
        a.write_and_flush(message.into(), p.clone()).expect("new");
        assert_eq!(p.wait(), Ok(()));
        let b = Channel::open(&world.event_loop, setup(b, vec![rec("b", &log)])).expect("b");
        world.settle();
        let seen = log.lock().clone();
        let closed = [&a, &b].map(|c| {
            let p = Promise::new();
            c.close(p.clone());
            p.wait()
        });
        assert_eq!(closed, [Ok(()); 2]);
        end(&world.event_loop);
        end(&world.linger);
        assert_eq!(seen, ["read"]);
    });
}

#[test]
fn a_read_while_it_moves() {
    let options = in_turn();
    to_the_end(&options, || {
        let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ());
        let other = event_loop("other");
        let p = Promise::new();
        world.channel.deregister(p.clone());
        assert_eq!(p.wait(), Ok(()));
        drop(other.execute_fn(|| P::sleep(Duration::from_secs(1)))); // the new loop is busy
        let p = Promise::new();
        world.channel.register(&other, p.clone());
        world.channel.read();
        assert_eq!(p.wait(), Ok(()));
        let run = world.event_loop.stats().tasks_run;
        assert_eq!(world.close(), Ok(()));
        end(&world.event_loop);
        end(&other);
        assert!(run < 20, "tasks run: {run}");
        end(&world.linger);
    });
}

#[test]
fn a_connect_ends_with_a_forcible_close() {
    to_the_end(&in_turn(), || {
        let world = World::<P>::unconnected(event_loop("loop"), event_loop("linger"));
        let p = Promise::new();
        world.channel.register(&world.event_loop, p.clone());
        assert_eq!(p.wait(), Ok(()));
        let connect = Promise::<P>::untracked();
        world.channel.connect(connect.clone());
        world.channel.close_forcibly();
        world.settle();
        let outcome: Option<Outcome> = connect.outcome();
        end(&world.event_loop);
        end(&world.linger);
        assert_eq!(outcome, Some(Err(Cause::ClosedChannel)));
    });
}

struct Alone {
    inside: Arc<<P as Platform>::Atomic<u32>>,
}

static CLASHES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl Alone {
    fn checked(&self) {
        let id = P::current_id().0 + 1;
        let before = self.inside.swap(id, Ordering::SeqCst);
        let mut clash = before != 0;
        for _ in 0..3 {
            clash |= self.inside.load(Ordering::SeqCst) != id;
        }
        self.inside.store(0, Ordering::SeqCst);
        if clash {
            CLASHES.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Inbound<P> for Alone {
    fn inactive(&self, c: &dyn Context<P>) -> Result<(), HandlerError> {
        self.checked();
        c.fire_inactive();
        Ok(())
    }
    fn removed(&self, _: &dyn Context<P>) -> Result<(), HandlerError> {
        self.checked();
        Ok(())
    }
}

impl Outbound<P> for Alone {
    fn flush(&self, c: &dyn Context<P>) -> Result<(), HandlerError> {
        self.checked();
        c.flush();
        Ok(())
    }
}

#[test]
fn a_loop_thread_and_its_stand_in_call_one_handler() {
    for options in random(2000) {
        to_the_end(&options, || {
            let business = event_loop("business");
            let alone = Alone { inside: Arc::new(<P as Platform>::Atomic::new(0)) };
            let handlers = vec![Named::new("alone", DuplexHandler(alone)).on(&business)];
            let world = Arc::new(World::<P>::with_handlers(Preset::Millpond, handlers, |_| ()));
            let channel = world.channel.clone();
            business.terminated().add_listener(move |_| (0..3).for_each(|_| channel.flush()));
            business.shutdown_gracefully(Duration::ZERO, Duration::ZERO);
            world.peer.end(); // closes
            assert_eq!(world.channel.closed().wait(), Ok(()));
            end(&world.event_loop);
            business.join().expect("well");
            end(&world.linger);
        });
        assert_eq!(CLASHES.load(Ordering::Relaxed), 0, "two threads in one handler, seed {}", options.seed);
    }
}

#[test]
fn a_sure_task_of_a_loop_that_never_starts() {
    use millpond::engine::When;
    use millpond_model::observe::Fault;
    // The starts: loop, business (by the added), by the inactive, ..., by the shutdown.
    let faults = (2..=12).map(|n| (Fault::ThreadStartFails, When::Nth(n))).collect();
    to_the_end(&millpond::engine::Options { faults, ..in_turn() }, || {
        let (log, business) = (log(), event_loop("business"));
        let handlers = vec![rec("far", &log).on(&business), rec("near", &log)];
        let world = World::<P>::with_handlers(Preset::Millpond, handlers, |_| ());
        assert_eq!(world.close(), Ok(()));
        end(&world.event_loop);
        end(&business);
        end(&world.linger);
        assert_eq!(*log.lock(), ["inactive", "unregistered", "removed"], "near");
    });
}

#[test]
fn a_full_queue_and_a_flush() {
    to_the_end(&in_turn(), || {
        let config = LoopConfig { max_pending_tasks: Some(2), ..LoopConfig::from(Preset::Millpond) };
        let world = World::<P>::unregistered(
            Preset::Millpond,
            EventLoop::new("loop", config),
            event_loop("linger"),
            Vec::new(),
            |c| c.auto_read = false,
        );
        let p = Promise::new();
        world.channel.register(&world.event_loop, p.clone());
        assert_eq!(p.wait(), Ok(()));
        world.settle();
        let waits = world.write("x");
        world.settle();
        world.peer.send(b"y");
        drop(world.event_loop.execute_fn(|| P::sleep(Duration::from_secs(1))));
        P::sleep(Duration::from_millis(1)); // the loop is in it
        drop(world.event_loop.execute_fn(|| ()));
        drop(world.event_loop.execute_fn(|| ()));
        world.channel.flush();
        world.channel.read();
        P::sleep(Duration::from_secs(5));
        world.settle();
        let seen = (waits.promise.outcome(), world.peer.unread());
        assert_eq!(world.close(), Ok(()));
        end(&world.event_loop);
        end(&world.linger);
        assert_eq!(seen, (Some(Ok(())), 0));
    });
}

/// Asks its channel for its names when it is asked whether it is inbound.
struct Curious(Channel<P>);
impl millpond_model::handler::Handler<P> for Curious {
    fn inbound(&self) -> Option<&dyn Inbound<P>> {
        let _names = self.0.pipeline().names();
        None
    }
}

#[test]
fn user_code_under_the_lock_of_the_list() {
    to_the_end(&in_turn(), || {
        let world = World::<P>::with_handlers(Preset::Millpond, Vec::new(), |_| ());
        world.channel.pipeline().add_last(Named::new("curious", Curious(world.channel.clone()))).unwrap();
        assert_eq!(world.close(), Ok(()));
        end(&world.event_loop);
        end(&world.linger);
    });
}

#[test]
fn stand_ins_take_turns() {
    let mut stood_in = 0;
    for options in random(1500) {
        let execution = to_the_end(&options, || {
            let (log, business) = (log(), event_loop("business"));
            let handlers = (0..6).map(|i| rec(&format!("h{i}"), &log).on(&business)).collect();
            let world = Arc::new(World::<P>::with_handlers(Preset::Millpond, handlers, |_| ()));
            end(&business);
            let threads: Vec<_> = (0..3)
                .map(|i| {
                    let (world, business) = (Arc::clone(&world), business.clone());
                    P::spawn(format!("t{i}"), move || {
                        for k in 0..2 {
                            world.channel.pipeline().remove(&format!("h{}", 2 * i + k)).unwrap();
                            assert!(!business.in_loop(), "still stands in");
                        }
                    })
                    .unwrap()
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(log.lock().len(), 6);
            assert_eq!(world.close(), Ok(()));
            end(&world.event_loop);
            end(&world.linger);
        });
        stood_in += execution.reach_counts[millpond_model::observe::Reach::StoodIn as usize];
    }
    eprintln!("stood in {stood_in}");
}
