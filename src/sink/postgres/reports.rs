//! Lands QuickBooks reports: whole answers in `qb_reports`, their cells in `qbo.report_rows`.

use std::pin::pin;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::SinkExt;
use serde_json::value::RawValue;
use tokio_postgres::Client;
use tokio_postgres::types::Json;

use super::report_lines::{COPY, write_line};
use super::{PostgresSink, obstacles, turn};
use crate::domain::reports::{ParsedReport, ReportRequest, report_cells};
use crate::domain::{ENTITIES, EntityKind, EntitySpec};
use crate::error::{Error, Result};
use crate::postgres::{
    Columns, END_WHEN_IDLE, OpenTransaction, PIN_SETTINGS, Query, database_error, is_live_before,
    params, quote_identifier, rights, server, table_exists, table_name,
};

const TABLE: &str = "qb_reports";
const CREATE: &str = include_str!("sql/reports_table.sql");

/// Bytes of cells that are sent at a time.
const BUFFER: usize = 256 << 10;

/// Current answers to the same question.
const KNOWN: &str = "
SELECT id, period_start, period_end, content_hash FROM {table}
WHERE realm_id = $1 AND report = $2 AND basis IS NOT DISTINCT FROM $3
  AND range_start IS NOT DISTINCT FROM $4 AND range_end IS NOT DISTINCT FROM $5
  AND params = $6 AND superseded_at_utc IS NULL";

const SEEN: &str = "
UPDATE {table} SET last_seen_utc = $2, answered_at_utc = $3, headers = $4 WHERE id = $1";

const SUPERSEDE: &str = "UPDATE {table} SET superseded_at_utc = $2 WHERE id = ANY($1)";

const INSERT: &str = "
INSERT INTO {table} (id, realm_id, report, basis, range_start, range_end, period_start, period_end,
    params, request, answer, headers, content_hash, answered_at_utc, fetched_at_utc, last_seen_utc)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)";

/// An answer to land.
#[derive(Debug)]
pub(crate) struct Landed<'a> {
    /// The days of this answer.
    pub request: &'a ReportRequest,
    pub parsed: &'a ParsedReport,
    pub body: &'a [u8],
    pub address: &'a str,
    pub modern: Option<&'a str>,
    pub intuit_tid: Option<&'a str>,
    pub received_at: DateTime<Utc>,
}

/// Times of the answers to a request that the tables have, which cover its days together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReportTimes {
    /// When the oldest was made, by the clock of QuickBooks.
    pub answered_at: DateTime<Utc>,
    /// When the oldest was last confirmed, by the clock of this machine.
    pub last_seen: DateTime<Utc>,
    /// When the newest was different from what had been there, by the same clock.
    pub new_since: DateTime<Utc>,
}

/// The outcome of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landing {
    /// It is the first one about these days.
    New,
    /// It says something else than the one before, which is kept.
    Changed,
    /// It says the same as the one before.
    Unchanged,
}

/// The row of an answer.
#[derive(Debug, Clone)]
pub(crate) struct LandedAnswer {
    pub id: String,
    pub landing: Landing,
    pub cells: u64,
}

fn may_not_create(error: Error, schema: &str) -> Error {
    rights::explained(error, "schema", |reason| {
        format!(
            "{reason}: this role may not create {schema}.{TABLE}; let an owner of the schema run the statements of \
             `qbo-rs db ddl`, and grant this role the use of the table (docs/loading.md, Rights)"
        )
    })
}

/// Returns the SQL that creates the table of answers.
pub(super) fn ddl(schema: &str) -> String {
    CREATE.replace("{schema}", &quote_identifier(schema))
}

impl PostgresSink {
    /// Prepares a schema for reports: binds it to the company, and creates what is missing.
    ///
    /// # Errors
    /// [`Error::Config`] if the schema belongs to another company, or the role may not create what is
    /// missing.
    pub(crate) async fn prepare_reports(&self, realm_id: &str) -> Result<()> {
        self.prepare(realm_id, &[]).await?;
        let mut connection = self.db.connection().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(PIN_SETTINGS).await?;
        crate::postgres::migrations::lock(&*transaction).await?;
        let tables = [TABLE.to_owned()];
        obstacles::check_kinds(&*transaction, &self.schema, &tables).await?;
        obstacles::check_calls(&*transaction, &self.schema, &tables).await?;
        if !table_exists(&*transaction, &self.schema, TABLE).await? {
            let created = transaction.batch(&ddl(&self.schema)).await;
            created.map_err(|error| may_not_create(error, &self.schema))?;
        }
        transaction.commit().await.map_err(database_error)
    }

