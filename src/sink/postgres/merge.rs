//! The merge of a window's staging table into a raw table, in a plan that does not depend on the
//! statistics of either, and the counts of what became of each record.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Row, SimpleQueryMessage};
use tracing::warn;

use super::page_columns::PageColumns;
use crate::domain::{EntitySpec, LoadCounts, Window};
use crate::error::{Error, Result};
use crate::postgres::{
    Columns, Query, TIME_PATTERN, VIEWS_MARK, database_error, params, record_of, table_name,
};

/// Settings of a transaction that merges. The planner would read a table that its statistics call
/// empty from its beginning to its end, once for every staged row, while this and other windows
/// fill it: a table that was emptied and then analysed, as autovacuum does by itself. Rows are found
/// by the key whatever the statistics say, and pages are joined by a hash of the few pages. The
/// numbers of the staged rows take 76 bytes a row in a hash table; without room for it, whole
/// payloads would be written to disk beside it. Before version 18 the planner adds a huge cost for
/// what is turned off; that cost would switch JIT on, so `jit` is off.
pub(super) const PLANNER_SETTINGS: &str = "\
SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on; SET LOCAL enable_nestloop = off; \
SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashjoin = on; SET LOCAL jit = off; \
SET LOCAL work_mem = '64MB'";

/// Keeps only the newest version of a record that was edited during the read.
const KEEP_NEWEST_VERSION: &str = "
DELETE FROM qbo_staging WHERE seq IN (
    SELECT seq FROM (
        SELECT seq, row_number() OVER (
            PARTITION BY id ORDER BY updated_at DESC, sync_token DESC, seq DESC) AS age
        FROM qbo_staging
    ) AS version WHERE age > 1)";

const MERGE: &str = include_str!("sql/merge.sql");
const RECOUNT: &str = include_str!("sql/recount.sql");

/// Takes note that unchanged records have arrived again: of records without times, the one that
/// arrived later is newer, so that one that arrived in between must not replace them.
const MOVE_ARRIVAL: &str = "
UPDATE {table} AS known SET ingested_at_utc = page.ingested_at
FROM qbo_staging staged
JOIN unnest($1::timestamptz[]) WITH ORDINALITY AS page(ingested_at, place) USING (place)
WHERE known.id = staged.id AND known.payload = staged.payload AND known.deleted_at_utc IS NULL
  AND known.ingested_at_utc < page.ingested_at";

/// Names of the row triggers of a table and of its partitions.
const TRIGGERS: &str = "
SELECT DISTINCT tgname::text FROM pg_trigger
WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgrelid IN (
    SELECT to_regclass($1)::oid UNION ALL SELECT relid::oid FROM pg_partition_tree(to_regclass($1)))
ORDER BY 1";

/// Returns the expression of a record's time of change, null if it cannot be read.
fn changed_at(record: &str) -> String {
    let text = format!("{record} #>> '{{MetaData,LastUpdatedTime}}'");
    format!("CASE WHEN {text} ~ '{TIME_PATTERN}' THEN ({text})::timestamptz END")
}

fn sync_token(record: &str) -> String {
    format!("coalesce(substring({record} ->> 'SyncToken' from '^[0-9]{{1,18}}$')::bigint, 0)")
}

/// Returns the condition that a row of the table is newer than a record, which is given by its payload
/// and the instant of its arrival (qbo-facts 3.5). A time that cannot be read is older than any. Of
/// records that have no times, the one that arrived later is newer. A row from before `replaces_before` is never newer.
fn is_newer(
    entity: &EntitySpec,
    row: &str,
    (payload, arrival): (&str, &str),
    replaces_before: Option<DateTime<Utc>>,
) -> String {
    if entity.is_read_whole {
        return format!("({row}.ingested_at_utc > {arrival})");
    }
    let record = record_of(entity, &format!("{row}.payload"));
    let other = record_of(entity, payload);
    let is_newer = format!(
        "coalesce(({}, {}) > ({}, {}), false)",
        changed_at(&record),
        sync_token(&record),
        changed_at(&other),
        sync_token(&other)
    );
    match replaces_before.map(|until| until.to_rfc3339()) {
        Some(until) => format!(
            "({is_newer} AND {} >= '{until}'::timestamptz)",
            changed_at(&record)
        ),
        None => is_newer,
    }
}

/// Returns the condition that a row was deleted after a record of it was read, which is null for a row that
/// is not deleted. A deletion at the begin of the second of the read may be one of any instant of that second.
fn stays_deleted(row: &str, read_at: &str) -> String {
    let at = format!("{row}.deleted_at_utc");
    format!("({at} >= {read_at} OR {at} = date_trunc('second', {read_at}))")
}

