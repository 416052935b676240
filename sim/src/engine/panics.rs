//! Panics of simulated threads.
//!
//! **Invariant: a panic that no `Platform::catch` will see ends the execution at the moment of the panic**, before
//! destructors run, so that the digest stops there.
//!
//! The hook is installed once per process and hands on every panic that is none of ours.

use super::core::{Engine, running};
use super::outcome::Verdict;
use super::thread::Abandon;
use millpond_model::platform::ThreadId;
use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;

static HOOK: Once = Once::new();

/// Installs the hook if it isn't.
pub(super) fn install() {
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| match running() {
            Some(engine) if engine.inside.get() => {
                // A panic in a destructor of an unwinding thread most likely aborts the process: say it.
                if engine.here().unwinding.get() && engine.here().catch_depth.get() == 0 {
                    previous(info);
                }
                engine.panicked(info);
            }
            _ => previous(info),
        }));
    });
}

/// The message of a panic, when it is text.
pub(super) fn text_of(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_string(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_string(),
    }
}

impl Engine {
    /// The hook's part: remembers the panic, and ends the execution if nobody will catch it.
    fn panicked(&self, info: &PanicHookInfo<'_>) {
        let location =
            info.location().map_or_else(String::new, |l| format!("{}:{}:{}", l.file(), l.line(), l.column()));
        self.panics(text_of(info.payload()), location);
    }

    /// `resume_unwind`, which calls no hook, is about to begin.
    pub fn resumes_panic(&self, payload: &(dyn Any + Send), site: &Location<'_>) {
        if !payload.is::<Abandon>() && !self.stopping.get() {
            self.panics(text_of(payload), format!("{}:{}:{}", site.file(), site.line(), site.column()));
        }
    }

    fn panics(&self, message: String, location: String) {
        let me = self.here();
        self.panicked.set(true);
        me.panicking.set(true);
        if me.catch_depth.get() == 0 {
            self.fail(self.panic_verdict(message.clone(), location.clone()));
        }
        me.panic.replace(Some((message, location)));
    }

    fn panic_verdict(&self, message: String, location: String) -> Verdict {
        let id = self.thread_id.get();
        Verdict::Panic { thread: ThreadId(id), name: self.name_of(id), message, location }
    }

    /// A thread's body ended by unwinding. `resume_unwind` does not call the hook, so that the verdict may still be open.
    pub fn body_unwound(&self, payload: Box<dyn Any + Send>) {
        let me = self.here();
        if !payload.is::<Abandon>() && !self.stopping.get() {
            let known = me.panic.take().map(|(_, location)| location);
            self.panicked.set(true);
            me.panicking.set(true);
            self.fail(self.panic_verdict(text_of(payload.as_ref()), known.unwrap_or_default()));
        }
        me.panicking.set(false);
        me.unwinding.set(true); // it is: what comes are destructors of thread-locals
        // A payload is the program's value, and its destructor may panic in turn.
        if let Err(next) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            std::mem::forget(next);
            me.panicking.set(false);
        }
    }

    /// `Platform::catch` on a simulated thread.
    pub fn catch<R>(&self, f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
        let me = self.here();
        let was_panicking = me.panicking.get();
        let was_unwinding = me.unwinding.get();
        me.catch_depth.set(me.catch_depth.get() + 1);
        let result = catch_unwind(AssertUnwindSafe(f));
        me.catch_depth.set(me.catch_depth.get() - 1);
        me.panicking.set(was_panicking);
        let Err(payload) = result else { return result };
        if payload.is::<Abandon>() {
            resume_unwind(payload);
        }
        if self.stopping.get() && !was_unwinding {
            self.give_up();
        }
        Err(payload)
    }
}
