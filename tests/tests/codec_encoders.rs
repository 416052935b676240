//! Encoders and consuming handlers: what they take is released on every path, what they make is handed over or released.

mod codec_support;

use codec_support::{
    BROKEN, ENCODER_FAILED, Line, OURS, Out, Plain, Seen, broken, configs, encoding, found, read, several, written,
};
use codec_support::{Counted, In, consuming, count_of};
use millpond::engine::Sim;
use millpond::ledger::FindingKind::DoubleRelease;
use millpond_model::buffer::{Buffer, BufferError};
use millpond_model::codec::{
    CodecConfig, Context, Encode, HandlerError, MessageToByteEncoder, MessageToMessageEncoder, Outputs, SimpleInbound,
    Tail, Unhandled, UserEvent,
};
use millpond_model::message::{Message, Pojo};
use millpond_model::observe::Defect;
use millpond_model::promise::{Cause, Promise};
use millpond_model::release::retain;
use millpond_model::{Platform, Preset};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

released_on_both!(
    simple_releases_what_it_accepts,
    simple_releases_when_the_consumer_fails_or_panics,
    simple_lets_the_consumer_keep,
    simple_without_release,
    tail_releases_everything,
    bytes_are_written_and_the_source_released,
    bytes_anything_else_passes,
    bytes_encoding_fails_or_panics,
    bytes_nothing_encoded,
    bytes_the_write_fails,
    bytes_the_promise_is_complete_before,
    bytes_the_promise_completes_meanwhile,
    bytes_a_source_with_another_owner,
    messages_are_written_in_order,
    messages_anything_else_passes,
    messages_encoding_fails_or_panics,
    messages_partial_output,
    messages_nothing_encoded,
    messages_the_promise_waits_for_all_or_the_last,
    messages_the_first_failure_is_the_outcome,
    messages_a_cancelled_or_complete_promise,
);

// ---- SimpleInbound, Tail

fn simple_releases_what_it_accepts<P: Platform>() {
    let line = Line::<P, _>::new(In(SimpleInbound::new(consuming(|_, message: &Buffer<P>| {
        assert_eq!(&*message.bytes()?, b"mine");
        Ok(())
    }))));
    line.read_bytes("mine").assert_released();
    assert_eq!(line.seen(), []);
    line.read(Message::object(Plain(1)));
    assert_eq!(line.seen(), [Seen::Object], "another type passes");
    let (object, count) = Counted::<P>::new();
    let objects = Line::<P, _>::new(In(SimpleInbound::new(consuming(|_, _: &Counted<P>| Ok(())))));
    objects.read(Message::object(object));
    assert_eq!(count_of::<P>(&count), 0, "an object is released, too");
    objects.read_bytes("theirs").assert_released();
    assert_eq!(objects.seen(), [read("theirs")]);
}

fn simple_releases_when_the_consumer_fails_or_panics<P: Platform>() {
    let line = Line::<P, _>::new(In(SimpleInbound::new(consuming(|_, message: &Buffer<P>| {
        assert_ne!(&*message.bytes()?, b"panic");
        Err(broken())
    }))));
    line.read_bytes("fail").assert_released();
    assert_eq!(line.seen(), [Seen::Exception(BROKEN.into())]);
    let (message, witness) = line.message("panic");
    assert!(P::catch(|| line.read(message)).is_err(), "the panic passes through");
    witness.assert_released();
}

fn simple_lets_the_consumer_keep<P: Platform>() {
    let kept = Arc::new(Mutex::new(Outputs::new()));
    let store = Arc::clone(&kept);
    let line = Line::<P, _>::new(In(SimpleInbound::new(consuming(move |_, message: &Message<P>| {
        store.lock().unwrap().push(retain(message)?.expect("it is counted"));
        Ok(())
    }))));
    let witness = line.read_bytes("kept");
    assert_eq!(witness.0.count(), 1, "released by the handler, retained by the consumer");
    kept.lock().unwrap().pop().expect("it is there").release();
    witness.assert_released();
}

fn simple_without_release<P: Platform>() {
    let line = Line::<P, _>::new(In(SimpleInbound::without_release(consuming(|_, message: &Buffer<P>| {
        assert_eq!(message.release(), Ok(true), "the count is the consumer's");
        Ok(())
    }))));
    line.read_bytes("mine").assert_released();
    assert_eq!(line.seen(), []);
}

fn tail_releases_everything<P: Platform>() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let line = Line::<P, _>::new(In(Tail(move |unhandled: Unhandled| log.lock().unwrap().push(unhandled))));
    line.read_bytes("nobody's").assert_released();
    let (event, witness) = line.message("an event that nobody knows");
    line.event(UserEvent::Message(event));
    witness.assert_released();
    line.event(UserEvent::InputShutdown);
    line.read_complete();
    line.inactive();
    millpond_model::codec::Inbound::<P>::exception(&line.handler.0, &line, broken()).expect("it takes it");
    let told = told.lock().unwrap();
    assert!(
        matches!(told[..], [Unhandled::Message, Unhandled::UserEvent, Unhandled::UserEvent, Unhandled::Exception(_)]),
        "{told:?}"
    );
    assert_eq!(line.seen(), [], "nothing goes beyond the tail");
}

