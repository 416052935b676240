//! The facade has what `std` has: the same names with the same arguments, and the same results on one thread.

mod facade_support;

use facade_support::inside;
use proptest::prelude::*;

/// Each name exists in both, with arguments of these types.
macro_rules! same {
    ($($path:path { $($method:ident ( $($argument:ty),* ) -> $result:ty),* $(,)? })*) => {
        /// What the two have in common, as functions.
        #[allow(dead_code, unused_variables, clippy::type_complexity)]
        mod ours {
            use super::facade::*;
            fn all() {
                $($({ let f: fn($($argument),*) -> $result = <$path>::$method; })*)*
            }
        }
        #[allow(dead_code, unused_variables, clippy::type_complexity)]
        mod theirs {
            use super::host::*;
            fn all() {
                $($({ let f: fn($($argument),*) -> $result = <$path>::$method; })*)*
            }
        }
    };
}

/// The same paths, twice: what is written for one is code for the other.
macro_rules! paths {
    ($module:ident: $root:ident) => {
        #[allow(unused_imports)] // that they are there is the test
        mod $module {
            pub use std::io::Result as IoResult;
            pub use $root::sync::atomic::{
                AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16,
                AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
            };
            pub use $root::sync::mpsc::{
                Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError, TrySendError,
                channel, sync_channel,
            };
            pub use $root::sync::{
                Arc, Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, Once, OnceLock,
                OnceState, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult,
                WaitTimeoutResult, Weak,
            };
            pub use $root::thread::{
                AccessError, Builder, JoinHandle, LocalKey, Result as ThreadResult, Scope, ScopedJoinHandle, Thread,
                ThreadId, available_parallelism, current, panicking, park, park_timeout, scope, sleep, spawn,
                yield_now,
            };
            pub use $root::time::{Duration, Instant};
        }
    };
}

paths! { facade: millpond }
paths! { host: std }

