//! Frames by their length: the decoders and the prepender, and that what goes in comes out.

mod codec_support;

use codec_support::{In, Line, OURS, Out, Seen, Witness, allocator, configs, read, released, written};
use millpond::engine::Sim;
use millpond_model::Platform;
use millpond_model::buffer::Buffer;
use millpond_model::codec::{
    ByteToMessageDecoder, CodecConfig, CompositeCumulator, Context, Decode, FixedLengthFrameDecoder, HandlerError,
    LengthField, LengthFieldFrameDecoder, LengthFieldPrepender, MessageToMessageEncoder, UserEvent,
};
use millpond_model::promise::{Cause, Promise};
use millpond_tests::scale::scaled;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

released_on_both!(
    frames_of_each_width,
    a_header_before_the_length,
    a_length_that_counts_the_header,
    a_corrupted_frame,
    a_frame_that_is_too_long_is_discarded_as_it_comes,
    a_frame_that_is_too_long_is_reported_late,
    a_frame_that_is_too_long_and_there,
    a_strip_beyond_the_frame,
    a_prepended_length,
    a_prepended_length_that_does_not_fit,
);

type Bytes<D, P> = Line<P, In<ByteToMessageDecoder<D, P>>>;

fn line<P: Platform, D: Decode<P>>(decoder: D) -> Bytes<D, P> {
    Line::new(In(ByteToMessageDecoder::new(decoder, OURS)))
}

fn frames<P: Platform>(field: LengthField, limit: usize, strip: usize) -> Bytes<LengthFieldFrameDecoder, P> {
    line(LengthFieldFrameDecoder::new(field, limit, strip))
}

fn too_long(length: u64, limit: u64) -> Seen {
    Seen::Exception(HandlerError::TooLongFrame { length, limit }.to_string())
}

fn corrupted(length: i64) -> Seen {
    Seen::Exception(HandlerError::CorruptedFrame { length }.to_string())
}

fn frames_of_each_width<P: Platform>() {
    for width in [1, 2, 3, 4, 8] {
        let mut bytes = vec![0; width - 1];
        bytes.extend(b"\x03abc");
        let line = frames::<P>(LengthField::first(width), 100, width);
        line.read_bytes([&bytes[..], &bytes[..]].concat()).assert_released();
        assert_eq!(line.seen(), [read("abc"), read("abc")], "at once");
        for &byte in &bytes {
            assert_eq!(line.seen(), []);
            line.read_bytes([byte]);
        }
        assert_eq!(line.seen(), [read("abc")], "byte by byte");
    }
}

// The examples of Netty's documentation of `LengthFieldBasedFrameDecoder`.

fn a_header_before_the_length<P: Platform>() {
    // "2 bytes length field at offset 1 in the middle of 4 bytes header, strip the first header field and the length field"
    let field = LengthField { offset: 1, width: 2, adjustment: 1 };
    let line = frames::<P>(field, 100, 3);
    line.read_bytes(b"\xca\x00\x0c\xfeHELLO, WORLD").assert_released();
    assert_eq!(line.seen(), [read(b"\xfeHELLO, WORLD")]);
    // "3 bytes length field at the end of 5 bytes header, do not strip header"
    let line = frames::<P>(LengthField { offset: 2, width: 3, adjustment: 0 }, 100, 0);
    line.read_bytes(b"\xca\xfe\x00\x00\x0cHELLO, WORLD").assert_released();
    assert_eq!(line.seen(), [read(b"\xca\xfe\x00\x00\x0cHELLO, WORLD")]);
}

fn a_length_that_counts_the_header<P: Platform>() {
    // "2 bytes length field at offset 0, do not strip header, the length field represents the length of the whole message"
    let line = frames::<P>(LengthField { offset: 0, width: 2, adjustment: -2 }, 100, 0);
    line.read_bytes(b"\x00\x0eHELLO, WORLD").assert_released();
    assert_eq!(line.seen(), [read(b"\x00\x0eHELLO, WORLD")]);
}

