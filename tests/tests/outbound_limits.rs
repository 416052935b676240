//! The numbers of the outbound side: writability bits, what is gathered, and the order of what is written.

mod write_path_support;

use millpond_model::channel::{FillEncoder, WritabilityIndex};
use millpond_model::event_loop::Stall;
use millpond_model::message::Message;
use millpond_model::platform::{JoinOps, Lock};
use millpond_model::promise::Promise;
use millpond_model::transport::{MemoryTransport, Readiness, Transport, WriteOutcome};
use millpond_model::write_path::WritePathConfig;
use millpond_model::{Platform, Preset};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use write_path_support::{Heard, World, assert_in_order};

on_both!(
    a_program_has_bits_of_its_own,
    a_bit_and_the_water_marks,
    bits_from_several_threads,
    gathered_bytes_follow_the_transport,
    gathered_bytes_begin_with_the_send_buffer,
    all_is_gathered_again_and_again_before_4_1_18,
    order_of_each_thread_is_kept,
);

fn changes<P: Platform>(world: &World<P>) -> Vec<bool> {
    let heard = world.heard.lock();
    heard.iter().filter_map(|h| if let Heard::Writable(w) = h { Some(*w) } else { None }).collect()
}

fn a_program_has_bits_of_its_own<P: Platform>() {
    let world = Arc::new(World::<P>::new(Preset::Millpond, 0));
    world.settle();
    for index in [0, 32, u32::MAX] {
        assert_eq!(world.channel.set_user_writability(index, false), Err(WritabilityIndex(index)));
        assert_eq!(world.channel.user_writability(index), Err(WritabilityIndex(index)));
    }
    let inner = Arc::clone(&world);
    world.on_loop(move || {
        let channel = &inner.channel;
        channel.set_user_writability(1, true).expect("it is one of ours");
        assert!(channel.is_writable());
        for index in [1, 31, 1] {
            channel.set_user_writability(index, false).expect("it is one of ours");
            assert_eq!((channel.is_writable(), channel.user_writability(index)), (false, Ok(false)));
        }
        assert_eq!((channel.user_writability(2), channel.bytes_before_unwritable()), (Ok(true), 0));
        assert!(changes(&inner).is_empty(), "it is told later, also on the loop");
    });
    world.settle();
    assert_eq!(changes(&world), [false], "the first bit");
    world.channel.set_user_writability(1, true).expect("it is one of ours");
    world.settle();
    assert_eq!((changes(&world).len(), world.channel.is_writable()), (1, false), "one is left");
    world.channel.set_user_writability(31, true).expect("it is one of ours");
    world.settle();
    assert_eq!((changes(&world), world.channel.is_writable()), (vec![false, true], true));
    assert_eq!(world.close(), Ok(()));
    world.channel.set_user_writability(3, false).expect("it is one of ours");
    world.settle();
    assert_eq!(changes(&world).len(), 2, "a closed channel tells nobody");
    world.shut_down();
}

fn a_bit_and_the_water_marks<P: Platform>() {
    let config = WritePathConfig { high_water_mark: 300, low_water_mark: 200, ..Preset::Millpond.into() };
    let (transport, peer) = MemoryTransport::pair(0);
    let world = World::<P>::configured(Preset::Millpond, config, transport, peer, Vec::new());
    world.settle();
    world.channel.set_user_writability(7, false).expect("it is one of ours");
    // 3 x 106 bytes are above the high mark.
    let written = [world.write("0123456789"), world.write("0123456789"), world.write_and_flush("0123456789")];
    world.settle();
    assert_eq!(changes(&world), [false], "the second reason is told to nobody");
    world.channel.set_user_writability(7, true).expect("it is one of ours");
    world.settle();
    assert_eq!((changes(&world).len(), world.channel.is_writable()), (1, false));
    world.channel.set_user_writability(7, false).expect("it is one of ours");
    world.peer.open_window(100);
    written.iter().for_each(|w| w.assert_ended(Ok(())));
    world.settle();
    assert_eq!((changes(&world).len(), world.channel.is_writable()), (1, false), "below the low mark");
    world.channel.set_user_writability(7, true).expect("it is one of ours");
    world.settle();
    assert_eq!((changes(&world), world.channel.is_writable()), (vec![false, true], true));
    world.assert_clean();
    world.shut_down();
}

