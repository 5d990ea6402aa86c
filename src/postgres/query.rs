//! Typed queries over a pool of connections.
//!
//! Every statement is sent unnamed, together with the types of its parameters, so nothing is
//! prepared on the server. Statements therefore also work behind a pooler that lends connections
//! for single transactions. `sqlx` would bring a second driver; all that is needed of it is here.

use std::fmt::Debug;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::{Object, Pool};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_postgres::row::RowIndex;
use tokio_postgres::types::{FromSql, Json, ToSql, Type};
use tokio_postgres::{GenericClient, Row};

use super::cleaned::{borrowed, cleaned};
use super::connect::{lazy_pool, open_pool, take};
use super::database_error;
use crate::config::PostgresConfig;
use crate::domain::{EntitySyncStatus, Held, JobStatus, LedgerRunStatus, LedgerWindowStatus};
use crate::error::{Error, Result, chain};

/// A parameter with its Postgres type; made by [`params!`].
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// A Rust type with one Postgres type.
pub(crate) trait Bind: ToSql + Sync {
    /// The Postgres type that values are sent as.
    const TYPE: Type;
}

/// A type that arrays can be made of.
pub(crate) trait BindElement: Bind {
    /// The type of such an array.
    const ARRAY: Type;
}

/// Returns a parameter with the type that its Rust type stands for.
pub(crate) fn bind<T: Bind>(value: &T) -> Param<'_> {
    (value, T::TYPE)
}

/// Makes a list of parameters for `$1`, `$2` and so on.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::postgres::bind(&$value)),*]
    };
}
pub(crate) use params;

macro_rules! bind_as {
    ($($rust:ty => $sql:ident, $array:ident;)+) => {
        $(
            impl Bind for $rust {
                const TYPE: Type = Type::$sql;
            }
            impl BindElement for $rust {
                const ARRAY: Type = Type::$array;
            }
        )+
    };
}

bind_as! {
    &str => TEXT, TEXT_ARRAY;
    String => TEXT, TEXT_ARRAY;
    bool => BOOL, BOOL_ARRAY;
    i32 => INT4, INT4_ARRAY;
    i64 => INT8, INT8_ARRAY;
    f64 => FLOAT8, FLOAT8_ARRAY;
    DateTime<Utc> => TIMESTAMPTZ, TIMESTAMPTZ_ARRAY;
    NaiveDate => DATE, DATE_ARRAY;
}

impl<T: Serialize + Debug + Sync> Bind for Json<T> {
    const TYPE: Type = Type::JSONB;
}

impl<T: Serialize + Debug + Sync> BindElement for Json<T> {
    const ARRAY: Type = Type::JSONB_ARRAY;
}

impl<T: Bind> Bind for Option<T> {
    const TYPE: Type = T::TYPE;
}

impl<T: BindElement> BindElement for Option<T> {
    const ARRAY: Type = T::ARRAY;
}

impl<T: Bind> Bind for &T {
    const TYPE: Type = T::TYPE;
}

impl<T: BindElement> Bind for &[T] {
    const TYPE: Type = T::ARRAY;
}

impl<T: BindElement> Bind for Vec<T> {
    const TYPE: Type = T::ARRAY;
}

/// Stores statuses as their texts.
macro_rules! stored_as_text {
    ($($status:ty),+) => {
        $(
            impl ToSql for $status {
                fn to_sql(
                    &self,
                    kind: &Type,
                    out: &mut bytes::BytesMut,
                ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>>
                {
                    self.as_str().to_sql(kind, out)
                }

                tokio_postgres::types::accepts!(TEXT);
                tokio_postgres::types::to_sql_checked!();
            }

            impl<'a> FromSql<'a> for $status {
                fn from_sql(
                    kind: &Type,
                    raw: &'a [u8],
                ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
                    Ok(<&str>::from_sql(kind, raw)?.parse::<Self>()?)
                }

                tokio_postgres::types::accepts!(TEXT);
            }

            impl Bind for $status {
                const TYPE: Type = Type::TEXT;
            }
        )+
    };
}

stored_as_text!(
    JobStatus,
    EntitySyncStatus,
    LedgerRunStatus,
    LedgerWindowStatus
);

/// Typed queries on a connection or in a transaction. Texts among the parameters are stored without
/// the character U+0000.
pub(crate) trait Query {
    /// Returns the rows of a statement.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn rows(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<Vec<Row>>> + Send;

    /// Runs a statement; returns how many rows it changed.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn change(&self, sql: &str, params: &[Param<'_>]) -> impl Future<Output = Result<u64>> + Send;

    /// Runs statements without parameters, separated by semicolons.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn batch(&self, sql: &str) -> impl Future<Output = Result<()>> + Send;
}

impl<C: GenericClient + Sync> Query for C {
    async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        let params = cleaned(params);
        self.query_typed(sql, &borrowed(&params))
            .await
            .map_err(database_error)
    }

    async fn change(&self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        let params = cleaned(params);
        GenericClient::execute_typed(self, sql, &borrowed(&params))
            .await
            .map_err(database_error)
    }

    async fn batch(&self, sql: &str) -> Result<()> {
        self.batch_execute(sql).await.map_err(database_error)
    }
}

