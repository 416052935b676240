//! The steps of a workload: their numbers, their names, and that each can end.

use std::ops::Range;

use super::{Flaws, Shape, pipeline, plural};
use crate::scenario::{
    Arrival, Call, ChannelsAre, Clients, Ending, Exchange, Flaw, From, Heeds, Loops, Message, Objects, Payload, Phase,
    Scenario, Span, Step, Through, To, limits,
};
use crate::suggest::{grouped, quoted};

pub fn check(flaws: &mut Flaws, scenario: &Scenario, shape: &Shape) {
    let steps = &scenario.workload;
    flaws.count("workload", "steps", steps.len(), limits::STEPS);
    let samples = steps.iter().map(|s| if let Step::Phase(p) = s { p.sample_at.len() } else { 0 }).sum();
    flaws.count("workload", "sampling points", samples, limits::SAMPLES);
    for (i, step) in steps.iter().enumerate().take(limits::STEPS) {
        let at = format!("workload[{i}].{}", kind(step));
        flaws.name(&format!("{at}.name"), "the step's name", step.name());
        if steps[..i].iter().any(|other| other.name() == step.name()) {
            let message = format!("two steps are called {}", quoted(step.name()));
            let flaw = flaws.add(format!("{at}.name"), message, "the second");
            flaw.help = Some(format!("give it another: `{}(name: \"...\")`", kind(step)));
        }
        match step {
            Step::Phase(p) => phase(flaws, &at, p, shape, scenario.topology.channels),
            Step::Idle(s) => flaws.span(&format!("{at}.lasts"), s.lasts),
            Step::Close(s) => {
                flaws.span(&format!("{at}.linger"), s.linger);
                flaws.within(&format!("{at}.callers"), "`callers`", s.callers.into(), 1..=limits::CALLERS);
            }
            Step::Connect(s) => {
                flaws.span(&format!("{at}.takes"), s.takes);
                begins(flaws, &at, scenario, ChannelsAre::Unconnected);
            }
            Step::Register(_) => begins(flaws, &at, scenario, ChannelsAre::Unregistered),
            Step::Renew(s) => within_topology(flaws, &format!("{at}.threads"), &s.threads, &shape.threads, THREADS),
            Step::Shutdown(s) => shutdown(flaws, &at, s.quiet, s.timeout),
            Step::Exchange(s) => exchange(flaws, &at, s, shape),
            Step::Objects(s) => objects(flaws, &at, s, shape),
            Step::Release(s) => {
                if s.from == From::Business && shape.fewest_threads() == 0 {
                    no_threads(flaws, "no business thread is there to release anything");
                }
            }
            Step::Drain(_) | Step::Collect(_) | Step::Move(_) => {}
            Step::Requests(s) => pipeline::requests(flaws, &at, s, scenario, shape),
        }
    }
    order(flaws, &steps[..steps.len().min(limits::STEPS)]);
}

/// A step that gives channels what they lack at the beginning.
fn begins(flaws: &mut Flaws, at: &str, scenario: &Scenario, lack: ChannelsAre) {
    if scenario.topology.channels_are != lack {
        let message = format!("the channels are {:?} at the beginning", scenario.topology.channels_are);
        flaws.add(at, message, "has nothing to do").help = Some(format!("write `topology: (channels_are: {lack:?})`"));
    }
}

/// What a step is called in the file.
fn kind(step: &Step) -> &'static str {
    match step {
        Step::Phase(_) => "Phase",
        Step::Requests(_) => "Requests",
        Step::Drain(_) => "Drain",
        Step::Idle(_) => "Idle",
        Step::Exchange(_) => "Exchange",
        Step::Objects(_) => "Objects",
        Step::Release(_) => "Release",
        Step::Collect(_) => "Collect",
        Step::Renew(_) => "Renew",
        Step::Register(_) => "Register",
        Step::Connect(_) => "Connect",
        Step::Move(_) => "Move",
        Step::Close(_) => "Close",
        Step::Shutdown(_) => "Shutdown",
    }
}

