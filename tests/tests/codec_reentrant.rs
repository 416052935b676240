//! A decoder that is fed, closed or removed while it is on the stack: nothing is lost, nothing is out of order; and the
//! defects that real releases have here, which are seen and harm nobody.

mod codec_support;

use codec_support::{BROKEN, In, Line, OURS, Plain, Seen, Witness, broken, decoding, found, read};
use millpond::engine::Sim;
use millpond::ledger::FindingKind::{DoubleRelease, Leak, UseAfterRelease};
use millpond_model::buffer::{Buffer, Owned};
use millpond_model::codec::{
    ByteToMessageDecoder, CodecConfig, Context, Cumulator, Decode, FixedLengthFrameDecoder, HandlerError,
    MergeCumulator, Outputs, UserEvent,
};
use millpond_model::message::Message;
use millpond_model::observe::Defect;
use millpond_model::{Platform, Preset};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

released_on_both!(
    fed_by_what_is_decoded,
    fed_inside_decode,
    fed_with_anything,
    closed_by_what_is_decoded,
    closed_inside_decode,
    shut_down_and_closed_inside_decode,
    completed_inside_decode,
    removed_inside_decode,
    removed_by_what_is_decoded,
    removed_inside_the_last_decode,
    removed_and_fed_inside_decode,
    removed_and_closed_inside_decode,
    removed_inside_a_decode_that_fails_or_panics,
    errors_are_told_in_order,
    a_panic_leaves_the_queue,
    a_panic_and_a_removal_leave_nothing,
);

type Bytes<D, P> = Line<P, In<ByteToMessageDecoder<D, P>>>;

fn line<P: Platform, D: Decode<P>>(decoder: D, config: impl Into<CodecConfig>) -> Bytes<D, P> {
    Line::new(In(ByteToMessageDecoder::new(decoder, config)))
}

fn pairs<P: Platform>(config: impl Into<CodecConfig>) -> Bytes<FixedLengthFrameDecoder, P> {
    line(FixedLengthFrameDecoder::new(2), config)
}

/// What it has seen before is the event of this decoder, to which the line reacts.
const ASKS: Seen = Seen::Event;

/// Frames of two bytes; before the frame `!!` it tells the next handler, who may call anything.
struct Asking;

impl<P: Platform> Decode<P> for Asking {
    fn decode(&self, ctx: &dyn Context<P>, input: &mut Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        if input.bytes()?.starts_with(b"!!") {
            ctx.fire_user_event(UserEvent::InputShutdown);
        }
        if input.readable() < 2 {
            return Ok(());
        }
        out.push(input.read_retained_slice(2)?);
        Ok(())
    }
}

/// A line with that decoder, which does `f` when it asks.
fn asking<P: Platform>(config: impl Into<CodecConfig>, f: impl Fn(&Bytes<Asking, P>) + 'static) -> Bytes<Asking, P> {
    let line = line::<P, _>(Asking, config);
    line.react(move |line, seen| {
        if *seen == ASKS {
            f(line);
        }
    });
    line
}

/// In each release, as long as nobody shares the cumulation: nobody is inside `decode`.
fn fed_by_what_is_decoded<P: Platform>() {
    for preset in Preset::ALL {
        let copying = decoding(|_, input: &mut Buffer<P>, out| {
            if input.readable() >= 2 {
                out.push(input.read_bytes(2)?);
            }
            Ok(())
        });
        let line = line::<P, _>(copying, preset);
        line.react_once(|line| {
            line.read_bytes("e");
            line.read_bytes("f");
            line.read_bytes("g");
        });
        line.read_bytes("abcd").assert_released();
        assert_eq!(line.seen(), ["ab", "cd", "ef"].map(read), "{preset}");
        line.read_bytes("h").assert_released();
        assert_eq!(line.seen(), [read("gh")], "{preset}");
    }
    let line = pairs::<P>(OURS);
    line.react_once(|line| {
        line.read_bytes("ef");
        line.read_bytes("g");
    });
    line.read_bytes("abcd").assert_released();
    assert_eq!(line.seen(), ["ab", "cd", "ef"].map(read), "shared or not");
    line.read_bytes("h").assert_released();
    assert_eq!(line.seen(), [read("gh")]);
}

fn fed_inside_decode<P: Platform>() {
    let line = asking::<P>(OURS, |line| {
        line.read_bytes("ef");
        line.read_bytes("gh");
    });
    line.read_bytes("ab!!cd").assert_released();
    assert_eq!(line.seen(), [read("ab"), ASKS, read("!!"), read("cd"), read("ef"), read("gh")]);
}

