//! Peers: what is at the other end of a channel.
//!
//! **Invariant: after it refused a write for lack of room, a peer that reads says when there is room again**; one that
//! never reads never does.

use super::exchange::Table;
use super::wire::Wire;
use crate::engine::{Chances, Generator, When};
use crate::scenario::{Peer, Socket};
use millpond_model::Platform;
use millpond_model::observe::Reach;
use millpond_model::platform::{JoinOps, Lock, ThreadOps};
use millpond_model::transport::{ConnectOutcome, ReadOutcome, Readiness, Transport, WriteOutcome};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The room in a peer's window, shared with the thread that empties it.
struct Window<P: Platform> {
    room: usize,
    readiness: Option<Readiness<P>>,
    emptying: bool,
}

/// The transport of a channel.
pub(super) struct SimPeer<P: Platform> {
    window: Arc<P::Mutex<Window<P>>>,
    size: usize,
    reads: Peer,
    partial: When,
    reset: Option<When>,
    partials: Chances,
    resets: Chances,
    linger: Option<Duration>,
    /// How long a connect takes; connected from the beginning if there is none.
    connects: Option<Duration>,
    draws: Generator,
    readers: Peers<P>,
    input: Option<Input<P>>,
}

/// Where what the peer sends comes from.
struct Input<P: Platform> {
    wire: Arc<Wire<P>>,
    table: Arc<Table<P>>,
    partial: When,
    partials: Chances,
    draws: Generator,
}

impl<P: Platform> SimPeer<P> {
    pub(super) fn new(
        socket: &Socket,
        reset: Option<When>,
        linger: Option<Duration>,
        draws: Generator,
        readers: &Peers<P>,
    ) -> Self {
        let size = usize::try_from(socket.send_window.bytes()).expect("`check` limits sizes");
        Self {
            window: Arc::new(P::Mutex::new(Window { room: size, readiness: None, emptying: false })),
            size,
            reads: socket.peer,
            partial: When::rate(socket.partial_write),
            reset,
            partials: Chances::default(),
            resets: Chances::default(),
            linger,
            connects: None,
            draws,
            readers: readers.clone(),
            input: None,
        }
    }

    /// Not connected at the beginning.
    pub(super) fn unconnected(mut self, takes: Duration) -> Self {
        self.connects = Some(takes);
        self
    }

    /// The same, with a peer that sends.
    pub(super) fn sending(
        self,
        wire: Arc<Wire<P>>,
        table: &Arc<Table<P>>,
        partial_read: f64,
        draws: Generator,
    ) -> Self {
        let (table, partial) = (Arc::clone(table), When::rate(partial_read));
        Self { input: Some(Input { wire, table, partial, partials: Chances::default(), draws }), ..self }
    }

    /// Once it is reset, a connection stays so.
    fn is_reset(&mut self) -> bool {
        let draws = &mut self.draws;
        if let Some(when) = self.reset {
            self.resets.strike(when, P::now(), |threshold| draws.chance(threshold));
        }
        match &self.input {
            Some(input) if self.resets.strikes > 0 => {
                input.wire.was_reset();
                true
            }
            Some(input) => input.wire.is_reset(),
            None => self.resets.strikes > 0,
        }
    }

    /// What it took of `chunks` is read at the other end.
    fn took(&self, chunks: &[&[u8]], taken: usize) -> WriteOutcome {
        if let Some(input) = &self.input {
            input.wire.receive(chunks, taken).into_iter().for_each(|text| input.table.misreads(text));
        }
        WriteOutcome::Wrote(taken)
    }

    fn partial(&mut self, offered: usize) -> usize {
        let draws = &mut self.draws;
        if offered > 1 && self.partials.strike(self.partial, P::now(), |threshold| draws.chance(threshold)) {
            P::reach(Reach::PartialWrite);
            return 1 + self.draws.below_u64(offered as u64 - 1) as usize;
        }
        offered
    }
}

impl<P: Platform> Transport<P> for SimPeer<P> {
    fn open(&mut self, readiness: Readiness<P>) {
        if let Some(input) = &self.input {
            input.wire.open(readiness.clone());
        }
        self.window.lock().readiness = Some(readiness);
    }

    fn is_connected(&self) -> bool {
        self.connects.is_none()
    }

    fn connect(&mut self) -> ConnectOutcome {
        match self.connects {
            Some(takes) if !takes.is_zero() => {
                self.readers.tell_at(P::now() + takes, &self.window, Telling::Connected);
                ConnectOutcome::InProgress
            }
            _ => ConnectOutcome::Connected,
        }
    }

