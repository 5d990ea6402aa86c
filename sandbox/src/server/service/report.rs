//! Reports of a company with books.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::answer::ServiceFault;
use crate::assumption::{Assumptions, Topic};
use crate::company::Company;
use crate::pacific;
use crate::reports::{self, Refusal, Request};

/// Returns the body of an answer.
///
/// # Errors
/// A fault if the company has no books, there is no such report, or it does not take a parameter.
pub(super) fn answer(
    company: &Company,
    name: &str,
    parameters: &HashMap<String, String>,
    assumptions: &Assumptions,
    time: DateTime<Utc>,
) -> Result<String, ServiceFault> {
    let ledger = company
        .ledger()
        .ok_or_else(|| ServiceFault::no_reports(name))?;
    let today = pacific::date(time.timestamp()).parse();
    let request = Request {
        ledger: &ledger,
        parameters,
        today: today.unwrap_or_default(),
        time: pacific::format(time.timestamp()),
        max_cells: company.max_report_cells(),
        resets_by_year: assumptions.answer(Topic::TrialBalanceIncome) == "fiscal-year",
    };
    reports::answer(name, &request).map_err(|refusal| match refusal {
        Refusal::Report(name) => ServiceFault::no_such_path(&format!("/reports/{name}")),
        Refusal::Parameter(detail) => ServiceFault::bad_request(&detail),
    })
}
