//! A receiver closes, takes what is there, and leaves.
//!
//! The sender has looked whether the receiver is open and sends; the receiver has taken everything and doesn't look any more. A
//! receiver that goes on until all senders are gone is right. (In-VM channels: 1e763b6504; children that register with a closed
//! group: c8fb2a84c5.) Finding: a message that was sent is never received.

use super::facade::sync::atomic::AtomicUsize;
use super::facade::sync::mpsc;
use super::prelude::*;

pub const ABOUT: About = About {
    name: "channel_close_against_send",
    history: "D13, D17: Netty 1e763b6504, c8fb2a84c5",
    finding: Finding::Assertion,
    needs: Needs::Interleaving,
};

const END: usize = 99;

pub fn run(twin: bool, noise: usize) {
    let closed = Arc::new(AtomicUsize::new(0));
    let (send, receive) = mpsc::channel::<usize>();
    let sender = go(&closed, move |closed| {
        let noise = Noise::before(noise);
        let mut sent = 0;
        for message in 1..=2 {
            if closed.load(Acquire) == 0 {
                sent += usize::from(send.send(message).is_ok());
                noise.middle();
            }
        }
        // The sender's last word, which the repaired receiver waits for.
        let _ = send.send(END);
        sent
    });
    let receiver = go(&closed, move |closed| {
        let noise = Noise::before(noise);
        let mut received = 0;
        closed.store(1, Release);
        noise.middle();
        if twin {
            while receive.recv() != Ok(END) {
                received += 1;
            }
        } else {
            // The bug: empty is not finished.
            while let Ok(message) = receive.try_recv() {
                received += usize::from(message != END);
            }
        }
        (received, receive)
    });
    let sent = sender.join().unwrap();
    let (received, _receive) = receiver.join().unwrap();
    assert_eq!(received, sent, "messages received, of those sent");
}
