//! The numbers of the pool and of the channels.

use super::Flaws;
use crate::scenario::{Peer, Scenario, Size, limits};

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
    socket(flaws, scenario);
}

fn socket(flaws: &mut Flaws, scenario: &Scenario) {
    let socket = &scenario.socket;
    flaws.size("socket.send_window", socket.send_window);
    flaws.probability("socket.partial_write", socket.partial_write);
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
