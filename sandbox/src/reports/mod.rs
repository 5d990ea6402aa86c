//! Reports: what the books of a company say (Reports API, version 2; facts/reports.md).

mod ageing;
mod balance;
mod column;
mod ledger;
mod lists;
#[cfg(test)]
mod recomputed;
mod report;
mod request;
mod statements;
mod table;
#[cfg(test)]
mod tests;

use self::report::Report;
use self::request::Outcome;
pub(crate) use self::request::{Refusal, Request};

/// A report: its route, and the function that makes it.
type Row = (&'static str, fn(&Request<'_>) -> Outcome<Report>);

const REPORTS: &[Row] = &[
    ("TrialBalance", statements::trial_balance),
    ("ProfitAndLoss", statements::profit_and_loss),
    ("BalanceSheet", statements::balance_sheet),
    ("GeneralLedger", ledger::general_ledger),
    ("JournalReport", lists::journal),
    ("TransactionList", lists::transaction_list),
    ("AgedReceivables", ageing::receivables),
    ("AgedReceivableDetail", ageing::receivable_detail),
    ("AgedPayables", ageing::payables),
    ("AgedPayableDetail", ageing::payable_detail),
    ("CustomerBalance", ageing::customer_balance),
    ("VendorBalance", ageing::vendor_balance),
];

/// Returns the body of an answer.
///
/// # Errors
/// [`Refusal`] if there is no such report, or it does not take a parameter.
pub(crate) fn answer(name: &str, request: &Request<'_>) -> Result<String, Refusal> {
    let report = REPORTS.iter().find(|(known, _)| *known == name);
    let (_, make) = report.ok_or_else(|| Refusal::Report(name.to_owned()))?;
    let report = make(request)?;
    Ok(report.write(&request.time, &request.ledger.chart.home_currency))
}
