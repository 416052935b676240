//! Exchanges: buffers that pass from thread to thread without a channel.
//!
//! **Invariant: a buffer's bytes tell which buffer it is**, so that memory which two buffers share, or which was given back
//! while it was used, is seen by whoever reads it.

use super::business::size;
use super::codec::pass;
use super::flight::Flight;
use super::forms::make;
use crate::engine::{Chances, Generator};
use crate::scenario::{Exchange, Keeps, Through, To};
use millpond_model::Platform;
use millpond_model::buffer::Buffer;
use millpond_model::codec::CodecConfig;
use millpond_model::event_loop::{EventLoop, Task};
use millpond_model::platform::Lock;
use millpond_model::write_path::Pools;
use std::sync::Arc;

/// What the threads of an exchange share.
pub(super) struct ExchangeOf<P: Platform> {
    pub(super) exchange: Exchange,
    pub(super) loops: Vec<EventLoop<P>>,
    pub(super) pools: Arc<Pools<P>>,
    pub(super) table: Arc<Table<P>>,
    pub(super) codec: CodecConfig,
}

/// A buffer on its way, and the byte that it is full of.
pub(super) struct Parcel<P: Platform> {
    buffer: Buffer<P>,
    byte: u8,
    forgets: bool,
}

/// Where parcels lie, and what was read wrongly.
pub(super) struct Table<P: Platform> {
    held: P::Mutex<Vec<Parcel<P>>>,
    misread: P::Mutex<Vec<String>>,
}

/// Buffers that were read wrongly, and are told.
const MISREAD_MAX: usize = 8;

impl<P: Platform> Table<P> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { held: P::Mutex::new(Vec::new()), misread: P::Mutex::new(Vec::new()) })
    }

    pub(super) fn take(&self) -> Vec<Parcel<P>> {
        std::mem::take(&mut *self.held.lock())
    }

    /// What was read and had not been written.
    pub(super) fn misread(&self) -> Vec<String> {
        std::mem::take(&mut *self.misread.lock())
    }

    /// Keeps what was read and isn't what was written.
    pub(super) fn misreads(&self, text: String) {
        let mut misread = self.misread.lock();
        if misread.len() < MISREAD_MAX {
            misread.push(text);
        }
    }

    /// Reads every byte, and releases.
    pub(super) fn receive(&self, parcel: Parcel<P>) {
        let Parcel { buffer, byte, forgets } = parcel;
        self.read(&buffer, byte);
        if !forgets {
            // The ledger is told of a release that is refused.
            let _ = buffer.release();
        }
    }

    /// Reads every byte.
    pub(super) fn read(&self, buffer: &Buffer<P>, byte: u8) {
        buffer.touch("received");
        if let Ok(bytes) = buffer.bytes()
            && let Some(at) = bytes.iter().position(|b| *b != byte)
        {
            let text = format!("byte {at} of {} is {:#04x}, and {byte:#04x} was written", bytes.len(), bytes[at]);
            self.misreads(text);
        }
    }
}

/// The part of thread number `index` of the exchange, from its buffer number `from` on. If the thread `dies`, the number of the
/// first buffer that is left to do.
pub(super) fn exchange<P: Platform>(
    of: &ExchangeOf<P>,
    index: u64,
    from: u64,
    draws: &mut Generator,
    mut dies: impl FnMut() -> bool,
) -> Option<u64> {
    let Exchange { buffers, in_flight, size: payload, area, form, to, through, keeps, forgets, misuse, .. } =
        &of.exchange;
    let receive = {
        let (table, pools, codec, through) = (Arc::clone(&of.table), Arc::clone(&of.pools), of.codec, *through);
        move |parcel: Parcel<P>| match through {
            Through::Nothing => table.receive(parcel),
            _ => pass(&table, &pools.buffers, codec, through, parcel.buffer, parcel.byte),
        }
    };
    let flight = Flight::<P>::new();
    let (mut forgotten, mut misused) = (Chances::default(), Chances::default());
    for j in from..*buffers {
        flight.await_below(*in_flight);
        let forgets = forgets.is_some_and(|when| forgotten.strike(when.into(), P::now(), |t| draws.chance(t)));
        let misuse = misuse.is_some_and(|when| misused.strike(when.into(), P::now(), |t| draws.chance(t)));
        let size = size(payload, draws) as usize;
        // Without memory this buffer isn't: the pool has told the checker.
        let byte = (index * 31 + j) as u8;
        let Ok(buffer) = make(&of.pools.buffers, *area, *form, size, byte) else { continue };
        let kept = (*keeps == Keeps::Reference).then(|| buffer.retain().expect("the buffer is alive"));
        let stale = misuse.then(|| [(); 2].map(|()| buffer.duplicate().expect("the buffer is alive")));
        let parcel = Parcel { buffer, byte, forgets };
        match to {
            To::Itself => receive(parcel),
            To::Held => of.table.held.lock().push(parcel),
            To::Loops => {
                let (receive, landing) = (receive.clone(), flight.takes_off());
                let l = ((index + j) % of.loops.len() as u64) as usize;
                on(&of.loops[l], move || {
                    receive(parcel);
                    drop(landing);
                });
            }
        }
        if let Some([theirs, ours]) = stale {
            let landing = flight.takes_off();
            let l = ((index + j + 1) % of.loops.len() as u64) as usize;
            on(&of.loops[l], move || {
                retain_and_release(&theirs);
                drop((theirs, landing));
            });
            let _ = ours.release();
        }
        if let Some(buffer) = kept {
            of.table.receive(Parcel { buffer, byte, forgets: false });
        }
        P::boundary();
        if dies() {
            return Some(j + 1);
        }
    }
    flight.await_below(1);
    None
}

/// What a thread does that believes to own the buffer: right if it is alive, and to be refused otherwise.
fn retain_and_release<P: Platform>(buffer: &Buffer<P>) {
    if buffer.retain_many(1).is_ok() {
        let _ = buffer.release();
    }
}

/// Runs `f` on a loop; on this thread if the loop has shut down.
pub(super) fn on<P: Platform>(event_loop: &EventLoop<P>, f: impl FnOnce() + Send + 'static) {
    if let Err(refused) = event_loop.execute_fn(f)
        && let Task::Closure(f) = refused.task
    {
        f();
    }
}
