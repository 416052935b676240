//! The byte-to-message decoder: what it keeps, gives and releases, and the rules of its loop.

mod codec_support;

use codec_support::{BROKEN, In, Line, OURS, Plain, Seen, Witness, allocator, broken, configs, decoding, found, read};
use millpond::engine::Sim;
use millpond::ledger::FindingKind::{DoubleRelease, UseAfterRelease};
use millpond_model::buffer::{Buffer, Owned};
use millpond_model::codec::{
    ByteToMessageDecoder, CodecConfig, CompositeCumulator, Context, Cumulator, Decode, FixedLengthFrameDecoder,
    HandlerError, MergeCumulator, Outputs, UserEvent,
};
use millpond_model::message::Message;
use millpond_model::{Platform, Preset};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

released_on_both!(
    what_is_read_is_released,
    anything_else_passes,
    an_empty_input_is_released,
    a_cumulation_of_its_own_grows_in_place,
    a_shared_cumulation_is_replaced,
    a_cumulation_that_cannot_grow_is_replaced,
    a_cumulation_being_read_is_replaced,
    the_cumulation_may_be_its_own_input,
    inactive_offers_the_rest_and_releases_it,
    input_shutdown_offers_the_rest_and_releases_it,
    the_last_decode_may_fail_or_panic,
    removal_gives_the_rest_on,
    removal_without_a_rest,
    a_decoder_that_is_dropped_releases,
    a_failed_decode_keeps_the_bytes_and_gives_the_outputs,
    a_panicking_decode_does_the_same,
    a_message_of_nothing_is_an_error,
    reading_without_a_message_goes_on,
    single_decode_leaves_the_rest,
    memory_of_read_bytes_is_given_back,
    a_composite_cumulation_copies_nothing,
    a_shared_composite_is_replaced,
    a_failing_cumulator_releases_its_input,
    a_panicking_cumulator_leaks_nothing,
);

type Bytes<D, P> = Line<P, In<ByteToMessageDecoder<D, P>>>;

fn line<P: Platform, D: Decode<P>>(decoder: D, config: impl Into<CodecConfig>) -> Bytes<D, P> {
    Line::new(In(ByteToMessageDecoder::new(decoder, config)))
}

/// Frames of two bytes.
fn pairs<P: Platform>(config: impl Into<CodecConfig>) -> Bytes<FixedLengthFrameDecoder, P> {
    line(FixedLengthFrameDecoder::new(2), config)
}

fn what_is_read_is_released<P: Platform>() {
    for config in configs() {
        let line = pairs::<P>(config);
        let all = line.read_bytes("abcd");
        all.assert_released();
        assert_eq!((line.seen(), line.handler.0.readable()), (vec![read("ab"), read("cd")], 0));
        let half = line.read_bytes("e");
        assert_eq!((half.0.count(), line.handler.0.readable()), (1, 1), "it is kept");
        line.read_bytes("f").assert_released();
        half.assert_released();
        assert_eq!(line.seen(), [read("ef")]);
    }
}

fn anything_else_passes<P: Platform>() {
    let line = pairs::<P>(OURS);
    let half = line.read_bytes("a");
    line.read(Message::object(Plain(1)));
    line.event(UserEvent::Message(line.message("an event").0));
    line.read_complete();
    assert_eq!(line.seen(), [Seen::Object, Seen::Event, Seen::ReadComplete]);
    assert_eq!(half.0.count(), 1);
}

fn an_empty_input_is_released<P: Platform>() {
    for config in configs() {
        let line = pairs::<P>(config);
        line.read_bytes("").assert_released();
        line.read(Buffer::empty());
        let half = line.read_bytes("a");
        line.read_bytes("").assert_released();
        line.read(Buffer::empty());
        assert_eq!((line.seen(), half.0.count()), (vec![], 1));
    }
}

fn a_cumulation_of_its_own_grows_in_place<P: Platform>() {
    let allocator = allocator::<P>();
    let mut first = allocator.allocate(64).expect("there is memory");
    first.put(b"a").expect("there is room");
    let line = line::<P, _>(FixedLengthFrameDecoder::new(4), OURS);
    let witness = Witness(first.duplicate().expect("it is alive"));
    line.read(first);
    for more in ["b", "c"] {
        line.read_bytes(more).assert_released();
        assert_eq!(witness.0.count(), 1, "it is still the first buffer");
    }
    line.read_bytes("d").assert_released();
    witness.assert_released();
    assert_eq!(line.seen(), [read("abcd")]);
}