const THREADS: &str = "business thread";
const LOOPS: &str = "event loop";

pub(super) fn within_topology(flaws: &mut Flaws, path: &str, range: &Option<Range<u32>>, cells: &[u32], what: &str) {
    let Some(range) = range else { return };
    let there = cells.iter().copied().min().unwrap_or(0);
    if range.is_empty() {
        flaws.add(path, format!("there is no {what} in this range"), "empty").help =
            Some("a range ends before its second number: `0..1` is one".to_string());
    } else if range.end > there {
        let message = format!("there are only {} (`0..{there}`)", plural(there.into(), what));
        flaws.add(path, message, "outside").help =
            (cells.len() > 1).then(|| "the cell with the fewest counts".to_string());
    }
}

fn shutdown(flaws: &mut Flaws, at: &str, quiet: Span, timeout: Span) {
    flaws.span(&format!("{at}.quiet"), quiet);
    flaws.span(&format!("{at}.timeout"), timeout);
    if quiet.duration() > timeout.duration() {
        flaws.add(format!("{at}.quiet"), "the quiet period is longer than the timeout", "too long");
    }
}

fn phase(flaws: &mut Flaws, at: &str, phase: &Phase, shape: &Shape, channels: u32) {
    within_topology(flaws, &format!("{at}.threads"), &phase.threads, &shape.threads, THREADS);
    within_topology(flaws, &format!("{at}.loops"), &phase.loops, &shape.loops, LOOPS);
    if let (Some(loops), 1..) = (&phase.loops, channels)
        && loops.start >= channels
    {
        let message = format!("{} channels: loop {} has none to write to", channels, loops.start);
        flaws.add(format!("{at}.loops"), message, "no channel").help =
            Some("channel c is on loop c mod `event_loops`; `channels: 0` gives each loop one".to_string());
    }
    clients(flaws, at, phase);
    for (name, when) in [("cancels", phase.cancels), ("completed", phase.completed)] {
        if let Some(when) = when {
            flaws.when(&format!("{at}.{name}"), when);
        }
    }
    message(flaws, at, &phase.message);
    if let Call::Write { flush_every } = phase.call {
        flaws.within(&format!("{at}.call.Write.flush_every"), "`flush_every`", flush_every.into(), 1..=u64::MAX);
    }
    if phase.loops_are == Loops::Stalled {
        stalled(flaws, at, phase);
    }
    samples(flaws, at, phase);
    let threads = shape.threads.iter().map(|&n| writers(phase, n)).max().unwrap_or(0);
    let writes = u128::from(threads) * u128::from(phase.writes);
    if writes > limits::WRITES.into() {
        let product =
            format!("{} x {} writes = {}", plural(threads, "thread"), grouped(phase.writes.into()), grouped(writes));
        let message = format!("{product}; a phase writes at most {}", grouped(limits::WRITES.into()));
        flaws.add(format!("{at}.writes"), message, "too many");
    } else if writes > limits::QUEUED.into() && !matches!(phase.clients, Clients::Closed { .. }) {
        let product =
            format!("{} x {} writes = {}", plural(threads, "thread"), grouped(phase.writes.into()), grouped(writes));
        let most = grouped(limits::QUEUED.into());
        let message = format!("{product}; a phase that doesn't wait for its writes has at most {most}");
        flaws.add(format!("{at}.writes"), message, "too many").help =
            Some("use `Closed(in_flight: ...)`, whose memory is bounded".to_string());
    } else if shape.fewest_threads() == 0 && phase.writes > 0 {
        no_threads(flaws, "no business thread is there to write in this phase").help =
            Some("`from: Loop` only says where a write is called; a business thread begins it".to_string());
    }
}

pub(super) fn no_threads<'a>(flaws: &'a mut Flaws, message: &str) -> &'a mut Flaw {
    flaws.add("topology.business_threads", message, "none")
}

