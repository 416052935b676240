//! A client of the echo server: plain blocking sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// How a client leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaves {
    /// It ends its output and waits for the server to close.
    Politely,
    /// It goes with answers unread: the system resets the connection.
    Rudely,
}

/// Sends `count` frames of sizes that depend on `seed`, several at a time, and checks every answer: the bytes echoed.
///
/// # Errors
/// What the system says, or an answer that isn't the question.
pub fn talk(address: SocketAddr, seed: u64, count: u64, leaves: Leaves) -> io::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut echoed = 0;
    for round in 0..count / 4 {
        let frames: Vec<Vec<u8>> = (0..4).map(|k| frame(seed, round * 4 + k)).collect();
        stream.write_all(&frames.concat())?;
        if leaves == Leaves::Rudely && round + 1 == count / 4 {
            return Ok(echoed);
        }
        for frame in &frames {
            let mut answer = vec![0; frame.len()];
            stream.read_exact(&mut answer)?;
            if answer != *frame {
                return Err(io::Error::other(format!("client {seed}: the answer isn't the question")));
            }
            echoed += frame.len() as u64;
        }
    }
    stream.shutdown(Shutdown::Write)?;
    let rest = stream.read_to_end(&mut Vec::new())?;
    if rest != 0 {
        return Err(io::Error::other(format!("client {seed}: {rest} bytes too many")));
    }
    Ok(echoed)
}

/// Frame number `n` of a client, with its length before it: from empty to some tens of kilobytes.
fn frame(seed: u64, n: u64) -> Vec<u8> {
    let mixed = (seed << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let size = (mixed >> 40) % [40, 2_000, 40_000][n as usize % 3];
    let mut frame = u32::try_from(size).expect("it is small").to_be_bytes().to_vec();
    frame.extend((0..size).map(|i| (mixed >> (i % 7)) as u8));
    frame
}
