//! What is pooled: everything of a buffer but its bytes.
//!
//! **Invariant: `content` changes only under an exclusive pin, or when the count says that the life is over; `life` only when
//! there is no handle.** And a shell is freed or reused only when there is no handle.
//!
//! ```text
//!   Buffer ──┐   Shell                                Memory
//!   Buffer ──┼─> count   [handles|pins|count]         ┌───────────────┐
//!   Buffer ──┘   content  Memory ───────────────────> │ bytes         │
//!                life     max capacity, home ──> pool └───────────────┘
//!                  ^
//!                  │ a handle and a count of the direct parent, a handle of the root
//!   Buffer ────> Shell   content  Derived
//! ```
//!
//! Netty's order at the end of a life is kept: the memory goes back, then the shell; a derived shell goes back before it
//! releases its parent. Ends follow each other in a loop, so that a long chain of derived buffers takes no stack.

mod late_parent;

use super::Buffer;
use super::composite::Components;
use crate::Platform;
use crate::allocator::MillpondBlock;
use crate::allocator::pooled::CacheHold;
use crate::allocator::{AllocatorConfig, Common, LeakedMemory};
use crate::leak::{Detector, Tracker};
use crate::memory::Memory;
use crate::observe::{Defect, Event, Kind};
use crate::platform::{AtomicOps, CellOps};
use crate::recycler::Pooled;
use crate::refcnt::{Count, End, IllegalCount, Leave, Release};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

/// What kind of object a shell is: each has a recycler of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ShellClass {
    /// Of a buffer with memory in the direct area.
    Direct,
    /// Of a buffer with memory in the heap area.
    Heap,
    /// Of a retained slice.
    Slice,
    /// Of a retained duplicate.
    Duplicate,
    /// Of a composite: never pooled.
    Composite,
}

impl ShellClass {
    /// Whether it has memory of its own, or components.
    pub(super) fn is_root(self) -> bool {
        matches!(self, Self::Direct | Self::Heap | Self::Composite)
    }
}

pub(super) enum Content<P: Platform> {
    /// Dead.
    Nothing,
    /// Dead, and holding on to where its memory was from, as Netty's shells did to 4.1.82.
    Holding { _hold: CacheHold<P> },
    /// A root: it has the bytes.
    Memory(Memory<P>),
    /// It shares the bytes of `root`, and owns one count of `parent`, which may be the same.
    Derived { parent: Buffer<P>, root: Option<Buffer<P>> },
    /// It owns one count of each of these.
    Composite(Box<Components<P>>),
}

/// What stays the same during a life.
struct Life<P: Platform> {
    ticket: Option<P::Ticket>,
    max_capacity: u32,
    /// Closed at the end of the life, and dropped before the shell is reused: if it wasn't closed, that is a leak.
    tracker: Option<Box<Tracker<P>>>,
    /// The right to recycle the shell, kept here meanwhile. A shell without one is freed.
    home: Option<Pooled<ShellBox<P>, P>>,
}

/// See the [module](self).
pub(crate) struct Shell<P: Platform> {
    pub(super) count: Count<P>,
    /// Of a root: bytes from its start that may be used. Changes as `content` does.
    pub(super) capacity: P::Atomic<u32>,
    pub(super) content: P::Cell<Content<P>>,
    life: P::Cell<Life<P>>,
    id: P::Id,
    pub(super) class: ShellClass,
    pub(super) serial: u32,
    leaked: LeakedMemory,
    /// Of a root: where its relatives come from. `None`: it has no allocator.
    pub(super) common: Option<Arc<Common<P>>>,
}

// SAFETY: what is in the cells (memory, buffers, a `Pooled` of a `Send` type) may move between threads. `life` is written
// only by the one who has the shell from its recycler, or who gave the last handle up, and read only by holders of handles;
// `content` is written only under an exclusive pin and by the one whom `count` told to deallocate, and read only under a pin;
// `count` orders all of these (see `RefCount::change`).
unsafe impl<P: Platform> Send for Shell<P> {}
// SAFETY: as above.
unsafe impl<P: Platform> Sync for Shell<P> {}

/// What a pool holds: a shell of its own.
pub(crate) struct ShellBox<P: Platform>(NonNull<Shell<P>>);

// SAFETY: the shell is owned, and `Send`.
unsafe impl<P: Platform> Send for ShellBox<P> {}

