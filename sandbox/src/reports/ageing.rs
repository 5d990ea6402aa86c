//! What customers owe and what vendors are owed, by age and by name.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::report::Report;
use super::request::{Outcome, Refusal, Request};
use super::table::{Cell, Column, Row, Sheet, Table};
use crate::books::{AccountType, OpenItem, Party, list_money, money};

/// One side of the books: receivables or payables.
struct Side {
    report: &'static str,
    /// The report that lists documents.
    detail: &'static str,
    /// The column of names in it.
    name_key: &'static str,
    /// A part of the keys of its amounts.
    sign: &'static str,
    kind: AccountType,
    /// The entity of its names.
    name: &'static str,
}

const CUSTOMERS: Side = Side {
    report: "AgedReceivables",
    detail: "AgedReceivableDetail",
    name_key: "cust_name",
    sign: "",
    kind: AccountType::Receivable,
    name: "Customer",
};
const VENDORS: Side = Side {
    report: "AgedPayables",
    detail: "AgedPayableDetail",
    name_key: "vend_name",
    sign: "neg_",
    kind: AccountType::Payable,
    name: "Vendor",
};

/// An open amount on a day.
struct OpenAmount<'o> {
    item: &'o OpenItem,
    /// In the direction in which the account grows.
    amount: i64,
    due: NaiveDate,
}

/// Returns what is open on a day.
fn open_on<'o>(request: &Request<'o>, side: &Side, day: NaiveDate) -> Vec<OpenAmount<'o>> {
    let ledger = request.ledger;
    let items = ledger
        .open_items
        .iter()
        .filter(|item| item.kind == side.kind);
    let open = items.map(|item| {
        let txn = &ledger.txns[item.txn];
        let settled = item.settled.iter().filter(|settled| settled.date <= day);
        let settled: i64 = settled.map(|settled| settled.amount).sum();
        let amount = if txn.date <= day { item.amount } else { 0 };
        OpenAmount {
            item,
            amount: side.kind.natural(amount + settled),
            due: txn.due,
        }
    });
    open.filter(|open| open.amount != 0).collect()
}

/// The spans of an ageing report: days of a span, number of spans.
struct Buckets {
    days: i64,
    count: i64,
}

impl Buckets {
    fn of(request: &Request<'_>) -> Outcome<Self> {
        Ok(Self {
            days: request.number("aging_period", 30)?,
            count: request.number("num_periods", 4)?,
        })
    }

    /// Returns the number of the span of an age; 0 for what is not due.
    fn of_age(&self, age: i64) -> usize {
        let span = if age <= 0 {
            0
        } else {
            1 + (age - 1) / self.days
        };
        usize::try_from(span.min(self.count)).unwrap_or_default()
    }

    fn titles(&self) -> Vec<String> {
        let spans = (0..self.count).map(|span| {
            let first = span * self.days + 1;
            match span + 1 == self.count {
                true => format!("{first} and over"),
                false => format!("{first} - {}", first + self.days - 1),
            }
        });
        ["Current".to_owned()].into_iter().chain(spans).collect()
    }
}

/// Returns the day from which ages count.
fn base(request: &Request<'_>, day: NaiveDate) -> Outcome<NaiveDate> {
    match request.text("aging_method") {
        None | Some("Report_Date") => Ok(day),
        Some("Current") => Ok(request.today),
        Some(other) => {
            let reason = format!("aging_method is Report_Date or Current, not {other}");
            Err(Refusal::Parameter(reason))
        }
    }
}

pub(super) fn receivables(request: &Request<'_>) -> Outcome<Report> {
    summary(request, &CUSTOMERS)
}

pub(super) fn payables(request: &Request<'_>) -> Outcome<Report> {
    summary(request, &VENDORS)
}

/// Amounts of each name: its own, by span.
type ByName = BTreeMap<Option<usize>, Vec<i64>>;

