//! Holders: whose count is whose.

mod composite_support;
mod write_path_support;

use composite_support::{of, pool, text};
use millpond::engine::{Options, Sim, When};
use millpond_model::Platform;
use millpond_model::buffer::{Buffer, BufferError, Owned};
use millpond_model::holder::{BufferHolder, DatagramPacket, Frame, FrameHeader, Holder, Route};
use millpond_model::memory::OutOfMemory;
use millpond_model::refcnt::IllegalCount;
use millpond_tests::sim::{in_turn, soundly};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

on_both!(
    the_count_is_the_contents,
    a_copy_is_another_buffer,
    a_duplicate_shares_the_count,
    a_retained_duplicate_has_its_own,
    retaining_gives_another_owner,
    replacing_makes_a_new_owner,
    the_parts_take_the_count_along,
    a_holder_of_ones_own,
    a_header_that_panics;
    misusing:
    a_dead_message,
);

fn route() -> Route {
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    Route { sender: Some(address("192.0.2.1:7")), recipient: address("[2001:db8::1]:9") }
}

fn packet<P: Platform>(text: &str) -> DatagramPacket<P> {
    let mut content = of(&pool(), text);
    content.advance(1);
    DatagramPacket::new(route(), content)
}

fn the_count_is_the_contents<P: Platform>() {
    let packet = packet::<P>("xmill");
    assert_eq!((packet.count(), text(packet.content()).as_str()), (1, "mill"));
    packet.retain_many(2).expect("it is alive");
    assert_eq!((packet.count(), packet.content().count()), (3, 3));
    assert_eq!(packet.content().release(), Ok(false), "here or there");
    packet.touch("the test");
    assert_eq!(packet.release_many(2), Ok(true));
    assert_eq!((packet.count(), packet.header), (0, route()));
}

fn a_copy_is_another_buffer<P: Platform>() {
    let packet = packet::<P>("xmill");
    let mut copy = packet.copy().expect("there is memory");
    assert_eq!((packet.count(), copy.count(), copy.header), (1, 1, route()));
    assert_eq!((text(copy.content()).as_str(), copy.content().reader_index()), ("mill", 0), "what is readable");
    copy.content_mut().put(b"s").expect("it is its own");
    assert_eq!((text(copy.content()).as_str(), text(packet.content()).as_str()), ("mills", "mill"));
    assert_eq!(packet.release(), Ok(true));
    assert_eq!(copy.release(), Ok(true));
}

fn a_duplicate_shares_the_count<P: Platform>() {
    let packet = packet::<P>("xmill");
    let mut twin = packet.duplicate().expect("it is alive");
    assert_eq!((packet.count(), twin.count(), twin.header), (1, 1, route()));
    twin.content_mut().advance(2);
    assert_eq!((text(twin.content()).as_str(), text(packet.content()).as_str()), ("ll", "mill"), "its own indices");
    assert_eq!(twin.release(), Ok(true), "the only one");
    assert_eq!(packet.count(), 0);
}

fn a_retained_duplicate_has_its_own<P: Platform>() {
    let packet = packet::<P>("xmill");
    let twin = packet.retained_duplicate().expect("it is alive");
    assert_eq!((packet.count(), twin.count(), twin.header), (2, 1, route()));
    assert_eq!(packet.release(), Ok(false));
    assert_eq!(text(twin.content()), "mill");
    assert_eq!(twin.release(), Ok(true));
    assert_eq!(packet.count(), 0);
}

fn retaining_gives_another_owner<P: Platform>() {
    let packet = packet::<P>("xmill");
    let second = packet.retain().expect("it is alive");
    assert_eq!((packet.count(), second.count(), second.header), (2, 2, route()));
    assert_eq!((packet.release(), second.release()), (Ok(false), Ok(true)));
}