impl<P: Platform> ShellBox<P> {
    pub(crate) fn new(class: ShellClass, serial: u32, rules: &AllocatorConfig, common: Option<Arc<Common<P>>>) -> Self {
        let life = Life { ticket: None, max_capacity: 0, tracker: None, home: None };
        // Not a `Box`: a planted defect holds on to it.
        let shell = Arc::new(Shell {
            count: Count::new(rules.scheme),
            capacity: P::Atomic::new(0),
            content: P::Cell::new(Content::Nothing),
            life: P::Cell::new(life),
            id: P::identify(Kind::Buffer),
            class,
            serial,
            leaked: rules.leaked,
            common,
        });
        let shell = Arc::into_raw(shell).cast_mut();
        Self(NonNull::new(shell).unwrap_or_else(|| unreachable!("an `Arc` is somewhere")))
    }

    /// The shell's number.
    pub(crate) fn serial(&self) -> i64 {
        // SAFETY: the shell lives as long as its box, and its number never changes.
        unsafe { self.0.as_ref() }.serial.into()
    }
}

impl<P: Platform> Drop for ShellBox<P> {
    fn drop(&mut self) {
        // SAFETY: it came from an `Arc`. A pool has only shells without handles, so that nobody else refers to it.
        drop(unsafe { Arc::from_raw(self.0.as_ptr()) });
    }
}

impl<P: Platform> Drop for Shell<P> {
    fn drop(&mut self) {
        debug_assert!(
            P::unwinding() || matches!(self.content.get_mut(), Content::Nothing | Content::Holding { .. }),
            "a live buffer has its shell"
        );
        P::destroyed(self.id);
    }
}

/// What an ended buffer had of others.
enum Held<P: Platform> {
    /// A handle, and whether a count is to be released, too.
    One { shell: NonNull<Shell<P>>, release: bool },
    /// The same of each component.
    Components { components: Box<Components<P>>, release: bool },
}

impl<P: Platform> Shell<P> {
    /// Starts a life in a shell that came from its pool, with one handle and a count of one.
    #[inline(always)]
    pub(super) fn begin(
        home: Pooled<ShellBox<P>, P>,
        content: Content<P>,
        capacity: u32,
        max_capacity: u32,
        tracker: Option<Tracker<P>>,
    ) -> NonNull<Self> {
        let shell = home.0;
        // SAFETY: `home` has the shell for itself, and puts it into a pool only after this life.
        unsafe { Self::start(shell, Some(home), || content, capacity, max_capacity, tracker) };
        shell
    }

    /// As `begin`, of a root.
    pub(crate) fn begin_root(
        home: Pooled<ShellBox<P>, P>,
        memory: Memory<P>,
        capacity: u32,
        max_capacity: u32,
        tracker: Option<Tracker<P>>,
    ) -> NonNull<Self> {
        Self::begin(home, Content::Memory(memory), capacity, max_capacity, tracker)
    }

    /// As `begin`, untracked, in a block of our own backend; the content is written where it stays.
    #[inline(always)]
    pub(crate) fn begin_in(
        home: Pooled<ShellBox<P>, P>,
        block: MillpondBlock<P>,
        capacity: u32,
        max_capacity: u32,
    ) -> NonNull<Self> {
        let shell = home.0;
        let content = || Content::Memory(Memory::Millpond(block));
        // SAFETY: as in `begin`.
        unsafe { Self::start(shell, Some(home), content, capacity, max_capacity, None) };
        shell
    }

    /// As `begin`, in a shell that has no pool: it is freed after this life. If it has an allocator, that decides whether it is
    /// tracked.
    #[track_caller]
    pub(super) fn begin_alone(
        shell: ShellBox<P>,
        content: Content<P>,
        capacity: u32,
        max_capacity: u32,
        tracker: Option<Tracker<P>>,
    ) -> NonNull<Self> {
        let shell = ManuallyDrop::new(shell).0;
        // SAFETY: the shell is new, and freed by `finish` only.
        unsafe { Self::start(shell, None, || content, capacity, max_capacity, tracker) };
        shell
    }

