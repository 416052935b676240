//! The wire between a peer and its channel: what the peer has sent, and what came back.
//!
//! **Invariant: what was sent is read in order, once; a peer takes its steps one after another; and whoever acts for it is told of
//! every read, reply and end.**
//!
//! ```text
//!   step 1's client ──send──> sent bytes ──read──> channel
//!    │         └─ unparked <── replies, counted <──write── channel
//!    └─ends its turn──> step 2's client
//! ```

use millpond_model::Platform;
use millpond_model::platform::{Lock, ThreadOps};
use millpond_model::transport::{ReadOutcome, Readiness};
use std::collections::{BTreeMap, VecDeque};

/// How requests and replies are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// Bytes only; a reply is as long as its request.
    Bytes,
    /// Each begins with its length, in four bytes.
    Lengths {
        /// With its length.
        max_frame: usize,
        /// Whether all bytes of one are equal; otherwise bytes of what is replied to may be missing.
        is_whole: bool,
    },
}

/// Bytes of a length.
pub(super) const LENGTH: usize = 4;

/// Reads frames of equal bytes, byte by byte.
#[derive(Default)]
struct FrameReader {
    length: Vec<u8>,
    left: usize,
    /// The first byte of the frame.
    first: Option<u8>,
    /// Nothing can be understood any more.
    is_lost: bool,
}

impl FrameReader {
    /// The frames that end in `bytes`, and what is wrong with them.
    fn take(&mut self, bytes: &[u8], max_frame: usize, is_whole: bool, wrong: &mut Vec<String>) -> usize {
        let mut ended = 0;
        for &byte in bytes {
            if self.is_lost {
                break;
            }
            if self.length.len() < LENGTH {
                self.length.push(byte);
                if self.length.len() == LENGTH {
                    ended += self.begin(max_frame, wrong);
                }
                continue;
            }
            let first = *self.first.get_or_insert(byte);
            if is_whole && byte != first {
                wrong.push(format!("a reply of bytes {first:#04x} has a {byte:#04x} in it"));
                self.is_lost = true;
                break;
            }
            self.left -= 1;
            if self.left == 0 {
                ended += 1;
                (self.length, self.first) = (Vec::new(), None);
            }
        }
        ended
    }

    /// The length is known; the number of frames that end with it.
    fn begin(&mut self, max_frame: usize, wrong: &mut Vec<String>) -> usize {
        self.left = self.length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        if self.left + LENGTH > max_frame {
            wrong.push(format!("a reply of {} bytes, where at most {max_frame} were expected", self.left + LENGTH));
            self.is_lost = true;
        }
        if self.left > 0 {
            return 0;
        }
        self.length.clear();
        1
    }
}

struct State<P: Platform> {
    sent: VecDeque<u8>,
    /// The bytes of each request that have not been read yet.
    unread: VecDeque<usize>,
    /// How many of them, the first ones, nobody waits for any longer.
    unawaited: usize,
    /// The bytes of each reply that have not come yet, without lengths.
    awaited: VecDeque<usize>,
    /// Requests sent.
    number: u64,
    /// Requests read to their ends.
    read: u64,
    replies: u64,
    /// Reads and replies.
    progress: u64,
    has_ended: bool,
    is_reset: bool,
    is_closed: bool,
    reader: FrameReader,
    readiness: Option<Readiness<P>>,
    /// Whoever acts for the peer.
    client: Option<P::Thread>,
    /// Turns given, and those that have ended.
    turns: [u64; 2],
    /// Those who wait for a later turn.
    later: BTreeMap<u64, P::Thread>,
}

/// See the [module](self).
pub(super) struct Wire<P: Platform> {
    state: P::Mutex<State<P>>,
    requests: Framing,
    replies: Framing,
}

/// How a peer stands.
pub(super) struct Status {
    /// Requests that aren't answered.
    pub(super) unanswered: usize,
    /// Requests that aren't read.
    pub(super) unread: usize,
    /// It changes with every read and reply.
    pub(super) progress: u64,
    /// The connection has ended, or the peer's half of it and all is read.
    pub(super) is_over: bool,
    /// The peer sends no more.
    pub(super) has_ended: bool,
    /// The number of the next request.
    pub(super) number: u64,
}

impl<P: Platform> Wire<P> {
    pub(super) fn new(requests: Framing, replies: Framing) -> Self {
        let state = State {
            sent: VecDeque::new(),
            unread: VecDeque::new(),
            unawaited: 0,
            awaited: VecDeque::new(),
            number: 0,
            read: 0,
            replies: 0,
            progress: 0,
            has_ended: false,
            is_reset: false,
            is_closed: false,
            reader: FrameReader::default(),
            readiness: None,
            client: None,
            turns: [0; 2],
            later: BTreeMap::new(),
        };
        Self { state: P::Mutex::new(state), requests, replies }
    }

    // ---- the peer's end

    /// The turn of a step: it comes when those that were given before have ended.
    pub(super) fn turn(&self) -> u64 {
        let mut state = self.state.lock();
        state.turns[0] += 1;
        state.turns[0] - 1
    }

