//! The end of the pipeline.
//!
//! **Invariant: what nobody took is released here.**

use super::Channel;
use crate::Platform;
use crate::handler::UserEvent;
use crate::observe::Reach;
use crate::pipeline::Upstream;

impl<P: Platform> Channel<P> {
    /// No handler took it.
    pub(crate) fn tail(&self, event: Upstream<P>) {
        match event {
            Upstream::Read(message) => {
                P::reach(Reach::ReachedTheTail);
                message.touch("reached the tail");
                message.release();
                self.0.counters.unhandled_message();
            }
            Upstream::UserEvent(UserEvent::Message(message)) => {
                // From Netty 4.1.0.Beta5.
                P::reach(Reach::ReachedTheTail);
                message.touch("reached the tail");
                message.release();
            }
            Upstream::Exception(_) => self.count_unhandled(),
            Upstream::Destroy => self.destroy_pipeline(),
            Upstream::Added
            | Upstream::Removed
            | Upstream::Registered
            | Upstream::Unregistered
            | Upstream::Active
            | Upstream::Inactive
            | Upstream::ReadComplete
            | Upstream::WritabilityChanged
            | Upstream::UserEvent(UserEvent::InputShutdown | UserEvent::OutputShutdown) => (),
        }
    }

    /// A failure that nobody handled: Netty logs it.
    pub(crate) fn count_unhandled(&self) {
        self.0.counters.unhandled_exception();
    }
}
