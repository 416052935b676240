//! Generated scenarios: whatever a small scenario looks like, the default preset loses nothing, doubles nothing, and
//! completes everything.

use millpond::scenario::{
    Arrival, Awaits, Call, Clients, Close, Closer, Drain, From as CalledFrom, Heeds, Message, Move, Order, Payload,
    Peer, Phase, Preempt, Scenario, Schedule, Shutdown, Size, Socket, Span, Step, Topology, Way, check,
};
use millpond_tests::{cell, outcome, parse};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

fn clients() -> impl Strategy<Value = Clients> {
    prop_oneof![
        Just(Clients::Flood),
        (1..4_u32, 0..3_u64).prop_map(|(in_flight, think)| Clients::Closed { in_flight, think: Span::Us(think) }),
        (1_000..100_000_u32).prop_map(|per_s| Clients::Open { per_s, arrival: Arrival::Poisson }),
        (1..5_u32).prop_map(|size| Clients::Open { per_s: 1, arrival: Arrival::Burst { every: Span::Ms(1), size } }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (1..2_000_u64).prop_map(|n| Message::Pojo { encoded: Size::B(n) }),
        (1..2_000_u64).prop_map(|n| Message::Buffer(Payload::Exactly(Size::B(n)))),
        (1..100_u64, 0..5_000_u64)
            .prop_map(|(low, more)| Message::Buffer(Payload::Uniform(Size::B(low), Size::B(low + more)))),
    ]
}

fn phase() -> impl Strategy<Value = Phase> {
    let call = prop_oneof![Just(Call::WriteAndFlush), (1..4_u32).prop_map(|flush_every| Call::Write { flush_every })];
    let from = prop_oneof![Just(CalledFrom::Business), Just(CalledFrom::Loop)];
    let heeds = prop_oneof![Just(Heeds::Nothing), Just(Heeds::Writability)];
    let order = prop_oneof![Just(Order::Together), Just(Order::InTurn)];
    (1..12_u64, clients(), message(), call, from, heeds, order).prop_map(
        |(writes, clients, message, call, from, heeds, order)| Phase {
            writes,
            clients,
            message,
            call,
            from,
            heeds,
            order,
            ..Phase::default()
        },
    )
}

fn socket() -> impl Strategy<Value = Socket> {
    let peer = prop_oneof![Just(Peer::ReadsAtOnce), (1..3_000_u64).prop_map(|n| Peer::ReadsAfter(Span::Us(n)))];
    (peer, 1..10_000_u64, prop_oneof![Just(0.0), Just(0.3)], 1..4_u32).prop_map(
        |(peer, window, partial_write, spin)| Socket {
            peer,
            send_window: Size::B(window),
            partial_write,
            write_spin: Some(spin),
            ..Socket::default()
        },
    )
}

prop_compose! {
    fn scenario()(
        event_loops in 1..3_u32,
        business_threads in 1..4_u32,
        channels in 1..4_u32,
        socket in socket(),
        phases in prop::collection::vec(phase(), 1..3),
        drains in any::<bool>(),
        linger in prop_oneof![Just(Span::ZERO), Just(Span::Ms(10))],
        close_from in prop_oneof![
            Just(Closer::Business), Just(Closer::Loop), Just(Closer::Listener), Just(Closer::Handler)
        ],
        way in prop_oneof![
            Just(Way::Close), Just(Way::Twice), Just(Way::Forcibly), Just(Way::OutputFirst), Just(Way::OutputOnly),
            Just(Way::Deregistered)
        ],
        callers in 1..4_u32,
        moves in 0..3_usize,
        schedule in prop_oneof![
            Just(Schedule::Random),
            Just(Schedule::RoundRobin),
            Just(Schedule::RunOn),
            (1..5_u32).prop_map(|depth| Schedule::Pct { depth }),
            (0..3_u32).prop_map(|preemptions| Schedule::Dfs { preemptions }),
            Just(Schedule::Dpor)
        ],
        preempt in prop_oneof![Just(Preempt::AtOperations), Just(Preempt::AtTasks)],
    ) -> Scenario {
        let mut scenario = parse("( name: \"generated\" )").scenario;
        let mut workload: Vec<Step> = phases
            .into_iter()
            .enumerate()
            .map(|(i, phase)| {
                // The last phase may still be writing when the channels are closed.
                let awaits = if drains || i == 0 { Awaits::Completion } else { Awaits::Nothing };
                Step::Phase(Phase { name: format!("phase {i}"), awaits, ..phase })
            })
            .collect();
        if drains {
            workload.push(Step::Drain(Drain::default()));
        }
        for i in 0..moves {
            let awaits = if drains { Awaits::Completion } else { Awaits::Nothing };
            workload.push(Step::Move(Move { name: format!("move {i}"), awaits }));
        }
        workload.push(Step::Close(Close { linger, from: close_from, way, callers, ..Close::default() }));
        workload.push(Step::Shutdown(Shutdown::default()));
        scenario.topology = Topology { event_loops, business_threads, channels, ..Topology::default() };
        scenario.socket = socket;
        scenario.workload = workload;
        scenario.schedule = schedule;
        scenario.preempt = preempt;
        scenario
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_generated_scenario_is_safe(scenario in scenario(), seed in any::<u64>()) {
        prop_assume!(check(&scenario).is_empty());
        let outcome = outcome(&cell(scenario), seed);
        prop_assert!(outcome.findings.is_empty(), "{:#?}", outcome.findings);
    }
}