fn summary(request: &Request<'_>, side: &Side) -> Outcome<Report> {
    let day = request.report_date()?;
    let (base, buckets) = (base(request, day)?, Buckets::of(request)?);
    let titles = buckets.titles();
    let mut by_name = ByName::new();
    let filter = request.ids(&side.name.to_ascii_lowercase());
    for open in open_on(request, side, day) {
        if is_chosen(request, filter.as_ref(), open.item.name) {
            let amounts = by_name
                .entry(open.item.name)
                .or_insert_with(|| vec![0; titles.len()]);
            amounts[buckets.of_age((base - open.due).num_days())] += open.amount;
        }
    }
    let mut columns = vec![Column::bare("", side.name)];
    columns.extend(titles.iter().map(|title| Column::bare(title, "Money")));
    columns.push(Column::bare("Total", "Money"));
    let mut sheet = Sheet::new(request.max_cells, columns.len());
    let mut sum = vec![0; titles.len()];
    for amounts in by_name.values() {
        super::balance::add_all(&mut sum, amounts);
    }
    let mut rows = Vec::new();
    for name in top_names(request, &by_name) {
        if !sheet.take() {
            break;
        }
        rows.push(name_row(request, &by_name, name));
    }
    if !rows.is_empty() && !sheet.is_cut {
        rows.push(
            Row::computed(amounts_row(Cell::text("TOTAL"), &sum, true)).grouped("GrandTotal"),
        );
    }
    let table = Table::new(columns, rows, &sheet);
    let report = Report::new(side.report, table).with_option("report_date", &day.to_string());
    let period = super::request::Period {
        start: day,
        end: day,
        macro_words: None,
    };
    Ok(report.of_period(period).with_filter(side.name, filter))
}

fn is_chosen(request: &Request<'_>, filter: Option<&Vec<&str>>, name: Option<usize>) -> bool {
    filter.is_none_or(|ids| {
        name.is_some_and(|name| ids.contains(&request.ledger.chart.parties[name].id.as_str()))
    })
}

fn party<'r>(request: &Request<'r>, name: Option<usize>) -> Option<&'r Party> {
    name.map(|name| &request.ledger.chart.parties[name])
}

/// Returns the names that stand at the top: those without a parent, and the parents of the others.
fn top_names(request: &Request<'_>, by_name: &ByName) -> Vec<Option<usize>> {
    let top = by_name.keys().map(|name| match party(request, *name) {
        Some(party) if party.parent.is_some() => party.parent,
        _ => *name,
    });
    let mut top: Vec<_> = top.collect();
    top.sort_by_key(|name| {
        (
            name.is_none(),
            party(request, *name).map(|party| party.name.clone()),
        )
    });
    top.dedup();
    top
}

fn label(request: &Request<'_>, name: Option<usize>) -> Cell {
    match party(request, name) {
        Some(party) => Cell::with_id(party.name.as_str(), &party.id),
        None => Cell::text("Not Specified"),
    }
}

/// Returns the cells of a name. Nothing is blank in a row, and `0.00` in a total.
fn amounts_row(label: Cell, amounts: &[i64], is_total: bool) -> Vec<Cell> {
    let cell = |amount: i64| {
        Cell::text(if amount == 0 && !is_total {
            String::new()
        } else {
            money(amount)
        })
    };
    let mut cells = vec![label];
    cells.extend(amounts.iter().map(|amount| cell(*amount)));
    cells.push(Cell::text(money(amounts.iter().sum())));
    cells
}

/// Returns the row of a name, or its section if some of its jobs have open amounts too.
fn name_row(request: &Request<'_>, by_name: &ByName, name: Option<usize>) -> Row {
    let empty = || vec![0; by_name.values().next().map_or(0, Vec::len)];
    let own = by_name.get(&name).cloned().unwrap_or_else(empty);
    let jobs = by_name.iter().filter(|(job, _)| {
        name.is_some() && party(request, **job).is_some_and(|party| party.parent == name)
    });
    let jobs: Vec<_> = jobs.collect();
    if jobs.is_empty() {
        return Row::leaf(amounts_row(label(request, name), &own, false));
    }
    let mut sum = own.clone();
    let rows = jobs.into_iter().map(|(job, amounts)| {
        super::balance::add_all(&mut sum, amounts);
        Row::data(amounts_row(label(request, *job), amounts, false))
    });
    let rows = rows.collect();
    let text = party(request, name).map_or("", |party| party.name.as_str());
    let total = amounts_row(Cell::text(format!("Total {text}")), &sum, true);
    Row::section(amounts_row(label(request, name), &own, false), rows, total)
}

pub(super) fn receivable_detail(request: &Request<'_>) -> Outcome<Report> {
    detail(request, &CUSTOMERS)
}

pub(super) fn payable_detail(request: &Request<'_>) -> Outcome<Report> {
    detail(request, &VENDORS)
}