fn a_corrupted_frame<P: Platform>() {
    let line = frames::<P>(LengthField { offset: 0, width: 2, adjustment: -2 }, 100, 2);
    line.read_bytes(b"\x00\x01"); // less than the length itself takes
    assert_eq!(line.seen(), [corrupted(1)]);
    line.read_bytes(b"\x00\x03a").assert_released();
    assert_eq!(line.seen(), [read("a")], "the length has been skipped");
    let line = frames::<P>(LengthField::first(8), 100, 8);
    line.read_bytes([0xff; 8]).assert_released();
    assert_eq!(line.seen(), [corrupted(-1)]);
    line.read_bytes([0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(line.seen(), [too_long(i64::MAX as u64, 100)], "no overflow");
}

fn a_frame_that_is_too_long_is_discarded_as_it_comes<P: Platform>() {
    let line = frames::<P>(LengthField::first(1), 4, 1);
    line.read_bytes(b"\x05ab").assert_released();
    assert_eq!(line.seen(), [too_long(6, 4)]);
    line.read_bytes("cd").assert_released();
    line.read_bytes(b"e\x01x").assert_released();
    assert_eq!(line.seen(), [read("x")]);
}

fn a_frame_that_is_too_long_is_reported_late<P: Platform>() {
    let line = line::<P, _>(LengthFieldFrameDecoder::new(LengthField::first(1), 4, 1).fail_fast(false));
    line.read_bytes(b"\x05ab").assert_released();
    line.read_bytes("cd").assert_released();
    assert_eq!(line.seen(), []);
    let rest = line.read_bytes(b"e\x01x");
    assert_eq!(line.seen(), [too_long(6, 4)]);
    line.read_bytes(b"\x01y");
    assert_eq!(line.seen(), [read("x"), read("y")]);
    rest.assert_released();
}

fn a_frame_that_is_too_long_and_there<P: Platform>() {
    for fail_fast in [false, true] {
        let line = line::<P, _>(LengthFieldFrameDecoder::new(LengthField::first(1), 4, 1).fail_fast(fail_fast));
        let bytes = line.read_bytes(b"\x05abcde\x01x");
        assert_eq!((line.seen(), line.handler.0.readable()), (vec![too_long(6, 4)], 2));
        line.read_bytes("").assert_released();
        assert_eq!(line.seen(), [read("x")]);
        bytes.assert_released();
    }
}

fn a_strip_beyond_the_frame<P: Platform>() {
    let line = frames::<P>(LengthField::first(1), 10, 4);
    line.read_bytes(b"\x01a").assert_released();
    assert_eq!(line.seen(), [corrupted(1)]);
}

fn a_prepended_length<P: Platform>() {
    for config in configs() {
        for (width, adjustment, includes_itself, expected) in [
            (1, 0, false, vec![3]),
            (2, 0, true, vec![0, 5]),
            (3, -1, false, vec![0, 0, 2]),
            (4, 256, false, vec![0, 0, 1, 3]),
            (8, -11, true, vec![0; 8]),
        ] {
            let prepender = LengthFieldPrepender::new(width).adjust(adjustment, includes_itself);
            let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(prepender, config)));
            let (message, witness) = line.message("abc");
            let (promise, result) = line.write(message);
            result.expect("it fits");
            witness.assert_released();
            assert_eq!(line.seen(), [written(expected), written("abc")]);
            assert_eq!(promise.outcome(), Some(Ok(())));
        }
    }
}

fn a_prepended_length_that_does_not_fit<P: Platform>() {
    for (length, adjustment) in [(256, 0), (1, 255), (1, -2)] {
        let prepender = LengthFieldPrepender::new(1).adjust(adjustment, false);
        let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(prepender, OURS)));
        let (message, witness) = line.message(vec![1; length]);
        let (promise, result) = line.write(message);
        assert!(matches!(result, Err(HandlerError::CorruptedFrame { .. })), "{result:?}");
        witness.assert_released();
        assert_eq!((line.seen(), promise.outcome()), (vec![], Some(Err(Cause::EncoderFailed))));
    }
}

