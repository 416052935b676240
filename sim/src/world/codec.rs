//! Codecs on the way of a buffer: a decoder or an encoder, alone on its line.
//!
//! **Invariant: what comes out is read and released at once**, so that whatever stays belongs to the codec.
//!
//! ```text
//!   buffer ──two parts──> ByteToMessageDecoder ──frames, rest──> Line: read, release
//!   buffer ──────────────> MessageToByteEncoder ──bytes──────────> Line: refuse, release
//! ```

use super::exchange::Table;
use crate::scenario::Through;
use millpond_model::Platform;
use millpond_model::allocator::Allocator;
use millpond_model::buffer::{Buffer, Owned};
use millpond_model::channel::IllegalPromise;
use millpond_model::codec::{
    ByteToMessageDecoder, CodecConfig, Context, Decode, Encode, FixedLengthFrameDecoder, HandlerError, Inbound,
    MessageToByteEncoder, Outbound, Outputs, UserEvent,
};
use millpond_model::message::Message;
use millpond_model::promise::Promise;
use std::cell::{Cell, RefCell};

/// Frames that a decoder makes of a buffer; there is a rest if that isn't possible.
const FRAMES: usize = 3;

/// Has `buffer`, full of `byte`, go through a codec on the running thread.
pub(super) fn pass<P: Platform>(
    table: &Table<P>,
    allocator: &Allocator<P>,
    config: CodecConfig,
    through: Through,
    buffer: Buffer<P>,
    byte: u8,
) {
    let length = (buffer.readable() / FRAMES).max(1);
    let removes = through == Through::RemovedDecoder;
    let frames = Frames { cut: FixedLengthFrameDecoder::new(length), removes };
    let more = RefCell::new(None);
    let line = Line {
        allocator,
        table,
        byte,
        decoder: ByteToMessageDecoder::new(frames, config),
        removed: Cell::new(false),
        more,
    };
    match through {
        Through::Nothing => table.read(&buffer, byte),
        Through::Decoder | Through::RemovedDecoder => return line.decode(buffer),
        Through::FedDecoder => return line.feed(buffer),
        Through::RefusedEncoder => {
            let promise = Promise::new();
            let encoder = MessageToByteEncoder::new(Copies(promise.clone()), config);
            // The message is the encoder's in any case.
            if let Err(error) = encoder.write(&line, Message::Buffer(buffer), promise.clone()) {
                promise.try_complete(Err(error.cause()));
            }
            return;
        }
    }
    // The ledger is told of a release that is refused.
    let _ = buffer.release();
}

/// Frames of one length; after the first one the decoder may be removed.
struct Frames {
    cut: FixedLengthFrameDecoder,
    removes: bool,
}

impl<P: Platform> Decode<P> for Frames {
    fn decode(
        &self,
        context: &dyn Context<P>,
        input: &mut Buffer<P>,
        out: &mut Outputs<P>,
    ) -> Result<(), HandlerError> {
        if self.removes && !context.is_removed() {
            context.remove();
        }
        self.cut.decode(context, input, out)
    }
}

/// Copies a buffer, while somebody else completes the promise: the write is then refused.
struct Copies<P: Platform>(Promise<P>);

impl<P: Platform> Encode<P> for Copies<P> {
    type Message = Buffer<P>;

    fn encode(&self, _: &dyn Context<P>, message: &Buffer<P>, out: &mut Buffer<P>) -> Result<(), HandlerError> {
        self.0.try_complete(Ok(()));
        let bytes = message.bytes()?;
        out.put(&bytes)?;
        Ok(())
    }
}

/// What is before and after the codec.
struct Line<'a, P: Platform> {
    allocator: &'a Allocator<P>,
    table: &'a Table<P>,
    byte: u8,
    decoder: ByteToMessageDecoder<Frames, P>,
    removed: Cell<bool>,
    /// What the decoder gets while it gives a frame on.
    more: RefCell<Option<Buffer<P>>>,
}

impl<P: Platform> Line<'_, P> {
    /// The decoder gets a part of the buffer and, with its first frame, the rest; and then the end of the input.
    fn feed(&self, buffer: Buffer<P>) {
        let mut whole = Owned::from(buffer);
        let size = whole.readable();
        let Ok(first) = whole.read_retained_slice(size - size / 3) else { return };
        *self.more.borrow_mut() = whole.read_retained_slice(size / 3).ok();
        // What fails is told to the next handler, which is this line.
        let _ = self.decoder.read(self, Message::Buffer(first));
        if let Some(rest) = self.more.take() {
            let _ = self.decoder.read(self, Message::Buffer(rest));
        }
        let _ = self.decoder.inactive(self);
    }

    /// The decoder gets the buffer in two parts, and then the end of the input.
    fn decode(&self, buffer: Buffer<P>) {
        let mut whole = Owned::from(buffer);
        let size = whole.readable();
        for length in [size / 2, size - size / 2] {
            let Ok(part) = whole.read_retained_slice(length) else { return };
            if self.removed.get() {
                self.fire_read(Message::Buffer(part));
            } else {
                // What fails is told to the next handler, which is this line.
                let _ = self.decoder.read(self, Message::Buffer(part));
            }
        }
        if !self.removed.get() {
            let _ = self.decoder.inactive(self);
        }
    }
}

impl<P: Platform> Context<P> for Line<'_, P> {
    fn allocator(&self) -> &Allocator<P> {
        self.allocator
    }

    fn is_removed(&self) -> bool {
        self.removed.get()
    }

    fn remove(&self) {
        self.removed.set(true);
        let _ = self.decoder.removed(self);
    }

    fn fire_read(&self, message: Message<P>) {
        if let Message::Buffer(frame) = &message {
            self.table.read(frame, self.byte);
        }
        message.release();
        if let Some(more) = self.more.take() {
            let _ = self.decoder.read(self, Message::Buffer(more));
        }
    }

    fn fire_read_complete(&self) {}

    fn fire_inactive(&self) {}

    fn fire_user_event(&self, event: UserEvent<P>) {
        if let UserEvent::Message(message) = event {
            message.release();
        }
    }

    fn fire_exception(&self, _: HandlerError) {}

    fn write(&self, message: Message<P>, promise: Promise<P>) -> Result<(), IllegalPromise> {
        message.release();
        if promise.try_complete(Ok(())) { Ok(()) } else { Err(IllegalPromise) }
    }

    fn flush(&self) {}
}
