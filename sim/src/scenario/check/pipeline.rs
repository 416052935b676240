//! The pipeline, and what peers send into it: names refer to entries, and what is sent can be read.

use super::workload::{no_threads, payload, within_topology};
use super::{Flaws, Shape, plural};
use crate::scenario::{
    Decoder, Does, Encoder, Entry, Fault, Handler, In, Message, On, Owns, Payload, Requests, Scenario, Size, Step,
    limits,
};
use crate::suggest::{grouped, nearest, quoted};

/// Bytes of the length before a frame.
const LENGTH: u64 = 4;

pub fn check(flaws: &mut Flaws, scenario: &Scenario, shape: &Shape) {
    let entries = &scenario.pipeline[..scenario.pipeline.len().min(limits::ENTRIES)];
    flaws.count("pipeline", "entries", scenario.pipeline.len(), limits::ENTRIES);
    flaws.within("topology.executors", "`executors`", scenario.topology.executors.into(), 0..=limits::EXECUTORS.into());
    for (i, entry) in entries.iter().enumerate() {
        let at = format!("pipeline[{i}]");
        if entries[..i].iter().any(|other| other.name() == entry.name()) {
            let message = format!("two entries are called {}", quoted(entry.name()));
            flaws.add(&at, message, "the second").help = Some("a pipeline has one decoder and one encoder".to_string());
        }
        match entry {
            Entry::Decoder(Decoder::FixedLength(size)) => flaws.size(&format!("{at}.Decoder[0].FixedLength[0]"), *size),
            Entry::Decoder(Decoder::LengthField { max_frame }) => {
                frame(flaws, &format!("{at}.Decoder[0].LengthField.max_frame"), *max_frame);
            }
            Entry::Encoder(Encoder::LengthField { max_frame }) => {
                frame(flaws, &format!("{at}.Encoder[0].LengthField.max_frame"), *max_frame);
            }
            Entry::Encoder(Encoder::Copies) => {}
            Entry::Handler(h) => handler(flaws, &format!("{at}.Handler"), h, i, scenario, shape),
        }
    }
    for (i, fault) in scenario.faults.iter().enumerate().take(limits::FAULTS) {
        match fault {
            Fault::HandlerThrows(name, _) => fails(flaws, &format!("faults[{i}].HandlerThrows[0]"), name, entries),
            Fault::HandlerPanics(name, _) => fails(flaws, &format!("faults[{i}].HandlerPanics[0]"), name, entries),
            Fault::ThreadDies(..) if shape.fewest_threads() == 0 => {
                no_threads(flaws, "no business thread is there to die");
            }
            _ => {}
        }
    }
}

/// A frame has a length, and something after it.
fn frame(flaws: &mut Flaws, path: &str, max_frame: Size) {
    flaws.size(path, max_frame);
    if max_frame.checked_bytes().is_some_and(|bytes| (1..=LENGTH).contains(&bytes)) {
        flaws.add(path, "a frame is longer than its length field of 4 bytes", "too short");
    }
}

fn handler(flaws: &mut Flaws, at: &str, handler: &Handler, index: usize, scenario: &Scenario, shape: &Shape) {
    flaws.name(&format!("{at}.name"), "the handler's name", &handler.name);
    if handler.name == "decoder" || handler.name == "encoder" {
        let message = format!("{} is the name of the codec", quoted(&handler.name));
        flaws.add(format!("{at}.name"), message, "taken");
    }
    if let On::Executor(k) = handler.on
        && k >= scenario.topology.executors
    {
        let there = scenario.topology.executors;
        let message = format!("there is no executor {k}: the topology has {}", plural(there.into(), "executor"));
        flaws.add(format!("{at}.on.Executor[0]"), message, "no such executor").help =
            Some(format!("write `topology: (executors: {})`", u64::from(k) + 1));
    }
    if let Owns::Transfers(_) = handler.owns
        && shape.fewest_threads() == 0
    {
        flaws.add(format!("{at}.owns"), "no business thread is there to take anything", "to nobody").help =
            Some("give `topology: (business_threads: ...)` at least one".to_string());
    }
    flaws.count(&format!("{at}.does"), "things to do", handler.does.len(), limits::DOES);
    for (j, does) in handler.does.iter().enumerate().take(limits::DOES) {
        let (at, place) = match does {
            Does::Removes(..) => (format!("{at}.does[{j}].Removes"), 1),
            Does::Adds(..) => (format!("{at}.does[{j}].Adds"), 1),
            Does::Closes(_) => (format!("{at}.does[{j}].Closes"), 0),
            Does::Fires(_) => (format!("{at}.does[{j}].Fires"), 0),
            Does::Writes(_) => (format!("{at}.does[{j}].Writes"), 0),
        };
        if let In::Read(n) = does.place() {
            flaws.within(&format!("{at}[{place}].Read[0]"), "`Read` counts from 1: it", n, 1..=u64::MAX);
        }
        if let Some(name) = does.names() {
            exists(flaws, &format!("{at}[0]"), name, &scenario.pipeline);
        }
        let is_beyond = |entry: &Entry| matches!(entry, Entry::Encoder(Encoder::LengthField { .. }));
        if let Does::Writes(_) = does
            && scenario.pipeline.iter().skip(index).any(is_beyond)
        {
            let message = "what this handler writes goes towards the transport, and doesn't pass the encoder behind it";
            flaws.add(&at, message, "without a length").help = Some("put the encoder before the handler".to_string());
        }
    }
    let adds_it = |does: &Does| matches!(does, Does::Adds(name, _) if *name == handler.name);
    let adds = |entry: &Entry| matches!(entry, Entry::Handler(h) if h.does.iter().any(adds_it));
    if !scenario.pipeline[index].is_there() && !scenario.pipeline.iter().any(adds) {
        let message = format!("nobody adds {}", quoted(&handler.name));
        flaws.add(format!("{at}.there"), message, "never there").help =
            Some(format!("another handler may: `does: [Adds({}, Read(1))]`", quoted(&handler.name)));
    }
}

