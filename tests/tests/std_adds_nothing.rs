//! `Std` compiles to nothing: generic code on it has the machine code of a twin written by hand on `std`.
//!
//! The twins are compared byte for byte, from their first instruction to their last return. They call nothing, so that no
//! relative address can differ.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use millpond_model::observe::{Defect, Event, Reach};
use millpond_model::platform::{AtomicOps, CellOps, Platform, Std, StdAtomic, StdCell};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Machine code of `f` up to its `returns`-th return instruction.
///
/// The return of x86-64 is one byte, which may occur inside another instruction: then the code ends earlier, at the same
/// place in both twins if they are the same up to there, so that equality is still equality of a prefix. The twins here
/// are so short that the count is checked by hand in `twins_differ_when_they_differ`.
fn code(f: *const (), returns: usize) -> Vec<u8> {
    let (ret, width): (&[u8], usize) =
        if cfg!(target_arch = "x86_64") { (&[0xc3], 1) } else { (&[0xc0, 0x03, 0x5f, 0xd6], 4) };
    let mut bytes = Vec::new();
    let mut seen = 0;
    while seen < returns {
        assert!(bytes.len() < 512, "a twin is short");
        for _ in 0..width {
            // SAFETY: `f` points at a function that has not returned `returns` times before here, so that the byte is part of
            // its code, which is mapped readable.
            bytes.push(unsafe { f.cast::<u8>().add(bytes.len()).read() });
        }
        seen += usize::from(bytes.ends_with(ret));
    }
    bytes
}

/// A reference count's increment with everything that a checker would be told.
#[inline(never)]
fn retain_on<P: Platform>(count: &P::Atomic<u32>, ticket: P::Ticket) -> u32 {
    P::reach(Reach::PartialWrite);
    let before = count.fetch_add(2, Ordering::Relaxed);
    P::note(ticket, Event::Retained(before));
    P::boundary();
    before
}

#[inline(never)]
fn retain_by_hand(count: &AtomicU32, _ticket: ()) -> u32 {
    count.fetch_add(2, Ordering::Relaxed)
}

/// A try-pop of a one-slot cell behind a flag.
#[inline(never)]
fn take_on<P: Platform>(full: &P::Atomic<usize>, slot: &P::Cell<usize>) -> usize {
    if full.load(Ordering::Acquire) == 0 || P::planted(Defect::LostTask) {
        return usize::MAX;
    }
    // SAFETY: a test of machine code: never run on two threads.
    let value = slot.with(|p| unsafe { *p });
    full.store(0, Ordering::Release);
    value
}

#[inline(never)]
fn take_by_hand(full: &AtomicUsize, slot: &UnsafeCell<usize>) -> usize {
    if full.load(Ordering::Acquire) == 0 {
        return usize::MAX;
    }
    // SAFETY: as above.
    let value = unsafe { *slot.get() };
    full.store(0, Ordering::Release);
    value
}

/// A compare-exchange loop.
#[inline(never)]
fn claim_on<P: Platform>(word: &P::Atomic<usize>, room: usize) -> bool {
    let mut now = word.load(Ordering::Relaxed);
    while now >= room {
        match word.compare_exchange_weak(now, now.wrapping_sub(room), Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(found) => now = found,
        }
    }
    false
}

#[inline(never)]
fn claim_by_hand(word: &AtomicUsize, room: usize) -> bool {
    let mut now = word.load(Ordering::Relaxed);
    while now >= room {
        match word.compare_exchange_weak(now, now.wrapping_sub(room), Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(found) => now = found,
        }
    }
    false
}

fn address<F: Copy>(f: F, cast: impl FnOnce(F) -> *const ()) -> *const () {
    std::hint::black_box(cast(f))
}

#[test]
fn an_observed_increment_is_one_instruction() {
    let generic = address(retain_on::<Std> as fn(&StdAtomic<u32>, ()) -> u32, |f| f as *const ());
    let hand = address(retain_by_hand as fn(&AtomicU32, ()) -> u32, |f| f as *const ());
    assert_eq!(code(generic, 1), code(hand, 1));
}

#[test]
fn a_cell_behind_a_flag_costs_what_it_costs_by_hand() {
    let generic = address(take_on::<Std> as fn(&StdAtomic<usize>, &StdCell<usize>) -> usize, |f| f as *const ());
    let hand = address(take_by_hand as fn(&AtomicUsize, &UnsafeCell<usize>) -> usize, |f| f as *const ());
    assert_eq!(code(generic, 1), code(hand, 1));
}

#[test]
fn a_compare_exchange_loop_costs_what_it_costs_by_hand() {
    let generic = address(claim_on::<Std> as fn(&StdAtomic<usize>, usize) -> bool, |f| f as *const ());
    let hand = address(claim_by_hand as fn(&AtomicUsize, usize) -> bool, |f| f as *const ());
    assert_eq!(code(generic, 1), code(hand, 1));
}

#[test]
fn twins_differ_when_they_differ() {
    let take = address(take_by_hand as fn(&AtomicUsize, &UnsafeCell<usize>) -> usize, |f| f as *const ());
    let claim = address(claim_by_hand as fn(&AtomicUsize, usize) -> bool, |f| f as *const ());
    assert_ne!(code(take, 1), code(claim, 1));
}

#[test]
fn observation_takes_no_space() {
    assert_eq!(size_of::<<Std as Platform>::Id>(), 0);
    assert_eq!(size_of::<<Std as Platform>::Ticket>(), 0);
    assert_eq!(size_of::<StdAtomic<usize>>(), size_of::<usize>());
    assert_eq!(size_of::<StdCell<u32>>(), size_of::<u32>());
}
