//! Allocators: where the memory of pooled buffers comes from.
//!
//! **Invariant: a block of memory has one owner, and goes back to its allocator when that owner drops it, on whatever
//! thread.** An allocator knows nothing of buffers, counts or shells.
//!
//! ```text
//!   Buffer ──> Memory ──> adaptive::Block ──drop──> its chunk ──> its magazine group ──> P::dealloc
//! ```

pub mod adaptive;