/// Whatever the race, a loss of writability and its return take turns.
fn bits_from_several_threads<P: Platform>() {
    let world = Arc::new(World::<P>::new(Preset::Millpond, 0));
    world.settle();
    let threads: Vec<_> = (1..=3)
        .map(|index| {
            let world = Arc::clone(&world);
            let body = move || {
                for is_writable in [false, true, false, true] {
                    world.channel.set_user_writability(index, is_writable).expect("it is one of ours");
                }
            };
            P::spawn(format!("bit {index}"), body).expect("threads are to be had")
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    world.settle();
    assert!(world.channel.is_writable());
    let stats = world.channel.stats();
    assert_eq!(stats.became_unwritable, stats.became_writable);
    assert!((1..=6).contains(&stats.became_writable), "{stats:?}");
    let changes = changes(&world);
    assert_eq!(changes.len() as u64, 2 * stats.became_writable, "each is told");
    assert_eq!(changes.last(), Some(&true), "the last one when all is over");
    world.shut_down();
}

type Offers = Vec<(usize, usize)>;

/// Takes as many bytes as it is told to, call by call, then everything; remembers buffers and bytes offered.
struct Scripted<P: Platform> {
    takes: VecDeque<usize>,
    send_buffer: Option<usize>,
    offers: Arc<P::Mutex<Offers>>,
}

impl<P: Platform> Transport<P> for Scripted<P> {
    fn open(&mut self, _readiness: Readiness<P>) {}
    fn send_buffer(&self) -> Option<usize> {
        self.send_buffer
    }
    fn write(&mut self, chunks: &[&[u8]]) -> WriteOutcome {
        let offered = chunks.iter().map(|chunk| chunk.len()).sum();
        self.offers.lock().push((chunks.len(), offered));
        WriteOutcome::Wrote(self.takes.pop_front().unwrap_or(usize::MAX).min(offered))
    }
    fn linger(&self) -> Option<Duration> {
        None
    }
    fn close(&mut self) {}
}

/// Flushes `n` messages of `size` bytes at once.
fn offers<P: Platform>(preset: Preset, send_buffer: Option<usize>, takes: &[usize], n: usize, size: usize) -> Offers {
    let offers = Arc::new(P::Mutex::new(Vec::new()));
    let takes = takes.iter().copied().collect();
    let transport = Box::new(Scripted::<P> { takes, send_buffer, offers: Arc::clone(&offers) });
    let (world, _) = World::over(preset, preset.into(), transport, Box::new(FillEncoder(0)), None);
    world.settle();
    let stall = Stall::hold(&world.event_loop).expect("it is open");
    stall.wait_until_reached();
    let written: Vec<_> = (0..n).map(|_| world.write(&"x".repeat(size))).collect();
    world.channel.flush();
    stall.release();
    written.iter().for_each(|w| w.assert_ended(Ok(())));
    world.settle();
    world.assert_clean();
    let gathered: usize = offers.lock().iter().map(|(buffers, _)| buffers).sum();
    assert_eq!(world.channel.stats().gathered, gathered as u64);
    world.shut_down();
    core::mem::take(&mut *offers.lock())
}

/// Netty's `adjustMaxBytesPerGatheringWrite`.
fn gathered_bytes_follow_the_transport<P: Platform>() {
    // Less than half of more than 4,096 bytes taken: half as much is gathered. Then 2,900 + 3,000 bytes are at most 6,000.
    let offered = offers::<P>(Preset::Netty4_1_38, Some(6000), &[100], 4, 3000);
    assert_eq!(offered, [(4, 12_000), (2, 5900), (2, 6000)]);
    // Exactly half isn't less.
    let offered = offers::<P>(Preset::Millpond, Some(6000), &[6000], 8, 3000);
    assert_eq!(offered, [(4, 12_000), (4, 12_000), (2, 6000)]);
    // 4,096 bytes aren't more.
    let offered = offers::<P>(Preset::Millpond, None, &[1], 4, 1024);
    assert_eq!(offered, [(4, 4096), (4, 4095)]);
    // Before 4.1.18 nothing was adjusted.
    let offered = offers::<P>(Preset::Netty4_1_8, Some(6000), &[100], 4, 3000);
    assert_eq!(offered, [(4, 12_000), (4, 11_900)]);
}

fn gathered_bytes_begin_with_the_send_buffer<P: Platform>() {
    // 16 bytes at first, but one buffer always goes; twice what was taken then: 10, 20, 40.
    let offered = offers::<P>(Preset::Millpond, Some(8), &[], 8, 10);
    assert_eq!(offered, [(1, 10), (2, 20), (4, 40), (1, 10)]);
    let offered = offers::<P>(Preset::Millpond, Some(1), &[], 2, 10);
    assert_eq!(offered, [(1, 10), (1, 10)], "more than the limit goes alone");
    let offered = offers::<P>(Preset::Millpond, None, &[], 8, 10);
    assert_eq!(offered, [(8, 80)], "where the transport says nothing, there is no limit");
}

/// Buffers gathered until `n` messages are out, one at each opening of the window.
fn gathered<P: Platform>(config: WritePathConfig, n: u64) -> u64 {
    let (transport, peer) = MemoryTransport::pair(0);
    let world = World::<P>::configured(Preset::Millpond, config, transport, peer, Vec::new());
    world.settle();
    let stall = Stall::hold(&world.event_loop).expect("it is open");
    stall.wait_until_reached();
    let written: Vec<_> = (0..n).map(|_| world.write("0123456789")).collect();
    world.channel.flush();
    stall.release();
    world.settle();
    for written in &written {
        world.peer.open_window(10);
        written.assert_ended(Ok(()));
        world.settle();
    }
    world.assert_clean();
    world.shut_down();
    world.channel.stats().gathered
}

/// B20 (grpc-java #1674): the work for a backlog of n messages grows as its square where each write gathers all.
fn all_is_gathered_again_and_again_before_4_1_18<P: Platform>() {
    let old = WritePathConfig::from(Preset::Netty4_1_8);
    assert_eq!((old.max_gather, old.adaptive_gather), (u32::MAX, false));
    let new = WritePathConfig { max_gather: 4, ..Preset::Millpond.into() };
    // Each opening gathers what is left, and once more to find the window closed.
    for n in [8, 16] {
        assert_eq!(gathered::<P>(old.clone(), n), n + n * (n + 1) / 2 + n * (n - 1) / 2);
        let bounded = |left: u64| left.min(4);
        let openings: u64 = (1..=n).map(|left| bounded(left) + bounded(left - 1)).sum();
        assert_eq!(gathered::<P>(new.clone(), n), 4 + openings);
    }
}

/// INV-W7: also what a listener writes on the loop is in order, among itself.
fn order_of_each_thread_is_kept<P: Platform>() {
    const EACH: u8 = 20;
    let world = Arc::new(World::<P>::new(Preset::Millpond, 7));
    world.peer.keep_bytes();
    let again = Arc::new(P::Mutex::new(0_u8));
    let threads: Vec<_> = (1..=2_u8)
        .map(|thread| {
            let (world, again) = (Arc::clone(&world), Arc::clone(&again));
            let body = move || {
                for n in 0..EACH {
                    let promise = Promise::new();
                    let (inner, again) = (Arc::clone(&world), Arc::clone(&again));
                    promise.add_listener(move |_| {
                        let next = {
                            let mut next = again.lock();
                            *next += 1;
                            *next - 1
                        };
                        send(&inner, [0, next], Promise::new(), next.is_multiple_of(2));
                    });
                    send(&world, [thread, n], promise, n.is_multiple_of(3));
                }
            };
            P::spawn(format!("writer {thread}"), body).expect("threads are to be had")
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
    // What a listener writes without a flush waits for this.
    while world.peer.received() < 8 * u64::from(EACH) {
        world.peer.open_window(5);
        world.channel.flush();
        world.settle();
    }
    assert_in_order(&world.peer.take_bytes(), [2 * EACH, EACH, EACH]);
    world.settle();
    world.assert_clean();
    world.shut_down();
}

fn send<P: Platform>(world: &World<P>, pair: [u8; 2], promise: Promise<P>, flush: bool) {
    let mut buffer = world.pools.buffers.allocate(2).expect("there is memory");
    buffer.put(&pair).expect("there is room");
    let message = Message::Buffer(buffer);
    let sent =
        if flush { world.channel.write_and_flush(message, promise) } else { world.channel.write(message, promise) };
    sent.expect("the promise is new");
}
