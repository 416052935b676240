//! The first page of a list is read before the list is locked.
//!
//! Between the two another thread takes the page's last element and unlinks it; the first one then allocates from a page that is
//! in no list (#4198, #12775). Finding: an element of an unlinked page.

use super::facade::sync::Mutex;
use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "subpage_outside_lock",
    history: "G7: Netty #4198, #12775",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

/// Pages 0 and 1, and how many elements each has left.
struct List {
    first: AtomicUsize,
    left: Mutex<[usize; 2]>,
}

fn allocate(list: &List, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    // The bug: the lock comes after what it protects.
    let early = list.first.load(Acquire);
    let mut left = list.left.lock().unwrap();
    let page = if twin { list.first.load(Acquire) } else { early };
    left[page] = left[page].checked_sub(1).expect("a page in the list has elements left");
    if left[page] == 0 {
        list.first.store(1, Release);
    }
    drop(left);
    noise.middle();
}

pub fn run(twin: bool, noise: usize) {
    let list = Arc::new(List { first: AtomicUsize::new(0), left: Mutex::new([1, 4]) });
    let a = go(&list, move |l| allocate(l, twin, noise));
    let b = go(&list, move |l| allocate(l, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
}
