//! The writer of one window: a transaction that ends with the ledger row.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_postgres::types::Json;
use tracing::warn;

use super::archived::ArchivedOf;
use super::merge::{self, Merge};
use super::page_columns::PageColumns;
use super::parts::{Parts, WindowSums, without};
use super::set_aside::RejectColumns;
use super::window_transaction::Transaction;
use super::{copy_format, drift, storable, turn};
use crate::config::TransactionLimits;
use crate::domain::{
    DistinctIds, DriftWatch, LoadCounts, MAX_SHOWN, Page, excerpt, too_many_rejects,
};
use crate::error::{Error, Result};
use crate::port::{CommitSummary, ReadSummary, WindowContext, WindowWriter};
use crate::postgres::{Columns, Db, Query, params};

/// Records of a window that are logged one by one when Postgres cannot store them.
const MAX_LOGGED_REJECTS: u64 = 10;

static WRITE_LEDGER: LazyLock<String> =
    LazyLock::new(|| with_sums(include_str!("sql/write_ledger.sql")));
static WRITE_PART: LazyLock<String> =
    LazyLock::new(|| with_sums(include_str!("sql/write_part.sql")));
const NOW: &str = "SELECT now() AS committed_at_utc";
const RESOLVE_REJECTS: &str = include_str!("sql/resolve_rejects.sql");

/// Completes a statement that writes the numbers of a window.
fn with_sums(statement: &str) -> String {
    statement.replace("{sums}", WindowSums::COLUMNS)
}

/// Streams a window's pages into a staging table, then merges them, writes the ledger row and
/// commits.
#[derive(Debug)]
pub(crate) struct PostgresWriter {
    db: Db,
    schema: String,
    context: WindowContext,
    transaction: Option<Transaction>,
    /// Records of the transaction.
    distinct: DistinctIds,
    /// The parts of the window that are committed.
    parts: Parts,
    drift: DriftWatch,
    pages: PageColumns,
    rejects: RejectColumns,
    next_seq: i32,
    limits: TransactionLimits,
    turn: Option<Arc<str>>,
    leaves_archived: bool,
    replaces_before: Option<DateTime<Utc>>,
    busy: Duration,
}

impl PostgresWriter {
    pub(super) fn new(
        db: Db,
        schema: String,
        limits: TransactionLimits,
        context: WindowContext,
        turn: Option<Arc<str>>,
        leaves_archived: bool,
        replaces_before: Option<DateTime<Utc>>,
    ) -> Self {
        Self {
            turn,
            leaves_archived,
            replaces_before,
            db,
            schema,
            drift: DriftWatch::new(),
            context,
            transaction: None,
            distinct: DistinctIds::default(),
            parts: Parts::default(),
            pages: PageColumns::default(),
            rejects: RejectColumns::default(),
            next_seq: 0,
            limits,
            busy: Duration::ZERO,
        }
    }

    async fn merge(&self, transaction: &Transaction) -> Result<LoadCounts> {
        let client = transaction.connection()?;
        let mut merge = Merge {
            schema: &self.schema,
            entity: &self.context.entity,
            window: self.context.window,
            traits: transaction.traits,
            pages: &self.pages,
            distinct: self.distinct.count(),
            replaces_before: self.replaces_before,
        };
        if self.distinct.has_repeats() {
            merge::keep_newest(client).await?;
        }
        let archived = ArchivedOf {
            schema: &self.schema,
            realm_id: &self.context.realm_id,
            entity: &self.context.entity,
        };
        let left_out = match self.leaves_archived {
            true => archived.leave_out(client).await?,
            false => 0,
        };
        merge.distinct -= left_out;
        let mut counts = merge.run(client).await?;
        archived.take_back(client).await?;
        counts.rows += left_out;
        counts.unchanged += left_out;
        Ok(counts)
    }

