//! The handlers of a scenario.
//!
//! **Invariant: whatever a handler does, and wherever it fails, the message that it was given is forwarded, transferred, written,
//! kept or released, once.**

use super::desk::Errand;
use super::pipeline::{Content, Line};
use super::{FILLING, stream};
use crate::engine::{Chances, Generator, When};
use crate::scenario::{Does, Entry, Fault, Handler, In, Owns, Threads};
use millpond_model::Platform;
use millpond_model::codec::{Context, HandlerError, Inbound, UserEvent};
use millpond_model::message::Message;
use millpond_model::promise::Promise;
use millpond_model::release::{OwnedMessage, retain};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

/// References that a handler that retains has at most.
const KEPT: usize = 8;
/// Bytes of what a handler writes or fires by itself.
const OWN_BYTES: usize = 64;

/// A fault of this handler: how it fails.
struct Failure {
    when: When,
    panics: bool,
    chances: Chances,
}

/// A handler of a scenario, of one channel.
pub(super) struct Acting<P: Platform> {
    line: Arc<Line<P>>,
    index: usize,
    reads: Cell<u64>,
    /// The last byte of the last message, unless a handler has failed since.
    last: Cell<Option<u8>>,
    /// Something else has failed: bytes may be missing anywhere.
    is_torn: Cell<bool>,
    kept: RefCell<VecDeque<OwnedMessage<P>>>,
    failures: RefCell<(Vec<Failure>, Generator)>,
}

impl<P: Platform> Acting<P> {
    pub(super) fn new(line: &Arc<Line<P>>, index: usize) -> Self {
        let setting = &line.setting;
        let name = setting.entries[index].name();
        let failure = |fault: &Fault| match fault {
            Fault::HandlerThrows(of, when) if of == name => Some(((*when).into(), false)),
            Fault::HandlerPanics(of, when) if of == name => Some(((*when).into(), true)),
            _ => None,
        };
        let failures = setting.faults.iter().filter_map(failure);
        let failures = failures.map(|(when, panics)| Failure { when, panics, chances: Chances::default() }).collect();
        let draws = stream(setting.seed, 1 << 56 | (index as u64) << 32 | u64::from(line.channel));
        Self {
            line: Arc::clone(line),
            index,
            reads: Cell::new(0),
            last: Cell::new(None),
            is_torn: Cell::new(false),
            kept: RefCell::default(),
            failures: RefCell::new((failures, draws)),
        }
    }

    fn handler(&self) -> &Handler {
        match &self.line.setting.entries[self.index] {
            Entry::Handler(handler) => handler,
            Entry::Decoder(_) | Entry::Encoder(_) => unreachable!("a codec is made otherwise"),
        }
    }

    /// Does what the scenario wants in this callback.
    fn act(&self, context: &dyn Context<P>, place: In) {
        for does in self.handler().does.iter().filter(|does| does.place() == place) {
            let Some(channel) = context.channel() else { return };
            match does {
                // Somebody else may have done that already.
                Does::Removes(name, _) => drop(channel.pipeline().remove(name)),
                Does::Adds(name, _) => self.line.add(name, channel),
                Does::Closes(_) => context.close(Promise::new()),
                Does::Fires(_) => {
                    if let Some(message) = Self::own(context) {
                        context.fire_user_event(UserEvent::Message(message));
                    }
                }
                Does::Writes(_) => {
                    if let Some(message) = Self::own(context) {
                        // A new promise can be completed.
                        let _written = context.write(message, Promise::new());
                        context.flush();
                    }
                }
            }
        }
    }

    /// A message of the handler's own, if there is memory for it.
    fn own(context: &dyn Context<P>) -> Option<Message<P>> {
        let mut buffer = context.allocator().allocate(OWN_BYTES).ok()?;
        buffer.put_repeated(FILLING, OWN_BYTES).expect("a new buffer has room for its capacity");
        Some(Message::from(buffer))
    }

    /// Fails if a fault strikes.
    fn fail(&self) -> Result<(), HandlerError> {
        let (failures, draws) = &mut *self.failures.borrow_mut();
        for Failure { when, panics, chances } in failures {
            if chances.strike(*when, P::now(), |threshold| draws.chance(threshold)) {
                assert!(!*panics, "a fault of the scenario");
                return Err(HandlerError::other("a fault of the scenario"));
            }
        }
        Ok(())
    }

