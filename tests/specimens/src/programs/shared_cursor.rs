//! Two buffers of one chunk share a view with a position.
//!
//! Each thread sets the position of its buffer and writes; the other one sets it in between, and a write lands in the wrong buffer
//! (#15131, #15652). Finding: a buffer with somebody else's bytes.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "shared_cursor",
    history: "C9: Netty #15131, #15652",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

struct Chunk {
    position: AtomicUsize,
    bytes: [AtomicUsize; 2],
}

fn write(chunk: &Chunk, buffer: usize, twin: bool, noise: usize) {
    let noise = Noise::before(noise);
    chunk.position.store(buffer, Release);
    // The bug: the position is everybody's.
    let position = if twin { buffer } else { chunk.position.load(Acquire) };
    noise.middle();
    chunk.bytes[position].store(buffer + 1, Release);
}

pub fn run(twin: bool, noise: usize) {
    let bytes = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let chunk = Arc::new(Chunk { position: AtomicUsize::new(0), bytes });
    let a = go(&chunk, move |c| write(c, 0, twin, noise));
    let b = go(&chunk, move |c| write(c, 1, twin, noise));
    a.join().unwrap();
    b.join().unwrap();
    for (buffer, byte) in chunk.bytes.iter().enumerate() {
        assert_eq!(byte.load(Acquire), buffer + 1, "the bytes of buffer {buffer}");
    }
}
