//! Random litmus programs.

use super::program::{Op, PLAIN, Place, Program};
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

/// A program of two or three threads with at most `most` operations; `below(n)` draws.
pub fn program(most: u32, below: &mut dyn FnMut(u32) -> u32) -> Program {
    let count = 2 + below(2) as usize;
    let mut threads = vec![Vec::new(); count];
    let has_plain = below(3) == 0;
    // Much of one kind of ordering, or of everything.
    let taste = below(4);
    let total = (3 + below(most - 2)).min(most);
    for i in 0..total {
        let t = if (i as usize) < count { i as usize } else { below(count as u32) as usize };
        threads[t].push(op(has_plain, taste, below));
    }
    Program { threads, finals: true }
}

fn order(of: &[Ordering], taste: u32, below: &mut dyn FnMut(u32) -> u32) -> Ordering {
    let wanted = match taste {
        0 => Some(SeqCst),
        1 => Some(Relaxed),
        _ => None,
    };
    match wanted {
        Some(wanted) if of.contains(&wanted) && below(2) == 0 => wanted,
        _ => of[below(of.len() as u32) as usize],
    }
}

fn op(has_plain: bool, taste: u32, below: &mut dyn FnMut(u32) -> u32) -> Op {
    const LOADS: [Ordering; 3] = [Relaxed, Acquire, SeqCst];
    const STORES: [Ordering; 3] = [Relaxed, Release, SeqCst];
    const UPDATES: [Ordering; 5] = [Relaxed, Acquire, Release, AcqRel, SeqCst];
    let place = below(2) as Place;
    let value = u64::from(1 + below(2));
    match below(if has_plain { 16 } else { 14 }) {
        0..=3 => Op::Load(place, order(&LOADS, taste, below)),
        4..=7 => Op::Store(place, value, order(&STORES, taste, below)),
        8 | 9 => Op::Fence(order(&UPDATES[1..], taste, below)),
        10 => Op::Add(place, value, order(&UPDATES, taste, below)),
        11 => Op::Swap(place, value, order(&UPDATES, taste, below)),
        12 => {
            let (success, failure) = (order(&UPDATES, taste, below), order(&LOADS, taste, below));
            Op::Cas(place, u64::from(below(2)), value, success, failure, below(2) == 0)
        }
        13 if has_plain => Op::Until(u64::from(below(2))),
        13 => Op::StoreLast(place, order(&STORES, taste, below)),
        14 => Op::Read(PLAIN),
        _ => Op::Write(PLAIN, value),
    }
}