fn a_shared_cumulation_is_replaced<P: Platform>() {
    for config in configs() {
        let line = pairs::<P>(config);
        line.keeps.set(true);
        let first = line.read_bytes("abc");
        assert_eq!((line.seen(), first.0.count()), (vec![read("ab")], 2), "the frame shares it");
        line.read_bytes("d").assert_released();
        assert_eq!(first.0.count(), 1, "the frame's, alone");
        assert_eq!(line.seen(), [read("cd")]);
        let mut twin = first.0.duplicate().expect("the frame keeps it alive");
        assert_eq!(twin.read_bytes(3).map(Owned::from).map(|b| b.bytes().unwrap().to_vec()), Ok(b"abc".to_vec()));
        assert_eq!(twin.readable(), 0, "nothing was written behind them");
    }
}

fn a_cumulation_that_cannot_grow_is_replaced<P: Platform>() {
    for config in configs() {
        let line = pairs::<P>(config);
        let mut full = line.allocator.allocate_max(1, 1).expect("there is memory");
        full.put(b"a").expect("there is room");
        let witness = Witness(full.duplicate().expect("it is alive"));
        line.read(full);
        line.read_bytes("bc").assert_released();
        witness.assert_released();
        assert_eq!((line.seen(), line.handler.0.readable()), (vec![read("ab")], 1));
    }
}

/// Somebody who has no count reads: the bytes stay until he is out.
fn a_cumulation_being_read_is_replaced<P: Platform>() {
    let line = pairs::<P>(OURS);
    let first = line.read_bytes("a");
    let bytes = first.0.bytes().expect("it is alive");
    line.read_bytes("b").assert_released();
    assert_eq!((line.seen(), &*bytes), (vec![read("ab")], &b"a"[..]));
}

/// A second count on the same buffer comes as the input.
fn the_cumulation_may_be_its_own_input<P: Platform>() {
    for config in configs() {
        let line = pairs::<P>(config);
        let first = line.buffer("a");
        let second = first.retain().expect("it is alive");
        let witness = Witness(first.duplicate().expect("it is alive"));
        line.read(first);
        line.read(second);
        witness.assert_released();
        assert_eq!(line.seen(), [read("aa")]);
    }
}

fn inactive_offers_the_rest_and_releases_it<P: Platform>() {
    for config in configs() {
        let line = pairs::<P>(config);
        line.read_bytes("ab");
        let rest = line.read_bytes("c");
        assert_eq!(line.seen(), [read("ab")]);
        line.inactive();
        rest.assert_released();
        assert_eq!(line.seen(), [Seen::Inactive]);
    }
}

/// Takes pairs, and at the end whatever is left.
struct ToTheEnd;

impl<P: Platform> Decode<P> for ToTheEnd {
    fn decode(&self, ctx: &dyn Context<P>, input: &mut Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        FixedLengthFrameDecoder::new(2).decode(ctx, input, out)
    }
    fn decode_last(&self, _: &dyn Context<P>, input: &mut Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        if input.is_empty_buffer() {
            out.push(Message::object(Plain(0)));
            return Ok(());
        }
        out.push(input.read_retained_slice(input.readable())?);
        Ok(())
    }
}

fn input_shutdown_offers_the_rest_and_releases_it<P: Platform>() {
    for config in configs() {
        let line = line::<P, _>(ToTheEnd, config);
        let rest = line.read_bytes("c");
        line.event(UserEvent::InputShutdown);
        rest.assert_released();
        assert_eq!(line.seen(), [read("c"), Seen::ReadComplete, Seen::Event]);
        line.inactive();
        assert_eq!(line.seen(), [Seen::Object, Seen::ReadComplete, Seen::Inactive], "with the empty buffer");
    }
}

