//! The general ledger that is posted from records, against the books that the sandbox keeps.

use std::collections::{BTreeMap, BTreeSet};

use qbo_rs::app::{App, LedgerReport, LedgerRequest, PrepareRequest, StartingValue};
use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::sandbox::Client;
use crate::support::{Database, app, assert_complete, change, living, request, truth};

/// The entities that a ledger needs and queries answer.
const ENTITIES: &[&str] = &[
    "accounts",
    "bill_payments",
    "bills",
    "company_info",
    "credit_card_payments",
    "credit_memos",
    "customers",
    "deposits",
    "employees",
    "estimates",
    "invoices",
    "items",
    "journal_entries",
    "payments",
    "preferences",
    "purchases",
    "refund_receipts",
    "sales_receipts",
    "tax_agencies",
    "tax_codes",
    "tax_payments",
    "tax_rates",
    "transfers",
    "vendor_credits",
    "vendors",
];

/// Cents, by transaction id and account id.
type Sums = BTreeMap<(String, String), i128>;

fn cents(amount: &str) -> i128 {
    let (sign, digits) = match amount.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, amount),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 2, "{amount} has no whole cents");
    let text = format!("{whole}{fraction:0<2}");
    sign * text
        .parse::<i128>()
        .unwrap_or_else(|_| panic!("{amount} is no amount"))
}

