//! Who owns what: a test for each line of the table, for buffers. (Composites and holders have theirs with them.)

mod codec_support;

use codec_support::{allocator, bytes_of, found};
use millpond::engine::Sim;
use millpond::ledger::FindingKind::{Leak, UseAfterRelease};
use millpond_model::Platform;
use millpond_model::allocator::{Allocator, AllocatorConfig, Derivation};
use millpond_model::buffer::{Buffer, BufferError, Owned, ShellClass};
use millpond_model::recycler::Domain;

released_on_both!(
    slices_and_duplicates_share_the_count,
    retained_ones_have_their_own,
    retained_ones_release_their_direct_parent,
    retained_ones_of_the_old_branch_share,
    a_slice_of_a_retained_one_is_its,
    copies_are_independent,
    an_unreleasable_view_does_not_count,
    the_empty_buffer_is_nobodys,
);

fn pond<P: Platform>(allocator: &Allocator<P>) -> Buffer<P> {
    let mut buffer = allocator.allocate(16).expect("there is memory");
    buffer.put(b"millpond").expect("there is room");
    buffer
}

fn counts<P: Platform>(buffers: &[&Buffer<P>]) -> Vec<u32> {
    buffers.iter().map(|buffer| buffer.count()).collect()
}

/// slice / duplicate / asReadOnly / readSlice: none; shares parent's count; the parent's owner still owns.
fn slices_and_duplicates_share_the_count<P: Platform>() {
    let mut buffer = pond(&allocator::<P>());
    let derived = [
        buffer.slice(0, 4).expect("it is there"),
        buffer.duplicate().expect("it is alive"),
        buffer.as_read_only().expect("it is alive"),
        buffer.read_slice(4).expect("they are readable"),
    ];
    assert_eq!(counts(&derived.each_ref()), [1; 4]);
    // Passing one on takes a retain, of whichever.
    assert_eq!(derived[0].retain_many(1), Ok(()));
    assert_eq!((buffer.count(), derived[3].release()), (2, Ok(false)));
    assert_eq!(buffer.release(), Ok(true));
    assert_eq!(counts(&derived.each_ref()), [0; 4]);
}

/// retainedSlice / retainedDuplicate / readRetainedSlice: parent +1; an object with its own count, starting at 1.
fn retained_ones_have_their_own<P: Platform>() {
    let mut buffer = pond(&allocator::<P>());
    let slice = buffer.retained_slice(0, 4).expect("it is there");
    let duplicate = buffer.retained_duplicate().expect("it is alive");
    let read = buffer.read_retained_slice(4).expect("they are readable");
    assert_eq!(counts(&[&buffer, &slice, &duplicate, &read]), [4, 1, 1, 1]);
    assert_eq!(slice.retain_many(1), Ok(()));
    assert_eq!(counts(&[&buffer, &slice]), [4, 2], "what is added to it isn't added to the parent");
    assert_eq!((slice.release(), slice.release()), (Ok(false), Ok(true)));
    assert_eq!(counts(&[&buffer, &slice, &duplicate, &read]), [3, 0, 1, 1], "its end releases its parent once");
    assert_eq!((buffer.release(), duplicate.release()), (Ok(false), Ok(true)));
    assert_eq!((bytes_of(&read), read.release(), buffer.count()), (b"mill".to_vec(), Ok(true), 0));
}

/// ... its deallocation releases its *direct parent* (not the root) once.
fn retained_ones_release_their_direct_parent<P: Platform>() {
    let root = pond(&allocator::<P>());
    let child = root.retained_slice(0, 6).expect("it is there");
    let grandchild = child.retained_slice(2, 4).expect("it is there");
    assert_eq!(counts(&[&root, &child, &grandchild]), [2, 2, 1]);
    assert_eq!((root.release(), child.release()), (Ok(false), Ok(false)));
    assert_eq!(counts(&[&root, &child, &grandchild]), [1, 1, 1]);
    assert_eq!(bytes_of(&grandchild), b"llpo");
    assert_eq!(grandchild.release(), Ok(true));
    assert_eq!(counts(&[&root, &child, &grandchild]), [0, 0, 0]);
}