fn exchange(flaws: &mut Flaws, at: &str, exchange: &Exchange, shape: &Shape) {
    within_topology(flaws, &format!("{at}.threads"), &exchange.threads, &shape.threads, THREADS);
    payload(flaws, &format!("{at}.size"), &exchange.size);
    flaws.within(&format!("{at}.in_flight"), "`in_flight`", exchange.in_flight.into(), 1..=limits::IN_FLIGHT);
    for (key, when) in [("forgets", exchange.forgets), ("misuse", exchange.misuse)] {
        if let Some(when) = when {
            flaws.when(&format!("{at}.{key}"), when);
        }
    }
    if exchange.through != Through::Nothing && exchange.to == To::Held {
        flaws.add(format!("{at}.through"), "what is held goes through no codec", "not held").help =
            Some("use `to: Loops` or `to: Itself`".to_string());
    }
    if exchange.through != Through::Nothing && exchange.forgets.is_some() {
        flaws.add(format!("{at}.forgets"), "a codec forgets nothing: it releases what it is given", "not with a codec");
    }
    if exchange.misuse.is_some() && exchange.to != To::Loops {
        flaws.add(format!("{at}.misuse"), "misuse needs several threads: `to: Loops`", "only one thread releases");
    }
    let threads = shape.threads.iter().map(|&n| those(&exchange.threads, n)).max().unwrap_or(0);
    let buffers = u128::from(threads) * u128::from(exchange.buffers);
    let (limit, what) = match exchange.to {
        To::Held => (limits::QUEUED, "an exchange holds"),
        To::Loops | To::Itself => (limits::WRITES, "an exchange has"),
    };
    if buffers > limit.into() {
        let each = grouped(exchange.buffers.into());
        let product = format!("{} x {each} buffers = {}", plural(threads, "thread"), grouped(buffers));
        flaws.add(format!("{at}.buffers"), format!("{product}; {what} at most {}", grouped(limit.into())), "too many");
    } else if shape.fewest_threads() == 0 && exchange.buffers > 0 {
        no_threads(flaws, "no business thread is there to allocate in this exchange");
    }
}

fn objects(flaws: &mut Flaws, at: &str, objects: &Objects, shape: &Shape) {
    within_topology(flaws, &format!("{at}.threads"), &objects.threads, &shape.threads, THREADS);
    flaws.within(&format!("{at}.rounds"), "`rounds`", objects.rounds, 0..=limits::WRITES);
    flaws.within(&format!("{at}.together"), "`together`", objects.together.into(), 1..=limits::IN_FLIGHT);
    if let Some(misuse) = objects.misuse {
        let (when, name) = misuse.parts();
        flaws.when(&format!("{at}.misuse.{name}[0]"), when);
    }
    let threads = shape.threads.iter().map(|&n| those(&objects.threads, n)).max().unwrap_or(0);
    let in_use = u128::from(threads) * u128::from(objects.together);
    let all = in_use * u128::from(objects.rounds.min(limits::WRITES));
    let (most, what) = if objects.to == To::Held { (limits::QUEUED, all) } else { (limits::QUEUED, in_use) };
    if what > most.into() {
        let message = format!("{} objects in use at the same time; at most {}", grouped(what), grouped(most.into()));
        flaws.add(format!("{at}.together"), message, "too many");
    } else if shape.fewest_threads() == 0 && objects.rounds > 0 {
        no_threads(flaws, "no business thread is there to obtain objects");
    }
}

/// Threads that write in a phase if there are `threads` business threads.
fn writers(phase: &Phase, threads: u32) -> u64 {
    those(&phase.threads, threads)
}

/// How many a range names, or all of them.
fn those(range: &Option<Range<u32>>, all: u32) -> u64 {
    range.as_ref().map_or(all.into(), |range| range.end.saturating_sub(range.start).into())
}