fn the_last_decode_may_fail_or_panic<P: Platform>() {
    for panics in [false, true] {
        let line = line::<P, _>(
            decoding(move |_, input: &mut Buffer<P>, out| {
                if input.readable() == 1 {
                    return Ok(()); // until the end
                }
                out.push(input.read_retained_slice(1)?);
                assert!(!panics, "on purpose");
                Err(broken())
            }),
            OURS,
        );
        let rest = line.read_bytes("a");
        line.read_bytes(""); // nothing changes
        let caught = P::catch(|| {
            line.read_bytes("b");
        });
        assert_eq!(caught.is_err(), panics);
        let caught = P::catch(|| line.inactive());
        assert!(caught.is_ok(), "one byte is left, which it doesn't mind");
        rest.assert_released();
        let expected =
            [vec![read("a")], vec![Seen::Exception(BROKEN.into()); usize::from(!panics)], vec![Seen::Inactive]];
        assert_eq!(line.seen(), expected.concat());
    }
}

fn removal_gives_the_rest_on<P: Platform>() {
    for preset in Preset::ALL {
        let line = pairs::<P>(preset);
        let rest = line.read_bytes("abc");
        assert_eq!(line.seen(), [read("ab")]);
        line.keeps.set(true);
        line.remove();
        assert_eq!(line.seen(), [read("c"), Seen::ReadComplete]);
        let is_copy = preset < Preset::Netty4_1_44;
        assert_eq!(rest.0.count(), u32::from(!is_copy), "{preset}: the same buffer, or a copy of what is left");
    }
}

fn removal_without_a_rest<P: Platform>() {
    for config in configs() {
        let line = pairs::<P>(config);
        line.remove();
        assert_eq!(line.seen(), []);
        let line = pairs::<P>(config);
        line.read_bytes("ab").assert_released();
        line.remove();
        assert_eq!(line.seen(), [read("ab")]);
    }
}

fn a_decoder_that_is_dropped_releases<P: Platform>() {
    let line = pairs::<P>(OURS);
    let rest = line.read_bytes("a");
    drop(line);
    rest.assert_released();
}

/// A message of each byte; fails, or panics, with `!`.
struct Failing {
    panics: bool,
}

impl<P: Platform> Decode<P> for Failing {
    fn decode(&self, _: &dyn Context<P>, input: &mut Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        let byte = input.read_retained_slice(1)?;
        let is_bad = *byte.bytes()? == *b"!";
        out.push(byte);
        assert!(!is_bad || !self.panics, "on purpose");
        if is_bad { Err(broken()) } else { Ok(()) }
    }
}

fn a_failed_decode_keeps_the_bytes_and_gives_the_outputs<P: Platform>() {
    for config in configs() {
        let line = line::<P, _>(Failing { panics: false }, config);
        let bytes = line.read_bytes("a!b");
        assert_eq!(line.seen(), [read("a"), read("!"), Seen::Exception(BROKEN.into())]);
        assert_eq!((line.handler.0.readable(), bytes.0.count()), (1, 1), "what it hasn't read it still has");
        line.read_bytes("c").assert_released();
        bytes.assert_released();
        assert_eq!(line.seen(), [read("b"), read("c")]);
    }
}

fn a_panicking_decode_does_the_same<P: Platform>() {
    for config in configs() {
        let line = line::<P, _>(Failing { panics: true }, config);
        let (message, bytes) = line.message("a!b");
        assert!(P::catch(|| line.read(message)).is_err(), "the panic passes through");
        assert_eq!(line.seen(), [read("a"), read("!")]);
        assert_eq!((line.handler.0.readable(), bytes.0.count()), (1, 1));
        line.read_bytes("c").assert_released();
        bytes.assert_released();
        assert_eq!(line.seen(), [read("b"), read("c")]);
    }
}

fn a_message_of_nothing_is_an_error<P: Platform>() {
    for config in configs() {
        let line = line::<P, _>(
            decoding(|_, _, out| {
                out.push(Message::object(Plain(1)));
                Ok(())
            }),
            config,
        );
        let bytes = line.read_bytes("a");
        assert_eq!(line.seen(), [Seen::Object, Seen::Exception(HandlerError::NoProgress.to_string())]);
        line.remove();
        bytes.assert_released();
        assert_eq!(line.seen(), [read("a"), Seen::ReadComplete]);
    }
}

