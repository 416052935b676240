//! Waiting until nothing moves, reading, and judging at the end.
//!
//! **Invariant: everybody is at rest when all queues were empty twice, and nobody has run anything in between** but the tasks that
//! were given to each to find that out. Queues alone don't tell: the last task may still run, and give one to somebody else.
//! Virtual time seldom moves while a thread can run, so that a nap after that lets everything else come to rest too.
//!
//! Who waits drives the program and is one of its threads, but has [`newest`] numbers; who reads and judges is none: [`observed`].

use super::World;
use super::allocator::sum as sum_of;
use crate::engine::{newest, observed};
use crate::ledger::{Finding, FindingKind};
use crate::observed::{CROSSING, Sample, retained_bytes};
use crate::scenario::{Metric, Oracle, Peer};
use millpond_model::Platform;
use millpond_model::allocator::adaptive::AdaptiveStats;
use millpond_model::allocator::pooled::{AllocatorMetrics, PooledBackend};
use millpond_model::event_loop::EventLoop;
use millpond_model::leak::{Detector, LeakStats};
use millpond_model::memory::Area;
use millpond_model::observe::Kind;
use millpond_model::promise::Promise;
use millpond_model::recycler::{PoolStats, RecyclerConfig, RecyclerStats};
use std::time::Duration;

/// What an execution showed besides its schedule.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// A sample for each step, and those inside phases.
    pub samples: Vec<Sample>,
    /// What the safety oracles found at the end.
    pub findings: Vec<Finding>,
    /// The leak detector's numbers at the end, if there is one.
    pub leaks: Option<LeakStats>,
}

/// Naps until the world gives up waiting: with the longest nap of a second, hours of virtual time.
const NAPS_MAX: u32 = 20_000;