/// The open documents of names, by age. Each total is a section of its own.
fn detail(request: &Request<'_>, side: &Side) -> Outcome<Report> {
    let day = request.report_date()?;
    let (base, buckets) = (base(request, day)?, Buckets::of(request)?);
    let filter = request.ids(&side.name.to_ascii_lowercase());
    let least = match request.text("past_due") {
        Some(_) => Some(request.number("past_due", 1)?),
        None => None,
    };
    let mut spans: Vec<Vec<OpenAmount<'_>>> = buckets.titles().iter().map(|_| Vec::new()).collect();
    for open in open_on(request, side, day) {
        let age = (base - open.due).num_days();
        if is_chosen(request, filter.as_ref(), open.item.name)
            && least.is_none_or(|least| age >= least)
        {
            spans[buckets.of_age(age)].push(open);
        }
    }
    // With several currencies, amounts in the home currency have other keys (docs/qbo-facts.md 13.29).
    let home = match request.ledger.chart.has_currencies() {
        true => "home_",
        false => "",
    };
    let [amount, open] = ["amount", "open_bal"].map(|of| format!("subt_{}{home}{of}", side.sign));
    let columns = [
        ("Date", "Date", "tx_date"),
        ("Transaction type", "String", "txn_type"),
        ("Num", "String", "doc_num"),
        (side.name, "String", side.name_key),
        ("Due date", "Date", "due_date"),
        ("Past due", "String", "past_due"),
        ("Amount", "Money", &amount),
        ("Open balance", "Money", &open),
    ];
    let columns = columns.map(|(title, kind, key)| Column::keyed(title, kind, key));
    let mut sheet = Sheet::new(request.max_cells, columns.len());
    let mut rows = Vec::new();
    for (span, title) in buckets.titles().iter().enumerate().rev() {
        let title = if span == 0 {
            title.clone()
        } else {
            format!("{title} days past due")
        };
        let (mut children, mut sum) = (Vec::new(), 0);
        for open in &spans[span] {
            if !sheet.take() {
                break;
            }
            sum += open.amount;
            children.push(detail_row(request, open, base));
        }
        if children.is_empty() {
            continue;
        }
        rows.push(Row::open_section(vec![Cell::text(title.clone())], children));
        if sheet.is_cut {
            break;
        }
        let mut total = vec![Cell::default(); 8];
        total[0] = Cell::text(format!("Total for {title}"));
        total[7] = Cell::text(list_money(sum));
        rows.push(Row::open_section(total, Vec::new()));
    }
    let table = Table::new(columns.into(), rows, &sheet);
    let report = Report::new(side.detail, table);
    let report = report.with_option("report_date", &day.to_string());
    Ok(report.with_filter(side.name, filter))
}

fn detail_row(request: &Request<'_>, open: &OpenAmount<'_>, base: NaiveDate) -> Row {
    let txn = &request.ledger.txns[open.item.txn];
    Row::data(vec![
        Cell::text(txn.date.to_string()),
        Cell::with_id(txn.label.as_str(), &txn.id),
        Cell::text(txn.number.as_str()),
        label(request, open.item.name),
        Cell::text(txn.due.to_string()),
        Cell::text((base - txn.due).num_days().to_string()),
        Cell::text(list_money(open.item.kind.natural(open.item.amount))),
        Cell::text(list_money(open.amount)),
    ])
}

pub(super) fn customer_balance(request: &Request<'_>) -> Outcome<Report> {
    balances(request, &CUSTOMERS, "CustomerBalance")
}

pub(super) fn vendor_balance(request: &Request<'_>) -> Outcome<Report> {
    match request.text("appaid") {
        None | Some("Unpaid" | "All") => balances(request, &VENDORS, "VendorBalance"),
        Some(other) => Err(Refusal::Parameter(format!(
            "appaid {other} is not supported"
        ))),
    }
}

fn balances(request: &Request<'_>, side: &Side, report: &'static str) -> Outcome<Report> {
    let day = request.report_date()?;
    let filter = request.ids(&side.name.to_ascii_lowercase());
    let mut by_name: BTreeMap<Option<usize>, i64> = BTreeMap::new();
    for open in open_on(request, side, day) {
        if is_chosen(request, filter.as_ref(), open.item.name) {
            *by_name.entry(open.item.name).or_default() += open.amount;
        }
    }
    let columns = vec![Column::bare("", side.name), Column::bare("Total", "Money")];
    let mut sheet = Sheet::new(request.max_cells, columns.len());
    let (mut rows, mut total) = (Vec::new(), 0);
    for (name, amount) in by_name {
        if !sheet.take() {
            break;
        }
        rows.push(Row::leaf(vec![
            label(request, name),
            Cell::text(money(amount)),
        ]));
        total += amount;
    }
    if !rows.is_empty() && !sheet.is_cut {
        let total = vec![Cell::text("TOTAL"), Cell::text(money(total))];
        rows.push(Row::computed(total).grouped("GrandTotal"));
    }
    let table = Table::new(columns, rows, &sheet);
    let report = Report::new(report, table).with_macro("all");
    let report = report.with_option("report_date", &day.to_string());
    Ok(report.with_filter(side.name, filter))
}
