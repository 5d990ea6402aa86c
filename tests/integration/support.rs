//! What the tests share: a sandbox, a database of their own, an app between the two.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use qbo_rs::app::{App, BackfillRequest, SyncRequest};
use qbo_rs::config::Settings;
use qbo_rs::domain::{Chunk, ENTITIES, EntitySpec, PageSize, Report, Window};
use qbo_rs::port::NoProgress;
use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

/// A company whose answers take their time, without limits.
pub(crate) fn slow_sandbox() -> Sandbox {
    let options = SandboxOptions {
        latency: Duration::from_millis(150),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    Sandbox::start(options).unwrap()
}

/// A small company without limits.
pub(crate) fn small_sandbox() -> Sandbox {
    let size = CompanySize {
        customers: 60,
        items: 40,
        invoices: 600,
        others: Some(40),
    };
    Sandbox::start(SandboxOptions {
        size,
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap()
}

/// What tests with files of other users say where they cannot make them.
pub(crate) const NEEDS_ROOT: &str = "only root can give files to others, and this is another user";

/// Tells on the standard error output, which the harness does not capture so, that something was not tested.
pub(crate) fn tell_untested(what: &str, reason: &str) {
    let line = format!("NOT TESTED: {what}: {reason}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
}

/// Settings for a sandbox, without a database and without the process's environment. Tokens go to a
/// state directory of the test's own.
pub(crate) fn settings(sandbox: &Sandbox) -> Settings {
    let mut settings = with_state_directory(&own_directory());
    for (name, value) in sandbox.environment() {
        settings.set(name, &value).unwrap();
    }
    for unlimited in [
        "QBO_REQUESTS_PER_MINUTE",
        "QBO_REQUESTS_PER_SECOND",
        "QBO_THROTTLE_WAIT_S",
    ] {
        settings.set(unlimited, "0").unwrap();
    }
    settings
}

/// Settings in which the user's state directory is below `directory`, and nothing else.
pub(crate) fn with_state_directory(directory: &Path) -> Settings {
    let state = directory.join("state").display().to_string();
    Settings::from_lookup(|name| (name == "XDG_STATE_HOME").then(|| state.clone()))
}

/// Returns a directory of a test's own, below one that the next run of the tests removes.
fn own_directory() -> PathBuf {
    static ALL: OnceLock<PathBuf> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        // Of the target directory: nothing runs at the end of a test process that could remove it.
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state");
        let _ = std::fs::remove_dir_all(&all);
        all
    });
    all.join(uuid::Uuid::new_v4().simple().to_string())
}

/// A database of a test's own, dropped at its end.
pub(crate) struct Database {
    pub url: String,
    pub client: Client,
    server_url: String,
    pub(crate) name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        Self::create_with("").await
    }

    /// Creates a database with options of `CREATE DATABASE`.
    pub(crate) async fn create_with(options: &str) -> Self {
        let server_url = std::env::var("TEST_DATABASE_URL")
            .expect("TEST_DATABASE_URL is not set: run make test-rust");
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        connect(&server_url)
            .await
            .batch_execute(&format!("CREATE DATABASE {name} {options}"))
            .await
            .unwrap();
        let (base, _) = server_url.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}");
        Self {
            client: connect(&url).await,
            url,
            server_url,
            name,
        }
    }

    /// The URL with another user and password, which must be escaped.
    pub(crate) fn url_as(&self, credentials: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let (_, place) = rest.split_once('@').unwrap();
        format!("{scheme}://{credentials}@{place}")
    }

    /// Runs statements in which `{role}` is a new role with the password `x`, and `{database}` this
    /// database. Returns the role.
    pub(crate) async fn with_role(&self, statements: &str) -> String {
        let role = format!("role_{}", uuid::Uuid::new_v4().simple());
        let statements = format!("CREATE ROLE {{role}} LOGIN PASSWORD 'x'; {statements}")
            .replace("{role}", &role)
            .replace("{database}", &self.name);
        self.client.batch_execute(&statements).await.unwrap();
        role
    }

    /// Drops a role with everything that it was granted.
    pub(crate) async fn drop_role(&self, role: &str) {
        let statements = format!("DROP OWNED BY {role}; DROP ROLE {role}");
        self.client.batch_execute(&statements).await.unwrap();
    }

    pub(crate) async fn drop(self) {
        drop(self.client);
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        connect(&self.server_url)
            .await
            .batch_execute(&statement)
            .await
            .unwrap();
    }

    /// Id and payload of every row, by id.
    pub(crate) async fn rows(&self, table: &str) -> Vec<(String, serde_json::Value)> {
        let query = format!("SELECT id, payload FROM {table} ORDER BY id COLLATE \"C\"");
        self.client
            .query(&query, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect()
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// An app between a sandbox and a database.
pub(crate) fn app(sandbox: &Sandbox, database: &Database) -> App {
    let mut settings = settings(sandbox);
    settings.set("DATABASE_URL", &database.url).unwrap();
    App {
        settings,
        progress: Arc::new(NoProgress),
    }
}

pub(crate) fn request(
    entities: &[&str],
    start: &str,
    end: &str,
    chunk: &str,
    page_size: i64,
) -> BackfillRequest {
    let range = Window::parse(start, end).unwrap();
    BackfillRequest::new(entities.iter().copied(), range)
        .chunk(chunk.parse::<Chunk>().unwrap())
        .page_size(PageSize::new(page_size).unwrap())
}

/// Everything that the sample company holds.
pub(crate) fn whole_range(entities: &[&str], chunk: &str, page_size: i64) -> BackfillRequest {
    request(entities, "2024-01-01", "2026-01-01", chunk, page_size)
}

/// What must be in a table: the sandbox's truth, parsed.
pub(crate) fn truth(sandbox: &Sandbox, entity: &str) -> Vec<(String, serde_json::Value)> {
    let truth = sandbox.company().truth(entity, i64::MIN, i64::MAX);
    truth
        .into_iter()
        .map(|(id, payload)| (id, serde_json::from_str(&payload).unwrap()))
        .collect()
}

/// The entities whose records say when they were changed. The tests of the others are in `whole.rs`.
pub(crate) fn with_times() -> impl Iterator<Item = &'static EntitySpec> {
    ENTITIES.iter().filter(|entity| !entity.is_read_whole)
}

/// What must be in a table after syncs: the sandbox's truth, except for records that were not changed
/// within the time that change data capture covers, of entities that cannot be queried.
pub(crate) fn synced_truth(sandbox: &Sandbox, entity: &EntitySpec) -> Vec<(String, Value)> {
    let look_back = (Utc::now() - TimeDelta::days(29)).timestamp();
    let from = if entity.has_query {
        i64::MIN
    } else {
        look_back
    };
    let truth = sandbox.company().truth(entity.qbo_name, from, i64::MAX);
    truth
        .into_iter()
        .map(|(id, payload)| (id, serde_json::from_str(&payload).unwrap()))
        .collect()
}

pub(crate) fn assert_complete(report: &Report) {
    let errors: Vec<_> = report
        .runs
        .iter()
        .flat_map(|run| &run.windows)
        .filter_map(|w| w.error.as_ref())
        .collect();
    assert!(report.is_complete(), "{errors:?}");
}

pub(crate) fn everything(entities: &[&str]) -> SyncRequest {
    SyncRequest::new().entities(entities.iter().copied())
}

pub(crate) fn syncing_app(sandbox: &Sandbox, database: &Database) -> App {
    let mut app = app(sandbox, database);
    app.settings.set("QBO_TOKEN_STORE", "postgres").unwrap();
    app
}

/// A minute ago: long enough for the lag, and within what every sync looks back.
pub(crate) fn a_minute_ago() -> String {
    seconds_ago(60)
}

pub(crate) fn seconds_ago(seconds: i64) -> String {
    (Utc::now() - TimeDelta::seconds(seconds)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

pub(crate) fn change(sandbox: &Sandbox, command: &str, arguments: Value) -> Value {
    serde_json::from_str(&sandbox.control(command, &arguments.to_string()).unwrap()).unwrap()
}

/// Id and payload of the rows that are not deleted.
pub(crate) async fn living(database: &Database, table: &str) -> Vec<(String, Value)> {
    let query = format!(
        "SELECT id, payload FROM {table} WHERE deleted_at_utc IS NULL ORDER BY id COLLATE \"C\""
    );
    database
        .client
        .query(&query, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}

/// Lets what the ledger and the state say of a company have happened earlier.
pub(crate) async fn let_time_pass(database: &Database, realm_id: &str, days: i64) {
    let statement = format!(
        "UPDATE qbo.windows SET read_until_utc = read_until_utc - interval '{days} days' WHERE realm_id = '{realm_id}'; \
         UPDATE qbo.sync_state SET deletions_until_utc = deletions_until_utc - interval '{days} days', \
         reconciled_at_utc = reconciled_at_utc - interval '{days} days' WHERE realm_id = '{realm_id}'"
    );
    database.client.batch_execute(&statement).await.unwrap();
}

/// The time that a test waits for what takes no time of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Looks again and again, for at most `limit`, until a look finds something. Those before say what they lack.
pub(crate) async fn within<T>(
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let end = Instant::now() + limit;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(lack) => assert!(Instant::now() < end, "not within {limit:?}: {lack}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for what leaves no trace in a database, such as a request that has arrived.
pub(crate) async fn until_it_holds(what: &str, mut holds: impl FnMut() -> bool) {
    within(PATIENCE, async || {
        holds().then_some(()).ok_or_else(|| what.to_owned())
    })
    .await;
}

/// Waits until a count is not 0. Each look is one round trip to the server. A table that is not made yet
/// holds nothing.
pub(crate) async fn until(database: &Database, count: &str) {
    let number = async || match database.client.query_one(count, &[]).await {
        Ok(row) => row.get::<_, i64>(0),
        Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE) => 0,
        Err(error) => panic!("{count}: {error}"),
    };
    within(PATIENCE, async || match number().await {
        0 => Err(format!("{count} stays 0")),
        _ => Ok(()),
    })
    .await;
}

/// What Postgres has done in a database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub transactions: i64,
    pub rows_read: i64,
    pub rows_written: i64,
}

/// Returns what Postgres has done in a database for those who have left it: each connection adds its share
/// before it ends. Waits for them.
pub(crate) async fn work(database: &Database) -> Work {
    let server = connect(&std::env::var("TEST_DATABASE_URL").unwrap()).await;
    let name = database.url.rsplit('/').next().unwrap();
    let own = database.number("SELECT pg_backend_pid()::bigint").await;
    // Asked elsewhere, since each look counts where it is asked.
    let others = "SELECT FROM pg_stat_activity WHERE datname = $1 AND pid <> $2::bigint";
    within(PATIENCE, async || {
        let left = server.query(others, &[&name, &own]).await.unwrap();
        left.is_empty()
            .then_some(())
            .ok_or_else(|| format!("{name} is not left"))
    })
    .await;
    let done = "SELECT xact_commit + xact_rollback, tup_returned + tup_fetched,
        tup_inserted + tup_updated + tup_deleted FROM pg_stat_database WHERE datname = $1";
    let row = server.query_one(done, &[&name]).await.unwrap();
    Work {
        transactions: row.get(0),
        rows_read: row.get(1),
        rows_written: row.get(2),
    }
}

impl Work {
    /// Returns the smaller of each two numbers.
    pub(crate) fn min(self, other: Self) -> Self {
        Self {
            transactions: self.transactions.min(other.transactions),
            rows_read: self.rows_read.min(other.rows_read),
            rows_written: self.rows_written.min(other.rows_written),
        }
    }
}

impl std::ops::Sub for Work {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            transactions: self.transactions - before.transactions,
            rows_read: self.rows_read - before.rows_read,
            rows_written: self.rows_written - before.rows_written,
        }
    }
}