fn reading_without_a_message_goes_on<P: Platform>() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let line = line::<P, _>(
        decoding(move |_, input: &mut Buffer<P>, _| {
            if counted.fetch_add(1, Ordering::SeqCst) < 3 {
                input.advance(1);
            }
            Ok(())
        }),
        OURS,
    );
    let bytes = line.read_bytes("abcde");
    assert_eq!((calls.load(Ordering::SeqCst), line.handler.0.readable()), (4, 2), "until it reads nothing");
    assert_eq!((line.seen(), bytes.0.count()), (vec![], 1));
}

fn single_decode_leaves_the_rest<P: Platform>() {
    let decoder = ByteToMessageDecoder::new(FixedLengthFrameDecoder::new(2), OURS).single_decode(true);
    let line = Line::<P, _>::new(In(decoder));
    line.read_bytes("abcdef");
    assert_eq!((line.seen(), line.handler.0.readable()), (vec![read("ab")], 4));
    line.remove();
    assert_eq!(line.seen(), [read("cdef"), Seen::ReadComplete]);
}

/// A stream that always has some bytes too few doesn't grow for ever.
fn memory_of_read_bytes_is_given_back<P: Platform>() {
    for config in configs() {
        let line = line::<P, _>(FixedLengthFrameDecoder::new(64), config);
        let mut largest = 0;
        line.read_bytes([1; 63]);
        for _ in 0..100 {
            let mut input = line.allocator.allocate(64).expect("there is memory");
            input.put(&[1; 64]).expect("there is room");
            line.read(input);
            assert_eq!((line.seen(), line.handler.0.readable()), (vec![read([1; 64])], 63));
            largest = largest.max(line.handler.0.capacity());
        }
        assert!(largest <= 64 * 2 * 17, "{largest} bytes: at most what sixteen reads need, doubled");
    }
    let decoder = ByteToMessageDecoder::new(FixedLengthFrameDecoder::new(64), OURS).cumulate_by(CompositeCumulator);
    let line = Line::<P, _>::new(In(decoder));
    let mut inputs = vec![line.read_bytes([1; 63])];
    for i in 0..100 {
        inputs.push(line.read_bytes([1; 64]));
        assert_eq!((line.seen(), line.handler.0.readable()), (vec![read([1; 64])], 63));
        let live = inputs.iter().filter(|input| input.0.count() > 0).count();
        assert!(live <= 17, "{live} components after {i} reads");
    }
    line.read_complete();
    assert_eq!(inputs.iter().filter(|input| input.0.count() > 0).count(), 1, "at the end of a burst the last is left");
}

fn composing<D: Decode<P>, P: Platform>(decoder: D) -> Bytes<D, P> {
    Line::new(In(ByteToMessageDecoder::new(decoder, OURS).cumulate_by(CompositeCumulator)))
}

fn a_composite_cumulation_copies_nothing<P: Platform>() {
    let line = composing::<_, P>(FixedLengthFrameDecoder::new(5));
    line.keeps.set(true);
    let inputs = ["ab", "", "cd", "ef"].map(|bytes| line.read_bytes(bytes));
    assert_eq!(line.seen(), [read("abcde")]);
    assert_eq!(inputs.each_ref().map(|input| input.0.count() > 0), [true, false, true, true], "they are the frame's");
    drop(line.take_kept());
    line.remove();
    assert_eq!(line.seen(), [read("f"), Seen::ReadComplete]);
    drop(line.take_kept());
    inputs.iter().for_each(Witness::assert_released);
}

fn a_shared_composite_is_replaced<P: Platform>() {
    let line = composing::<_, P>(FixedLengthFrameDecoder::new(3));
    line.keeps.set(true);
    let first = ["ab", "cd"].map(|bytes| line.read_bytes(bytes));
    assert_eq!((line.seen(), line.handler.0.readable()), (vec![read("abc")], 1));
    let frame = line.take_kept().remove(0);
    assert_eq!(frame.capacity(), 3);
    let second = line.read_bytes("ef");
    assert_eq!(line.seen(), [read("def")]);
    assert_eq!(codec_support::bytes_of(&frame), b"abc", "nothing has changed below it");
    drop((frame, line.take_kept()));
    first.iter().for_each(Witness::assert_released);
    second.assert_released();
}