fn clients(flaws: &mut Flaws, at: &str, phase: &Phase) {
    let at = format!("{at}.clients");
    match &phase.clients {
        Clients::Flood => {}
        Clients::Closed { in_flight, think } => {
            flaws.within(&format!("{at}.Closed.in_flight"), "`in_flight`", (*in_flight).into(), 1..=limits::IN_FLIGHT);
            flaws.span(&format!("{at}.Closed.think"), *think);
        }
        Clients::Open { per_s, arrival } => {
            flaws.within(&format!("{at}.Open.per_s"), "`per_s`", (*per_s).into(), 1..=limits::PER_SECOND);
            if phase.writes / u64::from((*per_s).max(1)) > limits::SPAN.as_secs() {
                flaws.add(format!("{at}.Open.per_s"), "at this rate the phase lasts more than a year", "too slow");
            }
            if let Arrival::Burst { every, size } = arrival {
                let at = format!("{at}.Open.arrival.Burst");
                flaws.span(&format!("{at}.every"), *every);
                if every.duration().is_zero() {
                    flaws.add(format!("{at}.every"), "bursts need a distance", "zero");
                }
                flaws.within(&format!("{at}.size"), "`size`", (*size).into(), 1..=limits::IN_FLIGHT);
            }
        }
    }
}

fn message(flaws: &mut Flaws, at: &str, message: &Message) {
    match message {
        Message::Pojo { encoded } => flaws.size(&format!("{at}.message.Pojo.encoded"), *encoded),
        Message::Buffer(size) => payload(flaws, &format!("{at}.message.Buffer[0]"), size),
    }
}

pub(super) fn payload(flaws: &mut Flaws, at: &str, payload: &Payload) {
    match payload {
        Payload::Exactly(size) => flaws.size(&format!("{at}.Exactly[0]"), *size),
        Payload::Uniform(low, high) => {
            let at = format!("{at}.Uniform");
            flaws.size(&format!("{at}[0]"), *low);
            flaws.size(&format!("{at}[1]"), *high);
            if low.checked_bytes() > high.checked_bytes() && high.checked_bytes().is_some() {
                flaws.add(at, "the smaller size comes first", "the wrong way round");
            }
        }
        Payload::Mix(sizes) => {
            let at = format!("{at}.Mix[0]");
            flaws.count(&at, "sizes in a mix", sizes.len(), limits::MIX);
            if sizes.is_empty() {
                flaws.add(&at, "a mix needs at least one size", "empty").help =
                    Some("list weights and sizes: `Mix([(9, B(256)), (1, KiB(48))])`".to_string());
            }
            for (i, (weight, size)) in sizes.iter().enumerate().take(limits::MIX) {
                flaws.within(&format!("{at}[{i}][0]"), "a weight", (*weight).into(), 1..=1_000_000);
                flaws.size(&format!("{at}[{i}][1]"), *size);
            }
        }
    }
}

/// A stalled loop completes nothing: whoever waits for it would wait for ever.
fn stalled(flaws: &mut Flaws, at: &str, phase: &Phase) {
    let repair = "use `Flood` or `Open(...)`: they don't wait for what they wrote";
    if let Clients::Closed { .. } = phase.clients {
        let message = "`Closed` clients wait for their writes, and a stalled loop completes none";
        flaws.add(format!("{at}.clients"), message, "would wait for ever").help = Some(repair.to_string());
    }
    if phase.heeds == Heeds::Writability {
        let message = "a thread that heeds writability waits, and a stalled loop makes no channel writable again";
        flaws.add(format!("{at}.heeds"), message, "would wait for ever").help = Some("use `Nothing`".to_string());
    }
}

fn samples(flaws: &mut Flaws, at: &str, phase: &Phase) {
    let points = &phase.sample_at[..phase.sample_at.len().min(limits::SAMPLES)];
    if let Some(i) = points.windows(2).position(|pair| pair[1] <= pair[0]) {
        let message = "sampling points are strictly ascending";
        flaws.add(format!("{at}.sample_at[{}]", i + 1), message, "out of order");
    }
    let last = points.iter().copied().max().unwrap_or_default();
    if last > phase.writes {
        let message = format!("each thread writes only {} times in this phase", grouped(phase.writes.into()));
        flaws.add(format!("{at}.sample_at"), message, "beyond the end");
    }
}

