//! Reports in the terms of the ledger.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::chart::{Balances, Chart};
use crate::books::{Entry, EntryKind, EntrySource};
use crate::domain::reports::{ReportAnswer, ReportRow, RowKind, entity_of_label};

/// A transaction of a general ledger report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportedTransaction {
    /// The report's word for its type, such as `Invoice`. Words are translated.
    pub(crate) label: String,
    pub(crate) id: String,
    pub(crate) date: NaiveDate,
    pub(crate) lines: Vec<ReportedLine>,
    /// Id of the customer, vendor or employee of its first row that has one, also of one without an amount.
    pub(crate) party: Option<String>,
    /// The time of its last change, if the report says so.
    pub(crate) changed_at: Option<DateTime<Utc>>,
}

impl ReportedTransaction {
    /// Returns Intuit's name of the entity, or the report's word if no entity has such transactions.
    pub(crate) fn entity(&self) -> &str {
        entity_of_label(&self.label).unwrap_or(&self.label)
    }

    /// Returns the transaction as entries that no record shows.
    pub(crate) fn entries(&self, chart: &Chart) -> Vec<Entry> {
        let entry = |(line, number): (&ReportedLine, u32)| Entry {
            entity: self.entity().to_owned(),
            id: self.id.clone(),
            line: number,
            date: self.date,
            account_id: line.account.clone(),
            amount: line.amount,
            foreign: None,
            party: line.party.as_ref().and_then(|id| {
                let kind = chart.party_kind(&line.account)?;
                Some((kind.entity().to_owned(), id.clone()))
            }),
            memo: None,
            number: None,
            kind: EntryKind::Line,
            source: EntrySource::Report,
        };
        self.lines.iter().zip(1..).map(entry).collect()
    }
}

/// A posting of a general ledger report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportedLine {
    pub(crate) account: String,
    /// In the home currency; a debit is positive.
    pub(crate) amount: Decimal,
    /// Id of the customer, vendor or employee.
    pub(crate) party: Option<String>,
}

/// Reads the balances of a trial balance. A debit is positive.
///
/// # Errors
/// The reason, if the report is not a whole and balanced trial balance.
pub(crate) fn trial_balance_of(answer: &ReportAnswer) -> Result<Balances, String> {
    if answer.is_cut {
        return Err("the trial balance is cut".to_owned());
    }
    let columns = (answer.column("debt_amt"), answer.column("credit_amt"));
    let (Some(debit), Some(credit)) = columns else {
        return Err("the trial balance has no columns of debit and credit".to_owned());
    };
    let mut balances = Balances::new();
    let (mut totals, mut listed) = ((Decimal::ZERO, Decimal::ZERO), None);
    for row in &answer.rows {
        let (debit, credit) = match (amount(row, debit)?, amount(row, credit)?) {
            (None, None) => continue,
            (debit, credit) => (debit.unwrap_or_default(), credit.unwrap_or_default()),
        };
        let id = row.cells.first().and_then(|label| label.id.clone());
        match (row.kind, id.filter(|id| !id.is_empty())) {
            (RowKind::Summary, _) => listed = Some((debit, credit)),
            (_, None) => return Err("a row of the trial balance names no account".to_owned()),
            (_, Some(account)) => {
                totals = (sum(totals.0, debit)?, sum(totals.1, credit)?);
                let held = balances.entry(account).or_default();
                *held = sum(*held, sum(debit, -credit)?)?;
            }
        }
    }
    check_totals(totals, listed, !balances.is_empty())?;
    Ok(balances)
}

/// Checks debits and credits of the rows against each other, and against the row of the totals: where rows are
/// missing that make up for each other, only that row says so.
fn check_totals(
    (debits, credits): (Decimal, Decimal),
    listed: Option<(Decimal, Decimal)>,
    has_rows: bool,
) -> Result<(), String> {
    if debits != credits {
        let difference = sum(debits, -credits)?;
        return Err(format!(
            "debits and credits of the trial balance differ by {difference}"
        ));
    }
    match listed {
        None if has_rows => Err("the trial balance ends without its total".to_owned()),
        Some(total) if total != (debits, credits) => Err(format!(
            "the rows of the trial balance come to {debits} and {credits}, and its total says {} and {}",
            total.0, total.1
        )),
        _ => Ok(()),
    }
}

/// Reads the postings of a general ledger report, by transaction.
///
/// # Errors
/// The reason, if a posting cannot be read: then nothing can be said about any.
pub(crate) fn postings_of(
    answer: &ReportAnswer,
    chart: &Chart,
) -> Result<Vec<ReportedTransaction>, String> {
    if answer.is_cut {
        return Err("the general ledger is cut".to_owned());
    }
    let reader = LedgerReader::new(answer, chart)?;
    let mut found: BTreeMap<(String, String), ReportedTransaction> = BTreeMap::new();
    for row in answer.rows.iter().filter(|row| row.kind == RowKind::Data) {
        let Some((label, id)) = reader.transaction(row) else {
            continue;
        };
        let (date, changed_at) = (reader.date(row)?, reader.changed_at(row));
        let key = (id.clone(), label.clone());
        let transaction = found.entry(key).or_insert_with(|| ReportedTransaction {
            label,
            id,
            date,
            lines: Vec::new(),
            party: None,
            changed_at,
        });
        if transaction.date != date {
            let ReportedTransaction { label, id, .. } = transaction;
            return Err(format!("{label} {id} has two dates"));
        }
        transaction.party = transaction.party.take().or_else(|| reader.party(row));
        transaction.changed_at = transaction.changed_at.max(changed_at);
        if let Some(line) = reader.line(row)? {
            transaction.lines.push(line);
        }
    }
    Ok(found.into_values().collect())
}

