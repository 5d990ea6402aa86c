//! The parser of an answer: a tree of sections becomes a list of rows (qbo-facts 13.21 to 13.23).
//!
//! serde_json refuses text that is nested too deeply, so that the walk over the tree has an end.

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::instant::parse_record_time;

use super::answer::{Basis, Cell, Column, ReportAnswer, ReportRow, RowKind, Section};
use super::bounds::{self, Refusal};

/// The text of the row that says that rows were left out.
const CUT: &str = "unable to display more data";

/// Cells from which on an answer counts as cut: QuickBooks stops at about 400,000 (qbo-facts 13.11).
const NEARLY_TOO_MANY: usize = 396_000;

/// The date of a line that continues the transaction of the line before it.
const CONTINUED: &str = "0-00-00";

/// The Header of an answer, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ReportHeader(pub(crate) Map<String, Value>);

impl ReportHeader {
    /// Returns a member that is a text and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// Returns one of its options. Intuit's model spells their members in another way than its samples.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let options = self.0.get("Option")?.as_array()?;
        let mut named = options
            .iter()
            .filter(|option| member(option, "Name") == Some(name));
        member(named.next()?, "Value")
    }

    fn date(&self, name: &str) -> Option<NaiveDate> {
        self.text(name)?.parse().ok()
    }
}

/// Returns a member of an option, in either spelling.
fn member<'o>(option: &'o Value, name: &str) -> Option<&'o str> {
    let value = option
        .get(name)
        .or_else(|| option.get(name.to_lowercase()))?;
    value.as_str()
}

/// An answer that was parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParsedReport {
    pub(crate) answer: ReportAnswer,
    pub(crate) header: ReportHeader,
}

impl ParsedReport {
    /// Returns the clock of QuickBooks at the answer.
    pub(crate) fn answered_at(&self) -> Option<DateTime<Utc>> {
        parse_record_time(self.header.text("Time")?)
    }
}

/// The parts of an answer, before they are read.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "Header", borrow)]
    header: &'a RawValue,
    #[serde(rename = "Columns", borrow, default)]
    columns: Option<&'a RawValue>,
    #[serde(rename = "Rows", borrow, default)]
    rows: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct ColumnList<'a> {
    #[serde(rename = "Column", borrow, default)]
    columns: Vec<RawColumn<'a>>,
}

#[derive(Deserialize)]
struct RawColumn<'a> {
    #[serde(rename = "ColTitle", borrow, default)]
    title: Option<&'a RawValue>,
    #[serde(rename = "ColType", borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(rename = "MetaData", borrow, default)]
    metadata: Option<Vec<MetaData<'a>>>,
    #[serde(rename = "Columns", borrow, default)]
    parts: Option<ColumnList<'a>>,
}

#[derive(Deserialize)]
struct MetaData<'a> {
    #[serde(rename = "Name", borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(rename = "Value", borrow, default)]
    value: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Rows<'a> {
    #[serde(rename = "Row", borrow, default)]
    rows: Option<Vec<Node<'a>>>,
}

/// A row of the tree. Its `type` is not read: leaves of some reports have none.
#[derive(Deserialize)]
struct Node<'a> {
    #[serde(rename = "Header", borrow, default)]
    header: Option<Cells<'a>>,
    #[serde(rename = "Rows", borrow, default)]
    rows: Option<Rows<'a>>,
    #[serde(rename = "Summary", borrow, default)]
    summary: Option<Cells<'a>>,
    #[serde(rename = "ColData", borrow, default)]
    cells: Option<Vec<RawCell<'a>>>,
    #[serde(borrow, default)]
    group: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Cells<'a> {
    #[serde(rename = "ColData", borrow, default)]
    cells: Option<Vec<RawCell<'a>>>,
}

#[derive(Deserialize)]
struct RawCell<'a> {
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

