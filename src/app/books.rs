//! The general ledger, posted from the records of a schema.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use serde::Serialize;

use super::App;
use super::request::{default_schema, setters};
use super::tie_out::kept_stock;
use crate::books::{Drafts, Lists, parse_amount};
use crate::domain::find_entity;
use crate::error::{Error, Result};
use crate::postgres::Db;
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::{Books, DEFAULT_LEDGER_SCHEMA, check_name};

/// Reasons that a report names; the table has all.
const MAX_REASONS: usize = 10;

/// The value of an item's stock before the first record, as a report shows it (Inventory Starting Value).
#[derive(Debug, Clone)]
pub struct StartingValue {
    /// Id of the transaction in the report.
    pub id: String,
    /// Day of the transaction.
    pub date: NaiveDate,
    /// Debit of the account of stock, as text.
    pub value: String,
}

/// A request to post the general ledger.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[non_exhaustive]
pub struct LedgerRequest {
    /// Schema of the raw tables; one company each
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    pub schema: String,
    /// Schema of the ledger, which is created if it is missing
    #[cfg_attr(feature = "cli", arg(long, value_name = "SCHEMA", default_value = DEFAULT_LEDGER_SCHEMA))]
    pub into: String,
    /// Stock that no record shows
    #[cfg_attr(feature = "cli", arg(skip))]
    pub starting_values: Vec<StartingValue>,
}

impl Default for LedgerRequest {
    fn default() -> Self {
        Self {
            schema: default_schema(),
            into: DEFAULT_LEDGER_SCHEMA.to_owned(),
            starting_values: Vec::new(),
        }
    }
}

setters!(LedgerRequest {
    schema: String,
    into: String,
    starting_values: Vec<StartingValue>,
});

/// The result of posting: counts, and reasons.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerReport {
    /// Schema of the ledger.
    pub into: String,
    /// Rows of `gl_entries`.
    pub entries: usize,
    /// Transactions with entries, by entity.
    pub posted: BTreeMap<&'static str, usize>,
    /// Transactions without an amount, such as voided ones.
    pub empty: usize,
    /// Transactions that are not in the ledger: rows of `gl_unbalanced`.
    pub unbalanced: usize,
    /// The most frequent reasons, and how many transactions have each.
    pub reasons: Vec<(String, usize)>,
    /// Entities without a raw table, whose transactions are therefore not in the ledger.
    pub missing: Vec<&'static str>,
}

impl LedgerReport {
    /// Returns true if every transaction is in the ledger, and no table is missing that a backfill makes. What
    /// has no query, such as adjustments of stock, comes with a sync, and few companies have it.
    pub fn is_complete(&self) -> bool {
        let has_query = |name: &&str| find_entity(name).is_ok_and(|entity| entity.has_query);
        self.unbalanced == 0 && !self.missing.iter().any(has_query)
    }
}

impl App {
    /// Posts the records of a schema, and replaces the general ledger in another.
    ///
    /// # Errors
    /// Returns errors of the settings and the database, missing accounts, and objects of others in the way;
    /// nothing has been changed then.
    pub async fn post_ledger(&self, request: &LedgerRequest) -> Result<LedgerReport> {
        let LedgerRequest { schema, into, .. } = request;
        check_name(schema)?;
        check_name(into).map_err(|error| match error {
            Error::Config { reason, .. } => Error::config("into", reason),
            other => other,
        })?;
        let db = Db::open(&self.settings.postgres()?, 2).await?;
        let books = Books::new(&db, schema, into);
        // What reports have shown stays in the ledger, and so does the stock that it tells.
        let mut kept = books.report_entries().await?;
        let mut given = HashSet::new();
        let open = |lists: &mut Lists, drafts: &mut Drafts| {
            open_stock(&request.starting_values, lists, drafts);
            given.extend(lists.opening_stock.iter().map(|it| it.id.clone()));
            kept.retain(|entry| !given.contains(&entry.id));
            let known = kept_stock(lists, &kept);
            lists.opening_stock.extend(known);
        };
        let posted = books.read(open).await?;
        let mut kept: Vec<_> = posted.without_records(kept.iter()).cloned().collect();
        let of_given = posted.ledger.opening.iter();
        kept.extend(of_given.filter(|entry| given.contains(&entry.id)).cloned());
        books.write(&posted, &kept).await?;
        let ledger = posted.ledger;
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for listed in &ledger.unbalanced {
            *reasons.entry(&listed.reason).or_default() += 1;
        }
        let mut reasons: Vec<_> = reasons
            .into_iter()
            .map(|(reason, count)| (reason.to_owned(), count))
            .collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons.truncate(MAX_REASONS);
        Ok(LedgerReport {
            into: into.clone(),
            entries: ledger.entries.len() + kept.len(),
            posted: ledger.posted,
            empty: ledger.empty,
            unbalanced: ledger.unbalanced.len(),
            reasons,
            missing: posted.missing,
        })
    }
}

/// Finds the items of starting values; lists those that could be of several items, or of none.
fn open_stock(values: &[StartingValue], lists: &mut Lists, drafts: &mut Drafts) {
    for it in values {
        let value = parse_amount(&it.value);
        match value.and_then(|value| lists.opening_stock_of(&it.id, it.date, value)) {
            Some(stock) => lists.opening_stock.push(stock),
            None => drafts.reject_opening(&it.id, it.date),
        }
    }
}
