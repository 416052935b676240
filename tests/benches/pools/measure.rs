//! How a pool is timed: on one thread, and across threads through rings.
//!
//! **Invariant: every source does the same work around its own**, so that the difference between two rows is the pool's.
//!
//! ```text
//!   same thread, depth d:   get x d, recycle x d, get x d, ...
//!   across threads:         producer: get, write a word ──ring──> consumer: read the word, recycle
//! ```

use std::cell::{Cell, UnsafeCell};
use std::hint::{black_box, spin_loop};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// Something that gives out objects; dropping one gives it back.
pub trait Source: Sync {
    /// An object in use.
    type Held<'a>: Send
    where
        Self: 'a;
    /// Takes one.
    fn get(&self) -> Self::Held<'_>;
    /// Its first word, if a user would touch it.
    fn word<'a, 'b>(held: &'b mut Self::Held<'a>) -> Option<&'b mut u64>
    where
        Self: 'a;
}

/// Operations of one sample on one thread.
const SAME: usize = 1 << 16;
/// Objects of one sample through each ring.
const CROSS: usize = 1 << 16;
/// Places of a ring: objects under way at most.
const RING: usize = 256;
/// Looks at a ring before the thread lets others run.
const SPINS: u32 = 200;

/// Nanoseconds of get + recycle, with `D` objects held at once.
pub fn same<S: Source, const D: usize>(source: &S) -> f64 {
    let mut held: [MaybeUninit<S::Held<'_>>; D] = [const { MaybeUninit::uninit() }; D];
    let mut pass = |times: usize| {
        for _ in 0..times {
            for (i, place) in held.iter_mut().enumerate() {
                let mut object = source.get();
                if let Some(word) = S::word(&mut object) {
                    *word = i as u64;
                }
                place.write(object);
            }
            black_box(&mut held);
            for place in &mut held {
                // SAFETY: the loop above has just filled every place, and each is emptied once.
                unsafe { place.assume_init_drop() };
            }
        }
    };
    pass(SAME / D / 8);
    let start = Instant::now();
    pass(SAME / D);
    start.elapsed().as_nanos() as f64 / (SAME / D * D) as f64
}

/// Nanoseconds an object of get, hand over and recycle, from so many producers to one consumer.
pub fn cross<S: Source>(source: &S, producers: usize) -> f64 {
    let rings: Vec<Ring<S::Held<'_>>> = (0..producers).map(|_| Ring::new()).collect();
    let ready = AtomicUsize::new(0);
    thread::scope(|scope| {
        for ring in &rings {
            let ready = &ready;
            scope.spawn(move || {
                ready.fetch_add(1, Ordering::AcqRel); // pairs with the Acquire below: all start together
                wait_until(|| ready.load(Ordering::Acquire) == producers);
                for i in 0..CROSS {
                    let mut object = source.get();
                    if let Some(word) = S::word(&mut object) {
                        *word = i as u64;
                    }
                    ring.push(object);
                }
            });
        }
        wait_until(|| ready.load(Ordering::Acquire) == producers);
        let start = Instant::now();
        let mut left = producers * CROSS;
        let mut sum = 0;
        while left > 0 {
            let before = left;
            for ring in &rings {
                while let Some(mut object) = ring.pop() {
                    sum += S::word(&mut object).map_or(0, |word| *word);
                    left -= 1;
                }
            }
            if left == before {
                spin_loop();
                if left.is_multiple_of(SPINS as usize) {
                    thread::yield_now();
                }
            }
        }
        black_box(sum);
        start.elapsed().as_nanos() as f64 / (producers * CROSS) as f64
    })
}

/// Nanoseconds that a cache line takes from one core to another: half a turn of a ping-pong.
pub fn transfer() -> f64 {
    const TURNS: usize = 1 << 12;
    let ball = Padded(AtomicUsize::new(0));
    let play = |odd: usize| {
        for turn in 0..TURNS {
            // Acquire and Release: the two sides pair with each other.
            while ball.0.load(Ordering::Acquire) != 2 * turn + odd {
                spin_loop();
            }
            ball.0.store(2 * turn + odd + 1, Ordering::Release);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| play(1));
        let start = Instant::now();
        play(0);
        start.elapsed().as_nanos() as f64 / (2 * TURNS) as f64
    })
}

/// Nanoseconds of `f`, called many times.
pub fn repeat(mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..SAME {
        f();
    }
    start.elapsed().as_nanos() as f64 / SAME as f64
}

fn wait_until(done: impl Fn() -> bool) {
    let mut spins = 0;
    while !done() {
        spin_loop();
        spins += 1;
        if spins % SPINS == 0 {
            thread::yield_now();
        }
    }
}

#[repr(align(128))]
struct Padded<T>(T);

/// One producer, one consumer; each looks at the other's index only when it must.
struct Ring<O> {
    places: Box<[UnsafeCell<MaybeUninit<O>>]>,
    tail: Padded<(AtomicUsize, Cell<usize>)>,
    head: Padded<(AtomicUsize, Cell<usize>)>,
}

// SAFETY: an object moves from the producer to the consumer. The cell beside `tail` is the producer's, that beside `head` the
// consumer's; `cross` has one of each for a ring.
unsafe impl<O: Send> Sync for Ring<O> {}

impl<O> Ring<O> {
    fn new() -> Self {
        let index = || Padded((AtomicUsize::new(0), Cell::new(0)));
        Self {
            places: (0..RING).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
            tail: index(),
            head: index(),
        }
    }

    fn push(&self, object: O) {
        let (tail, seen) = &self.tail.0;
        let at = tail.load(Ordering::Relaxed);
        if at - seen.get() == RING {
            // Acquire: pairs with the Release in `pop`; the place is empty.
            wait_until(|| at - self.head.0.0.load(Ordering::Acquire) < RING);
            seen.set(self.head.0.0.load(Ordering::Acquire));
        }
        // SAFETY: the place is empty and the producer's.
        unsafe { (*self.places[at % RING].get()).write(object) };
        tail.store(at + 1, Ordering::Release); // pairs with the Acquire in `pop`
    }

    fn pop(&self) -> Option<O> {
        let (head, seen) = &self.head.0;
        let at = head.load(Ordering::Relaxed);
        if at == seen.get() {
            seen.set(self.tail.0.0.load(Ordering::Acquire)); // pairs with the Release in `push`
            if at == seen.get() {
                return None;
            }
        }
        // SAFETY: the place is filled, and emptied once.
        let object = unsafe { (*self.places[at % RING].get()).assume_init_read() };
        head.store(at + 1, Ordering::Release); // pairs with the Acquire in `push`
        Some(object)
    }
}
