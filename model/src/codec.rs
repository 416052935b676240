//! Handlers, and the codecs among them.
//!
//! **Invariant: whoever is called with a message owns it**, and gives it on, keeps it or releases it, exactly once, on every way
//! out: success, error, panic.
//!
//! ```text
//!   transport ──read──> ByteToMessageDecoder ──read──> SimpleInbound (releases) ── what nobody takes ──> Tail (releases)
//!                         keeps: cumulation
//!   transport <─write── MessageToByteEncoder <─write── MessageToMessageEncoder <─write── application
//! ```
//!
//! | who | takes | gives | keeps |
//! |---|---|---|---|
//! | [`SimpleInbound`] | what it accepts, and releases it | anything else, onwards | nothing |
//! | [`MessageToByteEncoder`] | what it accepts, and releases it | one buffer, onwards; anything else as it is | nothing |
//! | [`MessageToMessageEncoder`] | what it accepts, and releases it | its outputs in order, onwards; anything else as it is | nothing |
//! | [`ByteToMessageDecoder`] | buffers | its outputs; at its removal what it hasn't read; anything else as it is | the cumulation |
//! | [`CoalescingQueue`] | buffers and their promises | several as one | those, until they are taken out or failed |
//! | [`Tail`] | everything, and releases it | nothing | nothing |
//!
//! A handler is called through `&self`, because it can be called again while it is on the stack: by what it calls downstream.
//! Errors are values: `Err` is what a Netty handler throws. Whoever called the handler tells it on: an inbound error to
//! [`Inbound::exception`], an outbound one to the promise of the write, as far as that isn't complete
//! ([`HandlerError::cause`]). In neither case is the message the caller's again.
//!
//! A panic of the user's code passes through, when the contract has been fulfilled. That is Netty's `finally`.

mod byte_encoder;
mod coalesce;
mod config;
mod cumulator;
mod decoder;
mod fixed_length;
mod length_field;
mod message_encoder;
mod outputs;
mod prepender;
mod simple;
mod tail;

pub use crate::handler::{Context, HandlerError, Inbound, Outbound, UserEvent};
pub use byte_encoder::{Encode, MessageToByteEncoder};
pub use coalesce::CoalescingQueue;
pub use config::{CodecConfig, ReentrantRead};
pub use cumulator::{CompositeCumulator, Cumulator, MergeCumulator};
pub use decoder::{ByteToMessageDecoder, Decode};
pub use fixed_length::FixedLengthFrameDecoder;
pub use length_field::{LengthField, LengthFieldFrameDecoder};
pub use message_encoder::{EncodeMessages, MessageToMessageEncoder};
pub use outputs::Outputs;
pub use prepender::LengthFieldPrepender;
pub use simple::{Consume, SimpleInbound};
pub use tail::{Tail, Unhandled};

use alloc::boxed::Box;
use core::any::Any;

/// Goes on with a panic that was caught.
fn resume<T>(caught: Result<T, Box<dyn Any + Send>>) -> T {
    caught.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}
