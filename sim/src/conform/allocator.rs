//! Traces of the pooled allocator: not replayed yet.

use super::Replay;
use super::header::Header;
use super::operation::Operation;
use millpond_model::Platform;
use serde_json::Value;
use std::marker::PhantomData;

/// The allocator of a trace.
pub struct Allocator<P: Platform>(PhantomData<P>);

impl<P: Platform> Allocator<P> {
    pub fn new(_: &Header) -> Result<Self, String> {
        Err("traces of allocators are not replayed yet".into())
    }
}

impl<P: Platform> Replay for Allocator<P> {
    fn operate(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        Err(operation.unknown())
    }

    fn statistics(&mut self, _: &Value) -> Value {
        Value::Null
    }
}
