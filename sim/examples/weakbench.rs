use millpond::engine::weak::*;
use std::panic::Location;
use std::sync::atomic::Ordering::*;
use std::time::Instant;
fn main() {
    let site = Location::caller();
    for mode in [Mode::Races, Mode::Weak] {
        for (name, order) in [("rlx", Relaxed), ("acqrel", AcqRel), ("sc", SeqCst)] {
            for kind in 0..3 {
                let mut m = Memory::new();
                let mut best = f64::MAX;
                for _ in 0..20 {
                    let mut x = 12345u64;
                    let t0 = Instant::now();
                    for _ in 0..50 {
                        m.begin(mode);
                        for t in 1..5 {
                            m.spawned(0, t);
                        }
                        for i in 0..4000u32 {
                            x ^= x << 13;
                            x ^= x >> 7;
                            x ^= x << 17;
                            let by = Use { thread: 1 + (x >> 20 & 3) as usize, object: 0, value: 0, site };
                            let mut ch = |_: Pick, n: u32| {
                                x ^= x << 13;
                                x ^= x >> 7;
                                x ^= x << 17;
                                ((x >> 32) * n as u64 >> 32) as u32
                            };
                            let lo = if order == AcqRel { Acquire } else { order };
                            let so = if order == AcqRel { Release } else { order };
                            match kind {
                                0 => {
                                    m.rmw(by, order, |v| v + 1, &mut ch).unwrap();
                                }
                                1 => {
                                    m.load(by, lo, &mut ch).unwrap();
                                }
                                _ => {
                                    if i & 1 == 0 {
                                        m.store(by, 1, so, &mut ch).unwrap();
                                    } else {
                                        m.load(by, lo, &mut ch).unwrap();
                                    }
                                }
                            }
                        }
                    }
                    best = best.min(t0.elapsed().as_nanos() as f64 / 50.0 / 4000.0);
                }
                println!("{mode:?} {name} {} {best:.1} ns", ["rmw", "load", "store/load"][kind]);
            }
        }
    }
}