    fn read(&mut self, into: &mut [u8]) -> ReadOutcome {
        if self.input.is_none() {
            return ReadOutcome::WouldBlock;
        }
        if self.is_reset() {
            return ReadOutcome::Reset;
        }
        let Some(Input { wire, partial, partials, draws, .. }) = &mut self.input else { unreachable!("seen above") };
        let there = into.len().min(wire.available());
        if there > 1 && partials.strike(*partial, P::now(), |threshold| draws.chance(threshold)) {
            P::reach(Reach::PartialRead);
            let part = 1 + draws.below_u64(there as u64 - 1) as usize;
            return wire.read(&mut into[..part]);
        }
        wire.read(into)
    }

    fn write(&mut self, chunks: &[&[u8]]) -> WriteOutcome {
        if self.is_reset() {
            return WriteOutcome::Reset;
        }
        let offered: usize = chunks.iter().map(|c| c.len()).sum();
        let offered = self.partial(offered);
        if self.reads == Peer::ReadsAtOnce {
            return self.took(chunks, offered);
        }
        let mut window = self.window.lock();
        let taken = offered.min(window.room);
        window.room -= taken;
        if let Peer::ReadsAfter(span) = self.reads
            && window.room == 0
            && !window.emptying
        {
            window.emptying = true;
            drop(window);
            self.readers.tell_at(P::now() + span.duration(), &self.window, Telling::Emptied(self.size));
        }
        if taken == 0 { WriteOutcome::WouldBlock } else { self.took(chunks, taken) }
    }

    fn linger(&self) -> Option<Duration> {
        self.linger
    }

    fn close(&mut self) {
        if let Some(linger) = self.linger {
            P::sleep(linger);
        }
        self.window.lock().readiness = None;
        if let Some(input) = &self.input {
            input.wire.close();
        }
    }
}

/// What becomes of a window.
enum Telling {
    /// It has room for so many bytes again.
    Emptied(usize),
    /// The connection is there.
    Connected,
}

struct Reading<P: Platform> {
    window: Arc<P::Mutex<Window<P>>>,
    telling: Telling,
}

struct Agenda<P: Platform> {
    /// By time and number.
    due: BTreeMap<(Duration, u64), Reading<P>>,
    next: u64,
    ended: bool,
    thread: Option<P::Join>,
}

/// The thread that empties windows, started when the first peer needs it.
pub(super) struct Peers<P: Platform>(Arc<P::Mutex<Agenda<P>>>);

impl<P: Platform> Clone for Peers<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Platform> Peers<P> {
    pub(super) fn new() -> Self {
        Self(Arc::new(P::Mutex::new(Agenda { due: BTreeMap::new(), next: 0, ended: false, thread: None })))
    }

    fn tell_at(&self, time: Duration, window: &Arc<P::Mutex<Window<P>>>, telling: Telling) {
        let mut agenda = self.0.lock();
        let number = agenda.next;
        agenda.next += 1;
        agenda.due.insert((time, number), Reading { window: Arc::clone(window), telling });
        match &agenda.thread {
            Some(thread) => thread.thread().unpark(),
            None => {
                let peers = self.clone();
                let join = P::spawn("peers-0".to_string(), move || peers.read());
                agenda.thread = Some(join.expect("`check` limits the number of threads"));
            }
        }
    }

    fn read(&self) {
        loop {
            let mut agenda = self.0.lock();
            if agenda.ended {
                return;
            }
            let Some(first) = agenda.due.first_entry() else {
                drop(agenda);
                P::park();
                continue;
            };
            let (time, now) = (first.key().0, P::now());
            if time > now {
                drop(agenda);
                P::park_timeout(time - now);
                continue;
            }
            let reading = first.remove();
            drop(agenda);
            let mut window = reading.window.lock();
            if let Telling::Emptied(size) = reading.telling {
                window.room = size;
                window.emptying = false;
            }
            let readiness = window.readiness.clone();
            drop(window);
            match (readiness, reading.telling) {
                (Some(readiness), Telling::Emptied(_)) => readiness.writable(),
                (Some(readiness), Telling::Connected) => readiness.connected(),
                (None, _) => (),
            }
        }
    }

    /// Ends the thread and waits for it.
    pub(super) fn end(&self) {
        let mut agenda = self.0.lock();
        agenda.ended = true;
        let thread = agenda.thread.take();
        agenda.due.clear();
        drop(agenda);
        if let Some(join) = thread {
            join.thread().unpark();
            join.join().expect("the reader does not panic");
        }
    }
}