fn fed_with_anything<P: Platform>() {
    let line = asking::<P>(OURS, |line| {
        line.read_bytes("c");
        line.read(Message::object(Plain(1)));
        line.read_bytes("d");
    });
    line.read_bytes("!!").assert_released();
    assert_eq!(line.seen(), [ASKS, read("!!"), Seen::Object, read("cd")], "in the order in which it came");
}

fn closed_by_what_is_decoded<P: Platform>() {
    for preset in Preset::ALL {
        let line = pairs::<P>(preset);
        line.react_once(|line| line.inactive());
        let bytes = line.read_bytes("abc");
        bytes.assert_released();
        assert_eq!(line.seen(), [read("ab"), Seen::Inactive], "{preset}");
    }
}

fn closed_inside_decode<P: Platform>() {
    let line = asking::<P>(OURS, |line| line.inactive());
    line.read_bytes("!!cde").assert_released();
    assert_eq!(line.seen(), [ASKS, read("!!"), read("cd"), Seen::Inactive], "when all that came before is decoded");
}

fn shut_down_and_closed_inside_decode<P: Platform>() {
    let done = AtomicBool::new(false);
    let line = asking::<P>(OURS, move |line| {
        if !done.swap(true, Ordering::SeqCst) {
            line.event(UserEvent::InputShutdown);
            line.inactive();
        }
    });
    line.read_bytes("!!c").assert_released();
    assert_eq!(line.seen(), [ASKS, read("!!"), Seen::Event, Seen::Inactive]);
}

fn completed_inside_decode<P: Platform>() {
    let line = asking::<P>(OURS, |line| {
        line.read_bytes("cd");
        line.read_complete();
    });
    line.read_bytes("!!").assert_released();
    assert_eq!(line.seen(), [ASKS, read("!!"), read("cd"), Seen::ReadComplete]);
}

/// From 4.1.11 it waits until `decode` returns.
fn removed_inside_decode<P: Platform>() {
    for preset in Preset::ALL.into_iter().filter(|&preset| CodecConfig::from(preset).defer_removal) {
        let line = asking::<P>(preset, |line| line.remove());
        let bytes = line.read_bytes("ab!!cde");
        assert_eq!(line.seen(), [read("ab"), ASKS, read("!!"), read("cde"), Seen::ReadComplete], "{preset}");
        bytes.assert_released();
    }
}

fn removed_by_what_is_decoded<P: Platform>() {
    for preset in Preset::ALL {
        let line = pairs::<P>(preset);
        line.react_once(|line| line.remove());
        line.read_bytes("abcde").assert_released();
        assert_eq!(line.seen(), [read("ab"), read("cde"), Seen::ReadComplete], "{preset}");
    }
    // Several at once: ours gives all of them on before the rest.
    let line = line::<P, _>(
        decoding(|_, input: &mut Buffer<P>, out| {
            out.push(input.read_retained_slice(1)?);
            out.push(input.read_retained_slice(1)?);
            Ok(())
        }),
        OURS,
    );
    line.react_once(|line| line.remove());
    line.read_bytes("abcd").assert_released();
    assert_eq!(line.seen(), [read("a"), read("b"), read("cd"), Seen::ReadComplete]);
}

fn removed_inside_the_last_decode<P: Platform>() {
    for preset in Preset::ALL.into_iter().filter(|&preset| CodecConfig::from(preset).defer_removal) {
        let asked = Arc::new(AtomicBool::new(false));
        let may_ask = Arc::clone(&asked);
        let line = line::<P, _>(
            decoding(move |ctx, input: &mut Buffer<P>, out| {
                if may_ask.load(Ordering::SeqCst) {
                    ctx.remove();
                    out.push(input.read_retained_slice(1)?);
                }
                Ok(())
            }),
            preset,
        );
        let bytes = line.read_bytes("abc");
        asked.store(true, Ordering::SeqCst);
        line.inactive();
        let expected = [read("a"), Seen::ReadComplete, read("bc"), Seen::ReadComplete, Seen::Inactive];
        assert_eq!(line.seen(), expected, "{preset}");
        bytes.assert_released();
    }
}

fn removed_and_fed_inside_decode<P: Platform>() {
    let line = asking::<P>(OURS, |line| {
        line.read_bytes("gh");
        line.remove();
        line.read_bytes("i");
    });
    line.read_bytes("!!cdef").assert_released();
    let rest = [read("cdef"), Seen::ReadComplete, read("gh"), read("i")];
    assert_eq!(line.seen(), [vec![ASKS, read("!!")], rest.to_vec()].concat(), "what is undecoded goes on as it came");
}

