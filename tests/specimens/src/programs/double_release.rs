//! Two holders release what must be released once: each looks first, and then acts.
//!
//! The state is read, found live, and written as released in two steps. Between them the other one reads it too. Pending-write
//! queues (#3212), cumulation buffers (#3368) and cancelled hand-overs (reactor-netty #3683) released twice in this way.
//! Finding: two releases.

use super::facade::sync::atomic::AtomicUsize;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "double_release",
    history: "A9, C1, H9: Netty #3212, #3368; reactor-netty #3683",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const LIVE: usize = 1;
const RELEASED: usize = 0;

fn release(state: &AtomicUsize, twin: bool, noise: usize) -> bool {
    let noise = Noise::before(noise);
    if twin {
        let live = state.swap(RELEASED, AcqRel) == LIVE;
        noise.middle();
        return live;
    }
    // The bug: look, then act.
    let live = state.load(Acquire) == LIVE;
    if live {
        state.store(RELEASED, Release);
    }
    noise.middle();
    live
}

pub fn run(twin: bool, noise: usize) {
    let state = Arc::new(AtomicUsize::new(LIVE));
    let a = go(&state, move |s| release(s, twin, noise));
    let b = go(&state, move |s| release(s, twin, noise));
    let releases = usize::from(a.join().unwrap()) + usize::from(b.join().unwrap());
    assert_eq!(releases, 1, "releases");
}