    /// Whether it is the turn of `client`, who acts for the peer then; otherwise it is unparked when it is.
    pub(super) fn begins(&self, turn: u64, client: P::Thread) -> bool {
        let mut state = self.state.lock();
        if state.turns[1] < turn {
            state.later.insert(turn, client);
            return false;
        }
        state.client = Some(client);
        true
    }

    /// Whoever acted for the peer does so no longer.
    pub(super) fn end_turn(&self) {
        let mut state = self.state.lock();
        state.turns[1] += 1;
        state.client = None;
        let ended = state.turns[1];
        let next = state.later.remove(&ended);
        drop(state);
        rouse(next);
    }

    pub(super) fn status(&self) -> Status {
        let state = self.state.lock();
        let unread = state.unread.len() - state.unawaited;
        Status {
            unanswered: state.awaited.len(),
            unread,
            progress: state.progress,
            is_over: state.is_closed || state.is_reset || state.has_ended && unread == 0,
            has_ended: state.has_ended,
            number: state.number,
        }
    }

    /// Requests read and replies received.
    pub(super) fn counts(&self) -> [u64; 2] {
        let state = self.state.lock();
        [state.read, state.replies]
    }

    /// Sends a request of `size` times this byte.
    pub(super) fn send(&self, size: usize, byte: u8) {
        let mut state = self.state.lock();
        assert!(!state.has_ended, "a peer that has ended sends no more");
        let mut bytes = 0;
        if let Framing::Lengths { .. } = self.requests {
            let length = u32::try_from(size).expect("`check` limits sizes").to_be_bytes();
            state.sent.extend(length);
            bytes += LENGTH;
        }
        state.sent.extend(std::iter::repeat_n(byte, size));
        state.unread.push_back(bytes + size);
        state.awaited.push_back(size);
        state.number += 1;
        let readiness = state.readiness.clone();
        drop(state);
        tell(readiness);
    }

    /// What isn't answered is not awaited any longer, and what isn't read neither; it counts when it is read.
    pub(super) fn forgive(&self) {
        let mut state = self.state.lock();
        state.awaited.clear();
        state.unawaited = state.unread.len();
    }

    /// Sends no more.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        let readiness = state.readiness.clone();
        drop(state);
        tell(readiness);
    }

    /// Resets the connection.
    pub(super) fn reset(&self) {
        let mut state = self.state.lock();
        state.is_reset = true;
        let readiness = state.readiness.clone();
        drop(state);
        tell(readiness);
    }

    // ---- the channel's end

    pub(super) fn open(&self, readiness: Readiness<P>) {
        self.state.lock().readiness = Some(readiness);
    }

    pub(super) fn is_reset(&self) -> bool {
        self.state.lock().is_reset
    }

    /// The channel has found the connection reset.
    pub(super) fn was_reset(&self) {
        let mut state = self.state.lock();
        state.is_reset = true;
        let client = state.client.clone();
        drop(state);
        rouse(client);
    }

    /// Bytes that can be read.
    pub(super) fn available(&self) -> usize {
        self.state.lock().sent.len()
    }

    pub(super) fn read(&self, into: &mut [u8]) -> ReadOutcome {
        let mut state = self.state.lock();
        let n = into.len().min(state.sent.len());
        for (to, from) in into.iter_mut().zip(state.sent.drain(..n)) {
            *to = from;
        }
        if n == 0 {
            return if state.has_ended { ReadOutcome::Ended } else { ReadOutcome::WouldBlock };
        }
        let ended = consume(&mut state.unread, n);
        state.unawaited = state.unawaited.saturating_sub(ended);
        state.read += ended as u64;
        state.progress += 1;
        let client = state.client.clone();
        drop(state);
        rouse(client);
        ReadOutcome::Read(n)
    }

    /// The first `taken` bytes of `chunks` have come; what is wrong with them.
    pub(super) fn receive(&self, chunks: &[&[u8]], taken: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut state = self.state.lock();
        let mut left = taken;
        for chunk in chunks {
            let bytes = &chunk[..left.min(chunk.len())];
            left -= bytes.len();
            let ended = match self.replies {
                Framing::Bytes => consume(&mut state.awaited, bytes.len()),
                Framing::Lengths { max_frame, is_whole } => {
                    let ended = state.reader.take(bytes, max_frame, is_whole, &mut wrong);
                    let awaited = state.awaited.len();
                    state.awaited.drain(..ended.min(awaited));
                    ended
                }
            };
            state.replies += ended as u64;
        }
        state.progress += 1;
        let client = state.client.clone();
        drop(state);
        rouse(client);
        wrong
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.readiness = None;
        let client = state.client.take();
        drop(state);
        rouse(client);
    }
}

/// Takes `n` bytes off the sizes in `queue`; how many of them came to their end.
fn consume(queue: &mut VecDeque<usize>, mut n: usize) -> usize {
    let mut ended = 0;
    while let Some(first) = queue.front_mut().filter(|_| n > 0) {
        let part = n.min(*first);
        *first -= part;
        n -= part;
        if *first == 0 {
            queue.pop_front();
            ended += 1;
        }
    }
    ended
}

fn tell<P: Platform>(readiness: Option<Readiness<P>>) {
    if let Some(readiness) = readiness {
        readiness.readable();
    }
}

fn rouse<T: ThreadOps>(client: Option<T>) {
    if let Some(client) = client {
        client.unpark();
    }
}
