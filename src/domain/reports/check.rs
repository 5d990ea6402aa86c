//! The comparison of an answer with the question (qbo-facts 13.24): QuickBooks ignores parameters that it does not know, and
//! takes dates and a basis of its own choice where it misses one.

use chrono::NaiveDate;

use super::answer::{Column, RowKind};
use super::registry::{BasisStyle, DateStyle};
use super::request::ReportRequest;
use super::tree::ParsedReport;
use crate::domain::reports::Basis;

/// Parameters whose values the Header repeats, and its member for each.
const ECHOED: [(&str, &str); 6] = [
    ("customer", "Customer"),
    ("vendor", "Vendor"),
    ("item", "Item"),
    ("class", "Class"),
    ("department", "Department"),
    ("employee", "Employee"),
];

/// Other filters: the Header names their ids likewise (reports.md B), but no sample of it is known.
const MAYBE_ECHOED: [(&str, &str); 2] = [("account", "Account"), ("term", "Term")];

/// Checks an answer against its request.
///
/// # Errors
/// If it answers another question, or contradicts itself. The text names both sides.
pub(crate) fn check_report(request: &ReportRequest, parsed: &ParsedReport) -> Result<(), String> {
    let answer = &parsed.answer;
    if !request.report.answers_as(&answer.name) {
        return Err(differs(
            "ReportName",
            request.report.route,
            Some(&answer.name),
        ));
    }
    check_days(request, parsed)?;
    check_basis(request, parsed)?;
    for (name, value) in &request.parameters {
        check_parameter(name, value, parsed)?;
    }
    check_unasked(request, parsed)?;
    let has_no_data = parsed.header.option("NoReportData") == Some("true");
    if !has_no_data {
        check_columns(request, parsed)?;
    }
    match (has_no_data, has_amounts(parsed)) {
        (true, true) => Err("its Header says that it has no data, and it holds amounts".to_owned()),
        _ if !has_no_data && answer.rows.is_empty() && !answer.is_cut => {
            Err("it holds no rows, and its Header does not say that it has no data".to_owned())
        }
        _ => Ok(()),
    }
}

fn differs(member: &str, asked: &str, found: Option<&str>) -> String {
    match found {
        Some(found) => format!("{member} {asked} was asked for, and its Header says {found}"),
        None => format!("{member} {asked} was asked for, and its Header does not say which it has"),
    }
}

fn check_days(request: &ReportRequest, parsed: &ParsedReport) -> Result<(), String> {
    let same = |member: &str, asked: Option<NaiveDate>, is_needed: bool| {
        let Some(asked) = asked.map(|date| date.to_string()) else {
            return Ok(());
        };
        match parsed.header.text(member) {
            Some(found) if found == asked => Ok(()),
            None if !is_needed => Ok(()),
            found => Err(differs(member, &asked, found)),
        }
    };
    match request.report.dates {
        DateStyle::Undated => Ok(()),
        DateStyle::Range => {
            same("StartPeriod", request.start, true)?;
            same("EndPeriod", request.end, true)
        }
        DateStyle::ReportDate => {
            let asked = request.end.map(|date| date.to_string());
            let option = parsed.header.option("report_date");
            if let (Some(asked), Some(found)) = (&asked, option)
                && asked != found
            {
                return Err(differs("report_date", asked, Some(found)));
            }
            same("EndPeriod", request.end, option.is_none())
        }
    }
}

fn check_basis(request: &ReportRequest, parsed: &ParsedReport) -> Result<(), String> {
    let Some(asked) = request.basis else {
        return Ok(());
    };
    let found = parsed.header.text("ReportBasis");
    let may_be_silent = request.report.basis == BasisStyle::Taken && asked == Basis::Accrual;
    match found {
        Some(found) if found == asked.word() => Ok(()),
        None if may_be_silent => Ok(()),
        found => Err(differs("ReportBasis", asked.word(), found)),
    }
}

/// Checks that a filter was not ignored. The ids may come in another order.
fn check_parameter(name: &str, value: &str, parsed: &ParsedReport) -> Result<(), String> {
    let sorted = |text: &str| {
        let mut ids: Vec<String> = text.split(',').map(|id| id.trim().to_owned()).collect();
        ids.sort();
        ids
    };
    if let Some((_, member)) = ECHOED.iter().find(|(known, _)| *known == name) {
        let found = parsed.header.text(member);
        return match found {
            Some(found) if sorted(found) == sorted(value) => Ok(()),
            found => Err(differs(member, value, found)),
        };
    }
    match name {
        "summarize_column_by" => check_summary(value, parsed),
        _ => Ok(()),
    }
}

/// Checks that no filter was set that nobody asked for.
fn check_unasked(request: &ReportRequest, parsed: &ParsedReport) -> Result<(), String> {
    let is_asked = |filter: &str| request.parameters.iter().any(|(name, _)| name == filter);
    for (filter, member) in ECHOED.iter().chain(&MAYBE_ECHOED) {
        let found = parsed.header.text(member);
        if let Some(found) = found.filter(|_| !is_asked(filter)) {
            return Err(format!(
                "no {member} was asked for, and its Header says {found}"
            ));
        }
    }
    Ok(())
}

/// Checks that columns are summed up as they were asked for. Statements and lists of customers, vendors and items
/// say how. Recorded answers of `TrialBalance` and `GeneralLedger` say nothing, and have no columns to sum up: they
/// may be silent about one column of totals, which they have in any case (qbo-facts 13.28).
fn check_summary(asked: &str, parsed: &ParsedReport) -> Result<(), String> {
    const MEMBER: &str = "SummarizeColumnsBy";
    let may_be_silent = ["TrialBalance", "GeneralLedger"].contains(&parsed.answer.name.as_str());
    match parsed.header.text(MEMBER) {
        Some(found) if found.eq_ignore_ascii_case(asked) => Ok(()),
        None if may_be_silent && asked.eq_ignore_ascii_case("Total") => Ok(()),
        found => Err(differs(MEMBER, asked, found)),
    }
}

/// Checks that no column is missing. QuickBooks leaves out those that it does not know.
fn check_columns(request: &ReportRequest, parsed: &ParsedReport) -> Result<(), String> {
    let answer = &parsed.answer;
    let has = |key: &str| answer.columns.iter().any(|column| column.key == key);
    let missing = match &request.columns[..] {
        [] => {
            let mut groups = request.report.needed();
            let missing = groups.find(|group| !group.clone().any(has));
            missing.map(|group| group.collect::<Vec<_>>().join(" or "))
        }
        asked => asked.iter().find(|key| !has(key)).cloned(),
    };
    let Some(missing) = missing else {
        return Ok(());
    };
    let found: Vec<&str> = answer
        .columns
        .iter()
        .map(|column| column.key.as_str())
        .collect();
    Err(format!(
        "the column {missing} was asked for, and it has {}",
        found.join(", ")
    ))
}

/// Returns true if a row says an amount. A running balance is none: it is that of days before, too.
fn has_amounts(parsed: &ParsedReport) -> bool {
    let is_amount = |column: &Column| column.holds_numbers() && !column.key.starts_with("rbal");
    let columns = &parsed.answer.columns;
    let data = parsed
        .answer
        .rows
        .iter()
        .filter(|row| row.kind == RowKind::Data);
    let mut amounts = data.flat_map(|row| {
        let numbers = (0..columns.len()).filter(|at| is_amount(&columns[*at]));
        numbers.filter_map(|at| row.amount(at))
    });
    amounts.any(|amount| !amount.is_zero())
}