fn replacing_makes_a_new_owner<P: Platform>() {
    let pool = pool::<P>();
    let header = FrameHeader { is_final: true, opcode: 2 };
    let frame: Frame<P> = Frame::new(header, of(&pool, "mill"));
    let other = frame.replace(of(&pool, "pond"));
    assert_eq!((frame.count(), other.count(), other.header), (1, 1, header));
    assert_eq!((text(frame.content()).as_str(), text(other.content()).as_str()), ("mill", "pond"));
    assert_eq!(frame.release(), Ok(true), "the old one is its owner's, as before");
    assert_eq!(text(other.content()), "pond");
    assert_eq!(other.release(), Ok(true));
    let empty = other.replace(Buffer::empty());
    assert_eq!((empty.count(), empty.release(), empty.release()), (1, Ok(false), Ok(false)));
}

fn the_parts_take_the_count_along<P: Platform>() {
    let (header, content) = packet::<P>("xmill").into_parts();
    assert_eq!((header, content.count()), (route(), 1));
    let packet = DatagramPacket::new(header, content);
    let witness = packet.duplicate().expect("it is alive");
    drop(packet.into_owned_content());
    assert_eq!(witness.count(), 0);
}

/// A message that isn't a `Holder`: a line with the number that it has in its file.
struct Line<P: Platform> {
    number: u64,
    text: Buffer<P>,
}

impl<P: Platform> BufferHolder<P> for Line<P> {
    fn content(&self) -> &Buffer<P> {
        &self.text
    }
    fn content_mut(&mut self) -> &mut Buffer<P> {
        &mut self.text
    }
    fn into_content(self) -> Buffer<P> {
        self.text
    }
    fn replace(&self, text: Buffer<P>) -> Self {
        Self { number: self.number, text }
    }
}

fn a_holder_of_ones_own<P: Platform>() {
    let line = Line { number: 7, text: of(&pool::<P>(), "mill") };
    let copy = line.copy().expect("there is memory");
    let second = line.retain().expect("it is alive");
    assert_eq!((copy.number, second.number, copy.count(), line.count()), (7, 7, 1, 2));
    assert_eq!((line.release(), second.release(), copy.release()), (Ok(false), Ok(true), Ok(true)));
}

struct Panics;

impl Clone for Panics {
    fn clone(&self) -> Self {
        panic!("a header that can't be cloned")
    }
}

fn a_header_that_panics<P: Platform>() {
    let pool = pool::<P>();
    let holder = Holder::new(Panics, of(&pool, "mill"));
    let other = of(&pool, "pond");
    let witness = other.duplicate().expect("it is alive");
    let replaced = P::catch(AssertUnwindSafe(|| drop(holder.replace(other))));
    assert!(replaced.is_err());
    assert_eq!(witness.count(), 0, "it was taken over");
    assert!(P::catch(AssertUnwindSafe(|| drop(holder.retain()))).is_err());
    assert_eq!(holder.count(), 1, "what was retained has been released");
    assert_eq!(Owned::from(holder.into_content()).release(), Ok(true));
}

fn a_dead_message<P: Platform>() {
    let packet = packet::<P>("xmill");
    assert_eq!(packet.release(), Ok(true));
    let illegal = |change| IllegalCount { count: 0, change };
    assert_eq!(packet.release(), Err(illegal(-1)));
    assert_eq!(packet.retain().map(drop), Err(illegal(1)));
    assert_eq!(packet.copy().map(drop), Err(illegal(0).into()));
    assert_eq!(packet.duplicate().map(drop), Err(illegal(0).into()));
    assert_eq!(packet.retained_duplicate().map(drop), Err(illegal(1).into()));
}

#[test]
fn no_memory_for_a_copy() {
    let options = Options { alloc_fails: Some(When::Nth(2)), ..in_turn() };
    let execution = soundly(&options, || {
        let packet = packet::<Sim>("xmill");
        let refused = BufferError::Memory(OutOfMemory { capacity: 4 });
        assert_eq!(packet.copy().map(drop), Err(refused));
        assert_eq!((packet.count(), packet.release()), (1, Ok(true)));
    });
    assert_eq!(execution.leaked_bytes, 0);
    assert!(catch_unwind(|| Panics.clone()).is_err());
}