// ---- MessageToByteEncoder

/// Encodes buffers: each byte twice.
fn doubling<P: Platform>(message: &Buffer<P>, out: &mut Buffer<P>) -> Result<(), HandlerError> {
    for byte in message.bytes()?.iter() {
        out.put(&[*byte, *byte])?;
    }
    Ok(())
}

fn bytes_are_written_and_the_source_released<P: Platform>() {
    for config in configs() {
        let line = Line::<P, _>::new(Out(MessageToByteEncoder::new(encoding(doubling::<P>), config)));
        let (message, witness) = line.message("ab");
        let (promise, result) = line.write(message);
        result.expect("all is well");
        witness.assert_released();
        assert_eq!((line.seen(), promise.outcome()), (vec![written("aabb")], Some(Ok(()))));
    }
    let pojos =
        encoding(|message: &Pojo<P>, out: &mut Buffer<P>| Ok(out.put_repeated(1, message.encoded_size() as usize)?));
    let line = Line::<P, _>::new(Out(MessageToByteEncoder::new(pojos, OURS)));
    line.write(Pojo::new(300)).1.expect("it grows beyond what is allocated first");
    assert_eq!(line.seen(), [written([1; 300])]);
}

fn bytes_anything_else_passes<P: Platform>() {
    let line = Line::<P, _>::new(Out(MessageToByteEncoder::new(encoding(doubling::<P>), OURS)));
    let (promise, result) = line.write(Message::object(Plain(1)));
    result.expect("it is none of ours");
    assert_eq!((line.seen(), promise.outcome()), (vec![Seen::Object], Some(Ok(()))));
}

fn bytes_encoding_fails_or_panics<P: Platform>() {
    for config in configs() {
        let failing = encoding(|message: &Buffer<P>, out: &mut Buffer<P>| {
            out.put(b"half")?;
            assert_ne!(&*message.bytes()?, b"panic");
            Err(broken())
        });
        let line = Line::<P, _>::new(Out(MessageToByteEncoder::new(failing, config)));
        let (message, witness) = line.message("fail");
        let (promise, result) = line.write(message);
        assert_eq!(result.map_err(|e| e.to_string()), Err(BROKEN.to_string()));
        witness.assert_released();
        assert_eq!((line.seen(), promise.outcome()), (vec![], Some(ENCODER_FAILED)));
        let (message, witness) = line.message("panic");
        let promise = Promise::untracked();
        assert!(P::catch(|| line.write_with(message, &promise)).is_err(), "the panic passes through");
        witness.assert_released();
    }
}

fn bytes_nothing_encoded<P: Platform>() {
    for config in configs() {
        let line = Line::<P, _>::new(Out(MessageToByteEncoder::new(
            encoding(|_: &Buffer<P>, _: &mut Buffer<P>| Ok(())),
            config,
        )));
        let (message, witness) = line.message("x");
        let (promise, result) = line.write(message);
        result.expect("nothing is something");
        witness.assert_released();
        assert_eq!((line.seen(), promise.outcome()), (vec![written("")], Some(Ok(()))), "the empty buffer is written");
    }
}

fn bytes_the_write_fails<P: Platform>() {
    for config in configs() {
        let line = Line::<P, _>::new(Out(MessageToByteEncoder::new(encoding(doubling::<P>), config)));
        line.transport.set(Err(Cause::ClosedChannel));
        let (message, witness) = line.message("ab");
        let (promise, result) = line.write(message);
        result.expect("the failure is the promise's");
        witness.assert_released();
        assert_eq!(promise.outcome(), Some(Err(Cause::ClosedChannel)));
    }
}

/// By the time of the call: the context refuses what the encoder made.
fn bytes_the_promise_is_complete_before<P: Platform>() {
    for is_empty in [false, true] {
        let encoder = encoding(move |message, out| if is_empty { Ok(()) } else { doubling::<P>(message, out) });
        let line = Line::<P, _>::new(Out(MessageToByteEncoder::new(encoder, OURS)));
        let (message, witness) = line.message("ab");
        let promise = Promise::new();
        promise.complete(Ok(()));
        let result = line.write_with(message, &promise);
        assert!(matches!(result, Err(HandlerError::Promise(_))), "{result:?}");
        witness.assert_released();
        let (message, witness) = line.message("ab");
        let promise = Promise::new();
        assert!(promise.cancel());
        line.write_with(message, &promise).expect("cancelled is nothing to do");
        witness.assert_released();
        assert_eq!(line.seen(), []);
    }
}

