//! The real room, protocols, connections, outboxes and turn over fake sockets, a fake
//! listener, a fake account thread and a virtual clock. One seed decides everything.
//!
//! `CHINWAG_SIM_SEED` is the first seed, `CHINWAG_SIM_SEEDS` how many (1 replays one),
//! `CHINWAG_SIM_STEPS` how many steps of chaos each has. The default fits into a minute of
//! `cargo test` on two processors; CI asks for 1,000 seeds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    reason = "tests may fail, and say how"
)]

#[path = "simulation/asking.rs"]
mod asking;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/directed/mod.rs"]
mod directed;
#[path = "simulation/judge/mod.rs"]
mod judge;
#[path = "simulation/net.rs"]
mod net;
#[path = "simulation/rng.rs"]
mod rng;
#[path = "simulation/worker.rs"]
mod worker;
#[path = "simulation/world/mod.rs"]
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chinwag::server::turn::Census;
use world::World;

/// What a run was worth.
#[derive(Debug, Default)]
struct Figures {
    connections: u64,
    sessions: u64,
    turns: u64,
    heard_bytes: u64,
    /// Private words that were heard, and all that was for one alone.
    told: u64,
    answers: u64,
    /// What the operator told everyone, and who had to give way to its own next log-in.
    announced: u64,
    ghosts: u64,
    trace: u64,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn simulate(seed: u64, steps: u64) -> Figures {
    let mut world = World::new(seed);
    world.chaos = true;
    world.net.borrow_mut().faulty = true;
    for _ in 0..steps {
        world.step();
    }
    world.settle(200_000);
    world.strangers_are_gone();
    if seed.is_multiple_of(3) {
        world.shut_down();
    } else {
        world.everyone_leaves();
        world.wait_for_timers();
        assert_eq!(world.server.census(), Census::default(), "something is left");
    }
    let judged = judge::judge(&world);
    world.starts_again();
    let sessions = world.sessions.values().map(|of_name| of_name.len() as u64).sum();
    let heard = |conn: &client::Conn| conn.pipe.borrow().heard.len() as u64;
    Figures {
        connections: world.conns.len() as u64,
        sessions,
        turns: world.turns,
        heard_bytes: world.conns.iter().map(heard).sum(),
        told: judged.told,
        answers: judged.answers,
        announced: world.announced.len() as u64,
        ghosts: world.ghosts,
        trace: world.net.borrow().trace,
    }
}

#[test]
fn every_seed_keeps_the_promises() {
    let first = setting("CHINWAG_SIM_SEED", 1);
    let seeds = setting("CHINWAG_SIM_SEEDS", 300);
    let steps = setting("CHINWAG_SIM_STEPS", 10_000);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let next = AtomicU64::new(first);
    let failed = Mutex::new(BTreeMap::new());
    let total = Mutex::new(Figures::default());
    let began = Instant::now();
    let said = Mutex::new(Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(seeds) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || failed.lock().unwrap().len() >= 3 {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| simulate(seed, steps))) {
                        Ok(figures) => {
                            let mut total = total.lock().unwrap();
                            total.connections += figures.connections;
                            total.sessions += figures.sessions;
                            total.turns += figures.turns;
                            total.heard_bytes += figures.heard_bytes;
                            total.told += figures.told;
                            total.answers += figures.answers;
                            total.announced += figures.announced;
                            total.ghosts += figures.ghosts;
                        }
                        Err(why) => {
                            let why = why
                                .downcast_ref::<String>()
                                .cloned()
                                .or_else(|| why.downcast_ref::<&str>().map(|&s| s.to_owned()));
                            eprintln!(
                                "replay: CHINWAG_SIM_SEED={seed} CHINWAG_SIM_SEEDS=1 \
                             CHINWAG_SIM_STEPS={steps} cargo test --test simulation"
                            );
                            failed.lock().unwrap().insert(seed, why.unwrap_or_default());
                        }
                    }
                    let mut said = said.lock().unwrap();
                    if said.elapsed() > Duration::from_secs(10) {
                        *said = Instant::now();
                        eprintln!("{} of {seeds} seeds, {:?}", seed + 1 - first, began.elapsed());
                    }
                }
            });
        }
    });
    eprintln!("{seeds} seeds x {steps} steps: {:?}, {:?}", total.lock().unwrap(), began.elapsed());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "seeds that failed: {:?}", failed.keys());
}

#[test]
fn a_seed_is_the_same_twice() {
    for seed in 1..=8 {
        let (once, again) = (simulate(seed, 2_000), simulate(seed, 2_000));
        assert_eq!(once.trace, again.trace, "seed {seed}");
        assert!(once.turns > 100, "seed {seed} did nothing");
    }
}