fn company(seed: u64) -> Sandbox {
    let sandbox = Sandbox::start(SandboxOptions {
        books: Some(260),
        seed,
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap();
    // So that every account has its whole balance.
    let arguments = json!({"name": "trial-balance-income", "value": "inception"});
    change(&sandbox, "assume", arguments);
    sandbox
}

async fn copied(sandbox: &Sandbox, database: &Database) -> App {
    let app = app(sandbox, database);
    let everything = request(ENTITIES, "2022-01-01", "2027-01-01", "year", 1000);
    assert_complete(&app.backfill(&everything).await.unwrap());
    // Queries do not answer these; a sync reads them one by one.
    let request = PrepareRequest::new(["inventory_adjustments"]);
    app.prepare(&request).await.unwrap();
    for (id, payload) in truth(sandbox, "InventoryAdjustment") {
        let insert = "INSERT INTO raw.qb_inventory_adjustments VALUES ($1, $2, now(), now(), now(), 1, 1, '{}')";
        database
            .client
            .execute(insert, &[&id, &payload])
            .await
            .unwrap();
    }
    app
}

/// The lines of a JournalReport.
struct Journal {
    sums: Sums,
    labels: BTreeMap<String, String>,
    starting: Vec<StartingValue>,
}

impl Journal {
    async fn of(sandbox: &Sandbox) -> Self {
        let path = "reports/JournalReport?start_date=2022-01-01&end_date=2025-12-31";
        let answer = Client::of(sandbox).await.get(path).await;
        let report: Value = answer.json();
        let mut journal = Self {
            sums: Sums::new(),
            labels: BTreeMap::new(),
            starting: Vec::new(),
        };
        let mut date = String::new();
        for row in report["Rows"]["Row"].as_array().unwrap() {
            let cell = |at: usize, key: &str| row["ColData"][at][key].as_str().unwrap_or_default();
            let id = cell(1, "id").to_owned();
            if id.is_empty() {
                continue;
            }
            if cell(0, "value") != "0-00-00" {
                journal
                    .labels
                    .insert(id.clone(), cell(1, "value").to_owned());
                date = cell(0, "value").to_owned();
            }
            let amount = cents(cell(6, "value")) - cents(cell(7, "value"));
            if journal.labels[&id] == "Inventory Starting Value" && amount > 0 {
                journal.starting.push(StartingValue {
                    id: id.clone(),
                    date: date.parse().unwrap(),
                    value: cell(6, "value").to_owned(),
                });
            }
            let account = cell(5, "id").to_owned();
            *journal.sums.entry((id, account)).or_default() += amount;
        }
        journal
    }
}

/// Debits less credits of each account in a trial balance.
async fn trial_balance(sandbox: &Sandbox) -> BTreeMap<String, i128> {
    let path =
        "reports/TrialBalance?start_date=2022-01-01&end_date=2025-12-31&accounting_method=Accrual";
    let report: Value = Client::of(sandbox).await.get(path).await.json();
    let rows = report["Rows"]["Row"].as_array().unwrap().iter();
    let rows = rows.filter_map(|row| row["ColData"].as_array());
    rows.map(|cells| {
        let cell = |at: usize| cells[at]["value"].as_str().unwrap();
        let id = cells[0]["id"].as_str().unwrap().to_owned();
        (id, cents(cell(1)) - cents(cell(2)))
    })
    .collect()
}

async fn post(app: &App, journal: &Journal) -> LedgerReport {
    let request = LedgerRequest::default().starting_values(journal.starting.clone());
    app.post_ledger(&request).await.unwrap()
}

async fn posted_sums(database: &Database) -> Sums {
    let query =
        "SELECT id, account_id, sum(debit - credit)::text FROM books.gl_entries GROUP BY 1, 2";
    let rows = database.client.query(query, &[]).await.unwrap();
    rows.iter()
        .map(|row| ((row.get(0), row.get(1)), cents(row.get(2))))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_account_and_transaction_agrees_with_the_reports() {
    for seed in [1, 2, 3, 4, 7, 9] {
        let (sandbox, database) = (company(seed), Database::create().await);
        let app = copied(&sandbox, &database).await;
        let journal = Journal::of(&sandbox).await;
        let report = post(&app, &journal).await;
        assert!(report.is_complete(), "seed {seed}: {:?}", report.reasons);
        assert!(report.posted.len() > 10, "seed {seed}: {report:?}");

        let ours = posted_sums(&database).await;
        let ids: BTreeSet<&str> = ours.keys().map(|(id, _)| id.as_str()).collect();
        let mut balances: BTreeMap<String, i128> = BTreeMap::new();
        for ((id, account), amount) in &ours {
            let key = (id.clone(), account.clone());
            let theirs = journal.sums.get(&key).copied().unwrap_or_default();
            let label = &journal.labels[id];
            assert_eq!(
                *amount, theirs,
                "seed {seed}: {label} {id}, account {account}"
            );
            *balances.entry(account.clone()).or_default() += amount;
        }
        let mut report_only = BTreeSet::new();
        for ((id, account), amount) in &journal.sums {
            if !ids.contains(id.as_str()) && *amount != 0 {
                report_only.insert(journal.labels[id].as_str());
                *balances.entry(account.clone()).or_default() += amount;
            }
        }
        // Records exist of everything else.
        let unrecorded = [
            "Currency Revaluation",
            "Payroll Check",
            "Payroll Tax Payment",
            "Sales Tax Payment",
        ];
        assert!(
            report_only.iter().all(|label| unrecorded.contains(label)),
            "{report_only:?}"
        );
        let theirs = trial_balance(&sandbox).await;
        let accounts: BTreeSet<&String> = theirs.keys().chain(balances.keys()).collect();
        assert!(accounts.len() > 25);
        for account in accounts {
            let of = |balances: &BTreeMap<String, i128>| {
                balances.get(account).copied().unwrap_or_default()
            };
            assert_eq!(of(&balances), of(&theirs), "seed {seed}, account {account}");
        }
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_follows_what_has_changed_and_lists_what_does_not_balance() {
    let (sandbox, database) = (company(1), Database::create().await);
    let app = copied(&sandbox, &database).await;
    let journal = Journal::of(&sandbox).await;
    let first = post(&app, &journal).await;
    let invoices = living(&database, "raw.qb_invoices").await;
    let whole = |invoice: &&(String, Value)| invoice.1["TotalAmt"].as_f64().unwrap() > 0.0;
    let mut invoices = invoices.iter().filter(whole).map(|(id, _)| id.clone());
    let (deleted, broken) = (invoices.next().unwrap(), invoices.next().unwrap());
    let update = format!(
        "UPDATE raw.qb_invoices SET deleted_at_utc = now() WHERE id = '{deleted}';
         UPDATE raw.qb_invoices SET payload = jsonb_set(payload, '{{TotalAmt}}', '1000000.5') WHERE id = '{broken}'"
    );
    database.client.batch_execute(&update).await.unwrap();
    let second = post(&app, &journal).await;
    assert_eq!((first.unbalanced, second.unbalanced), (0, 1));
    assert_eq!(second.posted["Invoice"], first.posted["Invoice"] - 2);
    let rows = database
        .number("SELECT count(*) FROM books.gl_entries")
        .await;
    assert_eq!(rows, second.entries as i64);
    let gone = format!(
        "SELECT count(*) FROM books.gl_entries WHERE entity = 'Invoice' AND id IN ('{deleted}', '{broken}')"
    );
    assert_eq!(database.number(&gone).await, 0);
    let listed = database
        .client
        .query_one(
            "SELECT entity, id, realm_id, reason FROM books.gl_unbalanced",
            &[],
        )
        .await
        .unwrap();
    let realm_id = sandbox.realm_ids().next().unwrap();
    let texts = [0, 1, 2, 3].map(|at| listed.get::<_, String>(at));
    assert_eq!(texts[..3], ["Invoice", &broken, realm_id]);
    assert!(
        texts[3].contains("differ from its total of 1000000.5"),
        "{}",
        texts[3]
    );
    let unequal = "SELECT count(*) FROM (SELECT FROM books.gl_entries GROUP BY entity, id
        HAVING sum(debit) <> sum(credit)) AS unequal";
    assert_eq!(database.number(unequal).await, 0);
    let foreign = "SELECT count(*) FROM books.gl_entries WHERE currency = 'EUR' AND foreign_debit + foreign_credit > 0";
    assert!(database.number(foreign).await > 0);
    let named =
        "SELECT count(*) FROM books.gl_entries WHERE party_type = 'Customer' AND party_name <> ''";
    assert!(database.number(named).await > 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_others_is_replaced_and_every_column_has_a_comment() {
    let (sandbox, database) = (company(1), Database::create().await);
    let app = app(&sandbox, &database);
    let post = async |request: LedgerRequest| app.post_ledger(&request).await;
    let words = async |request| post(request).await.unwrap_err().to_string();
    let error = words(LedgerRequest::default()).await;
    assert!(error.contains("'raw' holds no accounts"), "{error}");
    let lists = request(
        &["accounts", "preferences"],
        "2022-01-01",
        "2027-01-01",
        "year",
        1000,
    );
    assert_complete(&app.backfill(&lists).await.unwrap());
    let make = "CREATE SCHEMA books; CREATE TABLE books.gl_unbalanced (mine int); INSERT INTO books.gl_unbalanced VALUES (7)";
    database.client.batch_execute(make).await.unwrap();
    let error = words(LedgerRequest::default()).await;
    assert!(
        error.contains("books.gl_unbalanced") && error.contains("this command has not made"),
        "{error}"
    );
    assert_eq!(
        database
            .number("SELECT count(*) FROM books.gl_unbalanced WHERE mine = 7")
            .await,
        1
    );
    let made = "SELECT count(*) FROM pg_class WHERE relname = 'gl_entries'";
    assert_eq!(database.number(made).await, 0);

    let elsewhere = LedgerRequest::default().into("ledger");
    let report = post(elsewhere.clone()).await.unwrap();
    assert!(report.missing.contains(&"invoices"), "{report:?}");
    assert!(!report.is_complete() && report.unbalanced == 0);
    let silent =
        "SELECT count(*) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'ledger'::regnamespace AND c.relkind = 'r'
            AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)";
    assert_eq!(database.number(silent).await, 0);
    // A second company does not mix with the first, and a changed table is left alone.
    database
        .client
        .batch_execute(
            "CREATE SCHEMA other; CREATE TABLE other.qb_accounts AS TABLE raw.qb_accounts",
        )
        .await
        .unwrap();
    let error = words(elsewhere.clone().schema("other")).await;
    assert!(error.contains("the ledger of another schema"), "{error}");
    database
        .client
        .batch_execute("ALTER TABLE ledger.gl_entries DROP COLUMN memo")
        .await
        .unwrap();
    let error = words(elsewhere.clone()).await;
    assert!(error.contains("lacks columns"), "{error}");
    for (request, name) in [
        (elsewhere.clone().into("pg_x"), "into"),
        (elsewhere.schema(""), "schema"),
    ] {
        let error = words(request).await;
        assert!(error.starts_with(name), "{error}");
    }
    database.drop().await;
}

/// Numbers that follow from a seed.
struct Random(u64);

impl Random {
    /// Returns a number below another one.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Ways in which a sync, or somebody's hand, may change what is posted. `{table}` is a table of transactions, `{id}`
/// one of its records.
const CHANGES: [&str; 9] = [
    "UPDATE {table} SET deleted_at_utc = now() WHERE id = '{id}'",
    "UPDATE {table} SET deleted_at_utc = NULL",
    "DELETE FROM {table} WHERE id = '{id}'",
    "UPDATE {table} SET payload = jsonb_set(payload, '{TxnDate}', '\"2024-02-29\"') WHERE id = '{id}'",
    "UPDATE {table} SET payload = jsonb_set(payload, '{TotalAmt}', '7.77') WHERE id = '{id}'",
    // Voided: the notes of QuickBooks begin so.
    "UPDATE {table} SET payload = payload || '{\"TotalAmt\": 0, \"PrivateNote\": \"Voided\"}' WHERE id = '{id}'",
    "UPDATE {table} SET payload = payload || '{\"PrivateNote\": \"a\\tb\\\\c\\nd\\u000be\\u0008f\\u000cg\\rh\"}' WHERE id = '{id}'",
    "UPDATE raw.qb_accounts SET payload = jsonb_set(payload, '{FullyQualifiedName}', to_jsonb('Renamed ' || id)) \
     WHERE id = (SELECT id FROM raw.qb_accounts ORDER BY md5(id || '{id}') LIMIT 1)",
    // Not of a record: the ledger itself.
    "UPDATE books.gl_entries SET debit = debit + 1 WHERE id = '{id}'",
];

/// Everything in a ledger but the time of posting.
fn content(schema: &str) -> String {
    format!("SELECT (to_jsonb(e) - 'posted_at')::text AS row FROM {schema}.gl_entries e")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_after_many_changes_is_what_a_new_ledger_has_and_equal_transactions_are_not_written()
 {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos() as u64;
    let seed = std::env::var("SEED").map_or(now, |text| text.parse().unwrap());
    println!("SEED={seed} repeats this test");
    let mut random = Random(seed);
    let (sandbox, database) = (
        company(1 + random.below(50) as u64),
        Database::create().await,
    );
    let app = copied(&sandbox, &database).await;
    let journal = Journal::of(&sandbox).await;
    post(&app, &journal).await;
    let tables = [
        "invoices",
        "bills",
        "payments",
        "journal_entries",
        "purchases",
        "sales_receipts",
    ];
    for round in 0..6 {
        let keep = "DROP TABLE IF EXISTS before; CREATE TABLE before AS
            SELECT entity, id, line, xmin::text AS version, (to_jsonb(e) - 'posted_at')::text AS row FROM books.gl_entries e";
        database.client.batch_execute(keep).await.unwrap();
        let mut changed = Vec::new();
        for _ in 0..1 + random.below(4) {
            let table = format!("raw.qb_{}", tables[random.below(tables.len())]);
            let ids = living(&database, &table).await;
            if ids.is_empty() {
                continue;
            }
            let (id, change) = (
                &ids[random.below(ids.len())].0,
                CHANGES[random.below(CHANGES.len())],
            );
            let statement = change.replace("{table}", &table).replace("{id}", id);
            database.client.batch_execute(&statement).await.unwrap();
            changed.push(statement);
        }
        let what = format!("SEED={seed}, round {round}: {changed:#?}");
        post(&app, &journal).await;
        database
            .client
            .batch_execute("DROP SCHEMA IF EXISTS fresh CASCADE")
            .await
            .unwrap();
        let fresh = LedgerRequest::default()
            .starting_values(journal.starting.clone())
            .into("fresh");
        app.post_ledger(&fresh).await.unwrap();
        for (one, other) in [("books", "fresh"), ("fresh", "books")] {
            let extra = format!(
                "SELECT count(*) FROM ({} EXCEPT ALL {}) AS extra",
                content(one),
                content(other)
            );
            assert_eq!(database.number(&extra).await, 0, "more in {one}: {what}");
        }
        // Rows of transactions that have not changed were not touched.
        let touched = "
            WITH after AS (SELECT entity, id, line, xmin::text AS version, (to_jsonb(e) - 'posted_at')::text AS row
                           FROM books.gl_entries e),
                 rows AS (SELECT coalesce(b.entity, a.entity) AS entity, coalesce(b.id, a.id) AS id,
                                 b.row IS NOT DISTINCT FROM a.row AS is_equal, b.version = a.version AS is_kept
                          FROM before b FULL JOIN after a USING (entity, id, line))
            SELECT count(*) FROM (SELECT FROM rows GROUP BY entity, id HAVING bool_and(is_equal) AND NOT bool_and(is_kept)) AS touched";
        let by_hand = changed
            .iter()
            .filter(|it| it.contains("books.gl_entries"))
            .count();
        let touched = database.number(touched).await;
        assert!(
            touched <= by_hand as i64,
            "{touched} transactions were written again: {what}"
        );
    }
    database.drop().await;
}