    /// Lands the answers to one request, which cover its days, in one transaction. Of answers that are
    /// known, only the time is written. What the request was answered before is kept, and superseded.
    ///
    /// # Errors
    /// [`Error::Database`]; nothing is landed then.
    pub(crate) async fn land_report(
        &self,
        realm_id: &str,
        asked: &ReportRequest,
        answers: &[Landed<'_>],
    ) -> Result<Vec<LandedAnswer>> {
        // Reports have no turn that would keep it.
        self.keep_schema(realm_id, &[]).await?;
        let open = OpenTransaction::new(self.db.connection().await?);
        let connection = open.connection()?;
        let begin = format!("BEGIN; {PIN_SETTINGS}; {END_WHEN_IDLE}");
        connection.batch(&begin).await?;
        connection.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
        let writer = Writer {
            client: connection,
            schema: &self.schema,
            table: format!("{}.{TABLE}", quote_identifier(&self.schema)),
            realm_id,
            asked,
        };
        let landed = writer.land(answers).await?;
        connection.batch("COMMIT").await?;
        open.end();
        Ok(landed)
    }

    /// Returns when a request was answered as the tables have it; `None` if it was not.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn report_times(
        &self,
        realm_id: &str,
        asked: &ReportRequest,
    ) -> Result<Option<ReportTimes>> {
        let known = format!(
            "SELECT min(answered_at_utc) AS answered_at, min(last_seen_utc) AS last_seen, max(fetched_at_utc) AS new_since
             FROM ({KNOWN}) AS known JOIN {{table}} USING (id)"
        );
        let sql = known.replace(
            "{table}",
            &format!("{}.{TABLE}", quote_identifier(&self.schema)),
        );
        let key = Key::of(asked);
        let row = self
            .db
            .one(
                &sql,
                params![
                    realm_id, key.report, key.basis, key.start, key.end, key.params
                ],
            )
            .await?;
        let answered_at: Option<DateTime<Utc>> = row.column("answered_at")?;
        let Some(answered_at) = answered_at else {
            return Ok(None);
        };
        Ok(Some(ReportTimes {
            answered_at,
            last_seen: row.column("last_seen")?,
            new_since: row.column("new_since")?,
        }))
    }

    /// Returns true if the tables hold a transaction of these days that was changed or deleted at or
    /// after an instant. Without a first day, all days up to the last one count.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn has_changes(
        &self,
        days: (Option<NaiveDate>, Option<NaiveDate>),
        since: DateTime<Utc>,
    ) -> Result<bool> {
        let transactions = ENTITIES
            .iter()
            .filter(|entity| entity.kind == EntityKind::Transaction);
        for entity in transactions {
            if self.db.has_table(&self.schema, &entity.table()).await?
                && self.has_changes_of(entity, days, since).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn has_changes_of(
        &self,
        entity: &EntitySpec,
        (start, end): (Option<NaiveDate>, Option<NaiveDate>),
        since: DateTime<Utc>,
    ) -> Result<bool> {
        // Dates of ISO are in order as texts, so that a text that is none fails no cast. Some have slashes, or an offset.
        let sql = format!(
            "SELECT 1 FROM {} WHERE ({}) IS NOT TRUE
               AND (deleted_at_utc IS NULL OR deleted_at_utc >= $1)
               AND left(replace(coalesce(payload ->> 'TxnDate', ''), '/', '-'), 10) BETWEEN $2 AND $3 LIMIT 1",
            table_name(&self.schema, entity),
            is_live_before(entity, "$1")
        );
        let first = start.map_or(String::new(), |day| day.to_string());
        let last = end.map_or("9999-12-31".to_owned(), |day| day.to_string());
        let found = self.db.optional(&sql, params![since, first, last]).await?;
        Ok(found.is_some())
    }
}

/// The question that an answer belongs to, as columns.
struct Key {
    report: &'static str,
    basis: Option<String>,
    start: Option<NaiveDate>,
    end: Option<NaiveDate>,
    params: Json<serde_json::Value>,
}

impl Key {
    fn of(asked: &ReportRequest) -> Self {
        Self {
            report: asked.report.route,
            basis: asked.basis.map(|basis| basis.word().to_lowercase()),
            start: asked.start,
            end: asked.end,
            params: Json(serde_json::json!(asked.named())),
        }
    }
}

struct Writer<'w> {
    client: &'w Client,
    schema: &'w str,
    table: String,
    realm_id: &'w str,
    asked: &'w ReportRequest,
}

