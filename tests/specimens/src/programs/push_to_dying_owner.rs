//! An object comes back to a pool between its owner's last drain and its owner's death.
//!
//! The owner drains its queue and then says that it is dead; whoever pushes looks for the death before and after, so that a late
//! object is taken back. In the window between the two it looks alive, and what is pushed stays for ever (#11864 and #12749; the
//! thread cache's finalizer). Dying first and draining then is right. Finding: an object in the queue of a dead thread.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "push_to_dying_owner",
    history: "A11, B12: Netty #11864, #12749",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

struct Owner {
    dead: AtomicUsize,
    queue: AtomicUsize,
}

pub fn run(twin: bool, noise: usize) {
    let owner = Arc::new(Owner { dead: AtomicUsize::new(0), queue: AtomicUsize::new(0) });
    let pusher = go(&owner, move |o| {
        let noise = Noise::before(noise);
        if o.dead.load(Acquire) == 1 {
            return;
        }
        noise.middle();
        // AcqRel: a push after the last drain sees the death that came before it.
        o.queue.fetch_add(1, AcqRel);
        if o.dead.load(Acquire) == 1 {
            o.queue.swap(0, AcqRel);
        }
    });
    let dying = go(&owner, move |o| {
        let noise = Noise::before(noise);
        if twin {
            o.dead.store(1, Release);
            o.queue.swap(0, AcqRel);
        } else {
            // The bug: the last drain comes before the word that it was the last.
            o.queue.swap(0, AcqRel);
            o.dead.store(1, Release);
        }
        noise.middle();
    });
    pusher.join().unwrap();
    dying.join().unwrap();
    assert_eq!(owner.queue.load(Acquire), 0, "objects that nobody will ever get");
}