#[test]
#[should_panic(expected = "a length field of 5 bytes")]
fn a_width_that_cannot_be() {
    LengthFieldFrameDecoder::new(LengthField::first(5), 100, 0);
}

// ---- what goes in comes out

/// What happens between two pieces of the stream.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    ReadComplete,
    Removed,
    Inactive,
    InputShutdown,
}

#[derive(Clone, Debug)]
struct Stream {
    frames: Vec<Vec<u8>>,
    /// Length of each piece; the last one is repeated.
    cuts: Vec<usize>,
    /// After which piece, and what.
    between: Vec<(usize, Between)>,
    /// After which frame the next handler feeds the next piece itself.
    feeds_at: Option<usize>,
    keeps: bool,
    config: CodecConfig,
}

fn stream() -> impl Strategy<Value = Stream> {
    let frames = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12);
    let cuts = prop::collection::vec(1_usize..60, 1..8);
    let event = prop_oneof![
        4 => Just(Between::ReadComplete),
        1 => Just(Between::Removed),
        1 => Just(Between::Inactive),
        1 => Just(Between::InputShutdown),
    ];
    let between = prop::collection::vec((0_usize..20, event), 0..3);
    let config = prop::sample::select(configs().collect::<Vec<_>>());
    (frames, cuts, between, prop::option::of(0_usize..12), any::<bool>(), config).prop_map(
        |(frames, cuts, between, feeds_at, keeps, config)| Stream { frames, cuts, between, feeds_at, keeps, config },
    )
}

/// The stream as the prepender writes it.
fn encoded<P: Platform>(stream: &Stream) -> Vec<u8> {
    let line = Line::<P, _>::new(Out(MessageToMessageEncoder::new(LengthFieldPrepender::new(2), stream.config)));
    for frame in &stream.frames {
        let promise = Promise::new();
        line.write_with(line.buffer(frame), &promise).expect("there is memory");
        assert_eq!(promise.outcome(), Some(Ok(())));
    }
    let bytes = |seen| if let Seen::Written(bytes) = seen { bytes } else { panic!("{seen:?}") };
    line.seen().into_iter().flat_map(bytes).collect()
}