/// Before 4.1 a retained slice is a slice and a retain.
fn retained_ones_of_the_old_branch_share<P: Platform>() {
    let config = AllocatorConfig { derivation: Derivation::SharedCount, ..AllocatorConfig::default() };
    let buffer = pond(&Allocator::<P>::new_in(&Domain::new(), config));
    let slice = buffer.retained_slice(0, 4).expect("it is there");
    assert_eq!(counts(&[&buffer, &slice]), [2, 2]);
    assert_eq!((buffer.release(), slice.release()), (Ok(false), Ok(true)));
}

/// slice of a pooled-derived: none; delegates to that derived object's count.
fn a_slice_of_a_retained_one_is_its<P: Platform>() {
    let buffer = pond(&allocator::<P>());
    let derived = buffer.retained_slice(0, 6).expect("it is there");
    let slice = derived.slice(1, 4).expect("it is there");
    assert_eq!(slice.shell_class(), Some(ShellClass::Slice));
    assert_eq!(counts(&[&buffer, &derived, &slice]), [2, 1, 1]);
    assert_eq!(slice.release(), Ok(true), "which ends the derived one");
    assert_eq!(counts(&[&buffer, &derived, &slice]), [1, 0, 0]);
    assert_eq!(buffer.release(), Ok(true));
}

/// copy, readBytes(int): new buffer, count 1; the caller's.
fn copies_are_independent<P: Platform>() {
    let mut buffer = pond(&allocator::<P>());
    let copy = Owned::from(buffer.copy(0, 4).expect("it is there"));
    let read = Owned::from(buffer.read_bytes(4).expect("they are readable"));
    assert_eq!(counts(&[&buffer, &copy, &read]), [1, 1, 1]);
    assert_eq!(buffer.release(), Ok(true));
    assert_eq!((bytes_of(&copy), bytes_of(&read)), (b"mill".to_vec(), b"mill".to_vec()));
}

/// Unreleasable wrapper: retain/release and retainedX are no-ops on the count.
fn an_unreleasable_view_does_not_count<P: Platform>() {
    let buffer = pond(&allocator::<P>());
    let mut view = buffer.as_unreleasable().expect("it is alive");
    let more = view.retain().expect("it does nothing");
    let slice = view.retained_slice(0, 4).expect("it is there");
    let duplicate = view.retained_duplicate().expect("it is alive");
    let read = view.read_retained_slice(4).expect("they are readable");
    assert_eq!((view.retain_many(7), view.release_many(9)), (Ok(()), Ok(false)));
    for derived in [&more, &slice, &duplicate, &read] {
        assert_eq!((derived.release(), derived.count()), (Ok(false), 1));
    }
    drop(Owned::from(view));
    assert_eq!(buffer.release(), Ok(true));
    assert_eq!(slice.count(), 0);
}

/// EMPTY_BUFFER: release returns false, never throws.
fn the_empty_buffer_is_nobodys<P: Platform>() {
    let empty = Buffer::<P>::empty();
    for _ in 0..3 {
        assert_eq!((empty.release(), empty.count()), (Ok(false), 1));
    }
    let allocated = allocator::<P>().allocate_max(0, 0).expect("it takes no memory");
    assert!(allocated.is_empty_buffer());
    assert_eq!((allocated.retain_many(2), allocated.release_many(5)), (Ok(()), Ok(false)));
}

/// What a dead count protects is refused, although the bytes are still there.
#[test]
fn the_end_of_a_derived_one_is_its_own() {
    let found = found(None, || {
        let buffer = pond(&allocator::<Sim>());
        let derived = buffer.retained_slice(0, 6).expect("it is there");
        let slice = derived.slice(1, 4).expect("it is there");
        assert_eq!(derived.release(), Ok(true));
        assert!(matches!(slice.bytes(), Err(BufferError::Count(_))));
        assert!(matches!(slice.copy(0, 1), Err(BufferError::Count(_))));
        assert_eq!(buffer.release(), Ok(true));
    });
    assert_eq!(found, [UseAfterRelease]);
}

#[test]
fn a_retained_slice_that_is_forgotten_is_seen() {
    let found = found(None, || {
        let buffer = pond(&allocator::<Sim>());
        drop(buffer.retained_slice(0, 4).expect("it is there"));
        assert_eq!(Owned::from(buffer).release().map_err(|refused| refused.count), Ok(true));
    });
    assert_eq!(found, [Leak], "and its parent's count is given back with it");
}