/// Returns the statement that merges the staging table. In a partitioned table the system columns
/// of a written row cannot be read, so every written row counts as inserted there until the recount.
pub(super) fn merge_statement(
    schema: &str,
    entity: &EntitySpec,
    is_partitioned: bool,
    replaces_before: Option<DateTime<Utc>>,
) -> String {
    let is_new = match is_partitioned {
        true => "true",
        false => "(known.xmax = 0)",
    };
    let there = is_newer(
        entity,
        "there",
        ("staged.payload", "page.ingested_at"),
        replaces_before,
    );
    let known = is_newer(
        entity,
        "known",
        ("EXCLUDED.payload", "EXCLUDED.ingested_at_utc"),
        replaces_before,
    );
    MERGE
        .replace("{there_is_newer}", &there)
        .replace(
            "{there_is_deleted}",
            &stays_deleted("there", "page.ingested_at"),
        )
        .replace(
            "{known_is_deleted}",
            &stays_deleted("known", "EXCLUDED.ingested_at_utc"),
        )
        .replace("{known_is_newer}", &known)
        .replace("{is_new}", is_new)
        .replace("{table}", &table_name(schema, entity))
}

/// Returns the statement that looks the records up again. Nothing can keep a table without triggers
/// from taking a row, so another version there was stored by others in between.
fn recount_statement(schema: &str, entity: &EntitySpec, traits: TableTraits) -> String {
    let is_of_others = match traits.has_triggers {
        // When a staged record arrived is not known here, so that such a row counts as dropped.
        true if entity.is_read_whole => "false".to_owned(),
        true => is_newer(entity, "there", ("staged.payload", ""), None),
        false => "true".to_owned(),
    };
    RECOUNT
        .replace("{is_of_others}", &is_of_others)
        .replace("{table}", &table_name(schema, entity))
}

/// Properties of a raw table on which the counting depends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TableTraits {
    is_partitioned: bool,
    has_triggers: bool,
}

/// Returns the query of a table's traits, without parameters, so that it can be sent together with
/// other statements. The triggers of `qbo-rs db views --materialize` change no row of the table.
pub(super) fn select_traits(schema: &str, entity: &EntitySpec) -> String {
    let table = table_name(schema, entity);
    let table = table.replace('\'', "''").replace('\\', r"\\");
    format!(
        "SELECT relkind = 'p', EXISTS (
             SELECT FROM pg_trigger t
             WHERE (t.tgrelid = raw.oid
                 OR relkind = 'p' AND t.tgrelid IN (SELECT relid FROM pg_partition_tree(raw.oid)))
               AND strpos(coalesce(obj_description(t.tgfoid, 'pg_proc'), ''), '{VIEWS_MARK}') = 0)
         FROM pg_class raw WHERE raw.oid = to_regclass(E'{table}')"
    )
}

impl TableTraits {
    /// Reads the answer to [`select_traits`]. A table that is gone has none; the merge says so.
    pub(super) fn of(answer: &[SimpleQueryMessage]) -> Self {
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let is_set = |column: usize| row.and_then(|row| row.get(column)) == Some("t");
        Self {
            is_partitioned: is_set(0),
            has_triggers: is_set(1),
        }
    }
}

/// Takes all versions but the newest one of each record out of the staging table.
pub(super) async fn keep_newest(client: &Client) -> Result<()> {
    client.batch(KEEP_NEWEST_VERSION).await
}

/// One merge.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    pub schema: &'a str,
    pub entity: &'a EntitySpec,
    pub window: Window,
    pub traits: TableTraits,
    pub pages: &'a PageColumns,
    /// Records in the staging table, each once.
    pub distinct: u64,
    /// Instant before which no version of a row is newer than one that is read.
    pub replaces_before: Option<DateTime<Utc>>,
}