same! {
    AtomicBool {
        new(bool) -> AtomicBool, get_mut(&mut AtomicBool) -> &mut bool, into_inner(AtomicBool) -> bool,
        load(&AtomicBool, Ordering) -> bool, store(&AtomicBool, bool, Ordering) -> (),
        swap(&AtomicBool, bool, Ordering) -> bool,
        compare_exchange(&AtomicBool, bool, bool, Ordering, Ordering) -> Result<bool, bool>,
        compare_exchange_weak(&AtomicBool, bool, bool, Ordering, Ordering) -> Result<bool, bool>,
        fetch_and(&AtomicBool, bool, Ordering) -> bool, fetch_nand(&AtomicBool, bool, Ordering) -> bool,
        fetch_or(&AtomicBool, bool, Ordering) -> bool, fetch_xor(&AtomicBool, bool, Ordering) -> bool,
        fetch_not(&AtomicBool, Ordering) -> bool,
        fetch_update(&AtomicBool, Ordering, Ordering, fn(bool) -> Option<bool>) -> Result<bool, bool>,
    }
    AtomicPtr<u8> {
        new(*mut u8) -> AtomicPtr<u8>, load(&AtomicPtr<u8>, Ordering) -> *mut u8,
        store(&AtomicPtr<u8>, *mut u8, Ordering) -> (), swap(&AtomicPtr<u8>, *mut u8, Ordering) -> *mut u8,
        fetch_ptr_add(&AtomicPtr<u8>, usize, Ordering) -> *mut u8,
        fetch_byte_sub(&AtomicPtr<u8>, usize, Ordering) -> *mut u8,
        fetch_or(&AtomicPtr<u8>, usize, Ordering) -> *mut u8,
    }
    Arc<String> {
        new(String) -> Arc<String>, try_unwrap(Arc<String>) -> Result<String, Arc<String>>,
        into_inner(Arc<String>) -> Option<String>, unwrap_or_clone(Arc<String>) -> String,
        as_ptr(&Arc<String>) -> *const String, into_raw(Arc<String>) -> *const String,
        downgrade(&Arc<String>) -> Weak<String>, strong_count(&Arc<String>) -> usize,
        weak_count(&Arc<String>) -> usize, ptr_eq(&Arc<String>, &Arc<String>) -> bool,
        get_mut(&mut Arc<String>) -> Option<&mut String>, make_mut(&mut Arc<String>) -> &mut String,
        new_cyclic(fn(&Weak<String>) -> String) -> Arc<String>,
    }
    Weak<String> {
        new() -> Weak<String>, upgrade(&Weak<String>) -> Option<Arc<String>>, strong_count(&Weak<String>) -> usize,
        weak_count(&Weak<String>) -> usize, ptr_eq(&Weak<String>, &Weak<String>) -> bool,
        as_ptr(&Weak<String>) -> *const String, into_raw(Weak<String>) -> *const String,
    }
    Mutex<u8> {
        new(u8) -> Mutex<u8>, is_poisoned(&Mutex<u8>) -> bool, clear_poison(&Mutex<u8>) -> (),
        into_inner(Mutex<u8>) -> LockResult<u8>, get_mut(&mut Mutex<u8>) -> LockResult<&mut u8>,
        lock(&Mutex<u8>) -> LockResult<MutexGuard<'_, u8>>, try_lock(&Mutex<u8>) -> TryLockResult<MutexGuard<'_, u8>>,
    }
    RwLock<u8> {
        new(u8) -> RwLock<u8>, is_poisoned(&RwLock<u8>) -> bool, clear_poison(&RwLock<u8>) -> (),
        into_inner(RwLock<u8>) -> LockResult<u8>, get_mut(&mut RwLock<u8>) -> LockResult<&mut u8>,
        read(&RwLock<u8>) -> LockResult<RwLockReadGuard<'_, u8>>,
        try_read(&RwLock<u8>) -> TryLockResult<RwLockReadGuard<'_, u8>>,
        write(&RwLock<u8>) -> LockResult<RwLockWriteGuard<'_, u8>>,
        try_write(&RwLock<u8>) -> TryLockResult<RwLockWriteGuard<'_, u8>>,
    }
    Condvar {
        new() -> Condvar, notify_one(&Condvar) -> (), notify_all(&Condvar) -> (),
    }
    Barrier { new(usize) -> Barrier, wait(&Barrier) -> BarrierWaitResult }
    Once {
        new() -> Once, is_completed(&Once) -> bool, call_once(&Once, fn()) -> (),
        call_once_force(&Once, fn(&OnceState)) -> (), wait(&Once) -> (), wait_force(&Once) -> (),
    }
    OnceLock<u8> {
        new() -> OnceLock<u8>, get(&OnceLock<u8>) -> Option<&u8>, get_mut(&mut OnceLock<u8>) -> Option<&mut u8>,
        set(&OnceLock<u8>, u8) -> Result<(), u8>, get_or_init(&OnceLock<u8>, fn() -> u8) -> &u8,
        wait(&OnceLock<u8>) -> &u8, take(&mut OnceLock<u8>) -> Option<u8>, into_inner(OnceLock<u8>) -> Option<u8>,
    }
    LazyLock<u8> { new(fn() -> u8) -> LazyLock<u8>, force(&LazyLock<u8>) -> &u8 }
    Sender<u8> { send(&Sender<u8>, u8) -> Result<(), SendError<u8>> }
    SyncSender<u8> {
        send(&SyncSender<u8>, u8) -> Result<(), SendError<u8>>,
        try_send(&SyncSender<u8>, u8) -> Result<(), TrySendError<u8>>,
    }
    Receiver<u8> {
        recv(&Receiver<u8>) -> Result<u8, RecvError>, try_recv(&Receiver<u8>) -> Result<u8, TryRecvError>,
        recv_timeout(&Receiver<u8>, Duration) -> Result<u8, RecvTimeoutError>,
    }
    JoinHandle<u8> {
        join(JoinHandle<u8>) -> ThreadResult<u8>, thread(&JoinHandle<u8>) -> &Thread,
        is_finished(&JoinHandle<u8>) -> bool,
    }
    Thread { id(&Thread) -> ThreadId, name(&Thread) -> Option<&str>, unpark(&Thread) -> () }
    Builder {
        new() -> Builder, name(Builder, String) -> Builder, stack_size(Builder, usize) -> Builder,
        spawn(Builder, fn() -> u8) -> IoResult<JoinHandle<u8>>,
    }
    Instant {
        now() -> Instant, elapsed(&Instant) -> Duration, duration_since(&Instant, Instant) -> Duration,
        checked_add(&Instant, Duration) -> Option<Instant>, checked_sub(&Instant, Duration) -> Option<Instant>,
        checked_duration_since(&Instant, Instant) -> Option<Duration>,
        saturating_duration_since(&Instant, Instant) -> Duration,
    }
}

