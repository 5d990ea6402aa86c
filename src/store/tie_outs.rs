//! Outcomes of tie-outs, in `qbo.tie_outs`.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Json;
use tokio_postgres::{Row, Transaction};

use crate::domain::{BooksVerdict, CompanyBooks, Compared, counts};
use crate::error::{Error, Result};
use crate::postgres::{Columns, Db, Query, params};

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
    /// `ok`, `different`, or `reports_agree` on cash basis, of which reports alone are compared.
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
    /// The transactions that differed, by cause; empty if an older version compared them.
    pub causes: BTreeMap<String, i64>,
    /// The verdict on the books.
    pub verdict: BooksVerdict,
}

impl TieOut {
    /// Returns the comparison with the verdict that its other fields give.
    pub(crate) fn judged(self) -> Self {
        let is_zero = self.unexplained.trim_start_matches(['0', '.']).is_empty();
        let (unexplained, needing) = self.counts();
        let is_whole = matches!(self.status.as_str(), "ok" | "reports_agree");
        // An older version kept no causes: what was compared as a whole, and is different, has something unexplained.
        let is_different = !is_whole && self.unverified == 0;
        let verdict = BooksVerdict::of(Compared {
            has_unexplained_amount: !is_zero || is_different,
            unexplained,
            needing,
            is_whole,
        });
        Self { verdict, ..self }
    }

    /// Returns the number of transactions that no cause explains.
    pub fn unexplained_transactions(&self) -> u64 {
        self.counts().0
    }

    /// Returns the number of transactions that differ for a known cause that needs somebody.
    pub fn needing(&self) -> u64 {
        self.counts().1
    }

    fn counts(&self) -> (u64, u64) {
        let causes = self.causes.iter();
        counts(causes.map(|(cause, count)| (cause.as_str(), count.unsigned_abs())))
    }

    /// Returns the command that compares the same again; `flag` names the schema, if it is not the default.
    pub fn command(&self, flag: &str) -> String {
        let (end, basis) = (self.as_of, &self.basis);
        format!("qbo-rs verify --books --end {end} --basis {basis}{flag}")
    }
}

const RECORD: &str = "
INSERT INTO qbo.tie_outs (realm_id, schema_name, basis, as_of, compared_from, status, accounts,
    transactions, unexplained, unverified, requests, causes)
VALUES ($1, $2, $3, $4::text::date, $5::text::date, $6, $7, $8, $9::text::numeric, $10, $11, $12)";

/// The status of a comparison of a day on which nothing was there. It ends what earlier ones found of that day, and is
/// no finding itself: no command would end it.
const EMPTY: &str = "empty";

/// A comparison takes the place of earlier ones of its own day or an earlier one: balances go on from day to day.
/// What an earlier one found of a later day still holds. Nothing is told of a schema that is gone, and of a day that had
/// not come, which earlier versions compared: it would hold until then, and is refused now.
const LATEST: &str = "
SELECT realm_id, schema_name, basis, as_of::text AS as_of, checked_utc,
    status, accounts, transactions, unexplained::text AS unexplained, cardinality(unverified)::bigint AS unverified,
    coalesce(to_jsonb(outcomes) -> 'causes', '{}') AS causes
FROM (
    SELECT *, max(as_of) OVER (PARTITION BY realm_id, schema_name, basis ORDER BY checked_utc DESC, tie_out_id DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS compared_since
    FROM qbo.tie_outs
    WHERE ($1::text IS NULL OR schema_name = $1) AND to_regnamespace(quote_ident(schema_name)) IS NOT NULL
        AND as_of <= (checked_utc AT TIME ZONE 'UTC' + interval '14 hours')::date
) AS outcomes
WHERE (compared_since IS NULL OR compared_since < as_of) AND status <> $2
ORDER BY realm_id, schema_name, basis, as_of DESC";

/// Returns the tie-out that tells the state of the books of each company, schema and basis; of one schema, or of all.
/// Of those that still hold, it is the worst, and of equally bad ones that of the latest day.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn latest_tie_outs(db: &Db, schema: Option<&str>) -> Result<Vec<TieOut>> {
    if !db.has_table("qbo", "tie_outs").await? {
        return Ok(Vec::new());
    }
    let rows = db.rows(LATEST, params![schema, EMPTY]).await?;
    let held = rows.iter().map(tie_out).collect::<Result<Vec<_>>>()?;
    Ok(worst_of_each(held))
}

/// Keeps one of the tie-outs of the same company, schema and basis, which stand side by side: the first of the worst.
fn worst_of_each(held: Vec<TieOut>) -> Vec<TieOut> {
    let mut told: Vec<TieOut> = Vec::new();
    for one in held {
        let is_same = |known: &&mut TieOut| {
            (&known.realm_id, &known.schema, &known.basis)
                == (&one.realm_id, &one.schema, &one.basis)
        };
        match told.last_mut().filter(is_same) {
            Some(known) if known.verdict >= one.verdict => {}
            Some(known) => *known = one,
            None => told.push(one),
        }
    }
    told
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
    /// Its record as it was then; `None` without one.
    pub(crate) record: Option<KnownRecord>,
}

/// A record as it was when it was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownRecord {
    pub(crate) changed: DateTime<Utc>,
    /// Day, account and amount of what it posts.
    pub(crate) lines: Vec<(NaiveDate, String, String)>,
}

