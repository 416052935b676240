//! The parameters of the outbound write path, and what each preset sets them to.
//!
//! **Invariant: each field names the release that changed it**; no other code knows releases.

use crate::allocator::{Allocator, AllocatorConfig};
use crate::observe::Kind;
use crate::outbound::Entry;
use crate::preset::Preset;
use crate::recycler::{Domain, Recycler, RecyclerConfig, RecyclerStats};
use crate::write_task::WriteTask;
use crate::{Platform, Std};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Which failures of writes with a void promise are told, as exceptions in the pipeline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum VoidFailures {
    /// Those of writes that an executor refused: through 4.1.9.
    Rejected,
    /// ... and those of the outbound buffer and of handlers: from 4.1.10 (#6622). Not those of writes that find the channel closed,
    /// or that it can't encode, to this day.
    Buffered,
    /// All (Millpond).
    All,
}

/// The rules of the write path. Sizes in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WritePathConfig {
    /// Whether a write from outside the loop counts as pending from its submission (`io.netty.transport.estimateSizeOnSubmit`,
    /// default true).
    pub estimate_on_submit: bool,
    /// What a queued write task counts beyond its message: 48 through 4.1.43, 32 from 4.1.44.
    pub task_overhead: u32,
    /// Whether writes with and without a flush share one pool of tasks: from 4.1.44.
    pub one_task_pool: bool,
    /// Whether a rejected write gives its pending bytes and its task back: from 4.1.31.
    pub cancel_on_rejection: bool,
    /// Whether a failed write releases its message before it fails its promise: from 4.1.54.
    pub release_before_notify: bool,
    /// What an entry of the outbound buffer counts beyond its message: 96 from 4.1.7, nothing before.
    pub entry_overhead: u32,
    /// Pending bytes above which a channel becomes unwritable: 64 KiB.
    pub high_water_mark: u64,
    /// Pending bytes below which it becomes writable again: 32 KiB.
    pub low_water_mark: u64,
    /// Writes to the transport in one flush: 16.
    pub write_spin_count: u32,
    /// Whether the spin count bounds the flush, from 4.1.18, or only each gathered batch, before.
    pub spin_bounds_flush: bool,
    /// Buffers gathered into one write: 1,024 from 4.1.18, all before.
    pub max_gather: u32,
    /// Whether the bytes gathered into one write follow what the transport takes: from 4.1.18. At first they are twice its send
    /// buffer.
    pub adaptive_gather: bool,
    /// Which failures of writes with a void promise are told.
    pub void_failures: VoidFailures,
    /// Whether the task that continues a flush also flushes what was written since, through 4.1.22.
    pub flush_task_flushes_new: bool,
    /// Whether `bytes_before_unwritable` counts the byte that crosses the mark: from 4.1.93.
    pub exact_bytes_before: bool,
    /// Whether what an executor refuses is done or released all the same (Millpond), or lost (Netty through 4.2.7): the end of a
    /// close, a call from handler to handler, a write before the first registration.
    pub keeps_refused: bool,
    /// Whether the end of the output fails what is pending: from 4.1.15.
    pub output_shutdown_fails_pending: bool,
    /// Whether a channel whose write failed is closed (`AUTO_CLOSE`, default true).
    pub auto_close: bool,
    /// Whether the channel reads by itself (`AUTO_READ`, default true).
    pub auto_read: bool,
    /// Whether the channel stays open for writing when the peer sends no more (`ALLOW_HALF_CLOSURE`, default false).
    pub allow_half_closure: bool,
    /// Reads in one turn: 16 (`MAX_MESSAGES_PER_READ`).
    pub max_reads: u32,
    /// Bytes of a buffer that is read into: 2,048 (Netty's adaptive guess begins there from 4.1.58; here it doesn't move).
    pub receive_buffer: u32,
    /// Whether a channel that gets no memory to read into is closed: from 4.1.52. Before, it tried again at once, for ever.
    pub close_when_out_of_memory: bool,
}

