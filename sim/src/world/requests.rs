//! The peers' side of a `Requests` step: one thread sends for all of them, and waits for what comes back.
//!
//! **Invariant: a peer's requests depend on the step, the seed and its channel only**: each draws from a stream of its own. The
//! bytes of request n of channel c are all `31 c + n`, so that its receiver sees whether it is one, and whether one is missing.

use super::business::size;
use super::stream;
use super::wire::Wire;
use crate::engine::Generator;
use crate::scenario::{Ends, Requests};
use millpond_model::Platform;
use std::sync::Arc;
use std::time::Duration;

/// Naps without a sign of life until a peer gives up waiting: about a second together. Many, because a schedule may let one end
/// before anybody else has run.
const NAPS: u32 = 64;
/// The longest nap is so many doublings of a microsecond.
const DOUBLINGS: u32 = 14;

/// What a step's thread needs to know.
pub(super) struct RequestsOf<P: Platform> {
    pub(super) step: Requests,
    /// The number of the step: what its peers draw depends on it.
    pub(super) number: u64,
    pub(super) seed: u64,
    /// The wires of the step's channels, with these channels' indices.
    pub(super) wires: Vec<(u64, Arc<Wire<P>>)>,
    /// Whether anybody replies.
    pub(super) replies: bool,
}

struct Client<'a, P: Platform> {
    of: &'a RequestsOf<P>,
    channel: u64,
    wire: &'a Wire<P>,
    left: u64,
    due: Duration,
    progress: u64,
    /// Since there was progress.
    naps: u32,
    /// The end of the last one.
    nap_ends: Duration,
    draws: Generator,
}

/// What a client does next.
enum Next {
    /// Something; it has just done something.
    Soon,
    /// Nothing before this time, unless something happens.
    At(Duration),
    Done,
}

/// Sends all requests of a step; on a thread of its own.
pub(super) fn send_all<P: Platform>(of: &RequestsOf<P>) {
    let now = P::now();
    let mut clients: Vec<Client<'_, P>> = of.wires.iter().map(|(c, wire)| Client::new(of, *c, wire, now)).collect();
    while !clients.is_empty() {
        let mut wake: Option<Duration> = None;
        let mut is_busy = false;
        clients.retain_mut(|client| match client.go_on() {
            Next::Soon => {
                is_busy = true;
                P::boundary();
                true
            }
            Next::At(time) => {
                wake = Some(wake.map_or(time, |wake| wake.min(time)));
                true
            }
            Next::Done => false,
        });
        if let (false, Some(time)) = (is_busy, wake) {
            P::park_timeout(time.saturating_sub(P::now()));
        }
    }
}

impl<'a, P: Platform> Client<'a, P> {
    fn new(of: &'a RequestsOf<P>, channel: u64, wire: &'a Wire<P>, now: Duration) -> Self {
        wire.await_by(P::current());
        let draws = stream(of.seed, 1 << 48 | of.number << 32 | channel);
        Self { of, channel, wire, left: of.step.requests, due: now, progress: 0, naps: 0, nap_ends: now, draws }
    }

    fn go_on(&mut self) -> Next {
        let (now, status) = (P::now(), self.wire.status());
        if status.is_over {
            return Next::Done;
        }
        if status.progress != self.progress {
            (self.progress, self.naps, self.nap_ends) = (status.progress, 0, now);
        }
        let in_flight = if self.of.replies { status.unanswered } else { status.unread };
        let limit = if self.left > 0 { self.of.step.in_flight as usize } else { 1 };
        if in_flight >= limit {
            if now >= self.nap_ends && self.naps < NAPS {
                self.nap_ends = now + Duration::from_micros(1 << self.naps.min(DOUBLINGS));
                self.naps += 1;
            }
            if now < self.nap_ends {
                return Next::At(self.nap_ends);
            }
            self.wire.forgive();
        }
        if self.left == 0 {
            return Next::Done;
        }
        if now < self.due {
            return Next::At(self.due);
        }
        let bytes = size(&self.of.step.size, &mut self.draws) as usize;
        self.wire.send(bytes, (31 * self.channel + status.number) as u8);
        self.left -= 1;
        (self.due, self.naps, self.nap_ends) = (now + self.of.step.think.duration(), 0, now);
        match self.of.step.ends {
            Ends::HalfClosed if self.left == 0 => self.wire.end(),
            Ends::Reset if self.left == 0 => self.wire.reset(),
            Ends::Open | Ends::HalfClosed | Ends::Reset => {}
        }
        Next::Soon
    }
}