/// Parses an answer.
///
/// # Errors
/// If it is not the JSON of a report, or would take too much memory; the text says why.
pub(crate) fn parse_report(body: &[u8]) -> Result<ParsedReport, Refusal> {
    let body: Body<'_> = serde_json::from_slice(body)?;
    bounds::check(body.header, body.columns, body.rows)?;
    let header = ReportHeader(serde_json::from_str(body.header.get())?);
    let name = header.text("ReportName");
    let name = name.ok_or_else(|| "its Header has no ReportName".to_owned())?;
    let name = name.to_owned();
    let columns = columns(read(body.columns)?, &name)?;
    let mut walk = Walk {
        width: columns.len(),
        ..Walk::default()
    };
    walk.nodes(read(body.rows)?)?;
    let is_cut = walk.is_cut
        || walk.count * columns.len() >= NEARLY_TOO_MANY
        || (name == "JournalReport" && walk.ends_open);
    let mut rows = walk.rows;
    continue_transactions(&columns, &mut rows);
    let answer = ReportAnswer {
        name,
        basis: match header.text("ReportBasis") {
            Some("Accrual") => Some(Basis::Accrual),
            Some("Cash") => Some(Basis::Cash),
            _ => None,
        },
        start: header.date("StartPeriod"),
        end: header.date("EndPeriod"),
        currency: header.text("Currency").map(str::to_owned),
        columns,
        rows,
        is_cut,
    };
    Ok(ParsedReport { answer, header })
}

/// Reads a part of an answer, which may be absent.
fn read<'a, T: Deserialize<'a> + Default>(part: Option<&'a RawValue>) -> Result<T, Refusal> {
    match part {
        Some(part) => Ok(serde_json::from_str(part.get())?),
        None => Ok(T::default()),
    }
}

/// Returns the text of a value: what a string says, or the number or word that stands in its place.
fn text(value: Option<&RawValue>) -> Result<String, String> {
    let Some(value) = value.map(RawValue::get) else {
        return Ok(String::new());
    };
    match value.as_bytes().first() {
        Some(b'"') => {
            let text: Cow<'_, str> =
                serde_json::from_str(value).map_err(|error| error.to_string())?;
            Ok(text.into_owned())
        }
        Some(b'{' | b'[') => Err("a cell or a name holds an object or a list".to_owned()),
        _ if value == "null" => Ok(String::new()),
        _ => Ok(value.to_owned()),
    }
}

/// Returns the columns that cells line up with. A column with parts stands for them.
fn columns(list: ColumnList<'_>, report: &str) -> Result<Vec<Column>, Refusal> {
    let mut columns = Vec::new();
    add_columns(list, "", &mut columns)?;
    // The two columns of a trial balance, where nothing names them but titles, which are translated.
    let is_balance = report.starts_with("TrialBalance") && columns.len() == 3;
    if is_balance && !columns.iter().any(|column| column.key == "debt_amt") {
        for (column, key) in columns.iter_mut().skip(1).zip(["debt_amt", "credit_amt"]) {
            key.clone_into(&mut column.key);
        }
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for column in &mut columns {
        let count = seen.entry(column.key.clone()).or_default();
        *count += 1;
        if *count > 1 {
            column.key = format!("{}_{count}", column.key);
        }
    }
    Ok(columns)
}

fn add_columns(list: ColumnList<'_>, above: &str, out: &mut Vec<Column>) -> Result<(), Refusal> {
    for column in list.columns {
        let (title, kind) = (text(column.title)?, text(column.kind)?);
        let mut named = None;
        for member in column.metadata.unwrap_or_default() {
            if text(member.name)? == "ColKey" {
                named = Some(text(member.value)?).filter(|key| !key.is_empty());
            }
        }
        let key = format!("{above}{}", named.unwrap_or_else(|| key_of(&title, &kind)));
        bounds::check_column(out.len(), &key)?;
        match column.parts {
            Some(parts) if !parts.columns.is_empty() => {
                add_columns(parts, &format!("{key}."), out)?;
            }
            _ => out.push(Column { key, title, kind }),
        }
    }
    Ok(())
}

/// Returns the key of a column that names none: its type, unless that is a kind of value, such as
/// `Money`; else its title.
fn key_of(title: &str, kind: &str) -> String {
    match kind.chars().next() {
        Some(first) if first.is_lowercase() => kind.to_owned(),
        _ if title.is_empty() => kind.to_lowercase(),
        _ => title.to_lowercase(),
    }
}

#[derive(Default)]
struct Walk {
    path: Vec<Section>,
    rows: Vec<ReportRow>,
    /// Number of columns.
    width: usize,
    /// Number of rows, those that are left out included.
    count: usize,
    is_cut: bool,
    /// The last row with data has no sum behind it.
    ends_open: bool,
    /// Memory of the paths of all rows.
    paths: usize,
}

impl Walk {
    fn nodes(&mut self, rows: Rows<'_>) -> Result<(), Refusal> {
        for node in rows.rows.unwrap_or_default() {
            self.node(node)?;
        }
        Ok(())
    }

    fn node(&mut self, node: Node<'_>) -> Result<(), Refusal> {
        let group = Some(text(node.group)?).filter(|group| !group.is_empty());
        let is_section = node.header.is_some() || node.rows.is_some() || node.summary.is_some();
        if let Some(cells) = node.cells {
            let group = group.clone().filter(|_| !is_section);
            self.row(RowKind::Data, group, self.cells(cells)?)?;
        }
        if !is_section {
            return Ok(());
        }
        let read = |part: Option<Cells<'_>>| match part.and_then(|part| part.cells) {
            Some(cells) => self.cells(cells).map(Some),
            None => Ok(None),
        };
        let (header, summary) = (read(node.header)?, read(node.summary)?);
        // A line that the report computes has nothing but a summary.
        let label = match (&header, &node.rows) {
            (None, None) => summary.as_ref(),
            (header, _) => header.as_ref(),
        };
        let label = label.and_then(|cells| cells.first()).cloned();
        let label = label.unwrap_or_default();
        self.path.push(Section {
            label: label.value,
            group,
            id: label.id,
        });
        if let Some(cells) = header {
            self.row(RowKind::Header, None, cells)?;
        }
        self.nodes(node.rows.unwrap_or_default())?;
        if let Some(cells) = summary {
            self.row(RowKind::Summary, None, cells)?;
        }
        self.path.pop();
        Ok(())
    }

    fn cells(&self, cells: Vec<RawCell<'_>>) -> Result<Vec<Cell>, String> {
        if cells.len() > self.width {
            let (cells, columns) = (cells.len(), self.width);
            return Err(format!(
                "a row has {cells} cells, and there are {columns} columns"
            ));
        }
        let cells = cells.into_iter().map(|cell| {
            Ok(Cell {
                value: text(cell.value)?,
                id: Some(text(cell.id)?).filter(|id| !id.is_empty()),
            })
        });
        cells.collect()
    }

    /// Adds a row, unless it is blank or says that the answer was cut.
    fn row(
        &mut self,
        kind: RowKind,
        group: Option<String>,
        cells: Vec<Cell>,
    ) -> Result<(), Refusal> {
        self.count += 1;
        if kind == RowKind::Data {
            let mut filled = cells
                .iter()
                .filter(|cell| !cell.value.is_empty() || cell.id.is_some());
            let (first, more) = (filled.next(), filled.next());
            match (first, more) {
                (None, _) => return Ok(()),
                // A memo may have the same words, in a row that says more.
                (Some(only), None) if only.id.is_none() && says_cut(&only.value) => {
                    self.is_cut = true;
                    return Ok(());
                }
                _ => {}
            }
        }
        self.ends_open = kind == RowKind::Data;
        self.paths += self.path.iter().map(size_of_section).sum::<usize>();
        bounds::check_paths(self.paths)?;
        self.rows.push(ReportRow {
            path: self.path.clone(),
            kind,
            group,
            cells,
        });
        Ok(())
    }
}

