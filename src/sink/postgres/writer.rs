//! One window's transaction.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Pool};
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;
use tokio_postgres::types::{Json, ToSql, Type};

use super::{copy_format, storable};
use crate::config::TransactionLimits;
use crate::domain::DistinctIds;
use crate::domain::{LoadCounts, Page, Reject};
use crate::error::{Error, Result};
use crate::port::{CommitSummary, ReadSummary, WindowContext, WindowWriter};
use crate::postgres::{database_error, quote_identifier, take};

/// Streams a window's pages into a staging table, then merges them, writes the ledger row and
/// commits.
#[derive(Debug)]
pub struct PostgresWriter {
    pool: Pool,
    schema: String,
    context: WindowContext,
    transaction: Option<Transaction>,
    distinct: DistinctIds,
    pages: PageColumns,
    rejects: RejectColumns,
    next_seq: i32,
    limits: TransactionLimits,
    busy: Duration,
}

/// What was set aside, as arrays for `unnest`.
#[derive(Debug, Default)]
struct RejectColumns {
    ids: Vec<Option<String>>,
    changed_at: Vec<DateTime<Utc>>,
    errors: Vec<String>,
    tids: Vec<Option<String>>,
    payloads: Vec<Option<String>>,
    requests: Vec<String>,
}

impl RejectColumns {
    fn push(&mut self, reject: Reject, request: &str) {
        self.ids.push(reject.id);
        self.changed_at.push(reject.at);
        self.errors.push(reject.error);
        self.tids.push(reject.intuit_tid);
        // Text cannot hold the character itself either; what was received as JSON has it escaped.
        self.payloads
            .push(reject.payload.map(|text| text.replace('\0', "\u{fffd}")));
        self.requests.push(request.to_owned());
    }

    fn count(&self) -> u64 {
        self.errors.len() as u64
    }
}

/// What the rows of a page have in common, as arrays for `unnest`.
#[derive(Debug, Default)]
struct PageColumns {
    numbers: Vec<i32>,
    sizes: Vec<i32>,
    ingested_at: Vec<DateTime<Utc>>,
    requests: Vec<Json<serde_json::Value>>,
}

impl PageColumns {
    /// A page that comes in parts is one.
    fn push(&mut self, page: &Page) -> Result<()> {
        if self.numbers.last() == Some(&(page.number as i32)) {
            return Ok(());
        }
        let request =
            serde_json::from_str(&page.request).map_err(|e| Error::decode("request payload", e))?;
        self.numbers.push(page.number as i32);
        self.sizes.push(page.size as i32);
        self.ingested_at.push(page.ingested_at);
        self.requests.push(Json(request));
        Ok(())
    }
}

impl PostgresWriter {
    pub(super) fn new(
        pool: Pool,
        schema: String,
        limits: TransactionLimits,
        context: WindowContext,
    ) -> Self {
        Self {
            pool,
            schema,
            context,
            transaction: None,
            distinct: DistinctIds::default(),
            pages: PageColumns::default(),
            rejects: RejectColumns::default(),
            next_seq: 0,
            limits,
            busy: Duration::ZERO,
        }
    }