/// A composite takes a component over even when that fails.
#[test]
fn a_composite_cumulation_of_a_dead_input() {
    let found = found(None, || {
        for composite_first in [false, true] {
            let line = composing::<_, Sim>(FixedLengthFrameDecoder::new(9));
            let kept = line.read_bytes("a");
            let more = composite_first.then(|| line.read_bytes("b"));
            let (dead, witness) = line.message("c");
            assert_eq!(witness.0.release(), Ok(true));
            line.read(dead);
            assert!(matches!(line.seen()[..], [Seen::Exception(_)]), "refused, and told");
            assert_eq!((kept.0.count(), line.handler.0.readable()), (1, 1 + usize::from(composite_first)));
            line.inactive();
            kept.assert_released();
            more.iter().for_each(Witness::assert_released);
        }
    });
    // The use is refused, and so is the release of what was taken over.
    assert_eq!(found, [DoubleRelease, UseAfterRelease]);
}

struct Refuses;

impl<P: Platform> Cumulator<P> for Refuses {
    fn cumulate(
        &self,
        _: &millpond_model::allocator::Allocator<P>,
        _: &mut Owned<P>,
        input: Owned<P>,
    ) -> Result<(), HandlerError> {
        assert_ne!(&*input.bytes()?, b"panic");
        Err(broken())
    }
}

fn a_failing_cumulator_releases_its_input<P: Platform>() {
    let line =
        Line::<P, _>::new(In(ByteToMessageDecoder::new(FixedLengthFrameDecoder::new(2), OURS).cumulate_by(Refuses)));
    let kept = line.read_bytes("a");
    line.read_bytes("b").assert_released();
    assert_eq!((line.seen(), kept.0.count()), (vec![Seen::Exception(BROKEN.into())], 1), "what there was is there");
}

fn a_panicking_cumulator_leaks_nothing<P: Platform>() {
    let line =
        Line::<P, _>::new(In(ByteToMessageDecoder::new(FixedLengthFrameDecoder::new(2), OURS).cumulate_by(Refuses)));
    let kept = line.read_bytes("a");
    let (message, input) = line.message("panic");
    assert!(P::catch(|| line.read(message)).is_err(), "the panic passes through");
    input.assert_released();
    kept.assert_released(); // nobody knows what a panic has left of it
    line.read_bytes("bc").assert_released();
    assert_eq!(line.seen(), [read("bc")]);
}

/// Misuse is an error, which is told with the reason.
#[test]
fn an_input_that_its_decoder_releases_is_seen() {
    for (bytes, left) in [("a", "all is read"), ("ab", "something is left")] {
        let found = found(None, || {
            let line = line::<Sim, _>(
                decoding(|_, input: &mut Buffer<Sim>, _| {
                    input.advance(1);
                    input.release()?;
                    Err(broken())
                }),
                OURS,
            );
            line.read_bytes(bytes).assert_released();
            assert_eq!(line.seen(), [Seen::Exception(BROKEN.into())], "{left}");
            line.read_bytes(bytes).assert_released();
            assert_eq!(line.seen(), [Seen::Exception(BROKEN.into())], "the next read finds nothing");
        });
        assert_eq!(found, [DoubleRelease], "{left}");
    }
}

#[test]
fn an_input_given_on_without_a_retain_is_an_error() {
    let found = found(None, || {
        let line = line::<Sim, _>(
            decoding(|_, input: &mut Buffer<Sim>, out| {
                out.push(input.read_slice(2)?); // shares the count, which is the decoder's
                Ok(())
            }),
            OURS,
        );
        let bytes = line.read_bytes("abcd");
        assert_eq!(bytes.0.count(), 0);
        let seen = line.seen();
        assert_eq!(seen[0], read("ab"), "{seen:?}");
        assert!(matches!(seen.last(), Some(Seen::Exception(_))), "{seen:?}");
    });
    assert!(found.contains(&DoubleRelease), "{found:?}");
}

/// What the cumulator says of itself.
#[test]
fn merging_takes_the_input_over() {
    let line = Line::<millpond_model::Std, ()>::new(());
    let merge = MergeCumulator::new(OURS);
    let mut cumulation = Owned::from(line.buffer("ab"));
    let input = line.buffer("cd");
    let witness = Witness(input.duplicate().expect("it is alive"));
    merge.cumulate(&line.allocator, &mut cumulation, Owned::from(input)).expect("there is memory");
    witness.assert_released();
    assert_eq!(&*cumulation.bytes().unwrap(), b"abcd");
}
