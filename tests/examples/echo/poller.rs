//! Real sockets for event loops: a selector over `mio`, and a transport.
//!
//! **Invariant: an edge that the system told is told to the channel.** `mio` is edge-triggered, and so is
//! [`Readiness`](millpond_model::transport::Readiness): nothing is asked twice, and the channel reads and writes until the socket
//! would block.
//!
//! ```text
//!   event loop ── select ──> mio::Poll ──┬─ token of a socket ──> its channel's Readiness ──> on the loop's list
//!                                        └─ token of a listener ──> accept until it would block
//! ```

use millpond_model::Std;
use millpond_model::event_loop::{Selector, Waker};
use millpond_model::transport::{ReadOutcome, Readiness, Transport, WriteOutcome};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const WAKER: Token = Token(0);

type Accept = Box<dyn FnMut(TcpStream) + Send>;

/// What a token stands for.
enum Source {
    Channel(Readiness<Std>),
    Listener(TcpListener, Accept),
}

/// The sockets of one poller.
pub struct Sockets {
    registry: Registry,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sources: BTreeMap<usize, Source>,
    /// Tokens given so far: none is given twice, so that a late event finds nobody rather than somebody else.
    given: usize,
}

impl Sockets {
    fn add(&self, register: impl FnOnce(&Registry, Token) -> io::Result<Source>) -> io::Result<Token> {
        let mut table = self.table();
        table.given += 1; // the waker's is 0
        let token = table.given;
        let source = register(&self.registry, Token(token))?;
        table.sources.insert(token, source);
        Ok(Token(token))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, token: Token) -> Option<Source> {
        self.table().sources.remove(&token.0)
    }

    /// Has every connection of `listener` accepted on the poller's loop.
    pub fn listen(&self, mut listener: TcpListener, accept: impl FnMut(TcpStream) + Send + 'static) -> io::Result<()> {
        self.add(|registry, token| {
            registry.register(&mut listener, token, Interest::READABLE)?;
            Ok(Source::Listener(listener, Box::new(accept)))
        })?;
        Ok(())
    }

    /// Accepts no more.
    pub fn stop_listening(&self) {
        self.table().sources.retain(|_, source| matches!(source, Source::Channel(_)));
    }

    fn tell(&self, event: &mio::event::Event) {
        // The lock isn't held while a channel is told or a connection accepted: both may come back here.
        let token = event.token();
        let source = self.table().sources.get(&token.0).map(|source| match source {
            Source::Channel(readiness) => Some(readiness.clone()),
            Source::Listener(..) => None,
        });
        match source {
            Some(Some(readiness)) => {
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    readiness.readable();
                }
                if event.is_writable() || event.is_write_closed() {
                    readiness.writable();
                }
            }
            Some(None) => self.accept(token),
            None => (), // closed meanwhile
        }
    }

    fn accept(&self, token: Token) {
        let Some(Source::Listener(listener, mut accept)) = self.remove(token) else { return };
        while let Ok((stream, _)) = listener.accept() {
            accept(stream);
        }
        self.table().sources.insert(token.0, Source::Listener(listener, accept));
    }
}

struct MioWaker(mio::Waker);

impl Waker for MioWaker {
    fn wake(&self) {
        self.0.wake().expect("an event file descriptor can be written to");
    }
}

/// Waits for sockets.
pub struct Poller {
    poll: Poll,
    events: Events,
    waker: Arc<MioWaker>,
    sockets: Arc<Sockets>,
}

impl Poller {
    /// A poller, and where its sockets are registered.
    ///
    /// # Errors
    /// What the system says: it has no more file descriptors.
    pub fn new() -> io::Result<(Self, Arc<Sockets>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(MioWaker(mio::Waker::new(poll.registry(), WAKER)?));
        let sockets = Arc::new(Sockets { registry: poll.registry().try_clone()?, table: Mutex::default() });
        Ok((Self { poll, events: Events::with_capacity(256), waker, sockets: Arc::clone(&sockets) }, sockets))
    }

    fn wait(&mut self, limit: Option<Duration>) -> bool {
        match self.poll.poll(&mut self.events, limit) {
            Ok(()) => self.events.iter().filter(|event| event.token() != WAKER).for_each(|e| self.sockets.tell(e)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}"),
        }
        true
    }
}

impl Selector<Std> for Poller {
    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.waker) as Arc<dyn Waker>
    }

    fn bind(&mut self) {}

    fn select(&mut self, limit: Option<Duration>) -> bool {
        self.wait(limit)
    }

    fn select_now(&mut self) {
        self.wait(Some(Duration::ZERO));
    }
}

/// A channel's socket.
pub struct Socket {
    stream: TcpStream,
    sockets: Arc<Sockets>,
    token: Option<Token>,
}

impl Socket {
    /// The transport of a connected socket, polled by the loop of `sockets`.
    pub fn new(stream: TcpStream, sockets: &Arc<Sockets>) -> Self {
        let _slower = stream.set_nodelay(true); // a flush says what goes out, not Nagle's algorithm
        Self { stream, sockets: Arc::clone(sockets), token: None }
    }
}

impl Transport<Std> for Socket {
    fn open(&mut self, readiness: Readiness<Std>) {
        let Self { stream, sockets, token } = self;
        let added = sockets.add(|registry, token| {
            registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(Source::Channel(readiness))
        });
        // Without a registration the channel hears nothing, and is closed with its loop.
        *token = added.ok();
    }

    fn write(&mut self, chunks: &[&[u8]]) -> WriteOutcome {
        let slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        loop {
            return match self.stream.write_vectored(&slices) {
                Ok(0) => WriteOutcome::Reset,
                Ok(n) => WriteOutcome::Wrote(n),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => WriteOutcome::WouldBlock,
                Err(_) => WriteOutcome::Reset,
            };
        }
    }

    fn read(&mut self, into: &mut [u8]) -> ReadOutcome {
        loop {
            return match self.stream.read(into) {
                Ok(0) => ReadOutcome::Ended,
                Ok(n) => ReadOutcome::Read(n),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => ReadOutcome::WouldBlock,
                Err(_) => ReadOutcome::Reset,
            };
        }
    }

    fn shutdown_output(&mut self) {
        let _gone = self.stream.shutdown(Shutdown::Write); // the peer may have been quicker
    }

    fn linger(&self) -> Option<Duration> {
        None
    }

    fn close(&mut self) {
        if let Some(token) = self.token.take() {
            self.sockets.remove(token);
            let _gone = self.sockets.registry.deregister(&mut self.stream);
        }
        let _gone = self.stream.shutdown(Shutdown::Both);
    }
}