impl<P: Platform> World<'_, P> {
    /// Waits until all loops that aren't stalled are at rest and what can be written is written.
    pub(super) fn settle(&self) {
        let mut nap = Duration::from_micros(1);
        let mut before = None;
        for _ in 0..NAPS_MAX {
            let passes: u64 = self.awake().map(|executor| u64::from(pass(executor))).sum();
            P::sleep(nap);
            let run = newest(|| self.at_rest().then(|| self.tasks_run()));
            if run.is_some() && run == before.map(|before| before + passes) {
                return;
            }
            before = run;
            nap = (nap * 2).min(Duration::from_secs(1));
        }
    }

    /// Waits until loop `l` is at rest.
    pub(super) fn settle_loop(&self, l: usize) {
        for _ in 0..NAPS_MAX {
            pass(&self.loops[l]);
            if newest(|| self.loops[l].stats().queue_length) == 0 {
                return;
            }
        }
    }

    /// Waits until business threads have run what handlers gave them.
    pub(super) fn await_errands(&self) {
        if self.desk.is_manned() {
            for _ in 0..NAPS_MAX {
                if self.desk.is_clear() {
                    return;
                }
                P::sleep(Duration::from_micros(1));
            }
        }
    }

    /// The loops that aren't stalled, then the executors.
    fn awake(&self) -> impl Iterator<Item = &EventLoop<P>> {
        let loops = self.loops.iter().zip(&self.stalls).filter(|(_, stall)| stall.is_none());
        loops.map(|(event_loop, _)| event_loop).chain(&self.executors)
    }

    /// Tasks that they have run.
    fn tasks_run(&self) -> u64 {
        self.awake().map(|executor| executor.stats().tasks_run).sum()
    }

    fn at_rest(&self) -> bool {
        let queued: u64 = self.awake().map(|executor| executor.stats().queue_length).sum();
        let stalled = self.stalls.iter().any(Option::is_some);
        let written = stalled
            || self.scenario.socket.peer == Peer::NeverReads
            || self.channels.iter().all(|c| c.pending_bytes() == 0);
        queued == 0 && written && (!self.desk.is_manned() || self.desk.is_clear())
    }

    /// Reads everything.
    pub(super) fn read(&self, step: &str, at_write: Option<u64>, writers: &[u32]) -> Sample {
        observed(|| self.sample(step, at_write, writers))
    }

    fn sample(&self, step: &str, at_write: Option<u64>, writers: &[u32]) -> Sample {
        let pools = self.recyclers();
        let memory = self.pools.buffers.pooled().map(PooledBackend::metrics);
        let memory = memory.as_ref();
        let adaptive = self.pools.buffers.adaptive().map(|a| [a.stats(Area::Direct), a.stats(Area::Heap)]);
        let leaks = self.pools.buffers.leak_detector().map(Detector::stats).unwrap_or_default();
        let [requests, replies] =
            self.wires.iter().map(|wire| wire.counts()).fold([0; 2], |[a, b], [c, d]| [a + c, b + d]);
        let loops: Vec<_> = self.loops.iter().map(EventLoop::stats).collect();
        let sum = |kinds: &[Kind], f: fn(&PoolStats) -> u64| -> u64 {
            pools.iter().filter(|r| kinds.contains(&r.kind)).flat_map(|r| &r.pools).map(f).sum()
        };
        let all: Vec<Kind> = pools.iter().map(|r| r.kind).collect();
        let same = [Kind::OutboundEntry, Kind::BufferShell];
        let crossing = [&CROSSING[..], &[Kind::Object]].concat();
        let metrics = Metric::ALL.map(|metric| match metric {
            Metric::RetainedObjects => sum(&all, |p| p.retained),
            Metric::RetainedBytes => pools.iter().map(retained_bytes).sum(),
            Metric::CrossThreadRetained => sum(&CROSSING, |p| p.retained),
            Metric::SameThreadRetained => sum(&same, |p| p.retained),
            Metric::DeadRetained => sum(&crossing, |p| if p.dead { p.retained } else { 0 }),
            Metric::CreatedObjects => {
                let entries = self.pools.buffers.pooled().map(PooledBackend::entries);
                pools.iter().chain(&entries).map(|r| r.total().created).sum()
            }
            Metric::HeldThreads => self.held_threads,
            Metric::QueuedTasks => loops.iter().map(|l| l.queue_length).sum(),
            Metric::PeakQueuedTasks => loops.iter().map(|l| l.peak_queue_length).max().unwrap_or_default(),
            Metric::PendingBytes => self.channels.iter().map(|c| c.pending_bytes()).sum(),
            Metric::LiveBuffers => sum(&[Kind::BufferShell], |p| u64::try_from(p.in_use).unwrap_or_default()),
            Metric::UsedMemory => sum_of(memory, |a| a.active_bytes) + sum_adaptive(&adaptive, |s| s.used_memory),
            Metric::Chunks => {
                sum_of(memory, |a| a.lists.iter().map(Vec::len).sum::<usize>() as u64)
                    + sum_adaptive(&adaptive, |s| s.chunks)
            }
            Metric::FoundLeaks => leaks.found + leaks.untracked,
            Metric::ReportedLeaks => leaks.reported,
            Metric::WatchedBuffers => leaks.open,
            Metric::PinnedMemory => sum_of(memory, |a| a.pinned_bytes),
            Metric::CachedMemory => sum_of(memory, |a| a.cached_bytes),
            Metric::LostMemory => sum_of(memory, |a| a.lost_bytes),
            Metric::ArenaAllocations => sum_of(memory, |a| a.allocations.total()),
            Metric::ActiveAllocations => sum_of(memory, |a| a.active().total()),
            Metric::ThreadCaches => memory.map_or(0, AllocatorMetrics::thread_caches),
            Metric::RequestsRead => requests,
            Metric::RepliesReceived => replies,
            Metric::UnhandledMessages => self.channels.iter().map(|c| c.stats().unhandled_messages).sum(),
            Metric::LostCapacity => sum(&all, |p| u64::try_from(p.drift()).unwrap_or_default()),
        });
        Sample { step: step.to_string(), at_write, writers: writers.to_vec(), metrics, pools }
    }

    /// The statistics of every recycler: those of the write path, then those of the buffers' other shells.
    fn recyclers(&self) -> Vec<RecyclerStats> {
        let buffers = self.pools.buffers.stats();
        let mut all = self.pools.stats();
        all.push(buffers.heap);
        all.extend(buffers.slices.into_iter().chain(buffers.duplicates));
        all.extend(self.objects.as_ref().map(|objects| objects.stats()));
        all
    }

    /// INV-P1 to INV-P5, and what holds in the adaptive allocator. What leaked is never drained.
    fn judge_memory(&self, found: &dyn Fn(FindingKind, String)) {
        let may_leak = self.scenario.oracles.contains(&Oracle::LeaksAreFound);
        let broken = match (self.pools.buffers.pooled(), self.pools.buffers.adaptive()) {
            (Some(pooled), _) if may_leak => pooled.check().map_err(|e| e.to_string()),
            (Some(pooled), _) => pooled.check_drained().map_err(|e| e.to_string()),
            // SAFETY: the threads of the world have ended, and were joined.
            (_, Some(adaptive)) => unsafe { adaptive.check() }.map_err(|e| e.to_string()),
            (None, None) => Ok(()),
        };
        if let Err(text) = broken {
            found(FindingKind::Conservation, text);
        }
    }

    /// INV-P1, INV-P4 and INV-P5 after a step, where nobody is inside the pooled allocator.
    pub(super) fn judge_arenas(&self, step: &str) {
        if let Some(Err(broken)) = self.pools.buffers.pooled().map(|pooled| observed(|| pooled.check())) {
            let text = format!("after \"{step}\": {broken}");
            self.seen.borrow_mut().findings.push(Finding::plain(FindingKind::Conservation, 0, text));
        }
    }

    /// The safety oracles that need the world, after the last thread has ended.
    pub(super) fn judge(&self, seen: &std::cell::RefCell<Seen>) {
        if let Some(detector) = self.pools.buffers.leak_detector() {
            // Everything that was lost is known from now on.
            detector.collect();
            detector.report();
        }
        observed(|| self.find(seen));
    }

    fn find(&self, seen: &std::cell::RefCell<Seen>) {
        let found = |kind, text: String| seen.borrow_mut().findings.push(Finding::plain(kind, 0, text));
        for event_loop in self.loops.iter().chain(&self.executors) {
            let abandoned = event_loop.stats().tasks_abandoned;
            if abandoned > 0 {
                let name = event_loop.name();
                found(
                    FindingKind::LostTask,
                    format!("{name} accepted {abandoned} tasks, never ran them, never refused them"),
                );
            }
        }
        for text in self.table.misread() {
            found(FindingKind::Corrupted, text);
        }
        for text in self.objects.iter().flat_map(|objects| objects.stumbles()) {
            found(FindingKind::Poisoned, text);
        }
        self.judge_memory(&found);
        if let Some(detector) = self.pools.buffers.leak_detector() {
            let stats = detector.stats();
            if let Err(broken) = stats.check() {
                found(FindingKind::Conservation, broken.to_string());
            }
            seen.borrow_mut().leaks = Some(stats);
        }
        // 4.1.3 to 4.1.37 lose shared capacity by design: there it is a number to be told, not a finding.
        let keeps_capacity = RecyclerConfig::from(self.scenario.pool.preset).reclaim_skipped_link;
        for stats in self.recyclers() {
            if let Err(e) = stats.check() {
                found(FindingKind::Conservation, format!("{}: {e}", stats.kind));
            }
            if keeps_capacity && let Err(e) = stats.check_shared() {
                found(FindingKind::SharedCapacity, format!("{}: {e}", stats.kind));
            }
        }
        for (c, channel) in self.channels.iter().enumerate() {
            let pending = channel.pending_bytes();
            if pending != 0 {
                found(FindingKind::PendingBytes, format!("channel {c} counts {pending} pending bytes after its close"));
            }
        }
    }
}

/// The sum of a number over the two areas.
fn sum_adaptive(stats: &Option<[AdaptiveStats; 2]>, f: fn(&AdaptiveStats) -> u64) -> u64 {
    stats.iter().flatten().map(f).sum()
}

/// Waits until the loop has run everything that it was given before, by a task of its own; whether it took that.
fn pass<P: Platform>(event_loop: &EventLoop<P>) -> bool {
    let passed = Promise::<P>::untracked();
    let theirs = passed.clone();
    let given = event_loop.execute_fn(move || {
        theirs.try_complete(Ok(()));
    });
    if given.is_ok() {
        assert_eq!(passed.wait(), Ok(()), "the only outcome it is given");
    }
    given.is_ok()
}
