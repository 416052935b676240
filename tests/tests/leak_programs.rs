//! Leaks of whole programs: whatever a correct program does with its buffers, nothing is reported; and of a forgetful one,
//! exactly what it forgets. A ledger that counts along says what that is.

use millpond_model::Preset;
use millpond_model::allocator::{Allocator, AllocatorConfig, Derivation, LeakedMemory};
use millpond_model::buffer::Buffer;
use millpond_model::leak::{Detection, LeakConfig, LeakWatch, Level, TrackId};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One step of a program on one thread. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate,
    Retain(usize),
    RetainMany(usize, u32),
    Release(usize),
    Share(usize),
    Derive(usize),
    Touch(usize),
    Put(usize),
    Read(usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..64_usize;
    prop_oneof![
        2 => Just(Step::Allocate),
        2 => which().prop_map(Step::Retain),
        1 => (which(), 1..4_u32).prop_map(|(which, n)| Step::RetainMany(which, n)),
        4 => which().prop_map(Step::Release),
        2 => which().prop_map(Step::Share),
        3 => which().prop_map(Step::Derive),
        1 => which().prop_map(Step::Touch),
        1 => which().prop_map(Step::Put),
        1 => which().prop_map(Step::Read),
        3 => which().prop_map(Step::Drop),
    ]
}

/// What the program owes for one count: the ledger.
struct Cell {
    /// Releases that the program owes.
    owed: u32,
    /// Handles that the program has.
    handles: u32,
    /// Whose count the end of this one releases.
    parent: Option<usize>,
    /// Counts derived from this one that are alive: each has one of this one's, and a handle.
    children: u32,
}

struct Program {
    allocator: Allocator,
    cells: Vec<Cell>,
    /// Each with its count.
    handles: Vec<(Buffer, usize)>,
}

impl Program {
    fn new(config: AllocatorConfig) -> Self {
        let allocator = Allocator::new(config);
        allocator.leak_detector().expect("configured").set_listener(Some(Arc::new(|_| ())));
        Self { allocator, cells: Vec::new(), handles: Vec::new() }
    }

    fn begin(&mut self, buffer: Buffer, parent: Option<usize>) {
        self.cells.push(Cell { owed: 1, handles: 1, parent, children: 0 });
        self.handles.push((buffer, self.cells.len() - 1));
    }

    /// One release that is owed for `cell` is paid; what ends with it releases its parent.
    fn paid(&mut self, cell: usize) {
        self.cells[cell].owed -= 1;
        let mut over = Some(cell);
        while let Some(cell) = over.filter(|cell| !self.is_alive(*cell)) {
            over = self.cells[cell].parent;
            if let Some(parent) = over {
                self.cells[parent].children -= 1;
            }
        }
    }

    fn is_alive(&self, cell: usize) -> bool {
        self.cells[cell].owed + self.cells[cell].children > 0
    }

    fn run(&mut self, step: Step) {
        let at = |which: usize| which % self.handles.len().max(1);
        let (which, needs_life) = match step {
            Step::Allocate => {
                let buffer = self.allocator.allocate(32).expect("room");
                return self.begin(buffer, None);
            }
            Step::Retain(w) | Step::RetainMany(w, _) | Step::Share(w) | Step::Derive(w) => (at(w), true),
            Step::Release(w) | Step::Touch(w) | Step::Put(w) | Step::Read(w) | Step::Drop(w) => (at(w), false),
        };
        let Some((buffer, cell)) = self.handles.get_mut(which) else { return };
        let cell = *cell;
        let (owed, children) = (self.cells[cell].owed, self.cells[cell].children);
        if needs_life && owed + children == 0 {
            // Refused, whatever it is.
            assert!(buffer.retain().is_err() && buffer.duplicate().is_err() && buffer.retained_duplicate().is_err());
            return;
        }
        match step {
            Step::Allocate => {}
            Step::Retain(_) => {
                let twin = buffer.retain().expect("alive");
                self.cells[cell].owed += 1;
                self.cells[cell].handles += 1;
                self.handles.push((twin, cell));
            }
            Step::RetainMany(_, n) => {
                buffer.retain_many(n).expect("alive");
                self.cells[cell].owed += n;
            }
            Step::Release(_) if owed == 0 => {} // it would take a child's
            Step::Release(_) => {
                assert_eq!(buffer.release(), Ok(owed + children == 1));
                self.paid(cell);
            }
            Step::Share(_) => {
                let twin = buffer.duplicate().expect("alive");
                self.cells[cell].handles += 1;
                self.handles.push((twin, cell));
            }
            Step::Derive(_) => {
                let derived = buffer.retained_slice(0, 0).expect("alive");
                if self.allocator.config().derivation == Derivation::OwnCount {
                    self.cells[cell].children += 1;
                    self.begin(derived, Some(cell));
                } else {
                    self.cells[cell].owed += 1;
                    self.cells[cell].handles += 1;
                    self.handles.push((derived, cell));
                }
            }
            Step::Touch(_) => buffer.touch("here"),
            Step::Put(_) => {
                let put = buffer.put(b"abc");
                assert!(put.is_err() || owed + children == 1, "others could read");
            }
            Step::Read(_) => assert_eq!(buffer.bytes().is_ok(), owed + children > 0),
            Step::Drop(_) if owed > 0 && self.cells[cell].handles == 1 => {} // it would be lost
            Step::Drop(_) => {
                self.cells[cell].handles -= 1;
                self.handles.swap_remove(which);
            }
        }
    }

