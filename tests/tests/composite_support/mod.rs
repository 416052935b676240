//! What the tests of composites share: buffers of text, and witnesses of their counts.
#![allow(dead_code)] // each test file uses a part of it

use bytes::Buf;
use millpond_model::Platform;
use millpond_model::Preset;
use millpond_model::allocator::{Allocator, AllocatorConfig, Backend};
use millpond_model::buffer::{Buffer, Composite};
use millpond_model::recycler::Domain;

/// Each buffer has a block of its own, so that what is outstanding at the end belongs to buffers that live.
pub fn allocator<P: Platform>(preset: Preset) -> Allocator<P> {
    Allocator::new_in(&Domain::new(), AllocatorConfig { backend: Backend::Unpooled, ..preset.into() })
}

/// The allocator of most tests: its derived buffers have counts of their own.
pub fn pool<P: Platform>() -> Allocator<P> {
    allocator(Preset::Netty4_1_8)
}

/// A buffer of `text`.
pub fn of<P: Platform>(allocator: &Allocator<P>, text: &str) -> Buffer<P> {
    let mut buffer = allocator.allocate(text.len()).expect("there is memory");
    buffer.put(text.as_bytes()).expect("there is room");
    buffer
}

/// A composite of these texts, and a handle of each component that shares its count.
pub fn composite<P: Platform>(allocator: &Allocator<P>, texts: &[&str]) -> (Composite<P>, Vec<Buffer<P>>) {
    let buffers: Vec<_> = texts.iter().map(|text| of(allocator, text)).collect();
    let witnesses = buffers.iter().map(|b| b.duplicate().expect("it is alive")).collect();
    let mut composite = allocator.composite();
    composite.add_components(true, buffers).expect("they can be read");
    (composite, witnesses)
}

/// The readable bytes, from as many pieces as there are.
pub fn text<P: Platform>(buffer: &Buffer<P>) -> String {
    let chunks = buffer.chunks().expect("it can be read");
    let bytes: Vec<u8> = chunks.iter().flatten().copied().collect();
    assert_eq!(bytes.len(), chunks.remaining());
    String::from_utf8(bytes).expect("the tests write text")
}

/// The pieces.
pub fn pieces<P: Platform>(buffer: &Buffer<P>) -> Vec<String> {
    let chunks = buffer.chunks().expect("it can be read");
    chunks.iter().map(|chunk| String::from_utf8(chunk.to_vec()).expect("the tests write text")).collect()
}

pub fn counts<P: Platform>(buffers: &[Buffer<P>]) -> Vec<u32> {
    buffers.iter().map(Buffer::count).collect()
}