    /// # Safety
    /// Nobody refers to the shell but the caller, or `home`; it has neither tracker nor home.
    #[inline(always)]
    unsafe fn start(
        shell: NonNull<Self>,
        home: Option<Pooled<ShellBox<P>, P>>,
        content: impl FnOnce() -> Content<P>,
        capacity: u32,
        max_capacity: u32,
        tracker: Option<Tracker<P>>,
    ) {
        // SAFETY: by the contract of this function; it stays until the life is over.
        let this = unsafe { shell.as_ref() };
        this.capacity.store(capacity, Relaxed); // published by `revive`
        let ticket = Some(P::obtained(this.id));
        // SAFETY: nobody has a handle yet, so that nobody is in the cell.
        this.content.with_mut(|c| unsafe {
            if !matches!(*c, Content::Nothing) {
                c.drop_in_place();
            }
            c.write(content()); // not assigned: it is long, and would be looked through again
        });
        // SAFETY: as above; what is overwritten is empty.
        this.life.with_mut(|l| unsafe { l.write(Life { ticket, max_capacity, tracker: tracker.map(Box::new), home }) });
        this.count.revive();
    }

    /// The period of ownership. For holders of a handle.
    pub(super) fn ticket(&self) -> P::Ticket {
        // SAFETY: the caller has a handle, so that the cell is only read.
        self.life.with(|l| unsafe { (*l).ticket }).expect("a life has a ticket")
    }

    /// For holders of a handle.
    pub(super) fn max_capacity(&self) -> u32 {
        // SAFETY: the caller has a handle, so that the cell is only read.
        self.life.with(|l| unsafe { (*l).max_capacity })
    }

    /// What watches this life. For holders of a handle, which they keep meanwhile.
    #[inline]
    pub(super) fn tracker(&self) -> Option<&Tracker<P>> {
        // SAFETY: the caller has a handle, so that the cell is only read, as long as `self` is borrowed.
        self.life.with(|l| unsafe { (*l).tracker.as_deref() })
    }

    /// The detector of the allocator, which needn't watch this life. For whoever is alone with it.
    fn detector(&self) -> Option<&Detector<P>> {
        // SAFETY: by the contract of this function; the content stays while `self` is borrowed.
        let root = self.content.with(|c| match unsafe { &*c } {
            Content::Derived { parent, root } => root.as_ref().unwrap_or(parent).shell(),
            Content::Memory(_) | Content::Composite(_) | Content::Nothing | Content::Holding { .. } => Some(self),
        });
        root?.common.as_ref()?.leaks.as_ref()
    }

    /// Nobody can release this life any more, nor ever end it.
    #[cold]
    fn lost(&self) {
        match (self.tracker(), self.detector()) {
            (Some(tracker), _) => tracker.unreachable(),
            (None, Some(detector)) => detector.leaked_untracked(),
            (None, None) => {}
        }
    }

    #[track_caller]
    pub(super) fn note(&self, event: Event) {
        P::note(self.ticket(), event);
    }

    /// A refusal tells the checker of a use after the release only if there was a release: that an owner isn't the only one,
    /// or asks for too much, harms nobody.
    #[track_caller]
    pub(super) fn note_if_dead(&self, refused: &IllegalCount) {
        if refused.count == 0 {
            self.note(Event::IllegalCount);
        }
    }

    /// Releases `n`, keeping the handle.
    ///
    /// # Safety
    /// The caller has a handle.
    #[track_caller]
    pub(super) unsafe fn release(shell: NonNull<Self>, n: u32) -> Result<bool, IllegalCount> {
        // SAFETY: by the contract of this function: the handle keeps the shell.
        let this = unsafe { shell.as_ref() };
        let result = this.count.release(n);
        this.note(result.map_or(Event::IllegalRelease, |r| Event::Released(r.left)));
        let Release { left, deallocate, again } = result?;
        if again {
            this.note(Event::DeallocatedAgain);
        }
        if deallocate {
            // SAFETY: the count says so; the handle keeps the shell.
            unsafe { Self::deallocate(shell) };
        }
        Ok(left == 0)
    }

    /// Releases one and gives the handle up.
    ///
    /// # Safety
    /// The handle is the caller's to give up.
    #[track_caller]
    pub(super) unsafe fn end(shell: NonNull<Self>) -> Result<bool, IllegalCount> {
        // SAFETY: by the contract of this function.
        let (result, held) = unsafe { Self::end_one(shell) };
        // SAFETY: what an ended buffer held is given up by nobody else.
        unsafe { Self::follow(held) };
        result
    }

