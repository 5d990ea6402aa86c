//! The books of records against reports: companies of the sandbox whose books are known.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use chrono::NaiveDate;
use qbo_rs::app::{App, BooksRequest, LedgerRequest, StatusRequest};
use qbo_rs::domain::{BooksStatus, CompanyBooks};
use qbo_rs::port::{Progress, RunName};
use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::support::{Database, a_minute_ago, change, everything, living, syncing_app, truth};

/// Returns a company with books.
pub(crate) fn company(seed: u64, transactions: u32) -> Sandbox {
    Sandbox::start(SandboxOptions {
        seed,
        books: Some(transactions),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Copies everything.
async fn synced(sandbox: &Sandbox, database: &Database) -> App {
    let app = syncing_app(sandbox, database);
    let report = app.sync(&everything(&[])).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    app
}

async fn tied_out(app: &App, request: &BooksRequest) -> CompanyBooks {
    let mut report = app.verify_books(request).await.unwrap();
    assert_eq!(report.books.len(), 1);
    report.books.remove(0)
}

/// The end of the company's books, compared from their beginning.
fn everything_until_2025() -> BooksRequest {
    BooksRequest::new(day("2025-12-31")).start(day("2020-01-01"))
}

/// Returns whether no entity has such transactions. The words are those of the sandbox's reports.
fn has_no_record(kind: &str) -> bool {
    [
        "Payroll Check",
        "Payroll Tax Payment",
        "Sales Tax Payment",
        "Inventory Starting Value",
        "Currency Revaluation",
    ]
    .contains(&kind)
}

fn causes(books: &CompanyBooks) -> Vec<(&str, &str, &str)> {
    let transactions = books.transactions.iter();
    transactions
        .map(|it| (it.entity.as_str(), it.id.as_str(), it.cause))
        .collect()
}

/// A number that `make soak` sets.
fn number(name: &str, default: u64) -> u64 {
    let set = std::env::var(name);
    set.map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_books_agree_and_a_second_look_is_cheap() {
    let first = number("FIRST_COMPANY", 1);
    for seed in first..first + number("COMPANIES", 3) {
        let (sandbox, database) = (company(seed, 300), Database::create().await);
        let app = synced(&sandbox, &database).await;
        let request = BooksRequest::new(day("2025-12-31"));
        let books = tied_out(&app, &request).await;
        let others: Vec<_> = causes(&books)
            .into_iter()
            .filter(|(entity, _, cause)| *cause != "report_only" || !has_no_record(entity))
            .collect();
        // Payroll and its like stand in reports only.
        assert_eq!(others, [], "seed {seed}");
        assert_eq!(books.unverified, Vec::<String>::new(), "seed {seed}");
        assert_eq!(books.status, BooksStatus::Ok, "seed {seed}: {books:#?}");
        assert!(books.accounts.len() > 20, "seed {seed}");
        let adjustments = truth(&sandbox, "InventoryAdjustment").len() as u64;
        let reports = books.requests - adjustments;
        assert!(reports < 20, "seed {seed}: {reports} of {}", books.requests);

        let again = tied_out(&app, &request).await;
        assert_eq!(again.status, BooksStatus::Ok, "seed {seed}");
        assert!(again.requests <= 8, "seed {seed}: {}", again.requests);
        assert_eq!(again.accounts, books.accounts, "seed {seed}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_reports_show_comes_back_into_a_ledger_that_lacks_it() {
    let (sandbox, database) = (company(2, 120), Database::create().await);
    let app = synced(&sandbox, &database).await;
    let mut request = BooksRequest::new(day("2025-12-31"));
    assert_eq!(tied_out(&app, &request).await.status, BooksStatus::Ok);
    let balances = async |schema: &str| -> String {
        let query = format!(
            "SELECT string_agg(account_id || ' ' || balance, ', ' ORDER BY account_id) FROM (SELECT account_id, \
             sum(debit - credit) AS balance FROM {schema}.gl_entries GROUP BY 1 HAVING sum(debit - credit) <> 0) AS b"
        );
        database.client.query_one(&query, &[]).await.unwrap().get(0)
    };
    let whole = balances("books").await;
    // The starting stock would give it away: without it, costs do not fit.
    let lose = "DELETE FROM books.gl_entries WHERE source = 'report' AND entity <> 'Inventory Starting Value'";
    assert!(database.client.execute(lose, &[]).await.unwrap() > 0);
    assert_ne!(balances("books").await, whole);
    assert_eq!(tied_out(&app, &request).await.status, BooksStatus::Ok);
    assert_eq!(balances("books").await, whole);
    // Another schema has none of them, until a comparison writes it.
    request.into = "ledger".to_owned();
    assert_eq!(tied_out(&app, &request).await.status, BooksStatus::Ok);
    assert_eq!(balances("ledger").await, whole);
    database.drop().await;
}

/// The events of a comparison, in order.
#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Progress for Seen {
    fn call_started(&self, _realm_id: &str, runs: &[(&str, usize)]) {
        self.0.lock().unwrap().push(format!("plan {runs:?}"));
    }

    fn run_started(&self, run: RunName<'_>, _windows: usize) {
        self.0.lock().unwrap().push(format!("start {}", run.entity));
    }

    fn page_read(&self, run: RunName<'_>, rows: usize) {
        let some = if rows > 0 { "some" } else { "none" };
        self.0
            .lock()
            .unwrap()
            .push(format!("{some} {}", run.entity));
    }

    fn run_finished(&self, run: RunName<'_>) {
        self.0.lock().unwrap().push(format!("end {}", run.entity));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_and_records_are_counted_while_they_are_compared() {
    let (sandbox, database) = (company(1, 60), Database::create().await);
    let mut app = synced(&sandbox, &database).await;
    let seen = Arc::new(Seen::default());
    app.progress = seen.clone();
    tied_out(&app, &BooksRequest::new(day("2025-12-31"))).await;
    let seen = std::mem::take(&mut *seen.0.lock().unwrap());
    assert_eq!(seen[0], r#"plan [("reports", 7), ("records", 2)]"#);
    assert_eq!(seen[1..3], ["start reports", "start records"]);
    let number = |event: &str| seen.iter().filter(|seen| *seen == event).count();
    assert!(
        number("some reports") + number("none reports") >= 7,
        "{seen:?}"
    );
    assert_eq!((number("some records"), number("none records")), (1, 0));
    assert_eq!(seen[seen.len() - 2..], ["end reports", "end records"]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_adjustments_of_stock_are_read_by_id_and_stay() {
    let (sandbox, database) = (company(2, 600), Database::create().await);
    let mut app = synced(&sandbox, &database).await;
    let seen = Arc::new(Seen::default());
    app.progress = seen.clone();
    let table = "raw.qb_inventory_adjustments";
    let mut there = truth(&sandbox, "InventoryAdjustment");
    there.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(there.len() > 2 && living(&database, table).await.is_empty());
    let committed = "SELECT count(*) FROM qbo.windows WHERE entity = 'inventory_adjustments' AND \
                     window_end_utc > (SELECT max(window_end_utc) FROM qbo.windows WHERE entity = 'items')";
    let claimed = database.number(committed).await;

    let request = BooksRequest::new(day("2025-12-31"));
    let books = tied_out(&app, &request).await;
    assert_eq!(living(&database, table).await, there);
    // What is read by its ids is a part of the comparison, and no step beside its own.
    let seen = std::mem::take(&mut *seen.0.lock().unwrap());
    let is_own = |event: &&String| event.ends_with(" reports") || event.ends_with(" records");
    let others: Vec<_> = seen[1..].iter().filter(|event| !is_own(event)).collect();
    assert!(others.is_empty(), "{others:?}");
    let of_adjustments =
        "SELECT count(*) FROM books.gl_entries WHERE entity = 'InventoryAdjustment' AND source = ";
    assert_eq!(
        database.number(&format!("{of_adjustments}'report'")).await,
        0
    );
    let posted = database.number(&format!("{of_adjustments}'record'")).await;
    assert_eq!(posted, 2 * there.len() as i64);
    let inventory = causes(&books);
    let inventory: Vec<_> = inventory
        .iter()
        .filter(|(.., cause)| *cause == "inventory")
        .collect();
    assert!(inventory.is_empty(), "{inventory:?}");
    assert_eq!(books.status, BooksStatus::Ok);

    // They are read once, the ledger claims no time that was not read, and the next sync keeps them.
    assert!(tied_out(&app, &request).await.requests <= 8);
    assert_eq!(database.number(committed).await, claimed);
    assert!(app.sync(&everything(&[])).await.unwrap().is_ok());
    let validated = StatusRequest::default().validate(true);
    let entities = app.status(&validated).await.unwrap().entities;
    let adjustments = entities
        .iter()
        .find(|it| it.entity == "inventory_adjustments");
    let checks = &adjustments.unwrap().checks;
    assert!(
        checks.len() > 5 && checks.iter().all(|check| check.wrong == 0),
        "{checks:?}"
    );
    assert_eq!(living(&database, table).await, there);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adjustments_that_are_left_for_the_next_comparison_are_not_taken_for_verified() {
    let (sandbox, database) = (company(2, 600), Database::create().await);
    let app = synced(&sandbox, &database).await;
    let there = truth(&sandbox, "InventoryAdjustment").len();
    let mut request = everything_until_2025();
    request.read_by_id = 2;
    let books = tied_out(&app, &request).await;
    let left = there - 2;
    assert!(left > 0);
    let reason = format!(
        "inventory_adjustments: {left} not read yet, because each takes a request; compare again, which reads more of them"
    );
    assert_eq!(books.unverified, [reason]);
    assert_eq!(books.status, BooksStatus::Different);
    let named = |cause: &str| {
        let of_adjustments = causes(&books).into_iter();
        of_adjustments
            .filter(|it| (it.0, it.2) == ("InventoryAdjustment", cause))
            .count()
    };
    assert_eq!((named("not_read"), named("report_only")), (left, 0));

    // A record that comes by a sync takes the place of what the reports have shown of it.
    let of_reports = "SELECT count(DISTINCT id) FROM books.gl_entries \
                      WHERE entity = 'InventoryAdjustment' AND source = 'report'";
    assert_eq!(database.number(of_reports).await, left as i64);
    let known = living(&database, "raw.qb_inventory_adjustments").await;
    let all = truth(&sandbox, "InventoryAdjustment").into_iter();
    let (id, payload) = all.rev().find(|it| !known.contains(it)).unwrap();
    let insert =
        "INSERT INTO raw.qb_inventory_adjustments VALUES ($1, $2, now(), now(), now(), 1, 1, '{}')";
    database
        .client
        .execute(insert, &[&id, &payload])
        .await
        .unwrap();
    let ledger = app.post_ledger(&LedgerRequest::default()).await.unwrap();
    assert!(ledger.is_complete(), "{:?}", ledger.reasons);
    assert_eq!(database.number(of_reports).await, left as i64 - 1);
    let of_record = format!(
        "SELECT count(*) FROM books.gl_entries WHERE entity = 'InventoryAdjustment' AND id = '{id}' AND source = 'record'"
    );
    assert_eq!(database.number(&of_record).await, 2);

    // A comparison of one month goes on with the earlier ones, which it knows from the first.
    let books = tied_out(&app, &BooksRequest::new(day("2025-12-31"))).await;
    assert_eq!(books.unverified, Vec::<String>::new());
    assert_eq!(books.status, BooksStatus::Ok);
    let table = "raw.qb_inventory_adjustments";
    assert_eq!(living(&database, table).await.len(), there);
    let adjusted = causes(&books).into_iter();
    let wrong: Vec<_> = adjusted
        .filter(|(entity, _, cause)| *entity == "InventoryAdjustment" || *cause == "inventory")
        .collect();
    assert_eq!(wrong, []);
    database.drop().await;
}

/// The kinds of errors, and the cause of each.
const NAMES: [(&str, &str); 13] = [
    ("lost", "not_landed"),
    ("doubled", "duplicate"),
    ("undeleted", "deleted_at_source"),
    ("stale", "amount"),
    ("unvoided", "void"),
    ("moved", "period_moved"),
    ("wrong-sign", "wrong_sign"),
    ("wrong-account", "other_account"),
    ("lost-line", "incomplete_record"),
    ("lost-tax", "incomplete_record"),
    ("lost-link", "link_missing"),
    ("wrong-rate", "fx"),
    ("report-only", "report_only"),
];

/// The accounts of stock and its cost, which follow from all earlier records.
const STOCK: [&str; 3] = ["8", "29", "40"];

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_error_is_found_and_named() {
    let companies = number("PLANTED", NAMES.len() as u64).div_ceil(NAMES.len() as u64);
    let mut problems = Vec::new();
    let first = number("FIRST_COMPANY", 7);
    for seed in first..first + companies {
        let found = problems_of_planted(seed).await;
        problems.extend(found.into_iter().map(|it| format!("seed {seed}: {it}")));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Entity and id.
type Key = (String, String);

/// Amounts of a transaction by day and account, without those of stock.
type Lines = BTreeMap<(String, String), String>;

/// The errors of a company, as the sandbox knows them.
struct Planted<'s> {
    sandbox: &'s Sandbox,
    errors: Vec<Value>,
    /// What the books say and the records do not.
    lines: BTreeMap<Key, Lines>,
}

impl<'s> Planted<'s> {
    /// Plants an error of each kind.
    fn all(sandbox: &'s Sandbox) -> Self {
        for (kind, _) in NAMES {
            change(sandbox, "plant", json!({ "kind": kind }));
        }
        let all = change(sandbox, "planted", json!({}));
        let mispostings = all["mispostings"].as_array().unwrap().iter();
        let lines = mispostings.map(|it| {
            let key = (text(&it["entity"]).to_owned(), text(&it["id"]).to_owned());
            let lines = it["lines"].as_array().unwrap().iter();
            let lines = lines.map(|line| [0, 1, 2].map(|at| text(&line[at]).to_owned()));
            let lines = lines.filter(|[_, account, _]| !STOCK.contains(&account.as_str()));
            let lines = lines.map(|[day, account, amount]| ((day, account), amount));
            (key, lines.collect())
        });
        let lines: BTreeMap<Key, Lines> = lines.collect();
        Self {
            sandbox,
            errors: all["planted"].as_array().unwrap().clone(),
            lines: lines.into_iter().filter(|(_, it)| !it.is_empty()).collect(),
        }
    }

    fn key_of(error: &Value) -> Key {
        let entity = match text(&error["entity"]) {
            "" => "Payroll Check",
            entity => entity,
        };
        let id = match text(&error["kind"]) {
            "doubled" => &error["other"],
            _ => &error["id"],
        };
        (entity.to_owned(), text(id).to_owned())
    }

    fn error_of(&self, key: &Key) -> Option<&Value> {
        self.errors.iter().find(|error| Self::key_of(error) == *key)
    }

    fn record(&self, (entity, id): &Key) -> Value {
        let mut records = truth(self.sandbox, entity).into_iter();
        let found = records.find(|(known, _)| known == id);
        found.map(|(_, record)| record).unwrap_or_default()
    }

    /// Returns the one cause that names the difference of a transaction.
    fn cause(&self, key: &Key) -> &'static str {
        let Some(error) = self.error_of(key) else {
            return match has_no_record(&key.0) {
                true => "report_only",
                false => self.cause_of_payment(key),
            };
        };
        let mut names = NAMES.into_iter();
        let (_, cause) = names.find(|(kind, _)| *kind == error["kind"]).unwrap();
        match cause {
            // Of a foreign document that posts to one account, another amount cannot be told from another rate.
            "amount" if self.is_foreign_of_one_account(key) => "fx",
            cause => cause,
        }
    }

    fn is_foreign_of_one_account(&self, key: &Key) -> bool {
        let record = self.record(key);
        let items: HashMap<String, Value> = truth(self.sandbox, "Item").into_iter().collect();
        let lines = record["Line"].as_array().unwrap().iter();
        let accounts = lines.filter_map(|line| {
            let detail = &line[text(&line["DetailType"])];
            let named = [&detail["AccountRef"], &detail["DiscountAccountRef"]];
            let account = match items.get(text(&detail["ItemRef"]["value"])) {
                None => named.into_iter().find(|it| it.is_object())?,
                Some(item) if key.0 != "Bill" => &item["IncomeAccountRef"],
                Some(item) if item["Type"] == "Inventory" => &item["AssetAccountRef"],
                Some(item) => &item["ExpenseAccountRef"],
            };
            Some(text(&account["value"]).to_owned())
        });
        let accounts: HashSet<String> = accounts.collect();
        record["CurrencyRef"]["value"] != "USD" && accounts.len() == 1
    }

    /// A payment settles a document at the document's rate: a wrong rate shows in both, and if the document is
    /// missing, or has another sign, the payment settles nothing.
    fn cause_of_payment(&self, key: &Key) -> &'static str {
        let amounts = self.lines.get(key).into_iter().flatten();
        let mut amounts = amounts.map(|(_, amount)| amount.parse::<f64>().unwrap().abs());
        if amounts.all(|amount| amount < 0.055) {
            return "rounding";
        }
        let record = self.record(key);
        let lines = record["Line"].as_array().into_iter().flatten();
        let mut settled = lines.map(|line| {
            let linked = &line["LinkedTxn"][0];
            let key = [&linked["TxnType"], &linked["TxnId"]].map(|it| text(it).to_owned());
            key.into()
        });
        let of_rate = |key: Key| {
            self.error_of(&key)
                .is_some_and(|error| error["kind"] == "wrong-rate")
        };
        match settled.any(of_rate) {
            true => "fx",
            false => "link_missing",
        }
    }

    /// Returns whether an item of a record is also one of a planted error.
    fn shares_stock(&self, key: &Key) -> bool {
        let touched = self.errors.iter();
        let touched = touched.filter_map(|error| error["items"].as_array());
        let record = self.record(key).to_string();
        touched.flatten().map(text).any(|item| {
            let item = format!(r#""ItemRef":{{"value":"{item}"}}"#);
            record.contains(&item)
        })
    }
}

/// Returns the errors that were not found, or not under their name or amounts, and what was found without an error.
async fn problems_of_planted(seed: u64) -> Vec<String> {
    let (sandbox, database) = (company(seed, 400), Database::create().await);
    let planted = Planted::all(&sandbox);
    let app = synced(&sandbox, &database).await;
    let books = tied_out(&app, &everything_until_2025()).await;
    let mut problems = Vec::new();
    let mut found: BTreeMap<Key, (Lines, Vec<&str>)> = BTreeMap::new();
    for it in &books.transactions {
        let key = (it.entity.clone(), it.id.clone());
        if it.cause == "inventory" {
            if !planted.shares_stock(&key) {
                problems.push(format!("stock of no error: {key:?}"));
            }
            continue;
        }
        let (lines, causes) = found.entry(key).or_default();
        let others = it.lines.iter();
        let others = others.filter(|line| !STOCK.contains(&line.account_id.as_str()));
        lines.extend(others.map(|line| {
            let place = (line.date.to_string(), line.account_id.clone());
            (place, line.amount.clone())
        }));
        causes.push(it.cause);
    }
    let keys = planted.errors.iter().map(Planted::key_of);
    let keys: BTreeSet<Key> = keys.chain(planted.lines.keys().cloned()).collect();
    for key in keys {
        let expected = planted.lines.get(&key).cloned().unwrap_or_default();
        let expected = (expected, vec![planted.cause(&key)]);
        let found = found.remove(&key).unwrap_or_default();
        if found != expected {
            let error = planted.error_of(&key);
            problems.push(format!(
                "{key:?}: {found:?} and not {expected:?}: {error:?}"
            ));
        }
    }
    found.retain(|(entity, _), (_, causes)| !has_no_record(entity) || causes != &["report_only"]);
    problems.extend(found.into_iter().map(|it| format!("no error: {it:?}")));
    if books.status != BooksStatus::Ok {
        let accounts = books.accounts.iter();
        let accounts = accounts.filter(|it| it.unexplained != "0.00");
        let parties = books.parties.iter().filter(|it| it.unexplained != "0.00");
        let (accounts, parties): (Vec<_>, Vec<_>) = (accounts.collect(), parties.collect());
        problems.push(format!(
            "not explained: {:?} {accounts:?} {parties:?}",
            books.unverified
        ));
    }
    database.drop().await;
    problems
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_payment_of_zero_is_found_and_named_although_no_account_shows_it() {
    let (sandbox, database) = (company(5, 300), Database::create().await);
    let links = |payment: &Value| {
        let lines = payment["Line"].as_array();
        // In another currency, an exchange difference may be left over.
        lines.is_some_and(|lines| lines.len() == 2)
            && payment["CurrencyRef"]["value"] == "USD"
            && payment["TotalAmt"].as_f64() == Some(0.0)
            && payment["PrivateNote"]
                .as_str()
                .is_some_and(|note| note.contains("link credits"))
    };
    let payments = truth(&sandbox, "Payment");
    let (id, date) = payments
        .iter()
        .find(|(_, payment)| links(payment))
        .map(|(id, payment)| (id.clone(), day(payment["TxnDate"].as_str().unwrap())))
        .expect("a payment of zero");
    let plant = json!({"kind": "lost", "entity": "Payment", "id": id});
    change(&sandbox, "plant", plant);
    let app = synced(&sandbox, &database).await;
    let expected = [("Payment", id.as_str(), "not_landed")];
    let is_news = |(.., cause): &(&str, &str, &str)| *cause != "report_only";
    let all = tied_out(&app, &everything_until_2025()).await;
    let found: Vec<_> = causes(&all).into_iter().filter(is_news).collect();
    assert_eq!(found, expected);
    assert_eq!(all.status, BooksStatus::Ok, "{:?}", all.unverified);
    // A later month knows it, although no account shows it.
    assert!(date < day("2025-12-01"));
    let later = tied_out(&app, &BooksRequest::new(day("2025-12-31"))).await;
    let found: Vec<_> = causes(&later).into_iter().filter(is_news).collect();
    assert_eq!(found, expected);
    assert_eq!(later.status, BooksStatus::Ok, "{:?}", later.unverified);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_cash_basis_only_reports_are_compared_and_nothing_counts_as_agreed() {
    let (sandbox, database) = (company(4, 300), Database::create().await);
    change(
        &sandbox,
        "plant",
        json!({"kind": "lost", "entity": "Invoice"}),
    );
    let app = synced(&sandbox, &database).await;
    let mut request = everything_until_2025();
    request.basis = qbo_rs::domain::Basis::Cash;
    let books = tied_out(&app, &request).await;
    let reason = "cash basis: records do not say when income counts as paid, so that only the reports are compared \
                  with each other";
    assert_eq!(books.unverified, [reason]);
    assert_eq!(
        (books.basis, books.status),
        ("cash", BooksStatus::ReportsAgree)
    );
    // No account is said to agree or to differ, and no document that is not paid is called wrong.
    assert_eq!(
        (
            books.accounts.len(),
            books.parties.len(),
            books.months.len()
        ),
        (0, 0, 0)
    );
    assert_eq!(causes(&books), []);
    let kept = "SELECT count(*) FROM qbo.tie_out_differences WHERE basis = 'cash'";
    assert_eq!(database.number(kept).await, 0);
    assert_eq!(
        database
            .number("SELECT count(*) FROM pg_namespace WHERE nspname = 'books'")
            .await,
        0
    );

    for name in [
        "BalanceSheet",
        "ProfitAndLoss",
        "TrialBalance",
        "GeneralLedger",
    ] {
        let rule = json!({"fault": "report-empty", "path": name, "times": 0});
        change(&sandbox, "fault", rule);
        let books = tied_out(&app, &request).await;
        let mut others = books.unverified.iter().filter(|it| *it != reason);
        assert!(
            others.any(|it| it.contains(name)),
            "{name}: {:?}",
            books.unverified
        );
        assert_eq!(causes(&books), []);
        change(&sandbox, "clear-faults", json!({}));
    }
    database.drop().await;
}

/// What the server knows of a transaction is told by a trigger in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_is_stopped_while_it_is_kept_is_ended_and_comes_after_changes_of_tables()
{
    let (sandbox, database) = (company(4, 40), Database::create().await);
    let app = synced(&sandbox, &database).await;
    let watch = "CREATE TABLE public.seen (idle text, locks bigint);
        CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
            INSERT INTO public.seen SELECT current_setting('idle_in_transaction_session_timeout'), count(*)
            FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory';
            RETURN NULL; END$$;
        CREATE TRIGGER seer AFTER INSERT ON qbo.tie_outs FOR EACH ROW EXECUTE FUNCTION public.see()";
    database.client.batch_execute(watch).await.unwrap();
    for basis in [qbo_rs::domain::Basis::Accrual, qbo_rs::domain::Basis::Cash] {
        let mut request = everything_until_2025();
        request.basis = basis;
        tied_out(&app, &request).await;
    }
    // One lock is that of comparisons, the other one that of changes of tables.
    let bound = "SELECT count(*) FROM public.seen WHERE idle = '30s' AND locks = 2";
    assert_eq!(database.number(bound).await, 2);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_contradicts_the_others_agrees_with_nothing() {
    let (sandbox, database) = (company(5, 200), Database::create().await);
    let app = synced(&sandbox, &database).await;
    let request = BooksRequest::new(day("2025-12-31"));
    assert_eq!(tied_out(&app, &request).await.status, BooksStatus::Ok);
    for (fault, name) in [
        ("report-cut", "TrialBalance"),
        ("report-cut", "GeneralLedger"),
        ("report-empty", "GeneralLedger"),
        ("report-empty", "BalanceSheet"),
        ("report-empty", "ProfitAndLoss"),
        ("report-empty", "AgedReceivableDetail"),
        ("report-empty", "AgedPayableDetail"),
    ] {
        let rule = json!({ "fault": fault, "path": name, "times": 0 });
        change(&sandbox, "fault", rule);
        let books = tied_out(&app, &request).await;
        assert_eq!(books.status, BooksStatus::Different, "{fault} of {name}");
        let noted = books.unverified.iter().any(|reason| reason.contains(name));
        assert!(noted, "{fault} of {name}: {:?}", books.unverified);
        change(&sandbox, "clear-faults", json!({}));
    }
    assert_eq!(tied_out(&app, &request).await.status, BooksStatus::Ok);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_another_currency_is_compared_with_nothing() {
    let (sandbox, database) = (company(5, 100), Database::create().await);
    let app = synced(&sandbox, &database).await;
    let rule = json!({"fault": "report-header", "key": "Currency", "value": "EUR", "times": 0});
    change(&sandbox, "fault", rule);
    let books = tied_out(&app, &BooksRequest::new(day("2025-12-31"))).await;
    let reason = "TrialBalance: its Header says EUR, and the home currency is USD";
    assert!(
        books.unverified.iter().any(|it| it == reason),
        "{:?}",
        books.unverified
    );
    assert_eq!(books.unverified.len(), 6, "{:?}", books.unverified);
    assert_eq!(books.status, BooksStatus::Different);
    assert_eq!(books.accounts.len(), 0);
    assert_eq!(books.currency.as_deref(), Some("USD"));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_amount_of_another_currency_is_not_taken_for_one_at_home() {
    let (sandbox, database) = (company(5, 100), Database::create().await);
    let app = synced(&sandbox, &database).await;
    for (report, home, other) in [
        (
            "AgedReceivableDetail",
            "subt_home_open_bal",
            "subt_open_bal",
        ),
        (
            "AgedPayableDetail",
            "subt_neg_home_open_bal",
            "subt_neg_open_bal",
        ),
    ] {
        let rule = json!({"fault": "report-column", "path": report, "key": home, "value": other, "times": 1});
        change(&sandbox, "fault", rule);
        let books = tied_out(&app, &BooksRequest::new(day("2025-12-31"))).await;
        let reason =
            format!("{report}: {report} has no column of open balances in the home currency");
        assert_eq!(books.unverified, [reason]);
        assert_eq!(books.status, BooksStatus::Different);
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_the_books_outlasts_a_report_that_cannot_be_trusted() {
    let (sandbox, database) = (company(4, 300), Database::create().await);
    let planted = change(
        &sandbox,
        "plant",
        json!({"kind": "lost", "entity": "Purchase"}),
    );
    let app = synced(&sandbox, &database).await;
    let request = BooksRequest::new(day("2025-12-31"));
    let first = tied_out(&app, &request).await;
    assert_eq!(first.status, BooksStatus::Ok);
    let known = "SELECT count(*) FROM qbo.tie_out_differences";
    let kept = "SELECT count(*) FROM books.gl_entries WHERE source = 'report'";
    let before = [database.number(known).await, database.number(kept).await];
    assert!(before[0] > 0 && before[1] > 0);

    let rule = json!({ "fault": "report-cut", "path": "GeneralLedger", "times": 0 });
    change(&sandbox, "fault", rule);
    let broken = tied_out(&app, &request).await;
    assert_eq!(broken.status, BooksStatus::Different);
    // The balances are still compared, and what is known explains them: nothing else has changed.
    assert_eq!(broken.accounts, first.accounts);
    assert_eq!(broken.unverified.len(), 1, "{:?}", broken.unverified);
    let after = [database.number(known).await, database.number(kept).await];
    assert_eq!(after, before);

    // With what was known, the next comparison is short, and names the same.
    change(&sandbox, "clear-faults", json!({}));
    let again = tied_out(&app, &request).await;
    assert_eq!(again.accounts, first.accounts);
    assert!(again.requests <= 8, "{}", again.requests);
    let id = planted["id"].as_str().unwrap();
    let named = ("Purchase", id, "not_landed");
    assert!(causes(&again).contains(&named));

    // What no known difference explains is not compared, rather than unexplained.
    change(&sandbox, "plant", json!({"kind": "report-only"}));
    let rule = json!({ "fault": "report-cut", "path": "GeneralLedger", "times": 0 });
    change(&sandbox, "fault", rule);
    let broken = tied_out(&app, &request).await;
    assert_eq!(broken.status, BooksStatus::Different);
    assert!(broken.accounts.iter().all(|it| it.unexplained == "0.00"));
    let untraced = broken.unverified.iter();
    let untraced = untraced.filter(|it| it.starts_with("account ") && it.contains("it differs"));
    assert_eq!(untraced.count(), 2, "{:?}", broken.unverified);
    let unexplained = "SELECT count(*) FROM qbo.tie_outs WHERE unexplained <> 0";
    assert_eq!(database.number(unexplained).await, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_that_was_never_loaded_is_named_with_the_command_that_loads_it() {
    let (sandbox, database) = (company(3, 200), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let names: Vec<&str> = qbo_rs::domain::ENTITIES
        .iter()
        .map(|entity| entity.name)
        .filter(|name| *name != "transfers")
        .collect();
    assert!(app.sync(&everything(&names)).await.unwrap().is_ok());
    let books = tied_out(&app, &everything_until_2025()).await;
    let reason = "transfers: they were never loaded; `qbo-rs sync transfers` loads them";
    assert_eq!(books.unverified, [reason]);
    assert_eq!(books.status, BooksStatus::Different);
    let lost = causes(&books);
    let lost = lost.iter().filter(|(.., cause)| *cause == "not_landed");
    let lost: Vec<_> = lost.collect();
    assert!(!lost.is_empty() && lost.iter().all(|(entity, ..)| *entity == "Transfer"));

    assert!(app.sync(&everything(&["transfers"])).await.unwrap().is_ok());
    let books = tied_out(&app, &everything_until_2025()).await;
    assert_eq!(books.unverified, Vec::<String>::new());
    assert_eq!(books.status, BooksStatus::Ok);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_before_the_first_transaction_do_not_count_as_agreed() {
    let (sandbox, database) = (company(1, 20), Database::create().await);
    let app = synced(&sandbox, &database).await;
    let books = tied_out(&app, &BooksRequest::new(day("2009-03-31"))).await;
    assert_eq!((books.accounts.len(), books.transactions.len()), (0, 0));
    assert_eq!(books.status, BooksStatus::Different);
    assert_eq!(books.unverified.len(), 1, "{:?}", books.unverified);
    assert!(
        books.unverified[0]
            .starts_with("nothing is there up to 2009-03-31: the first transaction is of 20"),
        "{:?}",
        books.unverified
    );
    // No other comparison of such a day would end a finding of it.
    let told = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(told.books, []);
    assert!(
        told.findings.iter().all(|it| it.about != "books"),
        "{:?}",
        told.findings
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_has_nothing_to_compare_and_the_error_names_the_next_command() {
    let (sandbox, database) = (company(1, 20), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    let compared = app
        .verify_books(&BooksRequest::new(day("2025-12-31")))
        .await;
    let error = compared.unwrap_err().to_string();
    assert!(
        error.contains("'raw' holds no accounts; `qbo-rs sync`"),
        "{error}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_one_company_are_not_compared_with_the_reports_of_another() {
    let (sandbox, database) = (company(1, 100), Database::create().await);
    let mut app = synced(&sandbox, &database).await;
    let mut environment = sandbox.environment().into_iter();
    let (_, own) = environment
        .find(|(name, _)| *name == "QBO_REALM_ID")
        .unwrap();
    app.settings
        .set("QBO_REALM_ID", "7000000000000007")
        .unwrap();
    let requests = change(&sandbox, "stats", json!({}))["requests"].clone();
    let error = app
        .verify_books(&BooksRequest::new(day("2025-12-31")))
        .await
        .unwrap_err()
        .to_string();
    for word in ["schema", &own, "7000000000000007"] {
        assert!(error.contains(word), "{error}");
    }
    let later = change(&sandbox, "stats", json!({}))["requests"].clone();
    assert_eq!(later, requests, "nothing was asked for");
    database.drop().await;
}

/// Inserts an outcome: schema, day, hour of the comparison and sum of what is unexplained.
async fn insert_outcome(database: &Database, (schema, day, hour): (&str, &str, u8), left: &str) {
    let status = if left == "0" { "ok" } else { "different" };
    let statement = format!(
        "INSERT INTO qbo.tie_outs (realm_id, schema_name, basis, as_of, compared_from, checked_utc, status, \
         accounts, transactions, unexplained, unverified, requests) VALUES ('9', '{schema}', 'accrual', '{day}', \
         '{day}', '2026-11-30T{hour:02}:00:00Z', '{status}', 1, 0, {left}, '{{}}', 7)"
    );
    database.client.batch_execute(&statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_ends_only_differences_of_its_own_day_or_an_earlier_one() {
    let (sandbox, database) = (company(1, 20), Database::create().await);
    let app = syncing_app(&sandbox, &database);
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let shown = async |schema: &str| {
        let request = StatusRequest::default().schema(schema);
        let books = app.status(&request).await.unwrap().books;
        let days = books.iter().map(|it| (it.as_of, it.unexplained.clone()));
        days.collect::<Vec<_>>()
    };
    let october = (day("2026-10-31"), "5000".to_owned());
    insert_outcome(&database, ("raw", "2026-10-31", 1), "5000").await;
    insert_outcome(&database, ("raw", "2026-03-31", 2), "0").await;
    assert_eq!(shown("raw").await, std::slice::from_ref(&october));
    // Another schema has books of its own.
    let made = database.client.batch_execute("CREATE SCHEMA raw_other");
    made.await.unwrap();
    insert_outcome(&database, ("raw_other", "2026-11-30", 3), "0").await;
    assert_eq!(shown("raw").await, [october]);
    assert_eq!(
        shown("raw_other").await,
        [(day("2026-11-30"), "0".to_owned())]
    );
    insert_outcome(&database, ("raw", "2026-10-31", 4), "0").await;
    assert_eq!(shown("raw").await, [(day("2026-10-31"), "0".to_owned())]);
    // What was found later of an earlier day still differs.
    insert_outcome(&database, ("raw", "2026-03-31", 5), "7").await;
    assert_eq!(shown("raw").await, [(day("2026-03-31"), "7".to_owned())]);
    insert_outcome(&database, ("raw", "2026-11-29", 6), "0").await;
    assert_eq!(shown("raw").await, [(day("2026-11-29"), "0".to_owned())]);
    // A schema that is gone has no books that could be compared again.
    let dropped = database.client.batch_execute("DROP SCHEMA raw_other");
    dropped.await.unwrap();
    assert_eq!(shown("raw_other").await, []);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_posted_is_named_with_its_reason_and_not_verified() {
    let (sandbox, database) = (company(5, 100), Database::create().await);
    let app = synced(&sandbox, &database).await;
    let changed = "UPDATE raw.qb_bills SET payload = jsonb_set(payload, \
        '{Line,0,AccountBasedExpenseLineDetail,AccountRef,value}', '\"999\"') WHERE id = (SELECT id FROM raw.qb_bills \
        WHERE payload #> '{Line,0,AccountBasedExpenseLineDetail,AccountRef}' IS NOT NULL ORDER BY id LIMIT 1) \
        RETURNING id";
    let id: String = database
        .client
        .query_one(changed, &[])
        .await
        .unwrap()
        .get(0);
    let request = everything_until_2025();
    for _ in 0..2 {
        let books = tied_out(&app, &request).await;
        let named = ("Bill", id.as_str(), "not_posted");
        assert!(causes(&books).contains(&named), "{:?}", causes(&books));
        let reason =
            "not in the ledger, see gl_unbalanced: 1: the account 999 is not among the accounts";
        assert_eq!(books.unverified, [reason]);
        assert_eq!(books.status, BooksStatus::Different);
    }
    database.drop().await;
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The customer of each invoice.
fn customers_of_invoices(sandbox: &Sandbox) -> HashMap<String, String> {
    let invoices = truth(sandbox, "Invoice").into_iter();
    invoices
        .map(|(id, invoice)| (id, text(&invoice["CustomerRef"]["value"]).to_owned()))
        .collect()
}

/// Payments of one invoice, of another customer than the one that pays.
fn payments_for_others(sandbox: &Sandbox) -> Vec<(String, Value)> {
    let owners = customers_of_invoices(sandbox);
    let mut payments = truth(sandbox, "Payment");
    payments.retain(|(_, payment)| {
        let lines = payment["Line"].as_array().unwrap();
        let payer = text(&payment["CustomerRef"]["value"]);
        let owner = owners.get(text(&payment["Line"][0]["LinkedTxn"][0]["TxnId"]));
        lines.len() == 1 && owner.is_some_and(|owner| owner != payer)
    });
    payments
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_stays_on_the_receivable_that_it_names_and_sales_on_that_of_the_customer() {
    let (sandbox, database) = (company(6, 400), Database::create().await);
    let app = synced(&sandbox, &database).await;
    // More than was owed, and paid by a customer whose own receivable is another one.
    let of_others = payments_for_others(&sandbox).into_iter();
    let unapplied = of_others.filter(|(_, payment)| {
        payment["ARAccountRef"]["value"] == "44" && payment["UnappliedAmt"].as_f64() > Some(0.0)
    });
    assert!(unapplied.count() > 0);
    let books = tied_out(&app, &everything_until_2025()).await;
    let wholesale = books.accounts.iter().find(|it| it.account_id == "44");
    let wholesale = wholesale.expect("the second receivable");
    assert_ne!(wholesale.report, "0.00");
    assert_eq!(wholesale.report, wholesale.records);
    let found: Vec<_> = causes(&books)
        .into_iter()
        .filter(|(.., cause)| *cause != "report_only")
        .collect();
    assert_eq!(found, []);
    assert_eq!(books.status, BooksStatus::Ok, "{:?}", books.unverified);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_without_links_is_that_of_a_document_of_its_family_and_of_no_stranger() {
    let (sandbox, database) = (company(6, 400), Database::create().await);
    let (id, _) = payments_for_others(&sandbox).swap_remove(0);
    let plant = json!({"kind": "lost-link", "entity": "Payment", "id": id});
    change(&sandbox, "plant", plant);
    let app = synced(&sandbox, &database).await;
    let named = |books: &CompanyBooks| {
        let found = causes(books).into_iter();
        let found = found.filter(|(.., cause)| *cause != "report_only");
        found
            .map(|(_, id, cause)| format!("{id} {cause}"))
            .collect::<Vec<_>>()
    };
    let books = tied_out(&app, &everything_until_2025()).await;
    assert_eq!(named(&books), [format!("{id} link_missing")]);
    assert_eq!(books.status, BooksStatus::Ok, "{:?}", books.unverified);

    let forget = "UPDATE raw.qb_customers SET payload = payload - 'ParentRef'";
    database.client.batch_execute(forget).await.unwrap();
    let books = tied_out(&app, &everything_until_2025()).await;
    assert_eq!(named(&books), Vec::<String>::new());
    let open = books.parties.iter().filter(|it| it.unexplained != "0.00");
    assert_eq!(open.count(), 2);
    assert_eq!(books.status, BooksStatus::Different);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_tax_is_a_record_where_the_company_has_such_records() {
    let (sandbox, database) = (company(3, 150), Database::create().await);
    let payments = truth(&sandbox, "TaxPayment");
    assert!(payments.len() > 3);
    let id = payments[1].0.clone();
    change(
        &sandbox,
        "plant",
        json!({"kind": "lost", "entity": "TaxPayment", "id": id}),
    );
    let app = synced(&sandbox, &database).await;
    let of_tax = |books: &CompanyBooks| {
        let found = causes(books).into_iter();
        let found = found.filter(|(entity, ..)| ["TaxPayment", "GST Payment"].contains(entity));
        found
            .map(|(entity, id, cause)| format!("{entity} {id} {cause}"))
            .collect::<Vec<_>>()
    };
    let books = tied_out(&app, &everything_until_2025()).await;
    assert_eq!(of_tax(&books), [format!("TaxPayment {id} not_landed")]);
    assert_eq!(books.status, BooksStatus::Ok, "{:?}", books.unverified);
    let in_ledger = "SELECT count(DISTINCT id) FROM books.gl_entries WHERE entity = 'TaxPayment'";
    let posted = database.number(in_ledger).await;
    assert_eq!(posted, payments.len() as i64 - 1);
    database.drop().await;

    // A company of the US has none.
    let database = Database::create().await;
    let absent = json!({"entity": "TaxPayment", "code": "4001"});
    change(&sandbox, "unavailable", absent);
    let app = synced(&sandbox, &database).await;
    // An attempt at such records that has failed is none of them.
    let failed = "INSERT INTO qbo.windows (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id, status)
        SELECT DISTINCT schema_name, realm_id, 'tax_payments', '2025-01-01Z'::timestamptz, '2026-01-01Z'::timestamptz, 'r', 'failed'
        FROM qbo.windows";
    assert_eq!(database.client.execute(failed, &[]).await.unwrap(), 1);
    let books = tied_out(&app, &everything_until_2025()).await;
    let found = of_tax(&books);
    assert_eq!(found.len(), payments.len());
    let is_extra = |it: &String| it.starts_with("GST Payment") && it.ends_with(" report_only");
    assert!(found.iter().all(is_extra), "{found:?}");
    assert_eq!(books.status, BooksStatus::Ok, "{:?}", books.unverified);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_was_given_to_another_customer_is_named() {
    let (sandbox, database) = (company(6, 300), Database::create().await);
    let is_open = |(_, invoice): &(String, Value)| {
        invoice["CurrencyRef"]["value"] == "USD"
            && invoice["Balance"].as_f64() > Some(0.0)
            && invoice["LinkedTxn"].as_array().is_some_and(Vec::is_empty)
            && ["2", "5"].contains(&text(&invoice["CustomerRef"]["value"]))
    };
    let (id, mut invoice) = truth(&sandbox, "Invoice")
        .into_iter()
        .find(is_open)
        .expect("an open invoice");
    let date = day(text(&invoice["TxnDate"]));
    let app = synced(&sandbox, &database).await;
    let other = if invoice["CustomerRef"]["value"] == "2" {
        "5"
    } else {
        "2"
    };
    invoice["CustomerRef"] = json!({ "value": other });
    invoice["MetaData"]["LastUpdatedTime"] = json!(a_minute_ago().replace('Z', "+00:00"));
    change(
        &sandbox,
        "put",
        json!({"entity": "Invoice", "record": invoice}),
    );

    let books = tied_out(&app, &everything_until_2025()).await;
    let expected = ("Invoice", id.as_str(), "changed_since_landing");
    let found = causes(&books).into_iter();
    let found: Vec<_> = found
        .filter(|(.., cause)| *cause != "report_only")
        .collect();
    assert_eq!(found, [expected]);
    assert_eq!(books.parties.len(), 2);
    let mut names = books.parties.iter().map(|it| it.name.as_str());
    assert!(names.all(|name| !name.is_empty()), "{:?}", books.parties);
    assert_eq!(books.status, BooksStatus::Ok, "{:?}", books.unverified);

    // The ledger of a later month does not show it, and the open documents do.
    assert!(date < day("2025-12-01"));
    let books = tied_out(&app, &BooksRequest::new(day("2025-12-31"))).await;
    let expected = ("Invoice", id.as_str(), "unexplained");
    let found = causes(&books).into_iter();
    let found: Vec<_> = found
        .filter(|(.., cause)| *cause != "report_only")
        .collect();
    assert_eq!(found, [expected]);
    assert_eq!(books.status, BooksStatus::Different);
    database.drop().await;
}