/// A current row of the same question.
struct Known {
    id: String,
    days: (Option<NaiveDate>, Option<NaiveDate>),
    hash: String,
}

impl Writer<'_> {
    async fn land(&self, answers: &[Landed<'_>]) -> Result<Vec<LandedAnswer>> {
        // One process at a time: two would both find that nothing is known.
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", self.table);
        self.client.batch(&lock).await?;
        self.check_company().await?;
        let mut known = self.known().await?;
        let mut landed = Vec::with_capacity(answers.len());
        for answer in answers {
            let days = (answer.request.start, answer.request.end);
            let position = known.iter().position(|known| known.days == days);
            let before = position.map(|at| known.swap_remove(at));
            landed.push(self.answer(answer, before).await?);
        }
        // Days that were answered in other parts.
        let gone: Vec<String> = known.into_iter().map(|known| known.id).collect();
        if let Some(last) = answers.last().filter(|_| !gone.is_empty()) {
            self.supersede(&gone, last.received_at).await?;
        }
        Ok(landed)
    }

    async fn check_company(&self) -> Result<()> {
        match turn::holds_company(self.client, self.schema, self.realm_id).await? {
            true => Ok(()),
            false => Err(turn::lost_schema(self.schema)),
        }
    }

    async fn known(&self) -> Result<Vec<Known>> {
        let key = Key::of(self.asked);
        let sql = KNOWN.replace("{table}", &self.table);
        let params = params![
            self.realm_id,
            key.report,
            key.basis,
            key.start,
            key.end,
            key.params
        ];
        let rows = self.client.rows(&sql, params).await?;
        let known = rows.iter().map(|row| {
            Ok(Known {
                id: row.column("id")?,
                days: (row.column("period_start")?, row.column("period_end")?),
                hash: row.column("content_hash")?,
            })
        });
        known.collect()
    }

    async fn supersede(&self, ids: &[String], at: DateTime<Utc>) -> Result<()> {
        let sql = SUPERSEDE.replace("{table}", &self.table);
        self.client.change(&sql, params![ids, at]).await.map(drop)
    }

    async fn answer(&self, answer: &Landed<'_>, before: Option<Known>) -> Result<LandedAnswer> {
        let hash = answer.parsed.fingerprint();
        let answered_at = answer.parsed.answered_at().unwrap_or(answer.received_at);
        let headers = Json(serde_json::json!({
            "v3modernResponse": answer.modern, "intuit_tid": answer.intuit_tid,
        }));
        let landing = match before {
            Some(known) if known.hash == hash => {
                let sql = SEEN.replace("{table}", &self.table);
                let params = params![known.id, answer.received_at, answered_at, headers];
                self.client.change(&sql, params).await?;
                return Ok(LandedAnswer {
                    id: known.id,
                    landing: Landing::Unchanged,
                    cells: 0,
                });
            }
            Some(known) => {
                self.supersede(&[known.id], answer.received_at).await?;
                Landing::Changed
            }
            None => Landing::New,
        };
        let id = crate::chance::unique_id().to_string();
        let key = Key::of(self.asked);
        let body: &RawValue = serde_json::from_slice(answer.body)
            .map_err(|error| Error::decode("answer of QuickBooks", error))?;
        let (body, request) = (
            Json(body),
            Json(serde_json::json!({"method": "GET", "address": answer.address})),
        );
        let sql = INSERT.replace("{table}", &self.table);
        let params = params![
            id,
            self.realm_id,
            key.report,
            key.basis,
            key.start,
            key.end,
            answer.request.start,
            answer.request.end,
            key.params,
            request,
            body,
            headers,
            hash,
            answered_at,
            answer.received_at,
        ];
        self.client.change(&sql, params).await?;
        let cells = self.copy(&id, answer).await?;
        Ok(LandedAnswer { id, landing, cells })
    }

    /// Copies the cells of an answer.
    async fn copy(&self, id: &str, answer: &Landed<'_>) -> Result<u64> {
        let copy = self.client.copy_in(COPY).await.map_err(database_error)?;
        let mut copy = pin!(copy);
        let mut lines = String::with_capacity(BUFFER + 4096);
        for cell in report_cells(answer.request.report, &answer.parsed.answer) {
            write_line(&mut lines, [self.schema, self.realm_id, id], &cell);
            if lines.len() >= BUFFER {
                let sent = copy.send(Bytes::from(std::mem::take(&mut lines))).await;
                sent.map_err(database_error)?;
            }
        }
        let sent = copy.send(Bytes::from(lines)).await;
        sent.map_err(database_error)?;
        copy.finish().await.map_err(database_error)
    }
}