const KNOWN: &str = "
SELECT coalesce(jsonb_agg(to_jsonb(d) - 'realm_id' - 'schema_name' - 'basis'), '[]') AS known
FROM qbo.tie_out_differences d WHERE realm_id = $1 AND schema_name = $2 AND basis = $3";

const KEEP: &str = "
WITH gone AS (DELETE FROM qbo.tie_out_differences WHERE realm_id = $1 AND schema_name = $2 AND basis = $3)
INSERT INTO qbo.tie_out_differences (realm_id, schema_name, basis, entity, id, txn_date, cause, lines, parties,
    record)
SELECT $1, $2, $3, entity, id, txn_date, cause, lines, parties, record
FROM jsonb_to_recordset($4)
    AS d(entity text, id text, txn_date date, cause text, lines jsonb, parties jsonb, record jsonb)";

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

const LOCK: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('qbo.tie_outs ' || $1 || ' ' || $2, 0))";

/// A comparison, as it is kept.
#[derive(Debug)]
pub(crate) struct KeptTieOut<'t> {
    /// The schema of the records.
    pub(crate) schema: &'t str,
    pub(crate) books: &'t CompanyBooks,
    /// The sum over all accounts, as decimal text.
    pub(crate) unexplained: String,
    /// The differences that the next comparison starts from.
    pub(crate) known: Vec<KnownDifference>,
    /// True if nothing was there to compare, because the records begin later.
    pub(crate) is_empty: bool,
}

impl KeptTieOut<'_> {
    /// Replaces what is known of the books of a schema and basis, and adds the outcome. Until the end of the
    /// transaction, nobody else can.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn keep(&self, transaction: &Transaction<'_>) -> Result<()> {
        let (schema, books) = (self.schema, self.books);
        transaction.rows(LOCK, params![schema, books.basis]).await?;
        let known = Json(&self.known);
        let parameters = params![books.realm_id, schema, books.basis, known];
        transaction.change(KEEP, parameters).await?;
        let unverified: Vec<&str> = books.unverified.iter().map(String::as_str).collect();
        let days = [books.as_of, books.from].map(|day| day.to_string());
        let counts = [books.accounts.len(), books.transactions.len()].map(|count| count as i64);
        let requests = i64::try_from(books.requests).unwrap_or(i64::MAX);
        let mut causes: BTreeMap<&str, i64> = BTreeMap::new();
        for transaction in &books.transactions {
            *causes.entry(transaction.cause).or_default() += 1;
        }
        let status = match self.is_empty {
            true => EMPTY,
            false => books.status.name(),
        };
        let causes = Json(causes);
        let parameters = params![
            books.realm_id,
            schema,
            books.basis,
            days[0],
            days[1],
            status,
            counts[0],
            counts[1],
            self.unexplained,
            unverified,
            requests,
            causes
        ];
        transaction.change(RECORD, parameters).await.map(drop)
    }
}

fn tie_out(row: &Row) -> Result<TieOut> {
    let day: String = row.column("as_of")?;
    let Json(causes) = row.column("causes")?;
    let unreadable = |_| Error::Internal(format!("qbo.tie_outs has the day '{day}'"));
    let found = TieOut {
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
        causes,
        verdict: BooksVerdict::Different,
    };
    Ok(found.judged())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_judged_by_what_it_kept() {
        let verdict = |status: &str, left: &str, unverified, causes: &[(&str, i64)]| {
            let causes = causes.iter();
            let outcome = TieOut {
                realm_id: "9".to_owned(),
                schema: "raw".to_owned(),
                basis: "accrual".to_owned(),
                as_of: "2031-01-31".parse().unwrap(),
                checked: "2031-02-03T04:05:06Z".parse().unwrap(),
                status: status.to_owned(),
                accounts: 40,
                transactions: 3,
                unexplained: left.to_owned(),
                unverified,
                causes: causes.map(|(cause, n)| ((*cause).to_owned(), *n)).collect(),
                verdict: BooksVerdict::Fine,
            };
            outcome.judged().verdict
        };
        let (lost, swapped) = ([("not_landed", 3)], [("unexplained", 2)]);
        assert_eq!(verdict("ok", "0.00", 0, &[]), BooksVerdict::Fine);
        assert_eq!(
            verdict("ok", "0", 0, &[("report_only", 2)]),
            BooksVerdict::Fine
        );
        assert_eq!(verdict("reports_agree", "0.00", 1, &[]), BooksVerdict::Fine);
        assert_eq!(verdict("ok", "0.00", 0, &lost), BooksVerdict::Explained);
        assert_eq!(
            verdict("different", "0.00", 1, &[]),
            BooksVerdict::Unverified
        );
        assert_eq!(
            verdict("different", "0.00", 1, &lost),
            BooksVerdict::Explained
        );
        // The amounts of two swapped documents cancel each other out.
        for unverified in [0, 1] {
            let judged = verdict("different", "0.00", unverified, &swapped);
            assert_eq!(judged, BooksVerdict::Different);
        }
        assert_eq!(
            verdict("different", "0.10", 1, &[]),
            BooksVerdict::Different
        );
        assert_eq!(
            verdict("different", "0.00", 0, &[]),
            BooksVerdict::Different
        );
    }
}