    /// Merges what the transaction has received; returns the counts of the window so far.
    async fn merge_window(&self, transaction: &Transaction) -> Result<LoadCounts> {
        let merged = self.merge(transaction).await?;
        self.resolve_rejects(transaction).await?;
        Ok(self.parts.with(merged, &self.distinct))
    }

    async fn resolve_rejects(&self, transaction: &Transaction) -> Result<()> {
        let WindowContext {
            realm_id, entity, ..
        } = &self.context;
        let params = params![self.schema, realm_id, entity.name];
        let connection = transaction.connection()?;
        connection.rows(RESOLVE_REJECTS, params).await.map(drop)
    }

    async fn write_ledger(
        &self,
        transaction: &Transaction,
        summary: ReadSummary,
        counts: LoadCounts,
        failure: Option<&Error>,
    ) -> Result<()> {
        let WindowContext {
            realm_id,
            entity,
            window,
            run_id,
            read_start,
            known_at,
            ..
        } = &self.context;
        let sums = Json(self.sums(summary, counts));
        let committed_at = self.parts.committed_at;
        let failure = failure.map(ToString::to_string);
        let params = params![
            self.schema,
            realm_id,
            entity.name,
            window.start,
            window.end,
            run_id,
            summary.read_until,
            sums,
            failure,
            read_start,
            known_at,
            committed_at,
            self.rejects.ids,
            self.rejects.changed_at,
            self.rejects.errors,
            self.rejects.tids,
            self.rejects.payloads,
            self.rejects.requests,
        ];
        let written = transaction
            .connection()?
            .rows(&WRITE_LEDGER, params)
            .await?;
        self.expect_company(!written.is_empty())
    }

    /// Writes that the window is committed up to the summary's `read_until`. Returns the instant as of
    /// which it is: that of the first part.
    async fn write_part(
        &self,
        transaction: &Transaction,
        summary: ReadSummary,
        counts: LoadCounts,
    ) -> Result<DateTime<Utc>> {
        let WindowContext {
            realm_id,
            entity,
            window,
            run_id,
            read_start,
            known_at,
            ..
        } = &self.context;
        // Of a window that has rejects, no part is committed.
        let sums = Json(WindowSums {
            rejected: 0,
            ..self.sums(summary, counts)
        });
        let committed_at = self.parts.committed_at;
        let params = params![
            self.schema,
            realm_id,
            entity.name,
            window.start,
            window.end,
            run_id,
            summary.read_until,
            sums,
            read_start,
            known_at,
            committed_at,
        ];
        self.check_company(transaction).await?;
        let client = transaction.connection()?;
        let written = client.rows(&WRITE_PART, params).await?;
        // Without a row, another run is at the window or has committed it. What was read is stored, and
        // the end of the window decides.
        let rows = match written.is_empty() {
            true => client.rows(NOW, params![]).await?,
            false => written,
        };
        match rows.first() {
            Some(row) => row.column("committed_at_utc"),
            None => Ok(crate::clock::now()),
        }
    }

    /// Returns the numbers of the ledger's row, with those of the parts that earlier runs have committed.
    fn sums(&self, summary: ReadSummary, counts: LoadCounts) -> WindowSums {
        let begun = self.context.begun.unwrap_or_default();
        WindowSums::of(begun, summary, counts, self.busy.as_millis() as u64)
    }

    /// Checks that the sync still has its turn.
    async fn check_turn(&self, transaction: &Transaction) -> Result<()> {
        let (connection, turn) = (transaction.connection()?, self.turn.as_deref());
        turn::check(connection, &self.schema, &self.context, turn).await
    }

    /// Checks that the schema still belongs to the company, and does so until the end of the transaction.
    async fn check_company(&self, transaction: &Transaction) -> Result<()> {
        let connection = transaction.connection()?;
        let held = turn::holds_company(&***connection, &self.schema, &self.context.realm_id);
        self.expect_company(held.await?)
    }