/// Returns the memory of one step of a path.
fn size_of_section(section: &Section) -> usize {
    let texts = [
        section.group.as_ref(),
        section.id.as_ref(),
        Some(&section.label),
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    size_of::<Section>() + texts
}

fn says_cut(text: &str) -> bool {
    text.to_lowercase().contains(CUT)
}

/// Gives the lines that continue a transaction its date, type, number and name, which stand in its first
/// line only. The id of the transaction stands in each.
fn continue_transactions(columns: &[Column], rows: &mut [ReportRow]) {
    let place = |key: &str| columns.iter().position(|column| column.key == key);
    let (Some(date), Some(kind)) = (place("tx_date"), place("txn_type")) else {
        return;
    };
    let shared: Vec<usize> = ["doc_num", "name"].into_iter().filter_map(place).collect();
    let mut firsts: HashMap<String, Vec<Cell>> = HashMap::new();
    for row in rows.iter_mut().filter(|row| row.kind == RowKind::Data) {
        let Some(id) = row.cells.get(kind).and_then(|cell| cell.id.clone()) else {
            continue;
        };
        let dated = row.cells.get(date).map(|cell| cell.value.as_str());
        if !matches!(dated, None | Some("" | CONTINUED)) {
            firsts.insert(id, row.cells.clone());
            continue;
        }
        let Some(first) = firsts.get(&id) else {
            continue;
        };
        for at in [date, kind].iter().chain(&shared) {
            let (Some(cell), Some(known)) = (row.cells.get_mut(*at), first.get(*at)) else {
                continue;
            };
            if *at == date || (cell.value.is_empty() && (cell.id.is_none() || *at == kind)) {
                cell.clone_from(known);
            }
        }
    }
}