    /// Pays what is owed, but not for the counts in `forgotten`, and ends. What was lost, by the ledger.
    fn end(mut self, forgotten: &BTreeSet<usize>) -> (Allocator, BTreeSet<TrackId>) {
        // Newest first: what was derived ends before what it was derived from.
        for cell in (0..self.cells.len()).rev().filter(|cell| !forgotten.contains(cell)) {
            while self.cells[cell].owed > 0 {
                let (buffer, _) = self.handles.iter().find(|(_, c)| *c == cell).expect("what owes has a handle");
                buffer.release().expect("alive");
                self.paid(cell);
            }
        }
        let reclaims = self.allocator.config().leaked == LeakedMemory::Reclaimed;
        let lost = |cell: usize| {
            // Where memory is lost, so is what it was derived from.
            self.cells[cell].owed > 0 || !reclaims && self.cells[cell].children > 0
        };
        let lost = (0..self.cells.len()).filter(|cell| lost(*cell)).map(|cell| TrackId(cell as u64)).collect();
        drop(self.handles);
        (self.allocator, lost)
    }
}

fn presets() -> impl Strategy<Value = Preset> {
    prop::sample::select(vec![Preset::Millpond, Preset::Netty4_0_43, Preset::Netty4_1_8, Preset::Netty4_2_7])
}

fn detections() -> impl Strategy<Value = Detection> {
    prop::sample::select(vec![Detection::Exact, Detection::Enqueued, Detection::Collected])
}

fn config(preset: Preset, detection: Detection) -> AllocatorConfig {
    let leak_detection = LeakConfig { level: Level::Paranoid, detection, ..preset.into() };
    AllocatorConfig { leak_detection: Some(leak_detection), ..preset.into() }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_correct_program_leaks_nothing(
        preset in presets(),
        detection in detections(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut program = Program::new(config(preset, detection));
        let guard = program.allocator.guard_leaks();
        steps.into_iter().for_each(|step| program.run(step));
        let (allocator, lost) = program.end(&BTreeSet::new());
        prop_assert!(lost.is_empty());
        prop_assert!(guard.check().is_ok(), "{}", guard.check().expect_err("a leak"));
        let stats = allocator.leak_detector().expect("configured").stats();
        prop_assert_eq!((stats.found, stats.untracked, stats.open, stats.closes_refused), (0, 0, 0, 0));
        prop_assert_eq!(stats.check(), Ok(()));
        guard.finish();
    }

    #[test]
    fn a_forgetful_program_leaks_what_it_forgets(
        preset in presets(),
        detection in detections(),
        steps in prop::collection::vec(step(), 0..120),
        forgotten in prop::collection::btree_set(0..20_usize, 0..6),
    ) {
        let mut program = Program::new(config(preset, detection));
        let watch = LeakWatch::new(program.allocator.leak_detector().expect("configured"));
        steps.into_iter().for_each(|step| program.run(step));
        let (allocator, lost) = program.end(&forgotten);
        let detector = allocator.leak_detector().expect("configured");
        detector.collect();
        detector.report();
        prop_assert_eq!(watch.check(&lost), Ok(()));
        prop_assert!(watch.alive().is_empty());
    }
}
