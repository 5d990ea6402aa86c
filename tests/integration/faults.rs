//! Every fault of the sandbox in every phase of a run that it can strike, once and endlessly. Each run
//! ends in time, with the right table or with a named failure and all other windows committed. Faults
//! of change data capture are tested where it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use qbo_rs::app::{App, ExtractRequest, LoadRequest, VerifyRequest};
use qbo_rs::domain::{Chunk, PageSize, Report, Window, WindowStatus, chunk_range};
use qbo_rs::error::Error;
use qbo_sandbox::{CompanySize, FaultRule, Sandbox, SandboxOptions, ThrottleOptions};
use tokio::sync::Semaphore;

use crate::support::{Database, app, truth, whole_range};

/// Time limit of one cell, far longer than retries with backoff and an open circuit take.
const LIMIT: Duration = Duration::from_secs(180);
const SIDE_BY_SIDE: usize = 32;
const PAGE: i64 = 10;

const FAULTS: [&str; 43] = [
    r#""fault":"throttle","retry_after":1"#,
    r#""fault":"throttle","format":"json""#,
    r#""fault":"error""#,
    r#""fault":"bad-gateway""#,
    r#""fault":"unavailable""#,
    r#""fault":"gateway-timeout""#,
    r#""fault":"too-large""#,
    r#""fault":"unauthorized""#,
    r#""fault":"forbidden""#,
    r#""fault":"fault-in-success""#,
    r#""fault":"fault-in-response""#,
    r#""fault":"garbage""#,
    r#""fault":"invalid-grant""#,
    r#""fault":"invalid-client""#,
    r#""fault":"reset""#,
    r#""fault":"lost-answer""#,
    r#""fault":"truncate""#,
    r#""fault":"trickle","bytes_per_s":2000"#,
    r#""fault":"endless""#,
    r#""fault":"gzip-bomb""#,
    r#""fault":"announced""#,
    r#""fault":"hang""#,
    r#""fault":"slow","ms":1500"#,
    r#""fault":"fault-in-xml""#,
    r#""fault":"empty""#,
    r#""fault":"null-response""#,
    r#""fault":"no-response""#,
    r#""fault":"empty-response""#,
    r#""fault":"other-key""#,
    r#""fault":"lost-rows""#,
    r#""fault":"fewer-rows""#,
    r#""fault":"more-rows""#,
    r#""fault":"fault-for-rows""#,
    r#""fault":"null-rows""#,
    r#""fault":"repeated-id""#,
    r#""fault":"refused","code":"6190","message":"Invalid Company Status""#,
    r#""fault":"refused","code":4000,"message":"Error parsing query""#,
    r#""fault":"odd-fault""#,
    r#""fault":"scope""#,
    r#""fault":"firewall""#,
    r#""fault":"proxy-auth""#,
    r#""fault":"lifetimes","value":"soon""#,
    r#""fault":"rewrite","find":"\"Id\"","put":"\"Number\"""#,
];

/// Faults that are tested elsewhere, each with the test.
const ELSEWHERE: [(&str, &str); 10] = [
    (
        "flood",
        "reports_of_any_size_and_form_cost_little_memory_and_time",
    ),
    (
        "cdc-reversed",
        "changes_arrive_whatever_the_groups_of_an_answer_look_like",
    ),
    (
        "cdc-fault",
        "changes_arrive_whatever_the_groups_of_an_answer_look_like",
    ),
    (
        "cdc-missing",
        "changes_arrive_whatever_the_groups_of_an_answer_look_like",
    ),
    (
        "cdc-merged",
        "changes_arrive_whatever_the_groups_of_an_answer_look_like",
    ),
    ("change", "edits_between_pages_lose_nothing"),
    (
        "report-column",
        "an_open_amount_of_another_currency_is_not_taken_for_one_at_home",
    ),
    ("report-cut", "faults_hit_reports"),
    ("report-empty", "faults_hit_reports"),
    ("report-header", "faults_hit_reports"),
];

const PHASES: [&str; 6] = [
    "token",
    "first page",
    "middle page",
    "last page",
    "count",
    "load",
];

/// Faults of rows, which only pages have.
const OF_ROWS: [&str; 6] = [
    "other-key",
    "lost-rows",
    "fewer-rows",
    "more-rows",
    "fault-for-rows",
    "rewrite",
];

/// Faults of the object around rows and counts.
const OF_OBJECTS: [&str; 3] = ["null-response", "no-response", "empty-response"];

/// Returns whether a fault changes an answer of a phase so that it can be told from a normal one.
fn can_strike(fault: &str, phase: &str) -> bool {
    let name = name_of(fault);
    match phase {
        "token" => !OF_ROWS.contains(&name) && !OF_OBJECTS.contains(&name),
        "count" => !OF_ROWS.contains(&name) && name != "lifetimes",
        // A page without rows and counters is what QuickBooks answers for a range without records.
        _ => !["lifetimes", "empty-response"].contains(&name),
    }
}

