//! Good scenario files: defaults, every name of the language, round trips, cells.

use millpond::ledger::FindingKind;
use millpond::list::{Topic, variants};
use millpond::scenario::*;
use millpond_model::leak::Level;
use millpond_model::memory::Area;
use millpond_model::observe::{Defect, Kind, Reach};
use millpond_model::preset::Preset;
use millpond_model::refcnt::Scheme;
use std::collections::BTreeSet;
use std::path::Path;

#[track_caller]
fn loaded(text: &str) -> Loaded {
    parse(Path::new("good.ron"), text.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn only_the_name_is_required() {
    let s = loaded("( name: \"first run\" )").scenario;
    assert_eq!(s.name, "first run");
    assert_eq!(s.expect, Expect::MustHold);
    assert_eq!((s.topology.event_loops, s.topology.business_threads, s.topology.channels), (2, 4, 0));
    assert_eq!(s.pool.preset, Preset::Millpond);
    assert_eq!((s.socket.send_window, s.socket.partial_write), (Size::KiB(64), 0.0));
    let names: Vec<_> = s.workload.iter().map(Step::name).collect();
    assert_eq!(names, ["steady", "drain", "close", "shutdown"]);
    assert_eq!((s.schedule, s.preempt, s.seeds), (Schedule::Portfolio, Preempt::AtOperations, 0..16));
    assert_eq!((s.oracles, s.sweep), (vec![Oracle::Safety], Sweep::Single));
    assert!(s.faults.is_empty() && s.plant.is_empty() && s.table.is_empty());
}

#[test]
fn an_attribute_and_the_struct_name_are_tolerated() {
    let plain = loaded("(name: \"x\")").scenario;
    assert_eq!(loaded("#![type = \"millpond::scenario::Scenario\"]\n(name: \"x\")").scenario, plain);
    assert_eq!(loaded("Scenario(name: \"x\")").scenario, plain);
    assert_eq!(loaded("( /* a ( */ r#name: r##\"x\"##, // b\n)").scenario, plain);
}

const EVERYTHING: &str = r#"(
    name: "everything",
    topology: (event_loops: 4, business_threads: 8, executors: 2, channels: 16),
    pool: (preset: Netty4_1_8, max_capacity: 100, max_shared_capacity_factor: 2, max_delayed_queues: 4, ratio: 8,
        collect: Withheld),
    socket: (send_window: MiB(1), partial_read: 0.5, half_close: Allowed, partial_write: 0.25, write_spin: 16,
        high_water: B(64), low_water: B(32)),
    pipeline: [
        Decoder(LengthField(max_frame: KiB(1))),
        Encoder(Copies),
        Handler(name: "h", owns: Forwards, on: Executor(1), there: FromTheStart, does: [Removes("decoder", Read(3)),
            Adds("i", Added), Closes(Removed), Fires(UserEvent), Writes(WritabilityChanged), Fires(Inactive)]),
        Handler(name: "i", owns: Retains, on: Loop, there: Later),
        Handler(name: "j", owns: Transfers(Business)),
    ],
    workload: [
        Requests(name: "q", channels: 0..16, requests: 5, in_flight: 2, size: Exactly(B(9)), think: Us(1), ends: HalfClosed,
            awaits: Nothing),
        Phase(name: "a", threads: 0..4, loops: 1..4, writes: 1_000, clients: Closed(in_flight: 3, think: Ms(1)),
            message: Pojo(encoded: GiB(1)), call: WriteAndFlush, from: Business, heeds: Writability, order: InTurn,
            loops_are: Running, sample_at: [0, 1, 10, 1_000], spread: OverLoops, awaits: Completion),
        Phase(name: "b", clients: Open(per_s: 100), message: Buffer(Exactly(KiB(1))), call: Write(flush_every: 3),
            from: Loop, spread: OwnChannel, awaits: Nothing),
        Phase(name: "c", clients: Open(per_s: 100, arrival: Constant), message: Buffer(Uniform(B(1), KiB(1)))),
        Phase(name: "d", clients: Open(per_s: 100, arrival: Poisson), message: Buffer(Mix([(9, B(1)), (1, KiB(1))]))),
        Phase(name: "e", clients: Open(per_s: 100, arrival: Burst(every: Ns(1), size: 3)), heeds: Nothing,
            order: Together),
        Phase(name: "f", clients: Flood, from: Loop, loops_are: Stalled),
        Drain(order: InTurn),
        Idle(lasts: S(1)),
        Collect(),
        Exchange(name: "x", threads: 0..2, buffers: 3, in_flight: 1, size: Uniform(B(1), B(9)), to: Loops,
            keeps: Reference, forgets: Nth(3), misuse: Rate(0.5), area: Heap, form: Plain),
        Exchange(name: "y", to: Held, keeps: Nothing, area: Direct, form: Grown),
        Release(from: Business),
        Objects(name: "o", threads: 0..2, rounds: 3, together: 2, to: Held),
        Objects(name: "p", misuse: AtOnce(Always)),
        Release(name: "r", from: Loop, awaits: Nothing),
        Exchange(name: "z", to: Itself, form: Slice),
        Exchange(name: "Z", form: Duplicate),
        Renew(threads: 1..3),
        Close(linger: Ms(5), from: Loop, awaits: Nothing),
        Close(name: "again", awaits: Completion),
        Shutdown(name: "early", of: Executors),
        Shutdown(quiet: Ms(1), timeout: S(1), of: Everybody),
    ],
    faults: [HandlerThrows("h", Rate(0.5)), HandlerPanics("h", Nth(5)), ThreadDies(Business, Always),
        PeerReset(Rate(0.5)), PeerReset(Nth(3)), AllocationFails(At(Ms(3))), AllocationFails(Always),
        MemoryLimit(MiB(9)), TaskRejected(Nth(4)), ThreadStartFails(Rate(0.2))],
    mended_in: Netty4_1_44,
    plant: [ForgottenRelease(Always), DuplicateRelease(Nth(1)), LostTask(Rate(1)), LostTask(At(Ms(1)))],
    preempt: AtTasks,
    seeds: 7..9,
    budget: (steps: 1_000, wall: S(9)),
    oracles: [Safety, Drains(metric: PendingBytes, to: 0, after: "drain"),
        Unchanged(metric: LiveBuffers, during: "idle")],
    sweep: Matrix(preset: [Netty4_1_8, Millpond], event_loops: [4, 8], business_threads: [8]),
    table: [Retained(after: "a"), Bytes(after: "a"), PerThread(after: "a"), Queues(after: "a"), Created(during: "a"),
        StoppedBy(during: "a"), Curve(during: "a"), Queued(after: "f"), Value(metric: LostCapacity, after: "drain")],
)"#;

/// Each text uses some of the language; together they use all of it.
fn texts() -> Vec<String> {
    let scenario = |rest: String| format!("(name: \"x\", {rest})");
    let cause = "faults: [PeerReset(Always)]";
    let mut texts = vec![EVERYTHING.to_string()];
    texts.extend(variants::<FindingKind>().iter().map(|f| scenario(format!("expect: MustFind({f}), {cause}"))));
    for schedule in [
        "Random",
        "RoundRobin",
        "RunOn",
        "Pct(depth: 3)",
        "Pos",
        "Urw",
        "Surw",
        "Delays(delays: 2)",
        "Portfolio",
        "Dfs(preemptions: 1)",
        "Dpor",
    ] {
        texts.push(scenario(format!("schedule: {schedule}")));
    }
    for way in variants::<Way>() {
        for from in variants::<Closer>() {
            let close = format!("Close(way: {way}, from: {from}, callers: 3)");
            texts.push(scenario(format!(
                "swarm: EachSeed, topology: (channels_are: Registered), workload: [Move(), {close}]"
            )));
        }
    }
    for (are, step) in [("Unregistered", "Register(awaits: Nothing)"), ("Unconnected", "Connect(takes: Ms(3))")] {
        texts.push(scenario(format!("swarm: Off, topology: (channels_are: {are}), workload: [{step}]")));
    }
    texts.push(scenario("workload: [Phase(cancels: Rate(0.5), completed: Nth(3)), Drain()]".to_string()));
    for peer in ["ReadsAtOnce", "ReadsAfter(Us(7))", "NeverReads", "AnotherChannel"] {
        texts.push(scenario(format!("socket: (peer: {peer}), preempt: AtOperations, sweep: Single")));
    }
    for ratio in variants::<SideQueueRatio>() {
        texts.push(scenario(format!("expect: MustHold, pool: (side_queue_ratio: {ratio}, collect: Eager)")));
    }
    let places: String = variants::<Reach>().iter().map(|r| format!("Sometimes({r}), ")).collect();
    texts.push(scenario(format!("oracles: [{places}]")));
    let bounds: String = variants::<Metric>().iter().map(|m| format!("Bounded(metric: {m}, at_most: 9), ")).collect();
    texts.push(scenario(format!("oracles: [{bounds}]")));
    let plants: String = variants::<Defect>().iter().map(|d| format!("{d}(Always), ")).collect();
    texts.push(scenario(format!("plant: [{plants}]")));
    for through in variants::<Through>() {
        texts.push(scenario(format!("workload: [Exchange(through: {through})]")));
    }
    for misuse in variants::<Misuse>() {
        texts.push(scenario(format!("workload: [Objects(misuse: {misuse}(Nth(3)))]")));
    }
    for scheme in variants::<Scheme>() {
        texts.push(scenario(format!("allocator: (scheme: {scheme}, backend: Adaptive, cores: 3)")));
    }
    for (level, found) in variants::<Level>().iter().zip(variants::<Found>().iter().cycle()) {
        let allocator = format!("allocator: (leak_detection: {level}, leaks_are_found: {found})");
        texts.push(scenario(format!("{allocator}, oracles: [LeaksAreFound]")));
    }
    let forms = variants::<Form>().iter().map(|f| format!("Exchange(name: \"{f}\", form: {f}), "));
    texts.push(scenario(format!("workload: [{}]", forms.collect::<String>())));
    for backend in variants::<Backend>() {
        texts.push(scenario(format!("allocator: (backend: {backend})")));
    }
    for (end, leaked) in variants::<ThreadEnd>().iter().zip(variants::<LeakedMemory>()) {
        let pooled = "backend: Pooled, arenas: 2, page: KiB(4), chunk: MiB(1), thread_cache: 0, trim_every: 8";
        texts.push(scenario(format!("allocator: ({pooled}, thread_end: {end}, leaked_memory: {leaked})")));
    }
    for ends in variants::<Ends>() {
        let pipeline = "Decoder(FixedLength(B(5))), Encoder(LengthField(max_frame: B(9)))";
        let sends = format!("Requests(size: Exactly(B(5)), ends: {ends})");
        texts.push(scenario(format!("pipeline: [{pipeline}], socket: (half_close: Refused), workload: [{sends}]")));
    }
    for owns in ["Forwards", "Releases", "Retains", "Replies", "Transfers(Business)"] {
        texts.push(scenario(format!("pipeline: [Handler(name: \"x\", owns: {owns})]")));
    }
    texts.push(scenario(format!("sweep: Matrix(preset: [{}])", variants::<Preset>().join(", "))));
    texts.push(scenario(format!("pool: (unpooled: [{}])", variants::<Kind>().join(", "))));
    texts
}

#[test]
fn every_name_of_the_language_loads_and_survives_a_round_trip() {
    let texts = texts();
    for text in &texts {
        let scenario = loaded(text).scenario;
        let pretty = dialect().to_string_pretty(&scenario, ron::ser::PrettyConfig::new()).expect("it serializes");
        assert_eq!(loaded(&pretty).scenario, scenario, "{pretty}");
    }
    let all = texts.concat();
    let words: BTreeSet<&str> = all.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let topology = [variants::<SideQueueRatio>(), variants::<Collect>(), variants::<Peer>(), variants::<Preset>()];
    let steps =
        [variants::<Step>(), variants::<Order>(), variants::<Awaits>(), variants::<Loops>(), variants::<Call>()];
    let writes = [variants::<Clients>(), variants::<Arrival>(), variants::<Message>(), variants::<Payload>()];
    let exchanges =
        [variants::<To>(), variants::<Keeps>(), variants::<Form>(), variants::<Area>(), variants::<Through>()];
    let threads =
        [variants::<Misuse>(), variants::<From>(), variants::<Heeds>(), variants::<Schedule>(), variants::<Preempt>()];
    let memory = [variants::<Backend>(), variants::<ThreadEnd>(), variants::<LeakedMemory>()];
    let counts = [variants::<Scheme>(), variants::<Level>(), variants::<Found>()];
    let strikes = [variants::<Fault>(), variants::<Defect>(), variants::<When>(), variants::<Kind>()];
    let judged = [variants::<Expect>(), variants::<FindingKind>(), variants::<Oracle>(), variants::<Metric>()];
    let shown =
        [variants::<Reach>(), variants::<Column>(), variants::<Sweep>(), variants::<Size>(), variants::<Span>()];
    let sockets =
        [variants::<HalfClose>(), variants::<Ends>(), variants::<Ending>(), variants::<There>(), variants::<On>()];
    let closing = [variants::<Way>(), variants::<Closer>(), variants::<ChannelsAre>(), variants::<Swarm>()];
    let pipelines = [variants::<Entry>(), variants::<Decoder>(), variants::<Encoder>(), variants::<Threads>()];
    let handlers = [variants::<Owns>(), variants::<Does>(), variants::<In>()];
    let names = [
        &topology[..],
        &sockets,
        &closing,
        &pipelines,
        &handlers,
        &steps,
        &writes,
        &exchanges,
        &memory,
        &counts,
        &threads,
        &strikes,
        &judged,
        &shown,
    ]
    .concat()
    .concat();
    assert!(names.len() > 100);
    for name in names {
        assert!(words.contains(name), "no text uses {name}");
    }
}

#[test]
fn a_sweep_is_a_list_of_ordinary_scenarios_in_listed_order() {
    let matrix = "Matrix(preset: [Netty4_1_71, Netty4_1_8], event_loops: [2, 1], business_threads: [3, 5])";
    let swept = loaded(&format!("(name: \"x\", sweep: {matrix})"));
    let labels: Vec<_> = swept.cells.iter().map(|c| c.label.as_str()).collect();
    let expected = [
        "4.1.71 loops=2 threads=3",
        "4.1.71 loops=2 threads=5",
        "4.1.71 loops=1 threads=3",
        "4.1.71 loops=1 threads=5",
        "4.1.8 loops=2 threads=3",
        "4.1.8 loops=2 threads=5",
        "4.1.8 loops=1 threads=3",
        "4.1.8 loops=1 threads=5",
    ];
    assert_eq!(labels, expected);
    for (i, cell) in swept.cells.iter().enumerate() {
        assert_eq!((cell.index, &cell.scenario.sweep), (i, &Sweep::Single));
    }
    let last = &swept.cells[7].scenario;
    let shape = (last.pool.preset, last.topology.event_loops, last.topology.business_threads);
    assert_eq!(shape, (Preset::Netty4_1_8, 1, 5));
}

#[test]
fn labels_name_what_is_swept_and_nothing_else() {
    let labels = |sweep: &str| -> Vec<String> {
        let text = format!("(name: \"x\", pool: (preset: Netty4_1_8), sweep: {sweep})");
        loaded(&text).cells.into_iter().map(|c| c.label).collect()
    };
    assert_eq!(labels("Single"), ["4.1.8"]);
    assert_eq!(labels("Matrix(event_loops: [1, 2])"), ["loops=1", "loops=2"]);
    assert_eq!(labels("Matrix(preset: [Millpond], event_loops: [4])"), ["millpond loops=4"]);
}

#[test]
fn places_are_found_by_path() {
    let text = "#![type = \"x\"] (name: \"a, (\", /* topology: */ workload: [Drain(), Phase(threads: Some(0..4), \
                message: Buffer(Mix([(1, B(2)), (3, KiB(4))])), writes: 5 )], seeds: 0 .. 3)";
    let cut = tokens(text).expect("sound");
    let at = |path: &str| &text[locate(text, &cut, path)];
    assert_eq!(at("name"), "\"a, (\"");
    assert_eq!(at("workload[1].Phase.writes"), "5");
    assert_eq!(at("workload[1].Phase.threads"), "Some(0..4)");
    assert_eq!(at("workload[1].Phase.message.Buffer[0].Mix[0][1][1].KiB[0]"), "4");
    assert_eq!(at("workload[0]"), "Drain()");
    assert_eq!(at("seeds"), "0 .. 3");
    // What isn't there is placed at the head of what is around it.
    assert_eq!(at("workload[0].Drain.name"), "Drain(");
    assert_eq!(at("workload[7].Drain.name"), "[");
    assert_eq!(at("topology.channels"), "(");
}

#[test]
fn every_listed_name_has_a_line_about_it() {
    for topic in Topic::ALL {
        for (name, about) in topic.entries() {
            assert!(!about.is_empty(), "{} {name}", topic.name());
            assert!(about.len() < 110, "{name}: one line");
        }
    }
    assert_eq!(variants::<Metric>().len(), Metric::ALL.len());
    assert_eq!(variants::<Preset>().len(), Preset::ALL.len());
}

#[test]
fn a_swarm_draws_each_fault_off_as_written_and_to_the_extreme() {
    let faults = "[PeerReset(Rate(0.01)), AllocationFails(Nth(9)), TaskRejected(At(Ms(3))), MemoryLimit(KiB(64))]";
    let of = |swarm: &str| loaded(&format!("(name: \"x\", faults: {faults}, swarm: {swarm})")).scenario;
    let (written, swarm) = (of("Off"), of("EachSeed"));
    assert_eq!(of_seed(&written, 7), (written.clone(), None));
    let extremes = [
        Fault::PeerReset(When::Rate(0.5)),
        Fault::AllocationFails(When::Nth(1)),
        Fault::TaskRejected(When::Rate(0.5)),
        Fault::MemoryLimit(Size::b(8 * 1024)),
    ];
    let mut seen = [[0_u32; 3]; 4];
    for seed in 0..200 {
        let (drawn, told) = of_seed(&swarm, seed);
        assert_eq!(of_seed(&swarm, seed), (drawn.clone(), told.clone()), "a seed decides");
        let told = told.expect("a swarm says what it drew");
        for (i, (as_written, extreme)) in written.faults.iter().zip(&extremes).enumerate() {
            let draw =
                if drawn.faults.contains(as_written) { 1 } else { 2 * usize::from(drawn.faults.contains(extreme)) };
            seen[i][draw] += 1;
        }
        assert!(drawn.faults.iter().all(|fault| told.contains(&format!("{fault:?}"))), "{told}");
        assert_eq!(drawn.workload, written.workload, "only faults and the socket are drawn");
    }
    // Half of the seeds leave a fault out, a quarter each has it as written and to the extreme: within six deviations.
    for [off, as_written, extreme] in seen {
        assert!(
            (58..=142).contains(&off) && (14..=86).contains(&as_written) && (14..=86).contains(&extreme),
            "{seen:?}"
        );
    }
}