/// A function or operator in a schema of the path, made by anybody who may create there, would be
/// called in place of the system's if its parameters fit better (PostgreSQL documentation,
/// 5.10.6). So nothing is looked up but what the system has.
macro_rules! search_path {
    () => {
        "SET LOCAL search_path = pg_catalog, pg_temp"
    };
}

/// The forms in which literals are read and values are written as text: those of a new server.
macro_rules! forms_of_text {
    () => {
        "SET LOCAL standard_conforming_strings = on; SET LOCAL quote_all_identifiers = off; \
         SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = postgres; \
         SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = hex"
    };
}

/// The path of names, for statements that people run themselves.
pub(crate) const SEARCH_PATH: &str = search_path!();

/// Begins the first statements of every transaction: its statements mean the same whatever is set for the role, the
/// database or the server. Who waits for a lock sees what was committed meanwhile, which another isolation would
/// hide. Set for the transaction only, so that nothing stays behind in a pooler that lends connections for single
/// transactions.
pub(crate) const PIN_SETTINGS: &str = concat!(
    "SET LOCAL transaction_isolation = 'read committed'; ",
    search_path!(),
    "; ",
    forms_of_text!()
);

/// Begins the first statements of a transaction that sees the database as of one instant.
pub(crate) const PIN_SETTINGS_OF_SNAPSHOT: &str = concat!(search_path!(), "; ", forms_of_text!());

/// Ends a transaction that has waited for its next statement for half a minute, because its process
/// is stopped (a suspended machine, a paused container). It would hold its locks, and hold up every
/// other process, for as long as it sleeps. It does not end a COPY, in which the server waits for data:
/// a window that is being copied has locked only its own staging table. Within the transaction, so that
/// nothing stays behind in a pooler.
pub(crate) const END_WHEN_IDLE: &str = "SET LOCAL idle_in_transaction_session_timeout = '30s'";

static BEGIN: LazyLock<String> =
    LazyLock::new(|| format!("BEGIN; {PIN_SETTINGS}; {END_WHEN_IDLE}"));

/// An open transaction. It closes its connection if it is dropped before it is over, so that the
/// connection does not return to the pool in the middle of it.
pub(crate) struct OpenTransaction(Option<Object>);

impl OpenTransaction {
    pub(crate) fn new(connection: Object) -> Self {
        Self(Some(connection))
    }

    pub(crate) fn connection(&self) -> Result<&Object> {
        let gone = || Error::Internal("the transaction is over".to_owned());
        self.0.as_ref().ok_or_else(gone)
    }

    /// Returns the connection to the pool: the transaction is over.
    pub(crate) fn end(mut self) {
        drop(self.0.take());
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

/// A row whose columns are read without a panic.
pub(crate) trait Columns {
    /// Returns a column by its name or position.
    ///
    /// # Errors
    /// [`Error::Decode`] if there is no such column, or its value has another type or is none that we can hold, as a time
    /// that is infinite.
    fn column<'r, T: FromSql<'r>>(&'r self, column: impl RowIndex + std::fmt::Display)
    -> Result<T>;

    /// Returns a count.
    ///
    /// # Errors
    /// As for [`Columns::column`].
    fn count(&self, column: impl RowIndex + std::fmt::Display) -> Result<u64> {
        self.column::<i64>(column).map(i64::unsigned_abs)
    }
}

impl Columns for Row {
    fn column<'r, T: FromSql<'r>>(
        &'r self,
        column: impl RowIndex + std::fmt::Display,
    ) -> Result<T> {
        self.try_get(&column).map_err(|e| {
            let (position, columns) = (column.to_string(), self.columns());
            let known = position.parse().ok().and_then(|at: usize| columns.get(at));
            let name = known.map_or(&*position, |column| column.name());
            let reason = format!(
                "the column {name} holds a value that cannot be read; correct it in its table, where a time must not be \
                 infinite: {}",
                chain(&e)
            );
            Error::decode("Postgres", reason)
        })
    }
}

/// Returns whether there is such a table.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn table_exists(
    client: &(impl GenericClient + Sync),
    schema: &str,
    table: &str,
) -> Result<bool> {
    let find = "
        SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2";
    let rows = client.rows(find, params![schema, table]).await?;
    Ok(!rows.is_empty())
}

/// The time that a beat may take. The next one comes soon.
const BEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of a beat: a commit that locks the row of a turn is nearly over, and a beat is not worth a
/// write to disk of its own.
const BEGIN_BEAT: &str = "SET LOCAL lock_timeout = '1s'; SET LOCAL synchronous_commit = off";

/// A database: a handle of its connections, cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pool: Pool,
    /// One connection for beats, opened at the first. A beat that waited for the connections of windows would
    /// be late, and what goes on would count as dead.
    beats: Pool,
    /// The right to write a window, which has a connection from its first record to its commit.
    windows: Arc<Semaphore>,
}

impl Db {
    /// Connects, with up to `connections` at a time, all of which windows may have. Beats have one more.
    ///
    /// # Errors
    /// [`Error::Config`] if the settings are unusable or the database cannot be reached with them.
    pub async fn open(config: &PostgresConfig, connections: usize) -> Result<Self> {
        Ok(Self {
            pool: open_pool(config, connections).await?,
            beats: lazy_pool(config, 1)?,
            windows: Arc::new(Semaphore::new(connections)),
        })
    }