fn name_of(fault: &str) -> &str {
    fault.split('"').nth(3).unwrap()
}

/// Returns the rule that makes a fault strike the requests of a phase.
fn rule(fault: &str, phase: &str, is_endless: bool) -> String {
    let place = match phase {
        "token" => r#""on":"token""#.to_owned(),
        "first page" => r#""on":"query""#.to_owned(),
        "middle page" => r#""on":"query","nth":3"#.to_owned(),
        // 40 items in pages of ten: the last page is the fifth, which is short, or the fourth if it ends
        // the window.
        "last page" => r#""on":"query","nth":5"#.to_owned(),
        "count" => r#""contains":"COUNT""#.to_owned(),
        _ => r#""on":"query","nth":1"#.to_owned(),
    };
    format!(
        "{{{fault},{place},\"times\":{}}}",
        if is_endless { 0 } else { 1 }
    )
}

struct Cell {
    fault: &'static str,
    phase: &'static str,
    is_endless: bool,
}

fn sandbox() -> Sandbox {
    let size = CompanySize {
        customers: 1,
        items: 40,
        invoices: 1,
        others: Some(0),
    };
    let mut options = SandboxOptions {
        size,
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    // The hardest assumption: every refresh ends the token before it.
    options.oauth.rotate_after = Duration::ZERO;
    options.threads = 1;
    Sandbox::start(options).unwrap()
}

async fn run(cell: &Cell, database: &Database, schema: &str) -> Result<String, String> {
    let sandbox = sandbox();
    let mut app = app(&sandbox, database);
    app.settings.set("QBO_TIMEOUT_S", "1").unwrap();
    app.settings.set("QBO_RETRY_FOR_S", "15").unwrap();
    app.settings.set("QBO_MAX_ANSWER_MB", "1").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("tokens.json");
    app.settings
        .set("QBO_TOKEN_STORE", store.to_str().unwrap())
        .unwrap();
    let arm = || {
        sandbox
            .control("fault", &rule(cell.fault, cell.phase, cell.is_endless))
            .unwrap()
    };
    let outcome = match cell.phase {
        "count" => verify(&app, schema, arm).await,
        "load" => load(&app, schema, directory.path(), arm).await,
        _ => {
            arm();
            backfill(&app, schema).await
        }
    };
    judge(&app, &sandbox, database, schema, outcome).await
}

async fn backfill(app: &App, schema: &str) -> Result<Report, Error> {
    let mut request = whole_range(&["items"], "quarter", PAGE);
    request.schema = schema.to_owned();
    app.backfill(&request).await
}

/// Loads the table first, so that the fault strikes the comparison.
async fn verify(app: &App, schema: &str, arm: impl Fn() -> String) -> Result<Report, Error> {
    let report = backfill(app, schema).await?;
    arm();
    let range = Window::parse("2024-01-01", "2026-01-01").unwrap();
    let request = VerifyRequest::new(["items"], range)
        .chunk(Chunk::Months(3))
        .schema(schema);
    let verified = app.verify(&request).await?;
    assert!(verified.is_ok(), "{verified:?}");
    Ok(report)
}

/// Lets the fault strike the extract, then loads its complete windows.
async fn load(
    app: &App,
    schema: &str,
    directory: &std::path::Path,
    arm: impl Fn() -> String,
) -> Result<Report, Error> {
    arm();
    let range = Window::parse("2024-01-01", "2026-01-01").unwrap();
    let request = ExtractRequest::new(["items"], chunk_range(range, Chunk::Months(3)))
        .page_size(PageSize::new(PAGE).unwrap())
        .out(directory.join("landing"));
    let extracted = app.extract(&request).await?;
    let load = LoadRequest::new(directory.join("landing")).schema(schema);
    match extracted.is_complete() {
        true => app.load(&load).await,
        // Complete windows are loaded even after a failure.
        false => {
            let loaded = app.load(&load).await;
            loaded.map(|_| extracted)
        }
    }
}

/// Checks that the table is right for the reported outcome.
async fn judge(
    app: &App,
    sandbox: &Sandbox,
    database: &Database,
    schema: &str,
    outcome: Result<Report, Error>,
) -> Result<String, String> {
    let table = format!("{schema}.qb_items");
    let name = |error: &Error| format!("{:.60}", error.to_string().replace('\n', " "));
    let report = match outcome {
        Err(error) => return Ok(format!("refused: {}", name(&error))),
        Ok(report) => report,
    };
    let truth: BTreeMap<_, _> = truth(sandbox, "Item").into_iter().collect();
    let rows = database.rows(&table).await;
    for (id, payload) in &rows {
        if truth.get(id) != Some(payload) {
            return Err(format!("row {id} is not the source's"));
        }
    }
    if report.is_complete() {
        return match rows.len() == truth.len() {
            true => Ok("right table".to_owned()),
            false => Err(format!(
                "said complete with {} of {} rows",
                rows.len(),
                truth.len()
            )),
        };
    }
    let windows = &report.runs[0].windows;
    let done: u64 = windows
        .iter()
        .filter(|w| w.status == WindowStatus::Done)
        .map(|w| w.rows - w.rejected)
        .sum();
    // A window in which too many records fail keeps its good ones.
    let keeps_some = windows.iter().any(|window| {
        window.status == WindowStatus::Failed
            && window
                .error
                .as_deref()
                .is_some_and(|error| error.contains("are set aside"))
    });
    let kept = rows.len() as u64;
    if kept < done || (kept > done && !keeps_some) {
        return Err(format!(
            "{done} rows were said to be committed, {} are there",
            rows.len()
        ));
    }
    let failed: Vec<_> = windows
        .iter()
        .filter_map(|window| window.error.as_deref())
        .collect();
    if failed.iter().any(|reason| reason.is_empty()) {
        return Err("a failure without a name".to_owned());
    }
    let rejected = report.runs[0].totals.rejected;
    if failed.is_empty() && rejected == 0 {
        return Err("incomplete without a reason".to_owned());
    }
    // After the fault is cleared, the next run completes the table.
    sandbox.control("clear-faults", "{}").unwrap();
    let token = sandbox.control("refresh-token", "{}").unwrap();
    let token: serde_json::Value = serde_json::from_str(&token).unwrap();
    let mut app = app.clone();
    app.settings
        .set(
            "QBO_REFRESH_TOKEN",
            token["refresh_token"].as_str().unwrap(),
        )
        .unwrap();
    let again = backfill(&app, schema)
        .await
        .map_err(|error| format!("and then: {error}"))?;
    if !again.is_complete() || database.rows(&table).await.len() != truth.len() {
        return Err("the next run did not complete it".to_owned());
    }
    let reason = failed.first().map_or("records set aside", |reason| reason);
    Ok(format!(
        "{} of {} windows failed: {:.44}",
        failed.len(),
        windows.len(),
        reason.replace('\n', " ")
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_in_every_phase_ends_in_the_right_table_or_a_named_failure() {
    let database = Arc::new(Database::create().await);
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut cells = Vec::new();
    for fault in FAULTS {
        for phase in PHASES {
            if !can_strike(fault, phase) {
                continue;
            }
            for is_endless in [false, true] {
                let number = cells.len();
                let cell = Cell {
                    fault,
                    phase,
                    is_endless,
                };
                let (database, places) = (database.clone(), places.clone());
                cells.push(tokio::spawn(async move {
                    let _place = places.acquire().await.unwrap();
                    let begin = Instant::now();
                    let schema = format!("cell_{number}");
                    let outcome = tokio::time::timeout(LIMIT, run(&cell, &database, &schema)).await;
                    let outcome = outcome.unwrap_or_else(|_| Err("no end".to_owned()));
                    (cell, outcome, begin.elapsed())
                }));
            }
        }
    }
    let mut wrong = Vec::new();
    println!(
        "{:44} {:12} {:7} {:>6}  outcome",
        "fault", "phase", "strikes", "s"
    );
    for cell in cells {
        let (cell, outcome, took) = cell.await.unwrap();
        let strikes = if cell.is_endless { "always" } else { "once" };
        let name = cell.fault.replace(r#""fault":"#, "").replace('"', "");
        let (text, is_wrong) = match outcome {
            Ok(text) => (text, false),
            Err(text) => (format!("WRONG: {text}"), true),
        };
        let line = format!(
            "{name:44} {:12} {strikes:7} {:6.1}  {text}",
            cell.phase,
            took.as_secs_f64()
        );
        println!("{line}");
        if is_wrong {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Arc::into_inner(database).unwrap().drop().await;
}

#[test]
fn every_fault_of_the_sandbox_is_in_the_matrix_or_tested_elsewhere() {
    // The refusal of a fault that does not exist lists those that do.
    let refusal = FaultRule::parse("no-fault").unwrap_err().to_string();
    let (_, known) = refusal.split_once("there are ").unwrap();
    let known: BTreeSet<&str> = known.split(", ").collect();
    assert!(known.contains("throttle"), "{refusal}");
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(fault, _)| *fault).collect();
    let matrix: BTreeSet<&str> = FAULTS.iter().map(|fault| name_of(fault)).collect();
    assert!(matrix.is_disjoint(&elsewhere));
    assert_eq!(&matrix | &elsewhere, known);
    let folders = ["tests/integration", "sandbox/tests"];
    let entries = folders.iter().flat_map(|folder| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::read_dir(root.join(folder)).unwrap()
    });
    let sources: String = entries
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default())
        .collect();
    for (fault, test) in ELSEWHERE {
        assert!(sources.contains(&format!("fn {test}(")), "{fault}: {test}");
    }
}