    /// Sees whether the bytes are those of requests.
    fn check(&self, message: &Message<P>) {
        let content = if self.is_torn.get() { Content::Unknown } else { self.line.setting.content };
        let Message::Buffer(buffer) = message else { return };
        buffer.touch("in a handler");
        let Ok(bytes) = buffer.bytes() else { return };
        let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return };
        let may_follow = |before: u8, byte: u8| match content {
            Content::Requests | Content::AnyRequests => byte == before,
            Content::Stream => byte == before || byte == before.wrapping_add(1),
            Content::Unknown => true,
        };
        let wrong = bytes.windows(2).position(|pair| !may_follow(pair[0], pair[1]));
        if let Some(at) = wrong {
            self.misread(&format!("byte {} is {:#04x} after {:#04x}", at + 1, bytes[at + 1], bytes[at]));
        } else if let Some(before) = self.last.get() {
            let follows = match content {
                Content::Requests => first == before.wrapping_add(1),
                Content::Stream => may_follow(before, first),
                Content::AnyRequests | Content::Unknown => true,
            };
            if !follows {
                self.misread(&format!("it begins with {first:#04x}, and the one before ended with {before:#04x}"));
            }
        }
        self.last.set(Some(last));
    }

    fn misread(&self, what: &str) {
        let (name, channel) = (&self.handler().name, self.line.channel);
        let number = self.reads.get();
        self.line.setting.table.misreads(format!("message {number} in {name} of channel {channel}: {what}"));
    }

    fn keep(&self, message: &Message<P>) {
        // A count that is illegal has been noted.
        let Ok(Some(kept)) = retain(message) else { return };
        self.kept.borrow_mut().push_back(kept.into());
        let oldest = if self.kept.borrow().len() > KEPT { self.kept.borrow_mut().pop_front() } else { None };
        if let Some(oldest) = oldest {
            self.line.setting.desk.submit(Errand::Release(oldest.into_message()));
        }
    }

    /// Releases what it has kept.
    fn let_go(&self) {
        let kept = self.kept.take();
        drop(kept);
    }
}

impl<P: Platform> Inbound<P> for Acting<P> {
    fn added(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.act(context, In::Added);
        Ok(())
    }

    fn read(&self, context: &dyn Context<P>, message: Message<P>) -> Result<(), HandlerError> {
        let message = OwnedMessage::from(message); // released if it fails
        self.reads.set(self.reads.get() + 1);
        self.check(&message);
        self.fail()?;
        self.act(context, In::Read(self.reads.get()));
        match (self.handler().owns, context.channel()) {
            (Owns::Releases, _) => drop(message),
            (Owns::Retains, _) => {
                self.keep(&message);
                context.fire_read(message.into_message());
            }
            (Owns::Replies, Some(channel)) => {
                // A new promise can be completed.
                let _written = channel.write_and_flush(message.into_message(), Promise::new());
            }
            (Owns::Transfers(Threads::Business), Some(channel)) => {
                self.line.setting.desk.submit(Errand::Reply(channel.clone(), message.into_message()));
            }
            (Owns::Forwards, _) | (_, None) => context.fire_read(message.into_message()),
        }
        Ok(())
    }

    fn inactive(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.act(context, In::Inactive);
        self.let_go();
        context.fire_inactive();
        Ok(())
    }

    fn writability_changed(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.act(context, In::WritabilityChanged);
        context.fire_writability_changed();
        Ok(())
    }

    fn user_event(&self, context: &dyn Context<P>, event: UserEvent<P>) -> Result<(), HandlerError> {
        let event = match event {
            UserEvent::Message(message) if self.handler().owns == Owns::Releases => {
                message.release();
                None
            }
            event => Some(event),
        };
        self.act(context, In::UserEvent);
        if let Some(event) = event {
            context.fire_user_event(event);
        }
        Ok(())
    }

    fn exception(&self, context: &dyn Context<P>, error: HandlerError) -> Result<(), HandlerError> {
        match error {
            // A handler's message is missing.
            HandlerError::Other(_) | HandlerError::Panicked(_) => self.last.set(None),
            _ => self.is_torn.set(true),
        }
        context.fire_exception(error);
        Ok(())
    }

    fn removed(&self, context: &dyn Context<P>) -> Result<(), HandlerError> {
        self.act(context, In::Removed);
        self.let_go();
        Ok(())
    }
}
