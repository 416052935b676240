//! Threads that do what they are told, one job at a time.
//!
//! **Invariant: between [`Crew::start`] and [`Crew::wait`] a worker runs its one job; otherwise it is parked.** With
//! [`Crew::run`] alone the workers never run together, so that what they do has one order.
//!
//! ```text
//!   boss:    start(0, job) ──unpark──> worker 0: job ... done ──unpark──> boss: wait(0)
//! ```

use millpond_model::Platform;
use millpond_model::platform::{JoinOps, Lock, SpawnError, ThreadId, ThreadOps};
use std::any::Any;
use std::panic::resume_unwind;
use std::sync::Arc;

type Job = Box<dyn FnOnce() + Send>;

/// What passes between the boss and a worker.
enum Letter {
    /// Nothing: the worker waits.
    Empty,
    Job(Job),
    /// The worker is at it.
    Taken,
    Done(Result<(), Box<dyn Any + Send>>),
    /// The worker shall end.
    End,
}

struct Mailbox<P: Platform> {
    letter: P::Mutex<Letter>,
    boss: P::Thread,
}

struct Worker<P: Platform> {
    mailbox: Arc<Mailbox<P>>,
    thread: P::Thread,
    join: Option<P::Join>,
}

/// A job that was started, with its result.
#[must_use = "wait for it"]
pub struct Started<P: Platform, R: Send> {
    worker: usize,
    result: Arc<P::Mutex<Option<R>>>,
}

/// Threads that do what they are told by the thread that made the crew. They end when it is dropped.
pub struct Crew<P: Platform> {
    workers: Vec<Worker<P>>,
}

impl<P: Platform> Crew<P> {
    /// A crew of `size` workers, numbered from 0.
    pub fn new(size: usize) -> Self {
        let mut crew = Self { workers: Vec::new() };
        for _ in 0..size {
            crew.hire();
        }
        crew
    }

    /// One more worker: its number.
    ///
    /// # Panics
    /// If no thread can be had.
    pub fn hire(&mut self) -> usize {
        self.try_hire().unwrap_or_else(|error| panic!("{error}"))
    }

    /// One more worker: its number.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn try_hire(&mut self) -> Result<usize, SpawnError> {
        let mailbox = Arc::new(Mailbox { letter: P::Mutex::new(Letter::Empty), boss: P::current() });
        let inside = Arc::clone(&mailbox);
        let name = format!("worker-{}", self.workers.len());
        let join = P::spawn(name, move || work::<P>(&inside))?;
        self.workers.push(Worker { mailbox, thread: join.thread().clone(), join: Some(join) });
        Ok(self.workers.len() - 1)
    }

    /// The thread of `worker`.
    pub fn thread(&self, worker: usize) -> ThreadId {
        self.workers[worker].thread.id()
    }

    /// Has `worker` do `job`, and waits for its result.
    ///
    /// # Panics
    /// As the job does, and as [`Crew::start`].
    pub fn run<R: Send + 'static>(&self, worker: usize, job: impl FnOnce() -> R + Send + 'static) -> R {
        let started = self.start(worker, job);
        self.wait(started)
    }

    /// Has `worker` begin `job`.
    ///
    /// # Panics
    /// If the worker has a job already, or was dismissed.
    pub fn start<R: Send + 'static>(&self, worker: usize, job: impl FnOnce() -> R + Send + 'static) -> Started<P, R> {
        let result = Arc::new(P::Mutex::new(None));
        let inside = Arc::clone(&result);
        self.post(
            worker,
            Letter::Job(Box::new(move || {
                let value = job();
                *inside.lock() = Some(value);
            })),
        );
        Started { worker, result }
    }

    /// Waits for the end of a job: its result.
    ///
    /// # Panics
    /// As the job does.
    pub fn wait<R: Send>(&self, started: Started<P, R>) -> R {
        let mailbox = &self.workers[started.worker].mailbox;
        loop {
            let mut letter = mailbox.letter.lock();
            if matches!(*letter, Letter::Done(_)) {
                let Letter::Done(result) = std::mem::replace(&mut *letter, Letter::Empty) else { unreachable!() };
                drop(letter);
                if let Err(payload) = result {
                    resume_unwind(payload);
                }
                let value = started.result.lock().take();
                return value.unwrap_or_else(|| unreachable!("the job is done"));
            }
            drop(letter);
            P::park();
        }
    }

    /// Ends `worker`, and waits until its thread is gone, thread-local destructors included.
    ///
    /// # Panics
    /// If the worker has a job, was dismissed before, or a thread-local destructor panics.
    pub fn dismiss(&mut self, worker: usize) {
        self.post(worker, Letter::End);
        if let Some(Err(panicked)) = self.workers[worker].join.take().map(JoinOps::join) {
            panic!("worker {worker}: {panicked}");
        }
    }

    fn post(&self, worker: usize, new: Letter) {
        let Worker { mailbox, thread, join } = &self.workers[worker];
        assert!(join.is_some(), "worker {worker} was dismissed");
        let mut letter = mailbox.letter.lock();
        assert!(matches!(*letter, Letter::Empty), "worker {worker} has a job");
        *letter = new;
        drop(letter);
        thread.unpark();
    }
}

/// A worker's life.
fn work<P: Platform>(mailbox: &Mailbox<P>) {
    loop {
        let mut letter = mailbox.letter.lock();
        match std::mem::replace(&mut *letter, Letter::Taken) {
            Letter::Job(job) => {
                drop(letter);
                let result = P::catch(job);
                *mailbox.letter.lock() = Letter::Done(result);
                mailbox.boss.unpark();
            }
            Letter::End => return,
            waiting => {
                *letter = waiting;
                drop(letter);
                P::park();
            }
        }
    }
}

impl<P: Platform> Drop for Crew<P> {
    fn drop(&mut self) {
        if P::unwinding() {
            return; // the workers stay parked: nobody is left to wait for
        }
        for worker in 0..self.workers.len() {
            if self.workers[worker].join.is_some() {
                self.dismiss(worker);
            }
        }
    }
}
