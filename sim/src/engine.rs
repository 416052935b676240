#![allow(missing_docs, dead_code)]
pub mod event; pub mod options; pub mod outcome; pub mod random; pub mod set;
pub use event::*; pub use options::*; pub use outcome::*; pub use random::*;
pub use millpond_model::Std as Sim;
pub fn execute(_o: &Options, _main: impl FnOnce() + 'static) -> Execution { panic!() }
