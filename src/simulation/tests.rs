//! Seeds that run, and the proofs that they can fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::{Instant, timeout};

use super::process::{Kill, Manner, Process};
use super::sabotage::Sabotage;
use super::world::{World, start_of};
use super::{begin, end, jump, set_skew};
use crate::domain::Report;
use crate::error::Result;

/// Virtual time after which a process that has not ended is stuck.
const STUCK: Duration = Duration::from_secs(30 * 86_400);

/// The outcome of one seed.
#[derive(Debug, Default)]
struct Outcome {
    problems: Vec<String>,
    /// Lines of the log, if something is wrong or all logs are wanted.
    log: Vec<String>,
    edits: u64,
    failures: u64,
    kills: u64,
    jumps: u64,
    continued: u64,
}

/// Runs one seed on a runtime of its own, whose clock is paused.
fn run(seed: u64, sabotage: Option<Sabotage>, keeps_log: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let outcome = runtime.block_on(async {
        begin(seed, start_of(seed));
        let world = Arc::new(World::new(seed, sabotage));
        let problems = Box::pin(live(&world)).await;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let log = match keeps_log || !problems.is_empty() {
            true => world.log(),
            false => Vec::new(),
        };
        Outcome {
            problems,
            log,
            edits: count(&world.edits),
            failures: count(&world.failures),
            kills: count(&world.kills),
            jumps: count(&world.jumps),
            continued: count(&world.continued),
        }
    });
    drop(runtime);
    end();
    outcome
}

fn manner(world: &World) -> Manner {
    let chunk = world.pick(&["week", "month", "month", "quarter", "year", "900d", "37d"]);
    let page_size = world.pick(&[1, 2, 3, 7, 20, 50, 1000]);
    Manner {
        chunk,
        // Every week of three years, one request a window and row, takes long and shows nothing new.
        page_size: if chunk == "week" {
            page_size.max(20)
        } else {
            page_size
        },
        strict_windows: world.chance(0.2),
        resume: world.chance(0.85),
        is_sync: false,
    }
}

/// Returns the manner of a sync.
fn sync(world: &World) -> Manner {
    Manner {
        chunk: "year",
        page_size: world.pick(&[2, 5, 50, 1000]),
        strict_windows: false,
        resume: true,
        is_sync: true,
    }
}

/// Returns the manner of the next run: often that of the runs before, as whoever was interrupted types
/// the same command again.
fn next_manner(world: &World, usual: Manner) -> Manner {
    match world.below(10) {
        0..6 => usual,
        6..8 => sync(world),
        _ => manner(world),
    }
}

async fn started(
    world: &Arc<World>,
    name: &'static str,
    killed_at: Option<Kill>,
    manner: Manner,
) -> Option<Result<Report>> {
    let process = Process::new(world, name, killed_at);
    let ended = timeout(STUCK, process.run(manner)).await;
    world.note(format!("{name} ended"));
    ended.unwrap_or_else(|_| panic!("{name} does not end"))
}

/// Lives through one seed; returns what is wrong.
async fn live(world: &Arc<World>) -> Vec<String> {
    let usual = Manner {
        resume: true,
        ..manner(world)
    };
    for _ in 0..=world.below(4) {
        let killed_at = |world: &World| match world.chance(0.6) {
            true if world.chance(0.4) => Some(Kill::Part(world.below(3))),
            true => Some(Kill::Operation(world.below(world.pick(&[8, 40, 150, 600])))),
            false => None,
        };
        let (first_end, second_end) = (killed_at(world), killed_at(world));
        let first = started(world, "first", first_end, next_manner(world, usual));
        match world.chance(0.3) {
            true => {
                let second = started(world, "second", second_end, next_manner(world, usual));
                tokio::join!(first, second);
            }
            false => drop(first.await),
        }
        let problems = world.problems(false);
        if !problems.is_empty() {
            return problems;
        }
        world.pass(world.pick(&[1, 40, 600, 3700, 90_000, 600_000]));
        world.moves();
    }
    world.calm();
    // The end of the last visibility delay and lag, and of what the circuit breaker remembers.
    jump(TimeDelta::minutes(20));
    set_skew(TimeDelta::zero());
    let last = Manner {
        chunk: "month",
        page_size: world.pick(&[5, 1000]),
        strict_windows: false,
        resume: true,
        is_sync: false,
    };
    let mut problems = finish(world, last).await;
    problems.extend(world.problems(false));
    // A failure that looked like that of a record has set it aside; a backfill reads it again.
    if world.store.rejects() > 0 {
        let again = Manner {
            resume: false,
            ..last
        };
        problems.extend(finish(world, again).await);
    }
    problems.extend(world.problems(true));
    problems
}