impl Default for WritePathConfig {
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for WritePathConfig {
    fn from(preset: Preset) -> Self {
        // The presets stand in order of age, but for 4.0.43, which was released together with 4.1.7.
        let from = |first: Preset| preset >= first;
        Self {
            estimate_on_submit: true,
            task_overhead: if from(Preset::Netty4_1_44) { 32 } else { 48 },
            one_task_pool: from(Preset::Netty4_1_44),
            cancel_on_rejection: from(Preset::Netty4_1_38),
            release_before_notify: from(Preset::Netty4_1_66),
            entry_overhead: if from(Preset::Netty4_1_8) || preset == Preset::Netty4_0_43 { 96 } else { 0 },
            high_water_mark: 64 * 1024,
            low_water_mark: 32 * 1024,
            write_spin_count: 16,
            spin_bounds_flush: from(Preset::Netty4_1_22),
            max_gather: if from(Preset::Netty4_1_22) { 1024 } else { u32::MAX },
            adaptive_gather: from(Preset::Netty4_1_22),
            void_failures: match preset {
                Preset::Millpond => VoidFailures::All,
                preset if preset >= Preset::Netty4_1_22 => VoidFailures::Buffered,
                _ => VoidFailures::Rejected,
            },
            flush_task_flushes_new: !from(Preset::Netty4_1_38),
            exact_bytes_before: from(Preset::Netty4_2_7),
            keeps_refused: preset == Preset::Millpond,
            output_shutdown_fails_pending: from(Preset::Netty4_1_22),
            auto_close: true,
            auto_read: true,
            allow_half_closure: false,
            max_reads: 16,
            receive_buffer: 2048,
            close_when_out_of_memory: from(Preset::Netty4_1_66),
        }
    }
}

/// The parameters of each kind of pooled object, so that one kind's pooling can be turned off, and of the buffers' allocator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolsConfig {
    /// Of [`Kind::WriteTask`].
    pub write_task: RecyclerConfig,
    /// Of [`Kind::WriteAndFlushTask`]; unused when there is one pool for both.
    pub write_and_flush_task: RecyclerConfig,
    /// Of [`Kind::OutboundEntry`].
    pub entry: RecyclerConfig,
    /// The buffers' allocator, with the recyclers of its shells.
    pub buffers: AllocatorConfig,
}

impl Default for PoolsConfig {
    fn default() -> Self {
        Preset::default().into()
    }
}

impl From<Preset> for PoolsConfig {
    fn from(preset: Preset) -> Self {
        Self {
            write_task: preset.into(),
            write_and_flush_task: preset.into(),
            entry: preset.into(),
            buffers: preset.into(),
        }
    }
}

/// The pools that the channels of an application share.
pub struct Pools<P: Platform = Std> {
    /// Where they recycle.
    pub domain: Domain<P>,
    /// Buffers.
    pub buffers: Allocator<P>,
    pub(crate) write_task: Recycler<WriteTask<P>, P>,
    pub(crate) write_and_flush_task: Recycler<WriteTask<P>, P>,
    pub(crate) entry: Recycler<Entry<P>, P>,
    one_task_pool: bool,
}

impl<P: Platform> Pools<P> {
    /// Pools in `domain`; `one_task_pool` as in [`WritePathConfig`].
    pub fn new_in(domain: &Domain<P>, config: &PoolsConfig, one_task_pool: bool) -> Self {
        let tasks = |kind, config: &RecyclerConfig| Recycler::new_in(domain, kind, *config, WriteTask::default);
        let write_task = tasks(Kind::WriteTask, &config.write_task);
        let write_and_flush_task = if one_task_pool {
            write_task.clone()
        } else {
            tasks(Kind::WriteAndFlushTask, &config.write_and_flush_task)
        };
        Self {
            domain: domain.clone(),
            buffers: Allocator::new_in(domain, config.buffers),
            write_task,
            write_and_flush_task,
            entry: Recycler::new_in(domain, Kind::OutboundEntry, config.entry, Entry::default),
            one_task_pool,
        }
    }

    /// The statistics of each pool.
    pub fn stats(&self) -> Vec<RecyclerStats> {
        let mut all = Vec::from([self.write_task.stats()]);
        if !self.one_task_pool {
            all.push(self.write_and_flush_task.stats());
        }
        all.extend([self.entry.stats(), self.buffers.stats().direct]);
        all
    }
}
