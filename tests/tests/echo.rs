//! The channel on real sockets: what is echoed is what was sent, and nothing leaks, however a client leaves.

#[path = "../examples/echo/client.rs"]
mod client;
#[path = "../examples/echo/poller.rs"]
mod poller;
#[path = "../examples/echo/server.rs"]
mod server;

use client::{Leaves, talk};
use server::Server;
use std::thread;

#[test]
fn every_byte_comes_back_and_no_buffer_leaks() {
    let server = Server::start(2).expect("the loopback interface is there");
    let address = server.address;
    let threads: Vec<_> = (0..6)
        .map(|seed| {
            let leaves = if seed % 3 == 2 { Leaves::Rudely } else { Leaves::Politely };
            (leaves, thread::spawn(move || talk(address, seed, 60, leaves)))
        })
        .collect();
    for (leaves, thread) in threads {
        let echoed = thread.join().expect("a client does not panic").unwrap_or_else(|e| panic!("{leaves:?}: {e}"));
        assert!(echoed > 0);
    }
    let leaks = server.stop();
    assert!(leaks.sampled > 360, "every frame has a buffer at least: {leaks:?}");
    assert_eq!((leaks.open, leaks.found, leaks.untracked), (0, 0, 0), "{leaks:?}");
}
