//! Litmus tests: small concurrent programs as data, what an independent oracle says of them, and what an engine shows.
//!
//! **Invariant: the oracle and the engine have nothing in common but the program.** The oracle enumerates whole executions and
//! checks them against the standard's axioms; the engine makes one step after the other.
//!
//! ```text
//!   shapes ── program ──┬── oracle   all reads-from x all modification orders, filtered by axioms ──┐
//!    (and the verdict   │                                                                           ├── equal sets
//!     of the books)     └── machine  all schedules x all choices, or random ones, on a `Memory` ────┘
//! ```

pub mod axioms;
pub mod fuzz;
pub mod machine;
pub mod oracle;
pub mod program;
pub mod relation;
pub mod shapes;

pub use program::{Op, Outcome, Outcomes, Program};
