//! A write passes its check and arrives after the close has settled everything.
//!
//! The writer reads that the channel is open and adds its message; the loop marks it closed and fails what is queued. A message
//! that comes between the two is neither written nor failed (the peer of an in-VM channel: eb4d317b9d; writes to closed channels:
//! #1624; stale outbound buffers: 0fbb791ad6). Finding: an accepted message that nobody settles.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "close_against_write",
    history: "D3, D13, G3: Netty #1624, eb4d317b9d, 0fbb791ad6",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

struct Channel {
    open: AtomicUsize,
    queued: AtomicUsize,
}

impl Channel {
    /// Messages accepted, and those that the writer itself had to fail.
    fn write(&self, twin: bool) -> (usize, usize) {
        if self.open.load(Acquire) == 0 {
            return (0, 0);
        }
        // AcqRel: if the close's exchange came first, its store to `open` is seen below; if not, it finds the message.
        self.queued.fetch_add(1, AcqRel);
        // The bug: nobody looks again.
        if twin && self.open.load(Acquire) == 0 { (1, self.queued.swap(0, AcqRel)) } else { (1, 0) }
    }
}

pub fn run(twin: bool, noise: usize) {
    let channel = Arc::new(Channel { open: AtomicUsize::new(1), queued: AtomicUsize::new(0) });
    let writer = go(&channel, move |c| {
        let noise = Noise::before(noise);
        let written = c.write(twin);
        noise.middle();
        written
    });
    let closer = go(&channel, move |c| {
        let noise = Noise::before(noise);
        c.open.store(0, Release);
        noise.middle();
        c.queued.swap(0, AcqRel)
    });
    let (accepted, failed) = writer.join().unwrap();
    let settled = failed + closer.join().unwrap();
    assert_eq!(accepted, settled, "messages accepted, and messages settled");
}
