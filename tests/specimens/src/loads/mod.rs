//! Programs without a bug, on which testers are timed.
//!
//! **Invariant: what is counted is what the program does**: its operations on atomics, locks, condition variables and channels, and
//! its yields, by the program itself and in the same way for every tester, not what a tester takes for a step.

use super::facade;
use crate::Load;
use crate::count_points as count;
use facade::sync::atomic::AtomicUsize;
use facade::sync::{Condvar, Mutex, mpsc};
use facade::thread;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// All of them.
pub static ALL: &[Load] = &[
    Load {
        name: "W1",
        about: "two threads hand a turn over one atomic, 500 rounds, yield while waiting",
        run: hand_over,
    },
    Load { name: "W2", about: "4 threads x 1000 `fetch_add` on one atomic", run: || add(4, 1000) },
    Load { name: "W2b", about: "2 threads x 2000 `fetch_add` on one atomic", run: || add(2, 2000) },
    Load { name: "W3", about: "2 producers, 2 consumers, mutex + 2 condvars + mpsc, 400 items", run: bounded_queue },
    Load { name: "W5", about: "24 threads x 200 `fetch_add` on one atomic", run: || add(24, 200) },
    Load { name: "empty", about: "nothing", run: || count(1) },
    Load { name: "2 x 1", about: "2 threads x 1 operation", run: || add(2, 1) },
    Load { name: "3 x 10", about: "3 threads x 10 operations", run: || add(3, 10) },
    Load { name: "refcount 2", about: "2 threads clone and drop a counted reference", run: || references(2) },
    Load { name: "refcount 3", about: "3 threads clone and drop a counted reference", run: || references(3) },
    Load { name: "stack 2 x 2", about: "2 threads x (push, pop) x 2 on a Treiber stack", run: || stack(2, 2) },
    Load { name: "stack 3 x 1", about: "3 threads x (push, pop) on a Treiber stack", run: || stack(3, 1) },
    Load { name: "queue 2 x 2", about: "2 producers x 2 and a consumer on a linked queue", run: || queue(2) },
];

fn hand_over() {
    const ROUNDS: usize = 500;
    let turn = Arc::new(AtomicUsize::new(0));
    let player = |me: usize| {
        let turn = turn.clone();
        thread::spawn(move || {
            let mut points = 0;
            for _ in 0..ROUNDS {
                while turn.load(Acquire) != me {
                    thread::yield_now();
                    points += 2;
                }
                turn.store(1 - me, Release);
                points += 2;
            }
            count(points);
        })
    };
    let players = [player(0), player(1)];
    players.into_iter().for_each(|player| player.join().unwrap());
}

fn add(threads: usize, times: usize) {
    let sum = Arc::new(AtomicUsize::new(0));
    let adder = |_| {
        let sum = sum.clone();
        thread::spawn(move || {
            for _ in 0..times {
                sum.fetch_add(1, AcqRel);
            }
        })
    };
    let mut adders = [const { None }; 24];
    (0..threads).for_each(|i| adders[i] = Some(adder(i)));
    adders.into_iter().flatten().for_each(|adder| adder.join().unwrap());
    count((threads * times) as u64);
}

struct Bounded {
    items: Mutex<VecDeque<usize>>,
    not_full: Condvar,
    not_empty: Condvar,
}

fn bounded_queue() {
    const ROOM: usize = 8;
    const EACH: usize = 200;
    let queue = Bounded { items: Mutex::new(VecDeque::new()), not_full: Condvar::new(), not_empty: Condvar::new() };
    let queue = Arc::new(queue);
    let (send, receive) = mpsc::channel();
    let producer = |_| {
        let queue = queue.clone();
        thread::spawn(move || {
            let mut points = 0;
            for item in 0..EACH {
                let mut items = queue.items.lock().unwrap();
                while items.len() == ROOM {
                    items = queue.not_full.wait(items).unwrap();
                    points += 1;
                }
                items.push_back(item);
                drop(items);
                queue.not_empty.notify_one();
                points += 3;
            }
            count(points);
        })
    };
    let consumer = |send: mpsc::Sender<usize>| {
        let queue = queue.clone();
        thread::spawn(move || {
            let mut points = 0;
            for _ in 0..EACH {
                let mut items = queue.items.lock().unwrap();
                while items.is_empty() {
                    items = queue.not_empty.wait(items).unwrap();
                    points += 1;
                }
                let item = items.pop_front().unwrap();
                drop(items);
                queue.not_full.notify_one();
                send.send(item).unwrap();
                points += 4;
            }
            count(points);
        })
    };
    let threads = [producer(0), producer(1), consumer(send.clone()), consumer(send)];
    (0..2 * EACH).for_each(|_| {
        receive.recv().unwrap();
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    count(2 * EACH as u64);
}

fn references(threads: usize) {
    let shared = Arc::new(AtomicUsize::new(1));
    let holder = |_| {
        let shared = shared.clone();
        // The clone is made here, and dropped there.
        shared.fetch_add(1, Relaxed);
        thread::spawn(move || {
            shared.fetch_add(1, Relaxed);
            shared.fetch_sub(1, AcqRel);
            shared.fetch_sub(1, AcqRel);
        })
    };
    let holders: Vec<_> = (0..threads).map(holder).collect();
    holders.into_iter().for_each(|holder| holder.join().unwrap());
    assert_eq!(shared.fetch_sub(1, AcqRel), 1);
    count(4 * threads as u64 + 1);
}

struct Stack {
    head: AtomicUsize,
    next: [AtomicUsize; 7],
}

impl Stack {
    fn push(&self, node: usize) {
        let mut head = self.head.load(Relaxed);
        loop {
            self.next[node].store(head & 0xff, Relaxed);
            match self.head.compare_exchange(head, (head & !0xff) + 0x100 + node, AcqRel, Acquire) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn pop(&self) -> usize {
        let mut head = self.head.load(Acquire);
        loop {
            if head & 0xff == 0 {
                return 0;
            }
            let next = self.next[head & 0xff].load(Relaxed);
            match self.head.compare_exchange(head, (head & !0xff) + 0x100 + next, AcqRel, Acquire) {
                Ok(_) => return head & 0xff,
                Err(now) => head = now,
            }
        }
    }
}

fn stack(threads: usize, rounds: usize) {
    let next = [0; 7].map(AtomicUsize::new);
    let stack = Arc::new(Stack { head: AtomicUsize::new(0), next });
    let worker = |me: usize| {
        let stack = stack.clone();
        thread::spawn(move || {
            for round in 0..rounds {
                stack.push(1 + me * rounds + round);
                assert_ne!(stack.pop(), 0);
            }
        })
    };
    let workers: Vec<_> = (0..threads).map(worker).collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    count(1);
}

fn queue(producers: usize) {
    let head = Arc::new((AtomicUsize::new(0), [0; 7].map(AtomicUsize::new)));
    let producer = |me: usize| {
        let queue = head.clone();
        thread::spawn(move || {
            for node in [1 + 2 * me, 2 + 2 * me] {
                let before = queue.0.swap(node, AcqRel);
                queue.1[before].store(node, Release);
            }
        })
    };
    let threads: Vec<_> = (0..producers).map(producer).collect();
    let mut tail = 0;
    // As often as there are nodes: what isn't there yet is found at the end.
    for _ in 0..2 * producers {
        match head.1[tail].load(Acquire) {
            0 => {}
            next => tail = next,
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    while tail != head.0.load(Acquire) {
        tail = head.1[tail].load(Acquire);
    }
    count(1);
}