/// The entry of this name.
fn exists(flaws: &mut Flaws, path: &str, name: &str, entries: &[Entry]) -> bool {
    let entries = &entries[..entries.len().min(limits::ENTRIES)];
    let is_there = entries.iter().any(|entry| entry.name() == name);
    if !is_there {
        let names: Vec<String> = entries.iter().map(|entry| quoted(entry.name())).collect();
        let help = match nearest(name, entries.iter().map(Entry::name)) {
            Some(other) => format!("did you mean {}?", quoted(other)),
            None if names.is_empty() => "the pipeline is empty".to_string(),
            None => format!("the entries are {}", names[..names.len().min(12)].join(", ")),
        };
        let message = format!("the pipeline has no entry called {}", quoted(name));
        flaws.add(path, message, "unknown entry").help = Some(help);
    }
    is_there
}

/// Only handlers fail on demand.
fn fails(flaws: &mut Flaws, path: &str, name: &str, entries: &[Entry]) {
    let is_codec = |entry: &Entry| entry.name() == name && !matches!(entry, Entry::Handler(_));
    if exists(flaws, path, name, entries) && entries.iter().any(is_codec) {
        let message = format!("{} is a codec: only handlers fail on demand", quoted(name));
        flaws.add(path, message, "not a handler");
    }
}

/// The largest size of a payload.
fn largest(payload: &Payload) -> u64 {
    let bytes = |size: &Size| size.checked_bytes().unwrap_or(u64::MAX);
    match payload {
        Payload::Exactly(size) | Payload::Uniform(_, size) => bytes(size),
        Payload::Mix(sizes) => sizes.iter().map(|(_, size)| bytes(size)).max().unwrap_or(0),
    }
}

/// A step in which peers send.
pub fn requests(flaws: &mut Flaws, at: &str, step: &Requests, scenario: &Scenario, shape: &Shape) {
    let channels: Vec<u32> = match scenario.topology.channels {
        0 => shape.loops.clone(),
        n => vec![n],
    };
    within_topology(flaws, &format!("{at}.channels"), &step.channels, &channels, "channel");
    flaws.within(&format!("{at}.in_flight"), "`in_flight`", step.in_flight.into(), 1..=limits::IN_FLIGHT);
    flaws.span(&format!("{at}.think"), step.think);
    payload(flaws, &format!("{at}.size"), &step.size);
    let most = u64::from(channels.iter().copied().max().unwrap_or(0));
    if u128::from(most) * u128::from(step.requests) > limits::WRITES.into() {
        let message = format!("{} x {} requests", plural(most, "channel"), grouped(step.requests.into()));
        let message = format!("{message}; a step has at most {}", grouped(limits::WRITES.into()));
        flaws.add(format!("{at}.requests"), message, "too many");
    }
    let bytes = u128::from(most) * u128::from(step.in_flight) * u128::from(largest(&step.size));
    if bytes > limits::BUFFER_BYTES.into() {
        let message = "what is in flight may be larger than 1 GiB: channels x `in_flight` x `size`";
        flaws.add(format!("{at}.in_flight"), message, "too much");
    }
    if scenario.pipeline.is_empty() {
        flaws.add(at, "nobody reads what the peers send: the pipeline is empty", "sent in vain").help =
            Some("add `pipeline: [Handler(name: \"echo\", owns: Replies)]`".to_string());
    }
    for entry in &scenario.pipeline {
        match entry {
            Entry::Decoder(Decoder::FixedLength(size)) => {
                if !matches!(&step.size, Payload::Exactly(s) if s.checked_bytes() == size.checked_bytes()) {
                    let message = "the decoder cuts messages of one length, and these requests have others";
                    flaws.add(format!("{at}.size"), message, "not that length").help =
                        Some("use `size: Exactly(...)` with the decoder's length".to_string());
                }
            }
            Entry::Decoder(Decoder::LengthField { max_frame }) | Entry::Encoder(Encoder::LengthField { max_frame }) => {
                let needed = largest(&step.size).saturating_add(LENGTH);
                if max_frame.checked_bytes().is_some_and(|bytes| bytes < needed) {
                    let message = format!("with its length a request has up to {} bytes", grouped(needed.into()));
                    let message = format!("{message}: more than the {}'s `max_frame`", entry.name());
                    flaws.add(format!("{at}.size"), message, "too long for a frame");
                }
                let is_pojo = |s: &Step| matches!(s, Step::Phase(p) if matches!(p.message, Message::Pojo { .. }));
                if matches!(entry, Entry::Encoder(_)) && scenario.workload.iter().any(is_pojo) {
                    let message = "peers expect a length before each message, and a `Pojo` passes the encoder by";
                    flaws.add(at, message, "beside a phase of such").help =
                        Some("let the phase write `message: Buffer(...)`".to_string());
                }
            }
            Entry::Encoder(Encoder::Copies) | Entry::Handler(_) => {}
        }
    }
}

/// The requests of a step in a scenario of so many channels.
pub fn count(step: &Requests, channels: u32) -> u128 {
    let range = step.channels.as_ref().map(|range| range.end.saturating_sub(range.start));
    u128::from(range.unwrap_or(channels)) * u128::from(step.requests)
}