/// Somebody else completes the promise between the call and the write (C10), with bytes and without.
fn bytes_the_promise_completes_meanwhile<P: Platform>() {
    for is_empty in [false, true] {
        let result = write_meanwhile::<P>(OURS.into(), is_empty);
        assert!(matches!(result, Err(HandlerError::Promise(_))), "{result:?}");
    }
}

/// Encodes, while somebody else completes the promise; and keeps a handle of what it makes.
struct Meanwhile<P: Platform> {
    promise: Promise<P>,
    output: Arc<Mutex<Option<Buffer<P>>>>,
    is_empty: bool,
}

impl<P: Platform> Encode<P> for Meanwhile<P> {
    type Message = Buffer<P>;
    fn encode(&self, _: &dyn Context<P>, message: &Buffer<P>, out: &mut Buffer<P>) -> Result<(), HandlerError> {
        self.promise.complete(Err(Cause::ConnectionReset));
        *self.output.lock().unwrap() = Some(out.duplicate()?);
        if self.is_empty { Ok(()) } else { doubling(message, out) }
    }
}

/// Writes meanwhile; the output is released at the end. The result.
fn write_meanwhile<P: Platform>(config: CodecConfig, is_empty: bool) -> Result<(), HandlerError> {
    let (promise, output) = (Promise::new(), Arc::new(Mutex::new(None)));
    let encoder = Meanwhile { promise: promise.clone(), output: Arc::clone(&output), is_empty };
    let line = Line::<P, _>::new(Out(MessageToByteEncoder::new(encoder, config)));
    let (message, witness) = line.message("ab");
    let result = line.write_with(message, &promise);
    witness.assert_released();
    assert_eq!(output.lock().unwrap().as_ref().map(Buffer::count), Some(0), "the output is released");
    result
}

/// C10 as Netty has it, in each release and planted: the output is released twice, which is seen and harms nobody.
#[test]
fn the_kept_output_is_seen() {
    let netty = Preset::ALL.into_iter().filter(|&preset| preset != OURS).map(|preset| (preset.into(), None));
    let planted = [(OURS.into(), Some(Defect::OutputKept))];
    for (config, plant) in netty.chain(planted) {
        for is_empty in [false, true] {
            let found = found(plant, || {
                let result = write_meanwhile::<Sim>(config, is_empty);
                assert!(matches!(result, Err(HandlerError::Buffer(BufferError::Count(_)))), "{result:?}");
            });
            assert_eq!(found, [DoubleRelease], "{config:?}");
        }
    }
}

/// Misuse is an error.
#[test]
fn a_source_that_its_encoder_releases_is_seen() {
    let found = found(None, || {
        let releasing =
            |message: &Buffer<Sim>, _: &mut Buffer<Sim>| message.release().map(drop).map_err(HandlerError::from);
        let line = Line::<Sim, _>::new(Out(MessageToByteEncoder::new(encoding(releasing), OURS)));
        let (message, witness) = line.message("ab");
        let (promise, result) = line.write(message);
        assert!(matches!(result, Err(HandlerError::Buffer(BufferError::Count(_)))), "{result:?}");
        witness.assert_released();
        assert_eq!((line.seen(), promise.outcome()), (vec![], Some(Err(Cause::IllegalCount))), "nothing is written");
    });
    assert_eq!(found, [DoubleRelease]);
}

fn bytes_a_source_with_another_owner<P: Platform>() {
    let line = Line::<P, _>::new(Out(MessageToByteEncoder::new(encoding(doubling::<P>), OURS)));
    let (message, witness) = line.message("ab");
    assert_eq!(witness.0.retain_many(1), Ok(()));
    line.write(message).1.expect("two owners: one is given up");
    assert_eq!(witness.0.release(), Ok(true));
}

// ---- MessageToMessageEncoder

/// Makes a message of each byte.
fn splitting<P: Platform>(message: &Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
    for at in 0..message.readable() {
        out.push(message.retained_slice(at, 1)?);
    }
    Ok(())
}

fn messages_are_written_in_order<P: Platform>() {
    for config in configs() {
        let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(several(splitting::<P>), config)));
        for (bytes, expected) in [("abc", vec![written("a"), written("b"), written("c")]), ("a", vec![written("a")])] {
            let (message, witness) = line.message(bytes);
            let (promise, result) = line.write(message);
            result.expect("all is well");
            witness.assert_released();
            assert_eq!((line.seen(), promise.outcome()), (expected, Some(Ok(()))));
        }
    }
}

fn messages_anything_else_passes<P: Platform>() {
    let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(several(splitting::<P>), OURS)));
    let (promise, result) = line.write(Pojo::new(3));
    result.expect("it is none of ours");
    assert_eq!((line.seen(), promise.outcome()), (vec![Seen::Object], Some(Ok(()))));
}