/// What needs the loops comes before the shutdown, and not between a stall and its drain.
fn order(flaws: &mut Flaws, steps: &[Step]) {
    let mut stall: Option<&str> = None;
    let mut over: Option<&str> = None;
    for (i, step) in steps.iter().enumerate() {
        let at = format!("workload[{i}]");
        let needs_loops = match step {
            Step::Phase(p) => p.loops_are == Loops::Running,
            Step::Exchange(e) => e.to == To::Loops,
            Step::Register(_) | Step::Connect(_) | Step::Move(_) => true,
            Step::Objects(o) => o.to == To::Loops || o.misuse.is_some(),
            Step::Close(_) | Step::Requests(_) => true,
            Step::Shutdown(s) => s.of == Ending::Everybody,
            Step::Release(r) => r.from == From::Loop,
            Step::Drain(_) | Step::Idle(_) | Step::Collect(_) | Step::Renew(_) => false,
        };
        if !needs_loops && !matches!(step, Step::Phase(_)) {
            if let Step::Drain(_) = step {
                stall = None;
            }
            continue;
        }
        if let Some(shutdown) = over {
            let message =
                format!("{} comes after {}, when no loop runs any more", quoted(step.name()), quoted(shutdown));
            flaws.add(&at, message, "needs the loops");
        } else if let (true, Some(phase)) = (needs_loops, stall) {
            let message = format!("{} needs the loops, which are stalled since {}", quoted(step.name()), quoted(phase));
            flaws.add(&at, message, "would wait for ever").help = Some("put `Drain()` before it".to_string());
        }
        match step {
            Step::Phase(p) if p.loops_are == Loops::Stalled => stall = Some(&p.name),
            Step::Shutdown(s) if s.of == Ending::Everybody => over = Some(&s.name),
            _ => {}
        }
    }
    if let (Some(phase), None) = (stall, over) {
        let message = format!("the loops are stalled since {} and never drained", quoted(phase));
        flaws.add("workload", message, "no `Drain` at the end").help = Some("add `Drain()` to it".to_string());
    }
}

/// Channels in the cell that has the most.
fn most_channels(scenario: &Scenario, shape: &Shape) -> u32 {
    match scenario.topology.channels {
        0 => shape.loops.iter().copied().max().unwrap_or(0),
        n => n,
    }
}

/// The writes and requests of the whole run.
pub fn total_writes(flaws: &mut Flaws, scenario: &Scenario, shape: &Shape, seeds: u64) {
    let of_step = |step: &Step, threads: u32| match step {
        Step::Phase(p) => u128::from(writers(p, threads)) * u128::from(p.writes),
        Step::Exchange(e) => u128::from(those(&e.threads, threads)) * u128::from(e.buffers),
        Step::Objects(o) => u128::from(those(&o.threads, threads)) * u128::from(o.rounds) * u128::from(o.together),
        Step::Requests(r) => pipeline::count(r, most_channels(scenario, shape)),
        _ => 0,
    };
    let of = |threads: u32| scenario.workload.iter().map(|step| of_step(step, threads)).sum::<u128>();
    // One execution of each cell.
    let once = shape.threads.iter().map(|&n| of(n)).sum::<u128>() * u128::from(shape.cells_per_threads());
    let total = once.saturating_mul(seeds.into());
    if total > limits::WRITES.into() {
        let cells = if shape.cells > 1 { format!(" in {}", plural(shape.cells, "cell")) } else { String::new() };
        let product = format!("{} writes{cells} x {} = {}", grouped(once), plural(seeds, "seed"), grouped(total));
        flaws.add("seeds", format!("{product}; a run writes at most {}", grouped(limits::WRITES.into())), "too many");
    }
}
