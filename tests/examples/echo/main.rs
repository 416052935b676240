//! An echo server on the loopback interface, and its clients; leak-free, or it says so.
//!
//! ```sh
//! cargo run --release -p millpond-tests --example echo [clients] [frames of each]
//! ```

mod client;
mod poller;
mod server;

use client::{Leaves, talk};
use server::Server;
use std::thread;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("numbers"));
    let (clients, frames) = (arguments.next().unwrap_or(16), arguments.next().unwrap_or(2_000));
    let server = Server::start(2)?;
    let (address, start) = (server.address, Instant::now());
    let threads: Vec<_> = (0..clients)
        .map(|seed| {
            let leaves = if seed % 4 == 3 { Leaves::Rudely } else { Leaves::Politely };
            thread::spawn(move || talk(address, seed, frames, leaves))
        })
        .collect();
    let mut bytes = 0;
    for thread in threads {
        bytes += thread.join().expect("a client does not panic")?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{clients} clients, {bytes} bytes echoed on {address}, {:.0} MB/s", bytes as f64 / 1e6 / seconds);
    let leaks = server.stop();
    println!("{} buffers watched, {} released, {} leaks", leaks.sampled + leaks.forced, leaks.closed, leaks.found);
    assert_eq!((leaks.open, leaks.found, leaks.untracked), (0, 0, 0), "{leaks:?}");
    Ok(())
}