impl Merge<'_> {
    /// Merges the staging table and returns what became of its records, each number counted by the
    /// server.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Decode`] if the table does not hold every record afterwards.
    pub(super) async fn run(&self, client: &Client) -> Result<LoadCounts> {
        let counts = self.merge(client).await?;
        if self.entity.is_read_whole {
            let statement = MOVE_ARRIVAL.replace("{table}", &table_name(self.schema, self.entity));
            let params = params![self.pages.ingested_at];
            client.change(&statement, params).await?;
        }
        Ok(counts)
    }

    async fn merge(&self, client: &Client) -> Result<LoadCounts> {
        let pages = self.pages;
        let requests: Vec<&str> = pages.requests.iter().map(|request| &**request).collect();
        let params = params![
            pages.numbers,
            pages.sizes,
            pages.ingested_at,
            requests,
            self.window.start,
            self.window.end,
            pages.request_places,
        ];
        let statement = merge_statement(
            self.schema,
            self.entity,
            self.traits.is_partitioned,
            self.replaces_before,
        );
        let merged = client.rows(&statement, params).await;
        let row = first(merged.map_err(|error| self.explained(error))?)?;
        let merged = self.counts(&row)?;
        let has_written = merged.inserted + merged.updated > 0;
        let is_certain = !(self.traits.is_partitioned || self.traits.has_triggers) || !has_written;
        if is_certain && self.is_complete(&merged) {
            return Ok(merged);
        }
        self.recount(client, &merged, row.count("absent")?).await
    }

    /// Counts by looking at the rows: in a partitioned table, where triggers may have changed what
    /// was written, and where the numbers do not add up, since others have committed a version
    /// meanwhile or since rows were dropped. `absent` is the number of records that the table did not
    /// hold when the merge began.
    async fn recount(
        &self,
        client: &Client,
        merged: &LoadCounts,
        absent: u64,
    ) -> Result<LoadCounts> {
        let statement = recount_statement(self.schema, self.entity, self.traits);
        let found = first(client.rows(&statement, params![]).await?)?;
        let (dropped, rewritten) = (found.count("dropped")?, found.count("rewritten")?);
        let table = format!("{}.{}", self.schema, self.entity.table());
        if dropped > 0 {
            let ids: Vec<String> = found.column("dropped_ids")?;
            let reason = format!(
                "{dropped} of {} records are not in the table after the merge (ids {}{}); {}; the \
                 window is not committed",
                self.distinct,
                ids.join(", "),
                if ids.len() as u64 == dropped {
                    ""
                } else {
                    ", ..."
                },
                self.suspects(client).await?,
            );
            return Err(Error::decode(table, reason));
        }
        if rewritten > 0 {
            let suspects = self.suspects(client).await?;
            warn!(
                phase = "load",
                event = "payload_rewritten",
                rows = rewritten,
                "{table}: {rewritten} payloads were not stored as QuickBooks sent them; {suspects}; \
                 each later run replaces them again"
            );
        }
        // Triggers that run after a row is written may write or lock it again, which changes its
        // system columns. The merge has returned its rows before that.
        let written = merged.inserted + merged.updated;
        let inserted = match (self.traits.is_partitioned, self.traits.has_triggers) {
            (false, _) => merged.inserted,
            (true, false) => found.count("inserted")?,
            (true, true) => absent.min(written),
        };
        // All records are there, so those that were not written are unchanged.
        match (
            written.checked_sub(inserted),
            self.distinct.checked_sub(written),
        ) {
            (Some(updated), Some(unchanged)) => Ok(LoadCounts {
                rows: self.distinct,
                inserted,
                updated,
                unchanged,
                rejected: 0,
            }),
            _ => Err(Error::Internal(format!(
                "{} records were merged into {table}, {written} of them written and {inserted} \
                 inserted",
                self.distinct
            ))),
        }
    }

    /// Names rules, of which Postgres says only that they make the statement impossible.
    fn explained(&self, error: Error) -> Error {
        match error {
            Error::Database {
                reason,
                sqlstate: Some(state),
                source,
            } if state == "0A000" => Error::Database {
                reason: format!(
                    "{reason}; {}.{} must have no rules (CREATE RULE) on INSERT or UPDATE, which \
                     could take its rows away",
                    self.schema,
                    self.entity.table()
                ),
                sqlstate: Some(state),
                source,
            },
            other => other,
        }
    }

    fn counts(&self, row: &Row) -> Result<LoadCounts> {
        Ok(LoadCounts {
            rows: self.distinct,
            inserted: row.count("inserted")?,
            updated: row.count("updated")?,
            unchanged: row.count("unchanged")?,
            rejected: 0,
        })
    }

    fn is_complete(&self, counts: &LoadCounts) -> bool {
        counts.inserted + counts.updated + counts.unchanged == self.distinct
    }

    /// Names what can have changed or dropped rows.
    async fn suspects(&self, client: &Client) -> Result<String> {
        let table = table_name(self.schema, self.entity);
        let rows = client.rows(TRIGGERS, params![table]).await?;
        let names: Vec<String> = rows
            .iter()
            .map(|row| row.column(0))
            .collect::<Result<_>>()?;
        Ok(match names.is_empty() {
            true => "the table has no trigger, so look for rules and policies".to_owned(),
            false => format!("triggers of the table: {}", names.join(", ")),
        })
    }
}

fn first(rows: Vec<Row>) -> Result<Row> {
    let row = rows.into_iter().next();
    row.ok_or_else(|| Error::Internal("the merge returned no row".into()))
}

/// Runs statements without parameters, of which the last one is a query, and returns its answer.
pub(super) async fn simple_query(
    client: &Client,
    statements: &str,
) -> Result<Vec<SimpleQueryMessage>> {
    client
        .simple_query(statements)
        .await
        .map_err(database_error)
}