    /// Leaves connections to others than windows: only so many windows are written at a time.
    #[must_use]
    pub(crate) fn with_windows(self, windows: usize) -> Self {
        Self {
            windows: Arc::new(Semaphore::new(windows)),
            ..self
        }
    }

    /// Waits until one more window may be written. Who has this right finds a connection, whatever other windows
    /// wait for.
    pub(crate) async fn admit_window(&self) -> Held {
        // The semaphore is never closed.
        let right = self.windows.clone().acquire_owned().await;
        right.map_or_else(|_| Held::default(), Held::new)
    }

    /// Takes a connection, waiting for one to be free.
    pub(crate) async fn connection(&self) -> Result<Object> {
        take(&self.pool).await
    }

    /// Runs a statement that says that something is alive, and that waits for no window. If the server has no
    /// connection left for it, it takes one of the others. One that fails does no harm: the next one comes.
    pub(crate) async fn beat(&self, sql: &str, params: &[Param<'_>]) {
        for pool in [&self.beats, &self.pool] {
            let run = async |connection: &Object| {
                connection.batch(BEGIN_BEAT).await?;
                connection.change(sql, params).await
            };
            let beat = async { in_transaction(take(pool).await?, run).await };
            if matches!(tokio::time::timeout(BEAT_TIMEOUT, beat).await, Ok(Ok(_))) {
                return;
            }
        }
    }

    /// Returns the rows of a statement.
    pub(crate) async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        self.alone(async |connection| connection.rows(sql, params).await)
            .await
    }

    /// Returns the first row of a statement, if it has one.
    pub(crate) async fn optional(&self, sql: &str, params: &[Param<'_>]) -> Result<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Returns the first row of a statement that always has one.
    pub(crate) async fn one(&self, sql: &str, params: &[Param<'_>]) -> Result<Row> {
        let row = self.optional(sql, params).await?;
        row.ok_or_else(|| Error::Internal("a query returned no row".to_owned()))
    }

    /// Runs a statement; returns how many rows it changed.
    pub(crate) async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        self.alone(async |connection| connection.change(sql, params).await)
            .await
    }

    /// Returns whether there is such a table.
    pub(crate) async fn has_table(&self, schema: &str, table: &str) -> Result<bool> {
        self.alone(async |connection| table_exists(&***connection, schema, table).await)
            .await
    }

    /// Runs one statement, or a few, in a transaction of their own. Its beginning is sent together with
    /// the first. On a bare connection the names of a statement would be looked up in the path of the role.
    pub(crate) async fn alone<T>(&self, run: impl AsyncFnOnce(&Object) -> Result<T>) -> Result<T> {
        in_transaction(self.connection().await?, run).await
    }
}

/// Runs statements in a transaction on a connection.
async fn in_transaction<T>(
    connection: Object,
    run: impl AsyncFnOnce(&Object) -> Result<T>,
) -> Result<T> {
    let open = OpenTransaction::new(connection);
    let connection = open.connection()?;
    let (begun, outcome) = tokio::join!(connection.batch(&BEGIN), run(connection));
    let end = match begun.is_ok() && outcome.is_ok() {
        true => connection.batch("COMMIT").await,
        false => connection.batch("ROLLBACK").await,
    };
    if end.is_ok() {
        open.end();
    }
    begun?;
    let outcome = outcome?;
    end.map(|()| outcome)
}