/// Runs a process that nothing disturbs.
async fn finish(world: &Arc<World>, manner: Manner) -> Vec<String> {
    let mut problems = Vec::new();
    match started(world, "last", None, manner).await {
        Some(Ok(report)) if report.runs.iter().all(|run| run.ended_by.is_none()) => {
            let windows = report.runs.iter().flat_map(|run| &run.windows);
            problems.extend(windows.filter_map(|window| window.error.clone()));
        }
        Some(Ok(report)) => problems.push(format!("the last run ended early: {:?}", report.runs)),
        Some(Err(error)) => problems.push(format!("the last run failed: {error}")),
        None => problems.push("the last run was killed".to_owned()),
    }
    problems.extend(
        world
            .tokens
            .loss()
            .map(|why| format!("the token is lost: {why}")),
    );
    problems
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn panic_text(seed: u64, outcome: &Outcome) -> String {
    let from = outcome.log.len().saturating_sub(60);
    format!(
        "SEED={seed} finds {} problems:\n{}\n\nthe last lines of its log:\n{}",
        outcome.problems.len(),
        outcome.problems.join("\n"),
        outcome.log[from..].join("\n")
    )
}

#[test]
fn the_table_equals_the_books_for_every_seed() {
    let (first, count) = match setting("SEED") {
        Some(seed) => (seed, setting("SEEDS").unwrap_or(1)),
        None => (1, setting("SEEDS").unwrap_or(150)),
    };
    let time = setting("SIMULATION_SECONDS").map(Duration::from_secs);
    let (begin, next) = (Instant::now(), AtomicU64::new(first));
    let totals: [AtomicU64; 6] = Default::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_over = match time {
                Some(time) => begin.elapsed() > time,
                None => seed >= first + count,
            };
            if is_over {
                return;
            }
            let outcome = run(seed, None, false);
            assert!(
                outcome.problems.is_empty(),
                "{}",
                panic_text(seed, &outcome)
            );
            let Outcome {
                edits,
                failures,
                kills,
                jumps,
                continued,
                ..
            } = outcome;
            for (total, more) in totals
                .iter()
                .zip([1, edits, failures, kills, jumps, continued])
            {
                total.fetch_add(more, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|threads| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            threads.spawn(work);
        }
    });
    let [seeds, edits, failures, kills, jumps, continued] = totals.map(AtomicU64::into_inner);
    let rate = seeds as f64 / begin.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds from {first}, {rate:.1} a second: {edits} edits, {failures} failures beside \
         those of the server, {kills} kills, {jumps} jumps, {continued} windows read on from \
         a part"
    );
    assert!(
        seeds < 100
            || (edits > seeds
                && kills > seeds / 4
                && failures > seeds / 4
                && continued > seeds / 15),
        "so little happened that this test shows nothing"
    );
}

#[test]
fn a_seed_always_makes_the_same_run() {
    for seed in 1..=12 {
        let (once, again) = (run(seed, None, true).log, run(seed, None, true).log);
        let differing = once
            .iter()
            .zip(&again)
            .position(|(one, other)| one != other);
        if let Some(line) = differing {
            panic!("SEED={seed}, line {line}:\n{}\n{}", once[line], again[line]);
        }
        assert_eq!(once.len(), again.len(), "SEED={seed}");
    }
}

/// Returns the first seed that finds a sabotage.
fn seeds_to_find(sabotage: Sabotage) -> u64 {
    let found = (1..=300).find(|seed| !run(*seed, Some(sabotage), false).problems.is_empty());
    let seed = found.unwrap_or_else(|| panic!("300 seeds do not find {sabotage:?}"));
    println!("{sabotage:?}: found by seed {seed}");
    seed
}

#[test]
fn the_simulation_finds_a_reader_that_takes_the_last_second_of_a_page_for_read() {
    seeds_to_find(Sabotage::LastSecond);
}

#[test]
fn the_simulation_finds_a_reader_that_pages_by_offset() {
    seeds_to_find(Sabotage::ByOffset);
}

#[test]
fn the_simulation_finds_a_ledger_that_is_committed_before_its_rows() {
    seeds_to_find(Sabotage::LedgerFirst);
}

#[test]
fn the_simulation_finds_a_part_of_a_window_that_ends_too_far() {
    seeds_to_find(Sabotage::PartTooFar);
}

#[test]
fn the_simulation_finds_a_part_that_ends_within_a_crowded_second() {
    seeds_to_find(Sabotage::PartWithinSecond);
}

#[test]
fn the_simulation_finds_a_token_that_is_used_before_it_is_stored() {
    seeds_to_find(Sabotage::LateToken);
}
