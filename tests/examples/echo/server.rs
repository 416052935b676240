//! An echo server: the same channel, pipeline and codecs that scenarios drive, on real sockets.
//!
//! **Invariant: what was allocated for a connection is released when the server has stopped**: the detector watches every buffer.

use crate::poller::{Poller, Socket, Sockets};
use millpond_model::channel::{Channel, ChannelSetup, FillEncoder};
use millpond_model::codec::{
    ByteToMessageDecoder, LengthField, LengthFieldFrameDecoder, LengthFieldPrepender, MessageToMessageEncoder,
};
use millpond_model::event_loop::{EventLoop, EventLoopGroup, LoopConfig};
use millpond_model::handler::{Context, HandlerError, Inbound};
use millpond_model::leak::{LeakConfig, LeakStats, Level};
use millpond_model::message::Message;
use millpond_model::pipeline::Named;
use millpond_model::promise::Promise;
use millpond_model::recycler::Domain;
use millpond_model::write_path::{Pools, PoolsConfig, WritePathConfig};
use millpond_model::{Preset, Std};
use mio::net::TcpListener;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a length field.
const WIDTH: usize = 4;
/// Bytes of a frame at most.
const FRAME_MAX: usize = 1 << 20;
/// How long the loops wait for each other at the end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Writes what it reads, from whatever thread calls it.
struct Echo;

impl Inbound for Echo {
    fn read(&self, context: &dyn Context, message: Message) -> Result<(), HandlerError> {
        let channel = context.channel().expect("it is in a channel");
        channel.write_and_flush(message, Promise::new())?;
        Ok(())
    }
}

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    loops: EventLoopGroup,
    business: EventLoop,
    sockets: Vec<Arc<Sockets>>,
    pools: Arc<Pools>,
}

impl Server {
    /// Listens on a free port of the loopback interface, with so many event loops, and one business executor in the middle of
    /// every pipeline: each buffer is obtained on a loop, passes the executor, and is released on the loop.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(loops: usize) -> io::Result<Self> {
        let preset = Preset::Millpond;
        let config = WritePathConfig::from(preset);
        let mut pools = PoolsConfig::from(preset);
        pools.buffers.leak_detection = Some(LeakConfig { level: Level::Paranoid, ..LeakConfig::from(preset) });
        let pools = Arc::new(Pools::new_in(&Domain::new(), &pools, config.one_task_pool));
        let (mut group, mut sockets) = (Vec::new(), Vec::new());
        for i in 0..loops {
            let (poller, theirs) = Poller::new()?;
            group.push(EventLoop::with_selector(format!("loop-{i}"), LoopConfig::from(preset), Box::new(poller)));
            sockets.push(theirs);
        }
        let group = EventLoopGroup::of(group);
        let business = EventLoop::new("business", LoopConfig::executor(preset));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let config = Arc::new(config);
        let accept = {
            let (pools, business, sockets) = (Arc::clone(&pools), business.clone(), sockets.clone());
            let (loops, mut next) = (group.loops().to_vec(), 0);
            move |stream: mio::net::TcpStream| {
                next = (next + 1) % loops.len();
                let setup = ChannelSetup {
                    linger_executor: None,
                    pools: Arc::clone(&pools),
                    config: Arc::clone(&config),
                    transport: Box::new(Socket::new(stream, &sockets[next])),
                    encoder: Box::new(FillEncoder(0)),
                    handlers: pipeline(&business),
                };
                // A loop that has shut down closes the connection.
                let _channel = Channel::open(&loops[next], setup);
            }
        };
        sockets[0].listen(listener, accept)?;
        group.loops()[0].execute_fn(|| ()).expect("a new loop accepts"); // it has a thread, and polls
        Ok(Self { address, loops: group, business, sockets, pools })
    }

    /// Stops, and says what the leak detector saw.
    pub fn stop(self) -> LeakStats {
        self.sockets[0].stop_listening();
        self.loops.shutdown_gracefully(Duration::ZERO, PATIENCE);
        self.loops.join().expect("a loop catches the panics of its tasks");
        self.business.shutdown_gracefully(Duration::ZERO, PATIENCE);
        self.business.join().expect("an executor catches the panics of its tasks");
        let detector = self.pools.buffers.leak_detector().expect("it was asked for");
        detector.collect();
        detector.report();
        detector.stats()
    }
}

fn pipeline(business: &EventLoop) -> Vec<Named<Std>> {
    let decoder = LengthFieldFrameDecoder::new(LengthField::first(WIDTH), FRAME_MAX, WIDTH);
    let encoder = LengthFieldPrepender::new(WIDTH);
    vec![
        Named::inbound("decoder", ByteToMessageDecoder::new(decoder, Preset::Millpond)),
        Named::outbound("encoder", MessageToMessageEncoder::new(encoder, Preset::Millpond)),
        Named::inbound("echo", Echo).on(business),
    ]
}
