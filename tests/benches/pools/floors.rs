//! What the hardware takes at least: the rows that the targets are multiples of.

use crate::measure::Source;
use std::cell::Cell;
use std::ptr;

/// 64 bytes, as pooled in every row of objects.
#[derive(Default)]
pub struct Object(pub [u64; 8]);

struct Listed {
    next: Cell<*mut Listed>,
    object: Object,
}

thread_local! {
    static FREE: Cell<*mut Listed> = const { Cell::new(ptr::null_mut()) };
    static LINE: Cell<usize> = const { Cell::new(0) };
}

/// A free list through the objects themselves, in a thread-local variable: no owner, no bound, no guard, no statistics.
pub struct FreeList;

/// Goes back to the list of the thread that drops it.
pub struct FromList(*mut Listed);

// SAFETY: an exclusive pointer to plain words.
unsafe impl Send for FromList {}

impl Source for FreeList {
    type Held<'a> = FromList;

    #[inline]
    fn get(&self) -> FromList {
        let first = FREE.get();
        if first.is_null() {
            return FromList(Box::into_raw(Box::new(Listed {
                next: Cell::new(ptr::null_mut()),
                object: Object::default(),
            })));
        }
        // SAFETY: what is in the list lives and is the thread's.
        FREE.set(unsafe { (*first).next.get() });
        FromList(first)
    }

    #[inline]
    fn word<'a, 'b>(held: &'b mut FromList) -> Option<&'b mut u64>
    where
        Self: 'a,
    {
        // SAFETY: it lives, and `held` is the only way to it.
        Some(unsafe { &mut (*held.0).object.0[0] })
    }
}

impl Drop for FromList {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: it lives and is ours.
        unsafe { (*self.0).next.set(FREE.get()) };
        FREE.set(self.0);
    }
}

/// The same list behind a pointer, as that of any pool of which a thread has several: its head is not at an address that the
/// processor knows beforehand, so that each operation waits for the store of the one before.
pub struct PointedList;

/// Goes back to the list of the thread that drops it.
pub struct FromPointed(*mut Listed);

// SAFETY: an exclusive pointer to plain words.
unsafe impl Send for FromPointed {}

thread_local! {
    static POINTED: Cell<*const Cell<*mut Listed>> = const { Cell::new(ptr::null()) };
}

#[inline]
fn pointed<'a>() -> &'a Cell<*mut Listed> {
    let head = POINTED.get();
    if head.is_null() {
        POINTED.set(Box::into_raw(Box::new(Cell::new(ptr::null_mut()))));
        return pointed();
    }
    // SAFETY: it is never freed.
    unsafe { &*head }
}

impl Source for PointedList {
    type Held<'a> = FromPointed;

    #[inline]
    fn get(&self) -> FromPointed {
        let list = pointed();
        let first = list.get();
        if first.is_null() {
            return FromPointed(Box::into_raw(Box::new(Listed {
                next: Cell::new(ptr::null_mut()),
                object: Object::default(),
            })));
        }
        // SAFETY: what is in the list lives and is the thread's.
        list.set(unsafe { (*first).next.get() });
        FromPointed(first)
    }

    #[inline]
    fn word<'a, 'b>(held: &'b mut FromPointed) -> Option<&'b mut u64>
    where
        Self: 'a,
    {
        // SAFETY: it lives, and `held` is the only way to it.
        Some(unsafe { &mut (*held.0).object.0[0] })
    }
}

impl Drop for FromPointed {
    #[inline]
    fn drop(&mut self) {
        let list = pointed();
        // SAFETY: it lives and is ours.
        unsafe { (*self.0).next.set(list.get()) };
        list.set(self.0);
    }
}

/// Lines that each producer uses in turn, more than a ring has places: nothing is given back.
pub struct Lines(Box<[Line]>);

#[repr(align(64))]
struct Line(Object);

const LINES: usize = 512;
const PRODUCERS: usize = 4;

/// One line.
pub struct InLine(*mut Object);

// SAFETY: an exclusive pointer to plain words: a line is used again when its ring has gone round, so that the consumer is done.
unsafe impl Send for InLine {}
// SAFETY: as above; `get` gives each thread lines of its own.
unsafe impl Sync for Lines {}

impl Lines {
    pub fn new() -> Self {
        Self((0..LINES * PRODUCERS).map(|_| Line(Object::default())).collect())
    }
}

impl Source for Lines {
    type Held<'a> = InLine;

    #[inline]
    fn get(&self) -> InLine {
        let at = LINE.get();
        if at == 0 {
            let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed); // Relaxed: only a number
            LINE.set(id % PRODUCERS * LINES + 1);
            return self.get();
        }
        let (base, place) = ((at - 1) / LINES * LINES, (at - 1) % LINES);
        LINE.set(base + (place + 1) % LINES + 1);
        InLine((&raw const self.0[base + place].0).cast_mut())
    }

    #[inline]
    fn word<'a, 'b>(held: &'b mut InLine) -> Option<&'b mut u64>
    where
        Self: 'a,
    {
        // SAFETY: see `InLine`.
        Some(unsafe { &mut (*held.0).0[0] })
    }
}

static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
