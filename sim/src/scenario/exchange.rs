//! Exchanges: buffers without channels.
//!
//! **Invariant: each buffer of an exchange is released as often as its count says**, unless the exchange says otherwise.
//!
//! ```text
//!   business-0 ──allocate, fill, derive──> buffer ──to──> loop-0: read every byte, release
//!                                                    └──> held, until a `Release` step
//! ```

use millpond_model::memory::Area;
use serde::{Deserialize, Serialize};
use std::ops::Range;

use super::phase::Payload;
use super::{Awaits, From, Size, When};

/// Business threads allocate buffers, and others read and release them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// The business threads that allocate; all of them when absent.
    pub threads: Option<Range<u32>>,
    /// Buffers of each thread.
    pub buffers: u64,
    /// Buffers of a thread that are not released yet, at most; those that are held don't count.
    pub in_flight: u32,
    /// How large they are.
    pub size: Payload,
    /// Where their memory is.
    pub area: Area,
    /// What is given away: the buffer, or what is derived from it.
    pub form: Form,
    /// Who reads and releases them.
    pub to: To,
    /// Through which codec they go before they are read.
    pub through: Through,
    /// What the thread that gives a buffer away keeps of it.
    pub keeps: Keeps,
    /// When the thread that should release a buffer forgets it: a program's own leak.
    pub forgets: Option<When>,
    /// When three threads release a buffer that is theirs to release once, or retain it meanwhile: a program's own mistake,
    /// which must be refused.
    pub misuse: Option<When>,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            name: "exchange".to_string(),
            threads: None,
            buffers: 100,
            in_flight: 2,
            size: Payload::Exactly(Size::b(512)),
            area: Area::Direct,
            form: Form::Plain,
            to: To::Loops,
            through: Through::Nothing,
            keeps: Keeps::Nothing,
            forgets: None,
            misuse: None,
        }
    }
}

/// What a buffer is when it is given away. All its bytes can be read in each form; who gives it away releases what stays with
/// it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Form {
    /// The buffer as it was allocated.
    #[default]
    Plain,
    /// It was allocated with half its size and has grown.
    Grown,
    /// A slice of its second half, which shares the count.
    Slice,
    /// A duplicate, which shares the count.
    Duplicate,
    /// A retained slice of its second half, with a count of its own.
    RetainedSlice,
    /// A retained duplicate, with a count of its own.
    RetainedDuplicate,
    /// A retained slice of a retained duplicate of a retained slice.
    Nested,
    /// A composite of two retained slices, its halves.
    Composite,
    /// A composite of two retained slices, made smaller so that the second one is dropped.
    ShrunkComposite,
    /// The content of a retained duplicate of a holder.
    Holder,
}

/// Who reads and releases the buffers of an exchange, or recycles objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum To {
    /// Buffer j of thread i goes to loop (i + j) mod `event_loops`.
    Loops,
    /// The thread that allocated it.
    Itself,
    /// Nobody before the next `Release`.
    Held,
}

/// Through which codec the receiver gets the bytes of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Through {
    /// None.
    Nothing,
    /// A byte-to-message decoder, which gets it in two parts and makes frames of it. The rest ends with the input.
    Decoder,
    /// A decoder that is removed inside `decode`, after its first frame, and gives on what it hasn't read.
    RemovedDecoder,
    /// A decoder that gets the second part while it gives its first frame on.
    FedDecoder,
    /// A message-to-byte encoder, which copies it; the write is refused.
    RefusedEncoder,
}

/// What a thread keeps of a buffer that it gives away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Keeps {
    /// Nothing.
    Nothing,
    /// A reference of its own, which it releases while the receiver releases the other.
    Reference,
}

/// The buffers that are held are read and released, and the objects that are held are recycled.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// On which threads; buffer n is released on thread n mod their number, and so is object n.
    pub from: From,
    /// Whether the step waits until all are released before the next begins; on loops only.
    pub awaits: Awaits,
}

impl Default for Release {
    fn default() -> Self {
        Self { name: "release".to_string(), from: From::Loop, awaits: Awaits::Completion }
    }
}
