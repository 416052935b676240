//! How a pool says that it was misused.
//!
//! **Invariant: misuse is reported or goes unnoticed, exactly where the imitated release does either; it is never unsound.**

/// A misuse that the pool noticed, or stumbled over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum RecyclerError {
    /// Generation A: the object is in a pool already.
    #[error("recycled already")]
    RecycledAlready,
    /// Generation B: the object is in a pool already.
    #[error("Object has been recycled already.")]
    ObjectRecycledAlready,
    /// Generation A: an object came out of the pool that two threads had put there.
    #[error("recycled multiple times")]
    RecycledMultipleTimes,
    /// Generation A up to 4.1.29: the object's home is gone because it was recycled before (a null dereference there).
    #[error("null dereference: the object has no home")]
    NullHome,
    /// Generation A: the pool holds a hole where an earlier error struck (a null dereference there).
    #[error("null dereference: a hole in the pool")]
    NullSlot,
}

impl RecyclerError {
    /// The simple name of the Java exception.
    pub fn java_class(self) -> &'static str {
        match self {
            Self::NullHome | Self::NullSlot => "NullPointerException",
            Self::RecycledAlready | Self::ObjectRecycledAlready | Self::RecycledMultipleTimes => {
                "IllegalStateException"
            }
        }
    }

    /// The text of the Java exception; none for a null dereference, where the text is the virtual machine's.
    pub fn message(self) -> Option<&'static str> {
        match self {
            Self::RecycledAlready => Some("recycled already"),
            Self::ObjectRecycledAlready => Some("Object has been recycled already."),
            Self::RecycledMultipleTimes => Some("recycled multiple times"),
            Self::NullHome | Self::NullSlot => None,
        }
    }
}