macro_rules! same_integers {
    ($($atomic:ident $value:ty),*) => {$(
        #[allow(non_snake_case, dead_code)]
        mod $atomic {
            macro_rules! of {
                ($world:ident) => {
                    mod $world {
                        use super::super::$world::{$atomic, Ordering};
                        type Fetch = fn(&$atomic, $value, Ordering) -> $value;
                        type Exchange = fn(&$atomic, $value, $value, Ordering, Ordering) -> Result<$value, $value>;
                        type Update =
                            fn(&$atomic, Ordering, Ordering, fn($value) -> Option<$value>) -> Result<$value, $value>;
                        static MADE: $atomic = $atomic::new(1);
                        const FETCHES: [Fetch; 9] = [
                            $atomic::swap, $atomic::fetch_add, $atomic::fetch_sub, $atomic::fetch_and,
                            $atomic::fetch_nand, $atomic::fetch_or, $atomic::fetch_xor, $atomic::fetch_max,
                            $atomic::fetch_min,
                        ];
                        /// What a sequence of operations gives.
                        pub fn outcome(steps: &[(u8, $value, $value)]) -> String {
                            let exchanges: [Exchange; 2] = [$atomic::compare_exchange, $atomic::compare_exchange_weak];
                            let update: Update = $atomic::fetch_update;
                            let mut word = $atomic::from(MADE.load(Ordering::Relaxed));
                            let mut seen = String::new();
                            for (op, a, b) in steps {
                                let now = word.load(Ordering::SeqCst);
                                seen += &match op % 15 {
                                    op @ 0..9 => FETCHES[usize::from(op)](&word, *a, Ordering::AcqRel).to_string(),
                                    9 => format!("{:?}", exchanges[0](&word, *a, *b, Ordering::SeqCst, Ordering::Relaxed)),
                                    10 => format!("{:?}", exchanges[0](&word, now, *b, Ordering::SeqCst, Ordering::Relaxed)),
                                    11 => format!("{:?}", exchanges[1](&word, *a, *b, Ordering::Release, Ordering::Acquire)
                                        .map_err(|found| found == *a || found == now)),
                                    12 => format!("{:?}", update(&word, Ordering::SeqCst, Ordering::SeqCst,
                                        |n| n.checked_mul(3))),
                                    13 => { word.store(*a, Ordering::Release); format!("{word:?}") }
                                    _ => { *word.get_mut() ^= *b; String::new() }
                                };
                                seen.push(' ');
                            }
                            format!("{seen}{}", word.into_inner())
                        }
                    }
                };
            }
            of!(host);
            of!(facade);

            proptest::proptest! {
                #[test]
                fn one_thread_can_t_tell_it_from_that_of_std(
                    steps in proptest::collection::vec(proptest::prelude::any::<(u8, $value, $value)>(), 0..40)
                ) {
                    let theirs = host::outcome(&steps);
                    proptest::prop_assert_eq!(&facade::outcome(&steps), &theirs, "outside of executions");
                    proptest::prop_assert_eq!(&super::inside(|| facade::outcome(&steps)), &theirs);
                }
            }
        }
    )*};
}

same_integers! {
    AtomicU8 u8, AtomicU16 u16, AtomicU32 u32, AtomicU64 u64, AtomicUsize usize,
    AtomicI8 i8, AtomicI16 i16, AtomicI32 i32, AtomicI64 i64, AtomicIsize isize
}

/// What a sequence of operations on reference counts gives.
macro_rules! counted {
    ($world:ident, $steps:expr) => {{
        use $world::{Arc, Weak};
        let (mut strong, mut weak) = (vec![Arc::new(0_u32)], Vec::<Weak<u32>>::new());
        let mut seen = Vec::new();
        for (op, at) in $steps {
            let one = strong.len().checked_sub(1).map(|last| usize::from(*at) % (last + 1));
            let other = weak.len().checked_sub(1).map(|last| usize::from(*at) % (last + 1));
            seen.push(match (op % 10, one, other) {
                (0, Some(i), _) => {
                    let new = Arc::clone(&strong[i]);
                    strong.push(new);
                    String::new()
                }
                (1, Some(i), _) => {
                    weak.push(Arc::downgrade(&strong[i]));
                    String::new()
                }
                (2, Some(i), _) => format!("{}", strong.swap_remove(i)),
                (3, _, Some(i)) => format!("{}", weak.swap_remove(i).strong_count()),
                (4, _, Some(i)) => {
                    let new = weak[i].upgrade();
                    strong.extend(new.clone());
                    format!("{new:?}")
                }
                (5, Some(i), _) => format!(
                    "{:?}",
                    Arc::get_mut(&mut strong[i]).map(|n| {
                        *n += 1;
                        *n
                    })
                ),
                (6, Some(i), _) => {
                    *Arc::make_mut(&mut strong[i]) += 10;
                    String::new()
                }
                (7, Some(i), _) => match Arc::try_unwrap(strong.swap_remove(i)) {
                    Ok(n) => n.to_string(),
                    Err(arc) => {
                        strong.push(arc);
                        "shared".to_string()
                    }
                },
                (8, Some(i), _) => format!("{:?}", Arc::into_inner(strong.swap_remove(i))),
                (9, Some(i), Some(j)) => {
                    format!("{} {}", Weak::ptr_eq(&Arc::downgrade(&strong[i]), &weak[j]), strong[i])
                }
                _ => String::new(),
            });
            let counts = strong.iter().map(|a| (**a, Arc::strong_count(a), Arc::weak_count(a)));
            seen.push(format!("{:?}", counts.collect::<Vec<_>>()));
        }
        seen
    }};
}

proptest! {
    #[test]
    fn one_thread_can_t_tell_an_arc_from_that_of_std(steps in prop::collection::vec(any::<(u8, u8)>(), 0..60)) {
        let theirs = counted!(host, &steps);
        prop_assert_eq!(&inside(|| counted!(facade, &steps)), &theirs);
        prop_assert_eq!(&counted!(facade, &steps), &theirs, "outside of executions");
    }
}