fn messages_encoding_fails_or_panics<P: Platform>() {
    for config in configs() {
        let failing = several(|message: &Buffer<P>, _: &mut Outputs<P>| {
            assert_ne!(&*message.bytes()?, b"panic");
            Err(broken())
        });
        let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(failing, config)));
        let (message, witness) = line.message("fail");
        let (promise, result) = line.write(message);
        assert_eq!(result.map_err(|e| e.to_string()), Err(BROKEN.to_string()));
        witness.assert_released();
        assert_eq!((line.seen(), promise.outcome()), (vec![], Some(ENCODER_FAILED)));
        let (message, witness) = line.message("panic");
        let promise = Promise::untracked();
        assert!(P::catch(|| line.write_with(message, &promise)).is_err(), "the panic passes through");
        witness.assert_released();
    }
}

/// Netty's `finally` writes what was made before the failure; ours releases it.
fn messages_partial_output<P: Platform>() {
    for preset in Preset::ALL {
        for panics in [false, true] {
            let failing = several(move |message: &Buffer<P>, out: &mut Outputs<P>| {
                splitting(message, out)?;
                assert!(!panics, "on purpose");
                Err(broken())
            });
            let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(failing, preset)));
            let (message, witness) = line.message("ab");
            let promise = Promise::new();
            let result = P::catch(|| line.write_with(message, &promise));
            assert_eq!(result.is_err(), panics);
            witness.assert_released();
            let expected = if preset == OURS { vec![] } else { vec![written("a"), written("b")] };
            assert_eq!(line.seen(), expected, "{preset}");
            promise.try_complete(ENCODER_FAILED); // as a pipeline does after a panic
        }
    }
}

fn messages_nothing_encoded<P: Platform>() {
    for config in configs() {
        let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(
            several(|_: &Buffer<P>, _: &mut Outputs<P>| Ok(())),
            config,
        )));
        let (message, witness) = line.message("x");
        let (promise, result) = line.write(message);
        assert!(matches!(result, Err(HandlerError::NoOutput)), "{result:?}");
        witness.assert_released();
        assert_eq!((line.seen(), promise.outcome()), (vec![], Some(ENCODER_FAILED)));
    }
}

/// The promise is complete when all are, from 4.1.32; before, when the last one is.
fn messages_the_promise_waits_for_all_or_the_last<P: Platform>() {
    for config in configs() {
        let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(several(splitting::<P>), config)));
        let promise = Promise::new();
        let (watched, at) = (promise.clone(), Arc::new(AtomicU32::new(0)));
        let (seen, done_at) = (Arc::new(AtomicU32::new(0)), Arc::clone(&at));
        let writes = Arc::clone(&seen);
        promise.add_listener(move |_| done_at.store(writes.load(Ordering::SeqCst), Ordering::SeqCst));
        line.react(move |_, _| {
            seen.fetch_add(1, Ordering::SeqCst);
            assert!(!watched.is_done(), "not before the last one");
        });
        let (message, witness) = line.message("abc");
        line.write_with(message, &promise).expect("all is well");
        witness.assert_released();
        assert_eq!((promise.outcome(), at.load(Ordering::SeqCst)), (Some(Ok(())), 3));
    }
}

/// Whichever fails: the promise is failed, from 4.1.32; before, only by the last one.
fn messages_the_first_failure_is_the_outcome<P: Platform>() {
    for config in configs() {
        for failing in 0..3_u32 {
            let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(several(splitting::<P>), config)));
            let count = std::cell::Cell::new(0);
            line.react(move |line, _| {
                let fails = count.replace(count.get() + 1) == failing;
                line.transport.set(if fails { Err(Cause::ConnectionReset) } else { Ok(()) });
            });
            let (message, witness) = line.message("abc");
            let (promise, result) = line.write(message);
            result.expect("the failure is the promise's");
            witness.assert_released();
            let is_failed = config.combine_promises || failing == 2;
            assert_eq!(promise.outcome(), Some(if is_failed { Err(Cause::ConnectionReset) } else { Ok(()) }));
        }
    }
}

fn messages_a_cancelled_or_complete_promise<P: Platform>() {
    for config in configs() {
        for bytes in ["a", "abc"] {
            for cancels in [false, true] {
                let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(several(splitting::<P>), config)));
                let promise = Promise::new();
                assert!(if cancels { promise.cancel() } else { promise.complete(Ok(())) });
                let (message, witness) = line.message(bytes);
                let result = line.write_with(message, &promise);
                witness.assert_released();
                let is_refused = !cancels && (bytes == "a" || !config.combine_promises);
                assert_eq!(matches!(result, Err(HandlerError::Promise(_))), is_refused, "{result:?}");
                assert_eq!(result.is_err(), is_refused);
            }
        }
    }
}
