//! Threads that do what they are told: see [`millpond::crew`].

pub use millpond::crew::{Crew, Started};
