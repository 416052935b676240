//! How much of a test is enough.

/// `full`, or `few` under Miri, which is some thousand times slower than the machine.
pub fn scaled(full: u64, few: u64) -> u64 {
    if cfg!(miri) { few } else { full }
}