/// The columns of a general ledger report that matter here.
struct LedgerReader<'r> {
    chart: &'r Chart,
    label: usize,
    date: usize,
    sides: Option<(usize, usize)>,
    /// The amount in the direction in which the account grows.
    natural: Option<usize>,
    changed_at: Option<usize>,
    party: Option<usize>,
}

impl<'r> LedgerReader<'r> {
    fn new(answer: &ReportAnswer, chart: &'r Chart) -> Result<Self, String> {
        let column = |key: &str| {
            let missing = || format!("the general ledger has no column {key}");
            answer.column(key).ok_or_else(missing)
        };
        let sides = answer.column("debt_amt").zip(answer.column("credit_amt"));
        let natural = answer
            .column("subt_nat_home_amount")
            .or_else(|| answer.column("subt_nat_amount"));
        let is_at_home = answer.column("subt_nat_home_amount").is_some();
        if chart.may_have_currencies && !is_at_home {
            return Err(
                "the general ledger has no column of amounts in the home currency".to_owned(),
            );
        }
        if sides.is_none() && natural.is_none() {
            return Err("the general ledger has no column of amounts".to_owned());
        }
        Ok(Self {
            chart,
            label: column("txn_type")?,
            date: column("tx_date")?,
            // With several currencies, only the home column is surely in the home currency.
            sides: sides.filter(|_| !is_at_home),
            natural,
            changed_at: answer.column("last_mod_date"),
            party: answer.column("name"),
        })
    }

    /// Returns type and id; `None` for a row that is no posting, such as an opening balance.
    fn transaction(&self, row: &ReportRow) -> Option<(String, String)> {
        let cell = row.cells.get(self.label)?;
        let id = cell.id.as_ref().filter(|id| !id.is_empty())?;
        Some((cell.value.clone(), id.clone()))
    }

    fn date(&self, row: &ReportRow) -> Result<NaiveDate, String> {
        let text = row.cells.get(self.date).map_or("", |cell| &cell.value);
        let unreadable = |_| format!("a posting of the general ledger has the date '{text}'");
        text.parse().map_err(unreadable)
    }

    fn changed_at(&self, row: &ReportRow) -> Option<DateTime<Utc>> {
        let text = &row.cells.get(self.changed_at?)?.value;
        let stamp = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z").ok()?;
        Some(stamp.to_utc())
    }

    fn line(&self, row: &ReportRow) -> Result<Option<ReportedLine>, String> {
        let account = row.path.iter().rev().find_map(|section| section.id.clone());
        let account = account.ok_or("a posting of the general ledger is in no account")?;
        let amount = match (self.sides, self.natural) {
            (Some((debit, credit)), _) => two_sided(row, debit, credit)?,
            (None, Some(column)) => amount(row, column)?
                .map(|amount| self.chart.debit(&account, amount))
                .transpose()?,
            (None, None) => None,
        };
        Ok(amount
            .filter(|amount| !amount.is_zero())
            .map(|amount| ReportedLine {
                account,
                amount,
                party: self.party(row),
            }))
    }

    fn party(&self, row: &ReportRow) -> Option<String> {
        let id = row.cells.get(self.party?)?.id.clone();
        id.filter(|id| !id.is_empty())
    }
}

/// Returns debit less credit; `None` if both are empty.
fn two_sided(row: &ReportRow, debit: usize, credit: usize) -> Result<Option<Decimal>, String> {
    match (amount(row, debit)?, amount(row, credit)?) {
        (None, None) => Ok(None),
        (debit, credit) => sum(debit.unwrap_or_default(), -credit.unwrap_or_default()).map(Some),
    }
}

/// Returns an amount; `None` if the cell is empty.
fn amount(row: &ReportRow, column: usize) -> Result<Option<Decimal>, String> {
    match row.cells.get(column).map(|cell| cell.value.as_str()) {
        None | Some("") => Ok(None),
        Some(text) => match row.amount(column).filter(can_be_summed) {
            None => Err(format!("'{text}' is no amount, or too large")),
            found => Ok(found),
        },
    }
}

/// Returns whether sums of many such amounts stay exact.
pub(super) fn can_be_summed(amount: &Decimal) -> bool {
    amount.scale() <= 6 && amount.abs() < Decimal::from(1_000_000_000_000_000_i64)
}

pub(super) fn sum(one: Decimal, other: Decimal) -> Result<Decimal, String> {
    one.checked_add(other)
        .ok_or_else(|| "an amount is too large".to_owned())
}