/// Decodes the stream in pieces, and checks what comes out.
fn decoded<P: Platform>(stream: &Stream, cumulate: fn(Decoder<P>) -> Decoder<P>) {
    let bytes = encoded::<P>(stream);
    let decoder = LengthFieldFrameDecoder::new(LengthField::first(2), 100, 2);
    let line = Line::<P, _>::new(In(cumulate(ByteToMessageDecoder::new(decoder, stream.config))));
    line.keeps.set(stream.keeps);
    let mut pieces = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let cut = stream.cuts[pieces.len().min(stream.cuts.len() - 1)].min(rest.len());
        pieces.push(rest[..cut].to_vec());
        rest = &rest[cut..];
    }
    let total = pieces.len();
    let pieces = std::rc::Rc::new(std::cell::RefCell::new(pieces.into_iter()));
    // Only ours can be fed while it is on the stack.
    if let Some(at) = stream.feeds_at.filter(|_| stream.config == OURS.into()) {
        let (pieces, count) = (std::rc::Rc::clone(&pieces), std::cell::Cell::new(0));
        line.react(move |line, seen| {
            let is_now = matches!(seen, Seen::Read(_)) && count.replace(count.get() + 1) == at;
            let next = if is_now { pieces.borrow_mut().next() } else { None };
            if let Some(piece) = next {
                line.read_bytes(piece);
            }
        });
    }
    let mut inputs: Vec<Witness<P>> = Vec::new();
    let mut ended = Between::Nothing;
    for i in 0..total {
        let Some(piece) = ({ pieces.borrow_mut().next() }) else { break };
        inputs.push(line.read_bytes(piece));
        for (_, what) in stream.between.iter().filter(|(at, _)| *at == i) {
            ended = *what;
            match what {
                Between::ReadComplete => line.read_complete(),
                Between::Removed => line.remove(),
                Between::Inactive => line.inactive(),
                Between::InputShutdown => line.event(UserEvent::InputShutdown),
                Between::Nothing => {}
            }
            if !matches!(what, Between::ReadComplete) {
                break;
            }
        }
        if !matches!(ended, Between::Nothing | Between::ReadComplete) {
            break;
        }
    }
    let seen = line.seen();
    let out: Vec<Vec<u8>> =
        seen.iter().filter_map(|s| if let Seen::Read(b) = s { Some(b.clone()) } else { None }).collect();
    assert!(!seen.iter().any(|s| matches!(s, Seen::Exception(_))), "{seen:?}");
    let fed = bytes.len() - pieces.borrow().clone().map(|piece| piece.len()).sum::<usize>();
    match ended {
        Between::Nothing | Between::ReadComplete => assert_eq!(out, stream.frames, "all frames, and nothing else"),
        Between::Inactive | Between::InputShutdown => {
            let ends = stream.frames.iter().scan(0, |end, frame| {
                *end += 2 + frame.len();
                Some(*end)
            });
            let whole = ends.take_while(|&end| end <= fed).count();
            assert_eq!(out, stream.frames[..whole], "all frames that were complete");
        }
        Between::Removed => {
            let with_header = |frame: &Vec<u8>| [&(frame.len() as u16).to_be_bytes()[..], frame].concat();
            let again = |whole: usize| {
                let frames = stream.frames.iter().take(whole).map(with_header);
                frames.chain(out[whole..].iter().cloned()).collect::<Vec<_>>().concat()
            };
            let is_all = (0..=out.len().min(stream.frames.len())).any(|whole| again(whole) == bytes[..fed]);
            assert!(is_all, "frames, and then what wasn't decoded: {out:?}");
        }
    }
    if !matches!(ended, Between::Nothing | Between::ReadComplete) {
        assert_eq!(line.handler.0.readable(), 0, "nothing is kept");
    }
    drop(line);
    inputs.iter().for_each(Witness::assert_released);
}

type Decoder<P> = ByteToMessageDecoder<LengthFieldFrameDecoder, P>;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: scaled(400, 4) as u32,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_goes_in_comes_out(stream in stream()) {
        decoded::<millpond_model::Std>(&stream, |decoder| decoder);
        decoded::<millpond_model::Std>(&stream, |decoder| decoder.cumulate_by(CompositeCumulator));
        released(|| decoded::<Sim>(&stream, |decoder| decoder));
        released(|| decoded::<Sim>(&stream, |decoder| decoder.cumulate_by(CompositeCumulator)));
    }
}

/// By hand, as a decoder's user would: a frame outlives the decoder and its allocator.
#[test]
fn a_frame_outlives_its_decoder() {
    let line = frames::<millpond_model::Std>(LengthField::first(1), 100, 1);
    line.keeps.set(true);
    let bytes = line.read_bytes(b"\x03abc");
    assert_eq!((line.seen(), bytes.0.count()), (vec![read("abc")], 1));
    let kept: Vec<_> = line.take_kept();
    drop(line);
    assert_eq!(kept.iter().map(|b| b.bytes().unwrap().to_vec()).collect::<Vec<_>>(), [b"abc"]);
    drop(kept);
    bytes.assert_released();
    let fixed = FixedLengthFrameDecoder::new(3);
    let line = Line::<millpond_model::Std, _>::new(In(ByteToMessageDecoder::new(fixed, OURS)));
    line.read_bytes("abcdef").assert_released();
    assert_eq!(line.seen(), [read("abc"), read("def")]);
    let empty: Buffer = allocator().allocate_max(0, 0).expect("it takes no memory");
    line.read(empty);
    assert!(!line.is_removed());
}
