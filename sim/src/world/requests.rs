//! The peers' side of a `Requests` step: one thread sends for all of them, and waits for what comes back.
//!
//! **Invariant: a peer's requests depend on the steps, the seed and its channel only**: each draws from a stream of its own, and a
//! peer that hasn't come to the end of one step doesn't begin the next. The bytes of request n of channel c are all `31 c + n`, so
//! that its receiver sees whether it is one, and whether one is missing.

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
    /// The wires of the step's channels, with these channels' indices and the step's turn at each.
    pub(super) wires: Vec<(u64, Arc<Wire<P>>, u64)>,
    /// Whether anybody replies.
    pub(super) replies: bool,
}

struct Client<'a, P: Platform> {
    of: &'a RequestsOf<P>,
    channel: u64,
    wire: &'a Wire<P>,
    turn: u64,
    has_begun: bool,
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
    /// Nothing before something happens.
    Later,
    Done,
}

/// Sends all requests of a step; on a thread of its own.
pub(super) fn send_all<P: Platform>(of: &RequestsOf<P>) {
    let now = P::now();
    let mut clients: Vec<Client<'_, P>> =
        of.wires.iter().map(|(c, wire, turn)| Client::new(of, *c, wire, *turn, now)).collect();
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
            Next::Later => true,
            Next::Done => {
                client.wire.end_turn();
                false
            }
        });
        match wake {
            _ if is_busy || clients.is_empty() => {}
            Some(time) => P::park_timeout(time.saturating_sub(P::now())),
            None => P::park(),
        }
    }
}

impl<'a, P: Platform> Client<'a, P> {
    fn new(of: &'a RequestsOf<P>, channel: u64, wire: &'a Wire<P>, turn: u64, now: Duration) -> Self {
        let draws = stream(of.seed, 1 << 48 | of.number << 32 | channel);
        let (left, has_begun) = (of.step.requests, false);
        Self { of, channel, wire, turn, has_begun, left, due: now, progress: 0, naps: 0, nap_ends: now, draws }
    }

    fn go_on(&mut self) -> Next {
        let now = P::now();
        if !self.has_begun {
            if !self.wire.begins(self.turn, P::current()) {
                return Next::Later;
            }
            (self.has_begun, self.due, self.nap_ends) = (true, now, now);
        }
        let status = self.wire.status();
        if status.is_over || status.has_ended && self.left > 0 {
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
