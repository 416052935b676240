//! The operations on any message: what is counted, and what isn't.

mod codec_support;

use codec_support::{Counted, Plain, Witness, allocator, count_of, found};
use millpond::ledger::FindingKind;
use millpond_model::Platform;
use millpond_model::buffer::Buffer;
use millpond_model::holder::{Frame, FrameHeader};
use millpond_model::message::{Message, Pojo};
use millpond_model::refcnt::IllegalCount;
use millpond_model::release::{OwnedMessage, count, release, retain, safe_release, touch};

released_on_both!(
    buffers_are_counted,
    objects_say_whether_they_are_counted,
    what_is_not_counted_is_left_alone,
    the_empty_buffer_is_released_for_ever,
    messages_know_what_they_are,
    an_owned_message_is_released_on_every_way_out,
    a_holder_is_counted_as_its_content,
);

fn buffer<P: Platform>() -> (Message<P>, Witness<P>) {
    let buffer = allocator::<P>().allocate(8).expect("there is memory");
    let witness = Witness(buffer.duplicate().expect("it is alive"));
    (buffer.into(), witness)
}

fn buffers_are_counted<P: Platform>() {
    let (message, witness) = buffer::<P>();
    assert_eq!(count(&message), Some(1));
    let second = retain(&message).expect("it is alive").expect("it is counted");
    assert_eq!((count(&message), count(&second)), (Some(2), Some(2)));
    assert_eq!(release(touch(message, "here")), Ok(false));
    assert_eq!(release(second), Ok(true));
    witness.assert_released();
}

fn objects_say_whether_they_are_counted<P: Platform>() {
    let (object, seen) = Counted::<P>::new();
    let message = Message::object(object);
    assert_eq!(count(&message), Some(1));
    let second = retain(&message).expect("it is alive").expect("it is counted");
    assert_eq!(count_of::<P>(&seen), 2);
    assert_eq!(release(message), Ok(false));
    assert_eq!(release(second), Ok(true));
    let dead = Message::<P>::object(Counted(seen));
    assert_eq!(retain(&dead).err(), Some(IllegalCount { count: 0, change: 1 }));
    let mut told = None;
    safe_release(dead, |refused| told = Some(refused));
    assert_eq!(told, Some(IllegalCount { count: 0, change: -1 }));
}

fn what_is_not_counted_is_left_alone<P: Platform>() {
    let plain = || [Message::<P>::object(Plain(1)), Pojo::new(16).into()];
    for message in plain() {
        assert_eq!(count(&message), None);
        assert!(retain(&message).expect("never refused").is_none());
        assert_eq!(release(touch(message, "here")), Ok(false));
    }
    for message in plain() {
        safe_release(message, |refused| panic!("{refused}"));
    }
}

fn the_empty_buffer_is_released_for_ever<P: Platform>() {
    for _ in 0..3 {
        let message = Message::<P>::Buffer(Buffer::empty());
        assert_eq!(count(&message), Some(1));
        let second = retain(&message).expect("always").expect("it is a buffer");
        assert_eq!(release(message), Ok(false));
        assert_eq!(release(second), Ok(false));
    }
}

fn messages_know_what_they_are<P: Platform>() {
    let (message, _) = buffer::<P>();
    assert!(message.get::<Buffer<P>>().is_some() && message.get::<Message<P>>().is_some());
    assert!(message.get::<Plain>().is_none() && message.get::<Pojo<P>>().is_none());
    let message = message.downcast::<Plain>().expect_err("it is a buffer");
    assert_eq!(release(message), Ok(true));
    let message = Message::<P>::object(Plain(7));
    assert_eq!(message.get::<Plain>(), Some(&Plain(7)));
    assert_eq!(message.estimated_size(), 8);
    assert_eq!(message.downcast::<Plain>().ok(), Some(Box::new(Plain(7))));
    let message = Message::<P>::from(Pojo::new(16));
    assert_eq!(message.get::<Pojo<P>>().map(Pojo::encoded_size), Some(16));
}

fn an_owned_message_is_released_on_every_way_out<P: Platform>() {
    let (message, dropped) = buffer::<P>();
    drop(OwnedMessage::from(message));
    dropped.assert_released();
    let (message, released) = buffer::<P>();
    assert_eq!(OwnedMessage::from(message).release(), Ok(true));
    released.assert_released();
    let (message, panicked) = buffer::<P>();
    let owned = OwnedMessage::from(message);
    let caught = P::catch(move || {
        assert_eq!(count(&owned), Some(1));
        panic!("on purpose");
    });
    assert!(caught.is_err());
    panicked.assert_released();
    let (message, given_on) = buffer::<P>();
    let message = OwnedMessage::from(message).into_message();
    assert_eq!(given_on.0.count(), 1);
    assert_eq!(release(message), Ok(true));
}

fn a_holder_is_counted_as_its_content<P: Platform>() {
    let mut content = allocator::<P>().allocate(8).expect("there is memory");
    content.put(b"pond").expect("there is room");
    let witness = Witness(content.duplicate().expect("it is alive"));
    let message = Message::object(Frame::<P>::new(FrameHeader { is_final: true, opcode: 2 }, content));
    assert_eq!((count(&message), message.estimated_size()), (Some(1), 4));
    let second = retain(&message).expect("it is alive").expect("it is counted");
    assert_eq!(second.get::<Frame<P>>().map(|frame| frame.header.opcode), Some(2));
    assert_eq!(witness.0.count(), 2);
    assert_eq!(release(touch(message, "here")), Ok(false));
    assert_eq!(release(second), Ok(true));
    witness.assert_released();
}

#[test]
fn the_ledger_sees_what_safe_release_swallows() {
    use millpond::engine::Sim;
    let found = found(None, || {
        let (message, witness) = buffer::<Sim>();
        let second = Message::Buffer(witness.0.duplicate().expect("it is alive"));
        safe_release(message, |refused| panic!("{refused}"));
        let mut told = 0;
        safe_release(second, |refused| told += refused.change);
        assert_eq!(told, -1);
    });
    assert_eq!(found, [FindingKind::DoubleRelease]);
}

#[test]
fn the_ledger_sees_a_message_that_is_dropped_instead() {
    let found = found(None, || drop(buffer::<millpond::engine::Sim>()));
    assert_eq!(found, [FindingKind::Leak]);
}
