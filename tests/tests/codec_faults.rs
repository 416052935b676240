//! Handlers without memory: each allocation is refused in turn, and at random. Whatever a handler answers, what it took has
//! been released in the end, and nothing twice.

mod codec_support;

use codec_support::{In, Line, OURS, Out, configs, encoding, nothing_left, several};
use millpond::engine::{Options, Sim, When};
use millpond_model::buffer::Buffer;
use millpond_model::codec::{
    ByteToMessageDecoder, CodecConfig, CompositeCumulator, Context, FixedLengthFrameDecoder, LengthField,
    LengthFieldFrameDecoder, LengthFieldPrepender, MessageToByteEncoder, MessageToMessageEncoder, Outputs,
};
use millpond_model::message::Message;
use millpond_model::observe::Reach;
use millpond_tests::sim::{in_turn, soundly};

/// Refuses the first allocation, then the second, and so on, as long as there are so many; then some at random. How many
/// there were.
#[track_caller]
fn each_allocation_refused(f: impl Fn() + Copy) -> u64 {
    let undisturbed = soundly(&in_turn(), f);
    nothing_left(&undisturbed);
    let mut refused = 0;
    loop {
        let execution = soundly(&Options { alloc_fails: Some(When::Nth(refused + 1)), ..in_turn() }, f);
        nothing_left(&execution);
        if execution.digest == undisturbed.digest {
            break; // there were no more
        }
        refused += 1;
        assert!(refused < 10_000, "an end");
    }
    for seed in 0..50 {
        let fails = Some(When::rate(0.3));
        nothing_left(&soundly(&Options { alloc_fails: fails, seed, ..in_turn() }, f));
    }
    refused
}

/// A message, if there is memory for one.
fn message<H>(line: &Line<Sim, H>, bytes: &[u8]) -> Option<Message<Sim>> {
    let mut buffer = line.allocator.allocate(bytes.len()).ok()?;
    buffer.put(bytes).expect("there is room");
    Some(buffer.into())
}

/// The rules under which a failure leaks nothing: ours, and Netty's from 4.1.44.
fn sound_configs() -> impl Iterator<Item = CodecConfig> {
    configs().filter(|config| config.release_new_on_failure)
}

#[test]
fn a_byte_encoder() {
    for config in sound_configs() {
        let refused = each_allocation_refused(|| {
            let doubling = encoding(|message: &Buffer<Sim>, out: &mut Buffer<Sim>| {
                out.put(&message.bytes()?)?;
                Ok(out.put(&[0; 1000])?) // beyond what it has: another allocation
            });
            let line = Line::<Sim, _>::new(Out(MessageToByteEncoder::new(doubling, config)));
            let Some(message) = message(&line, b"ab") else { return };
            let (promise, result) = line.write(message);
            assert!(promise.is_done());
            assert_eq!(result.is_ok(), promise.outcome() == Some(Ok(())));
        });
        assert_eq!(refused, 3, "the source, the output, its growth");
    }
}

#[test]
fn a_message_encoder() {
    for config in sound_configs() {
        let refused = each_allocation_refused(|| {
            let copying = several(|message: &Buffer<Sim>, out: &mut Outputs<Sim>| {
                for at in 0..message.readable() {
                    out.push(message.copy(at, 1)?);
                }
                Ok(())
            });
            let line = Line::<Sim, _>::new(Out(MessageToMessageEncoder::new(copying, config)));
            let Some(message) = message(&line, b"abc") else { return };
            let (promise, result) = line.write(message);
            assert!(result.is_ok() == (promise.outcome() == Some(Ok(()))) || config.write_partial_output);
            assert!(promise.is_done());
        });
        assert_eq!(refused, 4);
        let refused = each_allocation_refused(|| {
            let line = Line::<Sim, _>::new(Out(MessageToMessageEncoder::new(LengthFieldPrepender::new(2), config)));
            let Some(message) = message(&line, b"abc") else { return };
            assert!(line.write(message).0.is_done());
        });
        assert_eq!(refused, 2);
    }
}

#[test]
fn a_decoder() {
    for config in sound_configs() {
        for (keeps, composes) in [(false, false), (true, false), (false, true), (true, true)] {
            let refused = each_allocation_refused(|| {
                let field = LengthField::first(1);
                let mut decoder = ByteToMessageDecoder::new(LengthFieldFrameDecoder::new(field, 100, 1), config);
                if composes {
                    decoder = decoder.cumulate_by(CompositeCumulator);
                }
                let line = Line::<Sim, _>::new(In(decoder));
                line.keeps.set(keeps);
                for bytes in [&b"\x02a"[..], b"b\x01c\x03d", b"ef\x40", &[7; 64], b"\x05ab"] {
                    if let Some(message) = message(&line, bytes) {
                        line.read(message);
                    }
                }
                line.read_complete();
                line.inactive();
                assert_eq!(line.handler.0.readable(), 0);
            });
            assert!(composes && refused == 5 || refused > 5, "the inputs, and what merging takes: {refused}");
        }
    }
}

#[test]
fn a_decoder_that_is_removed() {
    for config in sound_configs() {
        let refused = each_allocation_refused(|| {
            let decoder = FixedLengthFrameDecoder::new(4);
            let line = Line::<Sim, _>::new(In(ByteToMessageDecoder::new(decoder, config)));
            for bytes in [&b"a"[..], b"bcd", b"e"] {
                if let Some(message) = message(&line, bytes) {
                    line.read(message);
                }
            }
            line.remove();
            assert_eq!(line.handler.0.readable(), 0);
        });
        // The rest is copied through 4.1.42; the others give it on as it is.
        assert!(refused >= 3, "{refused}");
    }
    let copying = CodecConfig { copy_on_removal: true, ..OURS.into() };
    let with = |config| {
        each_allocation_refused(|| {
            let line = Line::<Sim, _>::new(In(ByteToMessageDecoder::new(FixedLengthFrameDecoder::new(4), config)));
            if let Some(message) = message(&line, b"a") {
                line.read(message);
            }
            line.remove();
            assert_eq!(line.handler.0.readable(), 0);
        })
    };
    assert_eq!((with(OURS.into()), with(copying)), (1, 2));
}

/// D14 as it was: what was allocated, or came, has no owner when the next step fails.
#[test]
fn the_leak_of_the_input_is_seen() {
    use millpond::ledger::FindingKind::Leak;
    use millpond_model::Preset;
    for preset in Preset::ALL {
        let execution =
            millpond_tests::sim::to_the_end(&Options { alloc_fails: Some(When::Nth(3)), ..in_turn() }, || {
                millpond::engine::with_ledger(|ledger| ledger.only_count());
                let decoder = FixedLengthFrameDecoder::new(2);
                let line = Line::<Sim, _>::new(In(ByteToMessageDecoder::new(decoder, preset)));
                line.keeps.set(true);
                line.read(message(&line, b"abc").expect("the first allocation"));
                line.read(message(&line, b"d").expect("the second"));
            });
        assert_eq!(execution.reached(Reach::AllocationFailed), 1);
        let found: Vec<_> = execution.ledger.findings().iter().map(|finding| finding.kind).collect();
        let expected = if CodecConfig::from(preset).release_input_on_failure { vec![] } else { vec![Leak] };
        assert_eq!(found, expected, "{preset}");
    }
}