    async fn merge(&self, transaction: &Transaction) -> Result<LoadCounts> {
        if self.distinct.has_repeats() {
            transaction.execute(KEEP_NEWEST_VERSION).await?;
        }
        let window = self.context.window;
        let table = format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&self.context.entity.table())
        );
        let row = transaction
            .query_one(
                &MERGE.replace("{table}", &table),
                &[
                    (&self.pages.numbers, Type::INT4_ARRAY),
                    (&self.pages.sizes, Type::INT4_ARRAY),
                    (&self.pages.ingested_at, Type::TIMESTAMPTZ_ARRAY),
                    (&self.pages.requests, Type::JSONB_ARRAY),
                    (&window.start, Type::TIMESTAMPTZ),
                    (&window.end, Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        let (inserted, updated) = (
            row.get::<_, i64>(0).unsigned_abs(),
            row.get::<_, i64>(1).unsigned_abs(),
        );
        let rows = self.distinct.count();
        let unchanged = rows.checked_sub(inserted + updated).ok_or_else(|| {
            Error::Internal(format!(
                "{rows} rows were merged as {inserted} inserted and {updated} updated"
            ))
        })?;
        Ok(LoadCounts {
            rows,
            inserted,
            updated,
            unchanged,
            rejected: 0,
        })
    }

    async fn write_ledger(
        &self,
        transaction: &Transaction,
        summary: ReadSummary,
        counts: LoadCounts,
    ) -> Result<()> {
        let WindowContext {
            realm_id,
            entity,
            window,
            run_id,
        } = &self.context;
        let number = |count: u64| count as i64;
        let written = transaction
            .query(
                WRITE_LEDGER,
                &[
                    (&self.schema, Type::TEXT),
                    (realm_id, Type::TEXT),
                    (&entity.name, Type::TEXT),
                    (&window.start, Type::TIMESTAMPTZ),
                    (&window.end, Type::TIMESTAMPTZ),
                    (run_id, Type::TEXT),
                    (&summary.read_until, Type::TIMESTAMPTZ),
                    (&(summary.pages as i32), Type::INT4),
                    (&number(counts.rows), Type::INT8),
                    (&number(counts.inserted), Type::INT8),
                    (&number(counts.updated), Type::INT8),
                    (&number(counts.unchanged), Type::INT8),
                    (&number(counts.rejected), Type::INT8),
                    (&number(summary.requests), Type::INT8),
                    (&number(summary.retries), Type::INT8),
                    (&number(summary.bytes), Type::INT8),
                    (&number(summary.extract_ms), Type::INT8),
                    (&(self.busy.as_millis() as i64), Type::INT8),
                    (&self.rejects.ids, Type::TEXT_ARRAY),
                    (&self.rejects.changed_at, Type::TIMESTAMPTZ_ARRAY),
                    (&self.rejects.errors, Type::TEXT_ARRAY),
                    (&self.rejects.tids, Type::TEXT_ARRAY),
                    (&self.rejects.payloads, Type::TEXT_ARRAY),
                    (&self.rejects.requests, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        match written.is_empty() {
            true => Err(Error::config(
                "schema",
                format!("'{}' was given to another company meanwhile", self.schema),
            )),
            false => Ok(()),
        }
    }
}

impl WindowWriter for PostgresWriter {
    async fn write(&mut self, page: Page) -> Result<()> {
        let begin = Instant::now();
        let stored = self.store(page).await;
        self.busy += begin.elapsed();
        stored
    }

    async fn commit(mut self, summary: ReadSummary) -> Result<CommitSummary> {
        let begin = Instant::now();
        let mut counts;
        let mut transaction;
        match self.transaction.take() {
            Some(open) => {
                transaction = open;
                transaction.finish_copy().await?;
                counts = self.merge(&transaction).await?;
            }
            None => {
                // One statement is a transaction of its own: there can be thousands of empty
                // windows.
                transaction = Transaction::single_statement(&self.pool).await?;
                counts = LoadCounts::default();
            }
        }
        counts.rejected = self.rejects.count();
        counts.rows += counts.rejected;
        self.busy += begin.elapsed();
        self.write_ledger(&transaction, summary, counts).await?;
        transaction.commit().await?;
        Ok(CommitSummary { counts, path: None })
    }
}

impl PostgresWriter {
    async fn store(&mut self, mut page: Page) -> Result<()> {
        for reject in std::mem::take(&mut page.rejects) {
            self.rejects.push(reject, &page.request);
        }
        page.records.retain(|record| {
            match storable::refusal(&record.id, record.payload.as_bytes()) {
                Some(reason) => {
                    self.rejects
                        .push(Reject::unstorable(record, reason), &page.request);
                    false
                }
                None => true,
            }
        });
        if page.records.is_empty() {
            return Ok(());
        }
        self.distinct.add(&page);
        self.pages.push(&page)?;
        let rows = copy_format::encode(&page, self.next_seq);
        self.next_seq += page.records.len() as i32;
        let transaction = match &mut self.transaction {
            Some(transaction) => transaction,
            none => none.insert(Transaction::begin(&self.pool, self.limits).await?),
        };
        transaction.copy(rows).await
    }
}

/// A transaction that owns its connection, so that a writer can be moved between tasks. Dropped
/// before [`commit`](Self::commit), it closes the connection, and the server rolls back.
struct Transaction {
    connection: Option<Object>,
    copy: Option<Pin<Box<CopyInSink<Bytes>>>>,
    is_open: bool,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction")
            .field("copying", &self.copy.is_some())
            .finish_non_exhaustive()
    }
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl Transaction {
    async fn begin(pool: &Pool, limits: TransactionLimits) -> Result<Self> {
        let mut transaction = Self {
            connection: Some(take(pool).await?),
            copy: None,
            is_open: true,
        };
        // Within the transaction, so that nothing stays behind at a pooler that lends connections
        // by transactions.
        let TransactionLimits {
            lock_timeout,
            statement_timeout,
        } = limits;
        let (lock, statement) = (lock_timeout.as_millis(), statement_timeout.as_millis());
        let set =
            format!("SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {statement}");
        transaction
            .execute(&format!("BEGIN; {set}; {}", copy_format::CREATE_STAGING))
            .await?;
        let sink = transaction
            .connection()?
            .copy_in(copy_format::COPY_STAGING)
            .await
            .map_err(database_error)?;
        transaction.copy = Some(Box::pin(sink));
        transaction.copy(copy_format::header()).await?;
        Ok(transaction)
    }

    /// For one statement, which commits by itself.
    async fn single_statement(pool: &Pool) -> Result<Self> {
        Ok(Self {
            connection: Some(take(pool).await?),
            copy: None,
            is_open: false,
        })
    }

    async fn copy(&mut self, data: Bytes) -> Result<()> {
        match &mut self.copy {
            Some(sink) => sink.send(data).await.map_err(database_error),
            None => Err(Error::Internal("COPY is not open".into())),
        }
    }

    async fn finish_copy(&mut self) -> Result<()> {
        self.copy(copy_format::trailer()).await?;
        match self.copy.take() {
            Some(mut sink) => sink
                .as_mut()
                .finish()
                .await
                .map(|_| ())
                .map_err(database_error),
            None => Ok(()),
        }
    }

    async fn execute(&self, statement: &str) -> Result<()> {
        self.connection()?
            .batch_execute(statement)
            .await
            .map_err(database_error)
    }

    async fn query(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<tokio_postgres::Row>> {
        self.connection()?
            .query_typed(statement, parameters)
            .await
            .map_err(database_error)
    }

    async fn query_one(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<tokio_postgres::Row> {
        let mut rows = self.query(statement, parameters).await?;
        rows.pop()
            .ok_or_else(|| Error::Internal("a query that must answer did not".into()))
    }

    async fn commit(mut self) -> Result<()> {
        if self.is_open {
            self.execute("COMMIT").await?;
        }
        // Only now may the connection go back to the pool.
        drop(self.connection.take());
        Ok(())
    }

    fn connection(&self) -> Result<&Object> {
        self.connection
            .as_ref()
            .ok_or_else(|| Error::Internal("the transaction is over".into()))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

/// Of a record that was edited during the read, only the newest version is merged.
const KEEP_NEWEST_VERSION: &str = "DELETE FROM qbo_staging older USING qbo_staging newer WHERE older.id = newer.id \
     AND (older.updated_at, older.sync_token, older.seq) < (newer.updated_at, newer.sync_token, newer.seq)";

/// A row is replaced only by one that differs and is not older (qbo-facts 3.5). The time of what is
/// there is read from its payload, guarded, since a table may hold what others have put in. Rows
/// that are there already are left out before they are inserted: a conflict would lock each of
/// them, which is written to disk like a change. They are looked up one by one: a join would put
/// whole payloads into its hash table, and that onto disk. What was received after its deletion
/// lives.
const MERGE: &str = "
WITH pages AS (
    SELECT * FROM unnest($1::int[], $2::int[], $3::timestamptz[], $4::jsonb[])
        AS page(page_number, page_size, ingested_at, request)
), merged AS (
    INSERT INTO {table} AS known (id, payload, ingested_at_utc, extract_window_start_utc, extract_window_end_utc,
        page_number, page_size, request_payload)
    SELECT staged.id, staged.payload, page.ingested_at, $5, $6, page.page_number, page.page_size, page.request
    FROM qbo_staging staged JOIN pages page USING (page_number)
    WHERE (SELECT there.payload = staged.payload
        AND coalesce(there.deleted_at_utc >= page.ingested_at, true) FROM {table} there WHERE there.id = staged.id) IS NOT TRUE
    ON CONFLICT (id) DO UPDATE SET
        payload = EXCLUDED.payload, ingested_at_utc = EXCLUDED.ingested_at_utc,
        extract_window_start_utc = EXCLUDED.extract_window_start_utc,
        extract_window_end_utc = EXCLUDED.extract_window_end_utc, page_number = EXCLUDED.page_number,
        page_size = EXCLUDED.page_size, request_payload = EXCLUDED.request_payload,
        deleted_at_utc = CASE WHEN known.deleted_at_utc >= EXCLUDED.ingested_at_utc THEN known.deleted_at_utc END
    WHERE (known.payload IS DISTINCT FROM EXCLUDED.payload OR known.deleted_at_utc < EXCLUDED.ingested_at_utc)
      AND CASE
        WHEN known.payload #>> '{MetaData,LastUpdatedTime}' !~ '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d' THEN true
        ELSE coalesce((known.payload #>> '{MetaData,LastUpdatedTime}')::timestamptz
                 < (EXCLUDED.payload #>> '{MetaData,LastUpdatedTime}')::timestamptz
             OR (known.payload #>> '{MetaData,LastUpdatedTime}')::timestamptz
                 = (EXCLUDED.payload #>> '{MetaData,LastUpdatedTime}')::timestamptz
             AND coalesce(substring(known.payload ->> 'SyncToken' from '^\\d{1,18}$')::bigint, 0)
                 <= coalesce(substring(EXCLUDED.payload ->> 'SyncToken' from '^\\d{1,18}$')::bigint, 0), true)
      END
    RETURNING (known.xmax = 0) AS is_new
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM merged";

/// The ledger row, and the window's rejects in place of earlier ones: one statement, so that an
/// empty window costs one. None is written where the schema has become another company's meanwhile.
const WRITE_LEDGER: &str = "
WITH gone AS (
    DELETE FROM qbo.rejects WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
        AND changed_at_utc >= $4 AND changed_at_utc < $5
), rejected AS (
    INSERT INTO qbo.rejects (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id, id,
        changed_at_utc, error, intuit_tid, payload, request_payload)
    SELECT $1, $2, $3, $4, $5, $6, reject.id, reject.changed_at, reject.error, reject.tid, reject.payload,
        reject.request::jsonb
    FROM unnest($19::text[], $20::timestamptz[], $21::text[], $22::text[], $23::text[], $24::text[])
        AS reject(id, changed_at, error, tid, payload, request)
)
INSERT INTO qbo.windows (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id, read_until_utc, pages,
    rows, inserted, updated, unchanged, rejected, requests, retries, bytes, extract_ms, load_ms, status, committed_at_utc)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 'done', now()
FROM qbo.schema_realms WHERE schema_name = $1 AND realm_id = $2
ON CONFLICT (schema_name, realm_id, entity, window_start_utc, window_end_utc) DO UPDATE SET
    run_id = EXCLUDED.run_id, read_until_utc = EXCLUDED.read_until_utc, pages = EXCLUDED.pages, rows = EXCLUDED.rows,
    inserted = EXCLUDED.inserted, updated = EXCLUDED.updated, unchanged = EXCLUDED.unchanged,
    rejected = EXCLUDED.rejected, requests = EXCLUDED.requests, retries = EXCLUDED.retries, bytes = EXCLUDED.bytes,
    extract_ms = EXCLUDED.extract_ms, load_ms = EXCLUDED.load_ms, status = 'done', error = NULL,
    committed_at_utc = now()
RETURNING 1";