    /// [`Shell::end`] by the short way: of an untracked buffer of our own allocator, by its only handle, with a count of one and nobody
    /// inside. Says whether it was one.
    ///
    /// # Safety
    /// The handle is the caller's to give up; it is given up if the result is true.
    #[inline]
    #[track_caller]
    pub(super) unsafe fn end_alone(shell: NonNull<Self>) -> bool {
        // SAFETY: by the contract of this function; the shell is ours alone if we are the sole one.
        let this = unsafe { shell.as_ref() };
        // SAFETY: as above, by the first condition.
        let is_plain = this.count.is_sole()
            && this.content.with(|c| unsafe { matches!(&*c, Content::Memory(Memory::Millpond(_))) })
            && this.tracker().is_none();
        if !is_plain || !this.count.end_alone() {
            return false;
        }
        let ticket = this.ticket();
        P::note(ticket, Event::Released(0));
        // SAFETY: nobody else refers to the shell. The content is destroyed where it is: it is long.
        this.content.with_mut(|c| unsafe {
            c.drop_in_place();
            c.write(Content::Nothing);
        });
        P::note(ticket, Event::Deallocated);
        // SAFETY: as above.
        match this.life.with_mut(|l| unsafe { (*l).home.take() }) {
            Some(home) => drop(home), // last: another thread may reuse the shell at once
            None => drop(ShellBox(shell)),
        }
        true
    }

    /// Gives the handle up.
    ///
    /// # Safety
    /// The handle is the caller's to give up.
    #[track_caller]
    pub(super) unsafe fn leave(shell: NonNull<Self>) {
        // SAFETY: by the contract of this function, and as in `end`.
        unsafe { Self::follow(Self::leave_one(shell)) };
    }

    /// Ends the life that the count has just said to be over.
    ///
    /// # Safety
    /// The count said so to the caller, and somebody's handle keeps the shell meanwhile.
    #[track_caller]
    pub(super) unsafe fn deallocate(shell: NonNull<Self>) {
        // SAFETY: by the contract of this function, and as in `end`.
        unsafe { Self::follow(Self::deallocate_one(shell)) };
    }

    /// Gives up what ended buffers held, one after the other, and what they held before what comes next.
    #[track_caller]
    unsafe fn follow(held: Option<Held<P>>) {
        let mut next = held;
        let mut waiting = Vec::new();
        while let Some(held) = next {
            next = match held {
                // SAFETY: the handle was the ended buffer's, and so is ours.
                Held::One { shell, release: true } => unsafe { Self::end_one(shell).1 },
                // SAFETY: as above.
                Held::One { shell, release: false } => unsafe { Self::leave_one(shell) },
                Held::Components { mut components, release } => {
                    waiting.extend(components.give_up(release).map(|(shell, release)| Held::One { shell, release }));
                    None
                }
            };
            next = next.or_else(|| waiting.pop());
        }
    }

    #[track_caller]
    unsafe fn end_one(shell: NonNull<Self>) -> (Result<bool, IllegalCount>, Option<Held<P>>) {
        // SAFETY: the caller has a handle. It is not used after the handle has been given up, but for `finish`.
        let this = unsafe { shell.as_ref() };
        let ticket = this.ticket();
        match this.count.end() {
            Err(refused) => {
                P::note(ticket, Event::IllegalRelease);
                // SAFETY: the handle is still there.
                (Err(refused), unsafe { Self::leave_one(shell) })
            }
            Ok(End { release: Release { left, .. }, leave: Some(leave) }) => {
                P::note(ticket, Event::Released(left));
                // SAFETY: the handle has been given up in this way.
                (Ok(left == 0), unsafe { Self::left(shell, ticket, leave) })
            }
            Ok(End { release: Release { left, deallocate, again }, leave: None }) => {
                P::note(ticket, Event::Released(left));
                if again {
                    P::note(ticket, Event::DeallocatedAgain);
                }
                // SAFETY: the count says so, and the handle is still there.
                let held = if deallocate { unsafe { Self::deallocate_one(shell) } } else { None };
                // SAFETY: the handle is still there.
                let leaked = unsafe { Self::leave_one(shell) };
                assert!(held.is_none() || leaked.is_none(), "a life ends once");
                (Ok(left == 0), held.or(leaked))
            }
        }
    }

    #[track_caller]
    unsafe fn leave_one(shell: NonNull<Self>) -> Option<Held<P>> {
        // SAFETY: the caller has a handle; as in `end_one`.
        let this = unsafe { shell.as_ref() };
        let ticket = this.ticket();
        let leave = this.count.leave();
        // SAFETY: the handle has been given up in this way.
        unsafe { Self::left(shell, ticket, leave) }
    }