fn removed_and_closed_inside_decode<P: Platform>() {
    let line = asking::<P>(OURS, |line| {
        line.remove();
        line.inactive();
    });
    line.read_bytes("!!c").assert_released();
    assert_eq!(line.seen(), [ASKS, read("!!"), read("c"), Seen::ReadComplete, Seen::Inactive]);
}

fn removed_inside_a_decode_that_fails_or_panics<P: Platform>() {
    for panics in [false, true] {
        for preset in Preset::ALL.into_iter().filter(|&preset| CodecConfig::from(preset).defer_removal) {
            let line = line::<P, _>(
                decoding(move |ctx, input: &mut Buffer<P>, out| {
                    out.push(input.read_retained_slice(1)?);
                    ctx.remove();
                    assert!(!panics, "on purpose");
                    Err(broken())
                }),
                preset,
            );
            let (message, bytes) = line.message("abc");
            assert_eq!(P::catch(|| line.read(message)).is_err(), panics);
            bytes.assert_released();
            let mut expected = vec![read("a"), read("bc"), Seen::ReadComplete];
            expected.extend((!panics).then(|| Seen::Exception(BROKEN.into())));
            assert_eq!(line.seen(), expected, "{preset}");
        }
    }
}

/// Fails for `?`, and panics for `P`.
struct Moody;

impl<P: Platform> Decode<P> for Moody {
    fn decode(&self, _: &dyn Context<P>, input: &mut Buffer<P>, out: &mut Outputs<P>) -> Result<(), HandlerError> {
        let byte = input.read_retained_slice(1)?;
        let value = byte.bytes()?[0];
        out.push(byte);
        assert_ne!(value, b'P', "on purpose");
        if value == b'?' { Err(HandlerError::other(format!("{} left", input.readable()))) } else { Ok(()) }
    }
}

fn errors_are_told_in_order<P: Platform>() {
    let line = line::<P, _>(Moody, OURS);
    line.react_once(|line| {
        line.read_bytes("??");
        line.read_bytes("b");
        line.read_bytes("?");
    });
    line.read_bytes("a?").assert_released();
    let exception = |text: &str| Seen::Exception(text.into());
    let expected = [
        vec![read("a"), read("?"), exception("0 left")],
        vec![read("?"), exception("1 left")], // of `??`
        vec![read("?"), exception("1 left")], // of what that left, and `b`
        vec![read("b"), read("?"), exception("0 left")],
    ];
    assert_eq!(line.seen(), expected.concat());
}

fn a_panic_leaves_the_queue<P: Platform>() {
    let line = line::<P, _>(Moody, OURS);
    line.react_once(|line| {
        line.read_bytes("b");
        line.read_complete();
    });
    let (message, first) = line.message("aP");
    assert!(P::catch(|| line.read(message)).is_err());
    first.assert_released();
    assert_eq!(line.seen(), [read("a"), read("P")]);
    line.read_bytes("c").assert_released();
    assert_eq!(line.seen(), [read("b"), Seen::ReadComplete, read("c")], "what came before comes before");
}

fn a_panic_and_a_removal_leave_nothing<P: Platform>() {
    let line = line::<P, _>(Moody, OURS);
    let queued = line.message("b");
    let given = std::cell::RefCell::new(Some(queued.0));
    line.react_once(move |line| line.read(given.take().expect("once")));
    let (message, first) = line.message("aPc");
    assert!(P::catch(|| line.read(message)).is_err());
    line.remove();
    assert_eq!(line.seen(), [read("a"), read("P"), read("c"), Seen::ReadComplete, read("b")]);
    first.assert_released();
    queued.1.assert_released();
}

// ---- what real releases do

/// C6: the removal inside `decode` gives on, and releases, what `decode` goes on to read.
#[test]
fn the_early_removal_is_seen() {
    let removed = |preset| {
        move || {
            let line = asking::<Sim>(preset, |line| line.remove());
            line.read_bytes("!!cd").assert_released();
            let seen = line.seen();
            assert_eq!(seen[..3], [ASKS, read("!!cd"), Seen::ReadComplete], "{seen:?}");
            assert!(matches!(seen[3..], [Seen::Exception(_)]), "refused, and told: {seen:?}");
        }
    };
    for preset in Preset::ALL.into_iter().filter(|&preset| !CodecConfig::from(preset).defer_removal) {
        assert_eq!(found(None, removed(preset)), [UseAfterRelease], "{preset}");
    }
    assert_eq!(found(Some(Defect::EarlyRemoval), removed(OURS)), [UseAfterRelease]);
    assert_eq!(found(Some(Defect::EarlyRemoval), removed(Preset::Netty4_2_7)), [UseAfterRelease]);
}

