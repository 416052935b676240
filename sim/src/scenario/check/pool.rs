//! The numbers of the pool and of the channels.

use super::Flaws;
use crate::scenario::{Backend, Peer, Scenario, Size, Sweep, limits};
use crate::suggest::grouped;
use crate::world::pooled_config;

/// Netty's water marks: what holds where a scenario gives only one of the two (4.1, `WriteBufferWaterMark`).
const LOW_WATER: Size = Size::kib(32);
const HIGH_WATER: Size = Size::kib(64);

pub fn check(flaws: &mut Flaws, scenario: &Scenario) {
    let pool = &scenario.pool;
    let numbers = [
        ("max_capacity", pool.max_capacity, 0),
        ("max_shared_capacity_factor", pool.max_shared_capacity_factor, 1),
        ("max_delayed_queues", pool.max_delayed_queues, 0),
        ("ratio", pool.ratio, 0),
    ];
    for (key, value, least) in numbers {
        if let Some(value) = value {
            flaws.within(&format!("pool.{key}"), &format!("`{key}`"), value.into(), least..=limits::POOL);
        }
    }
    flaws.distinct("pool.unpooled", &pool.unpooled);
    allocator(flaws, scenario);
    socket(flaws, scenario);
}

fn allocator(flaws: &mut Flaws, scenario: &Scenario) {
    let wanted = &scenario.allocator;
    let numbers = [
        ("arenas", wanted.arenas, 0..=limits::ARENAS),
        ("thread_cache", wanted.thread_cache, 0..=limits::THREAD_CACHE),
        ("trim_every", wanted.trim_every, 1..=u64::MAX),
        ("cores", wanted.cores, 1..=limits::CORES),
    ];
    let before = flaws.0.len();
    for (key, value, limit) in numbers {
        if let Some(value) = value {
            flaws.within(&format!("allocator.{key}"), &format!("`{key}`"), value.into(), limit);
        }
    }
    for (key, size, least) in [("page", wanted.page, limits::PAGE_BYTES), ("chunk", wanted.chunk, limits::PAGE_BYTES)] {
        let Some(size) = size else { continue };
        match size.checked_bytes() {
            Some(bytes) if !(least..=limits::SIZE_BYTES).contains(&bytes) => {
                let message = format!("a {key} is between 4 KiB and 1 GiB");
                flaws.add(format!("allocator.{key}"), message, "out of range");
            }
            Some(bytes) if bytes.is_power_of_two() => {}
            Some(_) => {
                flaws.add(format!("allocator.{key}"), format!("a {key} is a power of two"), "not a power of two");
            }
            None => flaws.size(&format!("allocator.{key}"), size),
        }
    }
    if flaws.0.len() > before {
        return;
    }
    if wanted.backend == Backend::Pooled {
        let presets = match &scenario.sweep {
            Sweep::Matrix { preset, .. } if !preset.is_empty() => preset.as_slice(),
            _ => std::slice::from_ref(&scenario.pool.preset),
        };
        for preset in presets {
            let config = pooled_config(wanted, *preset);
            let (page, chunk) = (config.page_size, wanted.chunk.map(|c| c.bytes()));
            if chunk.is_some_and(|chunk| chunk < page.into()) {
                let message = format!("a chunk has at least one page, which is {} bytes", grouped(page.into()));
                flaws.add("allocator.chunk", message, "too small");
                return;
            }
            if let Err(error) = config.validate() {
                flaws.add("allocator", error.to_string(), "not possible");
                return;
            }
        }
    }
    if wanted.backend != Backend::Adaptive && wanted.cores.is_some() {
        let message = "`cores` is of no use: only the adaptive allocator asks for them";
        flaws.add("allocator.cores", message, "only for magazines").help =
            Some("write `backend: Adaptive` before it".to_string());
    }
    if wanted.leak_detection.is_none() && wanted.leaks_are_found.is_some() {
        let message = "`leaks_are_found` is of no use: nobody looks for leaks";
        flaws.add("allocator.leaks_are_found", message, "nobody looks").help =
            Some("write `leak_detection: Paranoid` before it".to_string());
    }
    if wanted.backend != Backend::Pooled {
        let pooled_only = [
            ("arenas", wanted.arenas.is_some()),
            ("page", wanted.page.is_some()),
            ("chunk", wanted.chunk.is_some()),
            ("thread_cache", wanted.thread_cache.is_some()),
            ("trim_every", wanted.trim_every.is_some()),
            ("thread_end", wanted.thread_end.is_some()),
        ];
        for (key, _) in pooled_only.into_iter().filter(|(_, given)| *given) {
            let message = format!("`{key}` is of no use: memory doesn't come from arenas");
            flaws.add(format!("allocator.{key}"), message, "only for arenas").help =
                Some("write `backend: Pooled` before it".to_string());
        }
    }
}

fn socket(flaws: &mut Flaws, scenario: &Scenario) {
    let socket = &scenario.socket;
    flaws.size("socket.send_window", socket.send_window);
    flaws.probability("socket.partial_write", socket.partial_write);
    flaws.probability("socket.partial_read", socket.partial_read);
    if let Peer::ReadsAfter(span) = socket.peer {
        flaws.span("socket.peer.ReadsAfter[0]", span);
    }
    if let Some(spin) = socket.write_spin {
        flaws.within("socket.write_spin", "`write_spin`", spin.into(), 1..=limits::WRITE_SPIN);
    }
    for (key, mark) in [("low_water", socket.low_water), ("high_water", socket.high_water)] {
        if let Some(mark) = mark {
            flaws.size(&format!("socket.{key}"), mark);
        }
    }
    let low = socket.low_water.unwrap_or(LOW_WATER).checked_bytes();
    let high = socket.high_water.unwrap_or(HIGH_WATER).checked_bytes();
    if let (Some(low), Some(high)) = (low, high)
        && low > high
    {
        let key = if socket.low_water.is_some() { "socket.low_water" } else { "socket.high_water" };
        let flaw = flaws.add(key, "`low_water` is above `high_water`", "the wrong way round");
        flaw.help = Some("give both; the default is 32 KiB and 64 KiB".to_string());
    }
}
