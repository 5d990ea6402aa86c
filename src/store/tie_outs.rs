//! Outcomes of tie-outs, in `qbo.tie_outs`.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use crate::domain::{BooksStatus, CompanyBooks};
use crate::error::{Error, Result};
use crate::postgres::{Columns, Db, params};

/// The last comparison of a company's books with its reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TieOut {
    /// The company.
    pub realm_id: String,
    /// The schema of the records.
    #[serde(skip)]
    pub schema: String,
    /// `accrual` or `cash`.
    pub basis: String,
    /// The day of the balances.
    pub as_of: NaiveDate,
    /// The time of the comparison.
    pub checked: DateTime<Utc>,
    /// `ok` or `different`.
    pub status: String,
    /// Accounts that were compared.
    pub accounts: i64,
    /// Transactions that differed.
    pub transactions: i64,
    /// Sum of the unexplained amounts of all accounts, without their signs, or where these agree of customers and
    /// vendors; decimal text.
    pub unexplained: String,
    /// Number of things that could not be compared.
    pub unverified: i64,
}

impl TieOut {
    /// Returns whether nothing that was compared disagrees, and something could not be compared.
    pub fn is_unverified(&self) -> bool {
        let is_zero = self.unexplained.trim_start_matches(['0', '.']).is_empty();
        self.status != "ok" && is_zero && self.unverified > 0
    }

    /// Returns the command that compares the same again; `flag` names the schema, if it is not the default.
    pub fn command(&self, flag: &str) -> String {
        let (end, basis) = (self.as_of, &self.basis);
        format!("qbo-rs verify --books --end {end} --basis {basis}{flag}")
    }
}

const RECORD: &str = "
INSERT INTO qbo.tie_outs (realm_id, schema_name, basis, as_of, compared_from, status, accounts,
    transactions, unexplained, unverified, requests)
VALUES ($1, $2, $3, $4::text::date, $5::text::date, $6, $7, $8, $9::text::numeric, $10, $11)";

/// A comparison takes the place of earlier ones of its own day or an earlier one: balances go on from day to day.
/// What an earlier one found of a later day still holds. Of those that are left, what is not ok comes first.
const LATEST: &str = "
SELECT DISTINCT ON (realm_id, schema_name, basis) realm_id, schema_name, basis, as_of::text AS as_of, checked_utc,
    status, accounts, transactions, unexplained::text AS unexplained, cardinality(unverified)::bigint AS unverified
FROM (
    SELECT *, max(as_of) OVER (PARTITION BY realm_id, schema_name, basis ORDER BY checked_utc DESC, tie_out_id DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS compared_since
    FROM qbo.tie_outs
    WHERE $1::text IS NULL OR schema_name = $1
) AS outcomes
WHERE compared_since IS NULL OR compared_since < as_of
ORDER BY realm_id, schema_name, basis, status = 'ok', as_of DESC";

/// Records the outcome of a tie-out. `unexplained` is the sum over all accounts, as decimal text.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn record_tie_out(
    db: &Db,
    schema: &str,
    books: &CompanyBooks,
    unexplained: &str,
) -> Result<()> {
    let status = match books.status {
        BooksStatus::Ok => "ok",
        BooksStatus::Different => "different",
    };
    let unverified: Vec<&str> = books.unverified.iter().map(String::as_str).collect();
    let days = [books.as_of, books.from].map(|day| day.to_string());
    let counts = [books.accounts.len(), books.transactions.len()].map(|count| count as i64);
    let requests = i64::try_from(books.requests).unwrap_or(i64::MAX);
    let parameters = params![
        books.realm_id,
        schema,
        books.basis,
        days[0],
        days[1],
        status,
        counts[0],
        counts[1],
        unexplained,
        unverified,
        requests
    ];
    db.execute(RECORD, parameters).await?;
    Ok(())
}

/// Returns the tie-out that tells the state of the books of each company, schema and basis; of one schema, or of all.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn latest_tie_outs(db: &Db, schema: Option<&str>) -> Result<Vec<TieOut>> {
    if !db.has_table("qbo", "tie_outs").await? {
        return Ok(Vec::new());
    }
    let rows = db.rows(LATEST, params![schema]).await?;
    rows.iter().map(tie_out).collect()
}

/// A transaction that differed in the last comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownDifference {
    pub(crate) entity: String,
    pub(crate) id: String,
    pub(crate) txn_date: NaiveDate,
    pub(crate) cause: String,
    /// Day, account and amount.
    pub(crate) lines: Vec<(NaiveDate, String, String)>,
    /// Day, kind, id and amount.
    pub(crate) parties: Vec<(NaiveDate, String, String, String)>,
}

const KNOWN: &str = "
SELECT coalesce(jsonb_agg(to_jsonb(d) - 'realm_id' - 'schema_name' - 'basis'), '[]') AS known
FROM qbo.tie_out_differences d WHERE realm_id = $1 AND schema_name = $2 AND basis = $3";

const KEEP: &str = "
WITH gone AS (DELETE FROM qbo.tie_out_differences WHERE realm_id = $1 AND schema_name = $2 AND basis = $3)
INSERT INTO qbo.tie_out_differences (realm_id, schema_name, basis, entity, id, txn_date, cause, lines, parties)
SELECT $1, $2, $3, entity, id, txn_date, cause, lines, parties
FROM jsonb_to_recordset($4) AS d(entity text, id text, txn_date date, cause text, lines jsonb, parties jsonb)";

/// Returns the transactions that differed in the last comparison of a company, whose records are in a schema.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn known_differences(
    db: &Db,
    (realm_id, schema): (&str, &str),
    basis: &str,
) -> Result<Vec<KnownDifference>> {
    if !db.has_table("qbo", "tie_out_differences").await? {
        return Ok(Vec::new());
    }
    let row = db.one(KNOWN, params![realm_id, schema, basis]).await?;
    let Json(known) = row.column("known")?;
    Ok(known)
}

/// Replaces them.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn keep_differences(
    db: &Db,
    (realm_id, schema): (&str, &str),
    basis: &str,
    differences: &[KnownDifference],
) -> Result<()> {
    let differences = Json(differences);
    db.execute(KEEP, params![realm_id, schema, basis, differences])
        .await?;
    Ok(())
}

fn tie_out(row: &Row) -> Result<TieOut> {
    let day: String = row.column("as_of")?;
    let unreadable = |_| Error::Internal(format!("qbo.tie_outs has the day '{day}'"));
    Ok(TieOut {
        realm_id: row.column("realm_id")?,
        schema: row.column("schema_name")?,
        basis: row.column("basis")?,
        as_of: day.parse().map_err(unreadable)?,
        checked: row.column("checked_utc")?,
        status: row.column("status")?,
        accounts: row.column("accounts")?,
        transactions: row.column("transactions")?,
        unexplained: row.column("unexplained")?,
        unverified: row.column("unverified")?,
    })
}