/// C7: what is fed inside `decode` is decoded at once, which releases the buffer under the outer call.
#[test]
fn the_reentrant_read_is_seen() {
    let fed = |preset| {
        move || {
            let line = asking::<Sim>(preset, |line| {
                if line.handler.0.readable() == 2 {
                    line.read_bytes("cd"); // once: the inner call asks, too
                }
            });
            let bytes = line.read_bytes("!!");
            bytes.assert_released();
            let seen = line.seen();
            assert!(matches!(seen.last(), Some(Seen::Exception(_))), "refused, and told: {seen:?}");
        }
    };
    // A frame that shares the cumulation makes the inner call replace it: between two calls of `decode` that's enough.
    let shared = |preset| {
        move || {
            let line = pairs::<Sim>(preset);
            line.react_once(|line| drop(line.read_bytes("ef")));
            line.read_bytes("abcd").assert_released();
            let seen = line.seen();
            assert_eq!(seen[..3], ["ab", "cd", "ef"].map(read), "{seen:?}");
            assert!(matches!(seen[3..], [Seen::Exception(_)]), "{seen:?}");
        }
    };
    for preset in Preset::ALL.into_iter().filter(|&preset| preset != OURS) {
        assert_eq!(found(None, fed(preset)), [UseAfterRelease], "{preset}");
        assert_eq!(found(None, shared(preset)), [UseAfterRelease], "{preset}");
    }
    assert_eq!(found(Some(Defect::ReentrantRead), fed(OURS)), [UseAfterRelease]);
    assert_eq!(found(Some(Defect::ReentrantRead), shared(OURS)), [UseAfterRelease]);
}

/// C8: the removed decoder has given its cumulation on when it is fed, and still thinks it has it.
#[test]
fn the_kept_cumulation_is_seen() {
    let fed = |preset| {
        move || {
            let line = pairs::<Sim>(preset);
            let bytes = line.read_bytes("a");
            line.react(|line, seen| {
                if *seen == Seen::ReadComplete {
                    line.read_bytes("b"); // when the next handler has released the rest
                }
            });
            line.remove();
            bytes.assert_released();
            drop(line);
        }
    };
    let netty = Preset::Netty4_2_7;
    assert_eq!(found(None, fed(netty)), []);
    // What comes is joined to a dead buffer, which the decoder then releases as its own.
    assert_eq!(found(Some(Defect::CumulationKept), fed(netty)), [DoubleRelease, UseAfterRelease]);
}

/// D14: the input, and the replacement, of a cumulation that fails.
#[test]
fn the_leaks_of_a_failed_cumulation_are_seen() {
    // A dead cumulation can't be copied. That it is dead is the tester's doing, and seen as a use after release.
    let merge = |preset| {
        move || {
            let line = Line::<Sim, ()>::new(());
            let merge = MergeCumulator::new(preset);
            let mut cumulation = Owned::from(line.buffer("ab"));
            cumulation.release_many(1).expect("it is alive");
            let input = line.buffer("cd");
            let witness = Witness(input.duplicate().expect("it is alive"));
            let result = merge.cumulate(&line.allocator, &mut cumulation, Owned::from(input));
            assert!(result.is_err());
            assert_eq!(witness.0.count(), u32::from(!CodecConfig::from(preset).release_input_on_failure));
            drop(cumulation.into_buffer());
        }
    };
    let both = found(Some(Defect::CumulationLeak), || {
        let line = Line::<Sim, ()>::new(());
        let (message, input) = line.message("cd");
        let mut cumulation = Owned::from(line.buffer("ab"));
        cumulation.release_many(1).expect("it is alive");
        let Message::Buffer(message) = message else { unreachable!("it is a buffer") };
        let result = MergeCumulator::new(OURS).cumulate(&line.allocator, &mut cumulation, Owned::from(message));
        assert!(result.is_err() && input.0.count() == 1);
        drop(cumulation.into_buffer());
    });
    assert_eq!(both, [Leak, UseAfterRelease]);
    for preset in Preset::ALL {
        let config = CodecConfig::from(preset);
        let leaks = !config.release_input_on_failure || !config.release_new_on_failure;
        let expected = if leaks { vec![Leak, UseAfterRelease] } else { vec![UseAfterRelease] };
        assert_eq!(found(None, merge(preset)), expected, "{preset}");
    }
}
