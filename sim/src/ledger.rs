//! Who owns which tracked object.
//!
//! **Invariant: a ticket is good for one period of ownership.**

use millpond_model::observe::{Event, Kind};
use millpond_model::platform::ThreadId;
use std::panic::Location;
use std::time::Duration;

/// Where and when something happened.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// On which thread.
    pub thread: ThreadId,
    /// At which step.
    pub step: u64,
    /// At which virtual time.
    pub time: Duration,
    /// Where in the source.
    pub site: &'static Location<'static>,
}

/// One period of ownership.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// The object.
    pub slot: u32,
    /// Which period.
    pub generation: u32,
}

/// What was wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// In words.
    pub text: String,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    generations: Vec<u32>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(_rich: bool) -> Self {
        Self { generations: Vec::new() }
    }

    /// A new object.
    pub fn identify(&mut self, _at: &At, _kind: Kind) -> u32 {
        self.generations.push(0);
        self.generations.len() as u32 - 1
    }

    /// The object gets an owner.
    ///
    /// # Errors
    /// A finding.
    pub fn obtained(&mut self, _at: &At, id: u32) -> Result<Ticket, Finding> {
        let generation = &mut self.generations[id as usize];
        *generation += 1;
        Ok(Ticket { slot: id, generation: *generation })
    }

    /// Something happens to the object.
    ///
    /// # Errors
    /// A finding.
    pub fn note(&mut self, _at: &At, ticket: Ticket, event: Event) -> Result<(), Finding> {
        if self.generations[ticket.slot as usize] != ticket.generation {
            return Err(Finding { text: format!("{event:?} with a stale ticket of object {}", ticket.slot) });
        }
        Ok(())
    }

    /// The object is gone.
    ///
    /// # Errors
    /// A finding.
    pub fn destroyed(&mut self, _at: &At, id: u32) -> Result<(), Finding> {
        self.generations[id as usize] += 1;
        Ok(())
    }
}
