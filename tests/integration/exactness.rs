//! Random schedules of edits and faults during backfills. At the end the table equals the sandbox's
//! books, payload for payload. The same schedules make a client that pages by offset lose records.
//!
//! `SCHEDULES` is the number of schedules, `SEED` the first seed; each failure prints its own seed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use qbo_rs::app::BackfillRequest;
use qbo_rs::domain::Report;
use qbo_sandbox::{Company, CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;

use crate::support::{Database, app, request};

/// Time of the edits: after the sample company, inside the range, far from the present.
const EDITS_FROM: i64 = 1_767_312_000;

const SIDE_BY_SIDE: usize = 8;
/// For one schedule, on a machine that does much else besides.
const LIMIT: Duration = Duration::from_secs(240);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// One schedule: a company, how it is read, and a stream of random choices.
struct Schedule {
    seed: u64,
    random: Pcg64Mcg,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: Pcg64Mcg::seed_from_u64(seed),
        }
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.random_range(0..choices.len())]
    }

    fn sandbox(&mut self) -> Sandbox {
        let size = CompanySize {
            customers: self.random.random_range(5..60),
            items: self.random.random_range(5..60),
            invoices: self.random.random_range(20..200),
            others: Some(0),
        };
        let options = SandboxOptions {
            seed: self.seed,
            size,
            throttle: ThrottleOptions::NONE,
            ..SandboxOptions::default()
        };
        Sandbox::start(options).unwrap()
    }

    fn request(&mut self) -> BackfillRequest {
        let chunk = self.pick(&["day", "week", "month", "quarter", "900d"]);
        let chunk = if chunk == "day" { "50d" } else { chunk };
        let page_size = self.pick(&[1, 2, 3, 7, 20, 50, 1000]);
        let page_size = if chunk == "week" {
            page_size.max(7)
        } else {
            page_size
        };
        // The range ends after the edits, so that no record leaves it.
        let all = request(
            &["customers", "items", "invoices"],
            "2024-01-01",
            "2026-09-01",
            chunk,
            page_size,
        );
        all.strict_windows(self.random.random_bool(0.2))
    }

    fn arm_faults(&mut self, sandbox: &Sandbox, page_size: u32) {
        let mut is_refused = false;
        for _ in 0..self.random.random_range(0..4) {
            let fault = self.pick(&[
                r#""fault":"throttle","format":"json","retry_after":0"#,
                r#""fault":"throttle","retry_after":0"#,
                r#""fault":"unavailable""#,
                r#""fault":"error""#,
                r#""fault":"bad-gateway""#,
                r#""fault":"reset""#,
                r#""fault":"truncate""#,
                r#""fault":"garbage""#,
                r#""fault":"fault-in-success""#,
                r#""fault":"unauthorized""#,
                r#""fault":"lost-answer""#,
                r#""fault":"too-large""#,
            ]);
            let nth = self.random.random_range(1..12);
            if fault.contains("too-large") && page_size <= 25
                || fault.contains("unauthorized") && is_refused
            {
                // Where no smaller page helps, and for tokens that are refused fresh, giving up is
                // right.
                continue;
            }
            is_refused |= fault.contains("unauthorized");
            sandbox
                .control("fault", &format!(r#"{{{fault},"on":"query","nth":{nth}}}"#))
                .unwrap();
        }
    }

    /// Changes the books after queries, as often as the schedule says; counts the changes.
    fn mutate(&mut self, sandbox: &Sandbox, mutations: Arc<AtomicU64>) {
        let mut random = Pcg64Mcg::seed_from_u64(self.seed ^ 0xED17);
        let (often, mut left) = (self.pick(&[0.1, 0.5, 1.0]), self.random.random_range(0..60));
        let mut second = EDITS_FROM;
        sandbox.after_each_query(move |company, _| {
            while left > 0 && random.random_bool(often) {
                left -= 1;
                // Several changes per second, never back in time.
                second += i64::from(random.random_bool(0.5));
                mutations.fetch_add(
                    u64::from(change(company, &mut random, second)),
                    Ordering::Relaxed,
                );
            }
        });
    }
}

fn change(company: &mut Company, random: &mut Pcg64Mcg, second: i64) -> bool {
    let entity = ["Invoice", "Invoice", "Customer", "Item"][random.random_range(0..4)];
    let ids: Vec<String> = company
        .truth(entity, i64::MIN, i64::MAX)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    if ids.len() < 3 {
        return false;
    }
    let id = &ids[random.random_range(0..ids.len())];
    match random.random_range(0..10) {
        0 => company.insert(entity, second).map(|_| ()),
        1 if entity == "Invoice" => company.delete(entity, id, second),
        2 if entity == "Invoice" => company.void(entity, id, second),
        3 if entity != "Invoice" => company.deactivate(entity, id, second),
        4 if entity != "Invoice" => {
            company.merge(entity, id, &ids[random.random_range(0..ids.len())], second)
        }
        5 => company.touch(entity, id, second),
        _ => company.edit(entity, id, second),
    }
    .is_ok()
}

/// Checks the table. Records that only the table has must have existed once: they were deleted or merged
/// into another record.
fn assert_exact(
    seed: u64,
    entity: &str,
    truth: &[(String, Value)],
    stored: &[(String, Value)],
    gone: &HashSet<String>,
) {
    let truth: BTreeMap<_, _> = truth.iter().cloned().collect();
    let stored: BTreeMap<_, _> = stored.iter().cloned().collect();
    for (id, payload) in &truth {
        assert_eq!(stored.get(id), Some(payload), "SEED={seed}: {entity} {id}");
    }
    for id in stored.keys().filter(|id| !truth.contains_key(*id)) {
        assert!(gone.contains(id), "SEED={seed}: {entity} {id} was invented");
    }
}

/// Runs one backfill while the books change, and one afterwards, as every incremental reader does.
async fn run(seed: u64, database: &Database, mutations: &Arc<AtomicU64>) {
    let mut schedule = Schedule::new(seed);
    let sandbox = schedule.sandbox();
    let mut app = app(&sandbox, database);
    app.settings.set("QBO_TIMEOUT_S", "5").unwrap();
    let request = schedule.request();
    schedule.arm_faults(&sandbox, request.page_size.get());
    schedule.mutate(&sandbox, mutations.clone());
    let before: HashSet<String> = every_id(&sandbox);
    let complete = |report: &Report| {
        let error = report
            .runs
            .iter()
            .flat_map(|run| &run.windows)
            .find_map(|window| window.error.clone());
        assert!(
            report.is_complete(),
            "SEED={seed}: {error:?}, {:?}",
            report.runs.iter().map(|run| run.totals).collect::<Vec<_>>()
        );
    };
    complete(&app.backfill(&request).await.unwrap());
    // Changes after the last page of an entity belong to the next read, which begins where the edits
    // do.
    sandbox.after_each_query(|_, _| {});
    let rest = crate::support::request(
        &["customers", "items", "invoices"],
        "2026-01-01",
        "2026-09-01",
        "month",
        1000,
    );
    complete(&app.backfill(&rest).await.unwrap());
    let gone: HashSet<String> = before;
    for (entity, table) in [
        ("Customer", "raw.qb_customers"),
        ("Item", "raw.qb_items"),
        ("Invoice", "raw.qb_invoices"),
    ] {
        let truth = crate::support::truth(&sandbox, entity);
        assert_exact(seed, entity, &truth, &database.rows(table).await, &gone);
    }
    database
        .client
        .batch_execute("DROP SCHEMA raw, qbo CASCADE")
        .await
        .unwrap();
}

fn every_id(sandbox: &Sandbox) -> HashSet<String> {
    let ids = |entity| {
        sandbox
            .company()
            .truth(entity, i64::MIN, i64::MAX)
            .into_iter()
            .map(|(id, _)| id)
    };
    ["Customer", "Item", "Invoice"]
        .into_iter()
        .flat_map(ids)
        .chain((0..1000).map(|id| id.to_string()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_matches_the_source_after_any_edits_and_failures() {
    let (count, first) = (setting("SCHEDULES", 200), setting("SEED", 1));
    let (mutations, next) = (Arc::<AtomicU64>::default(), Arc::new(AtomicU64::new(first)));
    // Most of the time is spent waiting before retries.
    let workers = (0..SIDE_BY_SIDE).map(|_| {
        let (mutations, next) = (mutations.clone(), next.clone());
        tokio::spawn(async move {
            let database = Database::create().await;
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    break;
                }
                let outcome = tokio::time::timeout(LIMIT, run(seed, &database, &mutations));
                outcome
                    .await
                    .unwrap_or_else(|_| panic!("SEED={seed} took more than {LIMIT:?}"));
            }
            database.drop().await;
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let mutations = mutations.load(Ordering::Relaxed);
    println!("{count} schedules from seed {first}, {mutations} mutations");
    assert!(
        mutations > count,
        "only {mutations} mutations: this test shows nothing"
    );
}

/// Reads like most extractors: by offset, ordered by time of change.
async fn read_by_offset(
    sandbox: &Sandbox,
    entity: &str,
    page_size: usize,
) -> BTreeMap<String, Value> {
    let client = crate::sandbox::Client::of(sandbox).await;
    let filter = if entity == "Invoice" {
        ""
    } else {
        "WHERE Active IN (true, false) "
    };
    let (mut found, mut first) = (BTreeMap::new(), 1);
    loop {
        let order = "ORDERBY MetaData.LastUpdatedTime ASC";
        let statement = format!(
            "SELECT * FROM {entity} {filter}{order} STARTPOSITION {first} MAXRESULTS {page_size}"
        );
        let answer = client.query(&statement).await.json();
        let rows = answer["QueryResponse"][entity]
            .as_array()
            .cloned()
            .unwrap_or_default();
        first += rows.len();
        found.extend(
            rows.iter()
                .map(|row| (row["Id"].as_str().unwrap().to_owned(), row.clone())),
        );
        if rows.len() < page_size {
            return found;
        }
    }
}

/// Shows that the test above can fail: under the same schedules, without their faults, offsets lose
/// records for good. Each entity is read once more from where the edits begin, as there.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_schedules_make_offset_paging_lose_records() {
    let (mut lost, mut losing) = (0, 0);
    for seed in 1..=40 {
        let mut schedule = Schedule::new(seed);
        let sandbox = schedule.sandbox();
        let page_size = schedule.request().page_size.get() as usize;
        schedule.mutate(&sandbox, Arc::default());
        let mut missing = 0;
        for entity in ["Customer", "Item", "Invoice"] {
            let found = read_by_offset(&sandbox, entity, page_size.max(5)).await;
            let unedited = sandbox.truth(None, entity, i64::MIN, EDITS_FROM).unwrap();
            // The next read would find edited records; missing records without an edit are lost.
            missing += unedited
                .iter()
                .filter(|(id, _)| !found.contains_key(id))
                .count();
        }
        lost += missing;
        losing += u32::from(missing > 0);
    }
    println!("offset paging lost {lost} records in {losing} of 40 schedules");
    assert!(
        losing >= 5,
        "offset paging lost records in {losing} schedules only: these edits are harmless"
    );
}