    fn expect_company(&self, is_ours: bool) -> Result<()> {
        match is_ours {
            true => Ok(()),
            false => Err(turn::lost_schema(&self.schema)),
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
                counts = self.merge_window(&transaction).await?;
            }
            None => {
                transaction = Transaction::begin_without_records(&self.db, self.limits).await?;
                counts = self.parts.counts;
            }
        }
        counts.rejected = self.rejects.count();
        counts.rows += counts.rejected;
        self.busy += begin.elapsed();
        let first = self.rejects.errors.first().map_or("", String::as_str);
        let failure = too_many_rejects(counts.rejected, first);
        self.check_turn(&transaction).await?;
        self.write_ledger(&transaction, summary, counts, failure.as_ref())
            .await?;
        drift::write(transaction.connection()?, &self.context, &self.drift).await?;
        transaction.commit().await?;
        Ok(CommitSummary {
            counts,
            path: None,
            failure,
        })
    }

    async fn commit_part(
        &mut self,
        summary: ReadSummary,
        ahead: u64,
    ) -> Result<Option<LoadCounts>> {
        // Postgres may have set some aside. A sync commits its windows whole: it has a turn of its own.
        let is_divided = self.rejects.count() == 0 && self.turn.is_none();
        let Some(mut transaction) = self.transaction.take_if(|_| is_divided) else {
            return Ok(None);
        };
        let begin = Instant::now();
        transaction.finish_copy().await?;
        let counts = self.merge_window(&transaction).await?;
        self.busy += begin.elapsed();
        self.check_turn(&transaction).await?;
        let proven = without(counts, ahead);
        let committed_at = self.write_part(&transaction, summary, proven).await?;
        drift::write(transaction.connection()?, &self.context, &self.drift).await?;
        transaction.commit().await?;
        let ids = std::mem::take(&mut self.distinct);
        self.parts.add(counts, ids, committed_at);
        self.back_to_part();
        Ok(Some(counts))
    }

    fn back_to_part(&mut self) {
        self.transaction = None;
        self.distinct = self.parts.next();
        self.pages = PageColumns::default();
        self.rejects = RejectColumns::default();
        self.drift.begin_part();
        self.next_seq = 0;
    }

    async fn keep(mut self) -> Result<LoadCounts> {
        let Some(mut transaction) = self.transaction.take() else {
            return Ok(self.parts.counts);
        };
        transaction.finish_copy().await?;
        let counts = self.merge_window(&transaction).await?;
        self.check_turn(&transaction).await?;
        self.check_company(&transaction).await?;
        drift::write(transaction.connection()?, &self.context, &self.drift).await?;
        transaction.commit().await?;
        Ok(counts)
    }
}

impl PostgresWriter {
    async fn store(&mut self, mut page: Page) -> Result<()> {
        for reject in std::mem::take(&mut page.rejects) {
            self.rejects.push_of_window(reject, &page.request);
        }
        page.records
            .retain(|record| match storable::refusal_of(record) {
                Some(reason) => {
                    if self.rejects.count() < MAX_LOGGED_REJECTS {
                        let id = &*excerpt(&record.id, MAX_SHOWN);
                        warn!(
                            phase = "load",
                            event = "record_rejected",
                            id,
                            "record {id} is set aside: {reason}"
                        );
                    }
                    self.rejects.push_unstorable(record, reason, &page.request);
                    false
                }
                None => true,
            });
        if page.records.is_empty() {
            return Ok(());
        }
        self.distinct.add(&page);
        for record in &page.records {
            self.drift.look(&self.context.entity, record);
        }
        let place = self.pages.place(&page)?;
        let first_seq = self.next_seq;
        self.next_seq += page.records.len() as i32;
        let transaction = match &mut self.transaction {
            Some(transaction) => transaction,
            none => {
                let traits = merge::select_traits(&self.schema, &self.context.entity);
                none.insert(Transaction::begin(&self.db, self.limits, &traits).await?)
            }
        };
        for piece in copy_format::encode(&page, place, first_seq) {
            transaction.copy(piece).await?;
        }
        Ok(())
    }
}