    /// A handle was given up: lets the shell be reused if it was the last.
    #[track_caller]
    unsafe fn left(shell: NonNull<Self>, ticket: P::Ticket, leave: Leave) -> Option<Held<P>> {
        match leave {
            Leave::Others | Leave::Stuck(0) => None,
            Leave::Stuck(count) => {
                P::note(ticket, Event::Leaked(count));
                // SAFETY: nobody refers to the shell, and it stays for ever.
                unsafe { shell.as_ref() }.lost();
                None
            }
            // SAFETY: nobody else refers to the shell.
            Leave::Last => unsafe { Self::finish(shell, Some(ticket), LeakedMemory::Reclaimed) },
            Leave::Leak(count) => {
                P::note(ticket, Event::Leaked(count));
                // SAFETY: nobody else refers to the shell.
                let this = unsafe { shell.as_ref() };
                if this.tracker().is_none() {
                    this.lost();
                }
                // SAFETY: as above.
                unsafe { Self::finish(shell, None, this.leaked) }
            }
        }
    }

    /// Deallocates if that hasn't been done, and gives the shell to its pool.
    ///
    /// # Safety
    /// Nobody else refers to the shell.
    #[track_caller]
    unsafe fn finish(shell: NonNull<Self>, ticket: Option<P::Ticket>, memory: LeakedMemory) -> Option<Held<P>> {
        // SAFETY: by the contract of this function: the shell is ours until `home` is dropped or the box is.
        let this = unsafe { shell.as_ref() };
        let held = this.empty(ticket, memory);
        // SAFETY: nobody has a handle, so that nobody else is in the cell.
        let (tracker, home) = this.life.with_mut(|l| unsafe { ((*l).tracker.take(), (*l).home.take()) });
        drop(tracker);
        match (home, memory) {
            (Some(home), LeakedMemory::Reclaimed) => {
                if matches!(held, Some(Held::One { release: true, .. })) && P::planted(Defect::ShellBeforeParent) {
                    // SAFETY: by the contract of this function.
                    return unsafe { Self::finish_late(shell, home, held) };
                }
                drop(home); // last: another thread may reuse the shell at once
            }
            (Some(home), LeakedMemory::Lost) => home.forget(),
            (None, _) => drop(ShellBox(shell)),
        }
        held
    }

    #[track_caller]
    unsafe fn deallocate_one(shell: NonNull<Self>) -> Option<Held<P>> {
        // SAFETY: the caller has a handle.
        let this = unsafe { shell.as_ref() };
        this.empty(Some(this.ticket()), LeakedMemory::Reclaimed)
    }

    /// Takes the content out and gives the memory back. For whoever has been told that the life is over.
    #[track_caller]
    fn empty(&self, ticket: Option<P::Ticket>, leaked: LeakedMemory) -> Option<Held<P>> {
        // SAFETY: the caller has been told, once in a life, that the count is zero and nobody is inside, and nobody can come
        // in any more; or nobody refers to the shell at all.
        let content = self.content.with_mut(|c| unsafe { core::mem::replace(&mut *c, Content::Nothing) });
        let held = match content {
            Content::Nothing => return None, // deallocated before
            holding @ Content::Holding { .. } => {
                // SAFETY: as above.
                self.content.with_mut(|c| unsafe { *c = holding });
                return None;
            }
            Content::Memory(memory) => {
                match leaked {
                    LeakedMemory::Reclaimed => {
                        if let Some(hold) = memory.give_back() {
                            // SAFETY: as above.
                            self.content.with_mut(|c| unsafe { *c = Content::Holding { _hold: hold } });
                        }
                    }
                    LeakedMemory::Lost => core::mem::forget(memory),
                }
                None
            }
            Content::Derived { parent, root } => {
                drop(root);
                let release = leaked == LeakedMemory::Reclaimed && !P::planted(Defect::ForgottenParent);
                parent.into_shell().map(|shell| Held::One { shell, release })
            }
            Content::Composite(components) => {
                Some(Held::Components { components, release: leaked == LeakedMemory::Reclaimed })
            }
        };
        if let Some(ticket) = ticket {
            P::note(ticket, Event::Deallocated);
            if let Some(tracker) = self.tracker() {
                if P::planted(Defect::CollectedTooEarly) {
                    tracker.unreachable();
                }
                if P::planted(Defect::TrackerKept) {
                    return held;
                }
                tracker.close();
            }
        }
        held
    }
}
