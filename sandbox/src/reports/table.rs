//! The tree of a report: columns, sections, rows and cells (facts/shapes_a.md, common envelope).

use serde::Serialize;

/// The row that says that a report was cut (facts/reports.md D).
pub(super) const CUT: &str = "Unable to display more data. Please reduce the date range.";

#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Cell {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) value: String,
}

impl Cell {
    pub(super) fn text(value: impl Into<String>) -> Self {
        Self {
            id: None,
            value: value.into(),
        }
    }

    pub(super) fn with_id(value: impl Into<String>, id: &str) -> Self {
        Self {
            id: Some(id.to_owned()),
            value: value.into(),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct Cells {
    #[serde(rename = "ColData")]
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Serialize)]
struct Children {
    #[serde(rename = "Row")]
    rows: Vec<Row>,
}

/// A row: a leaf with cells, or a section.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Row {
    #[serde(rename = "Header", skip_serializing_if = "Option::is_none")]
    header: Option<Cells>,
    #[serde(rename = "Rows", skip_serializing_if = "Option::is_none")]
    children: Option<Children>,
    #[serde(rename = "Summary", skip_serializing_if = "Option::is_none")]
    summary: Option<Cells>,
    #[serde(rename = "ColData", skip_serializing_if = "Option::is_none")]
    cells: Option<Vec<Cell>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'static str>,
}

impl Row {
    /// Returns a leaf. Those of some reports have no type.
    pub(super) fn leaf(cells: Vec<Cell>) -> Self {
        Self {
            cells: Some(cells),
            ..Self::default()
        }
    }

    pub(super) fn data(cells: Vec<Cell>) -> Self {
        Self {
            kind: Some("Data"),
            ..Self::leaf(cells)
        }
    }

    pub(super) fn section(header: Vec<Cell>, rows: Vec<Self>, summary: Vec<Cell>) -> Self {
        Self {
            header: Some(Cells { cells: header }),
            children: Some(Children { rows }),
            ..Self::computed(summary)
        }
    }

    /// Returns a section without a summary.
    pub(super) fn open_section(header: Vec<Cell>, rows: Vec<Self>) -> Self {
        Self {
            summary: None,
            ..Self::section(header, rows, Vec::new())
        }
    }

    /// Returns a line that has only a summary.
    pub(super) fn computed(summary: Vec<Cell>) -> Self {
        Self {
            summary: Some(Cells { cells: summary }),
            kind: Some("Section"),
            ..Self::default()
        }
    }

    pub(super) fn grouped(self, group: &'static str) -> Self {
        Self {
            group: Some(group),
            ..self
        }
    }

    /// Returns the section as it is when its report ends inside of it.
    pub(super) fn without_summary(self) -> Self {
        Self {
            summary: None,
            ..self
        }
    }
}

#[derive(Debug, Serialize)]
struct MetaData {
    #[serde(rename = "Name")]
    name: &'static str,
    #[serde(rename = "Value")]
    value: String,
}

/// A column. Its key stands in its metadata (facts/reports.md E, recorded answers of 2026).
#[derive(Debug, Serialize)]
pub(super) struct Column {
    #[serde(rename = "ColTitle")]
    title: String,
    #[serde(rename = "ColType")]
    kind: &'static str,
    #[serde(rename = "MetaData", skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<MetaData>,
}

impl Column {
    /// Returns a column without a key, as some reports have.
    pub(super) fn bare(title: &str, kind: &'static str) -> Self {
        Self {
            title: title.to_owned(),
            kind,
            metadata: Vec::new(),
        }
    }

    pub(super) fn keyed(title: &str, kind: &'static str, key: &str) -> Self {
        Self::bare(title, kind).with("ColKey", key)
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        self.metadata.push(MetaData { name, value });
        self
    }
}

/// The rows of a report that may have only so many cells.
#[derive(Debug)]
pub(super) struct Sheet {
    rows_left: usize,
    pub(super) is_cut: bool,
}

impl Sheet {
    pub(super) fn new(max_cells: usize, columns: usize) -> Self {
        Self {
            rows_left: max_cells / columns.max(1),
            is_cut: false,
        }
    }

    /// Takes one row, or says that the report is cut here.
    pub(super) fn take(&mut self) -> bool {
        self.is_cut = self.is_cut || self.rows_left == 0;
        self.rows_left = self.rows_left.saturating_sub(1);
        !self.is_cut
    }
}

/// The columns and rows of a report.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
}

impl Table {
    pub(super) fn new(columns: Vec<Column>, mut rows: Vec<Row>, sheet: &Sheet) -> Self {
        if sheet.is_cut {
            let mut cells = vec![Cell::default(); columns.len()];
            if let Some(first) = cells.first_mut() {
                first.value = CUT.to_owned();
            }
            rows.push(Row::data(cells));
        }
        Self { columns, rows }
    }

    /// Writes `Columns` and `Rows`. A report without rows has no list of them.
    pub(super) fn write(&self, out: &mut String) {
        #[derive(Serialize)]
        struct Columns<'c> {
            #[serde(rename = "Column")]
            columns: &'c [Column],
        }
        let columns = Columns {
            columns: &self.columns,
        };
        let json = |text: Result<String, serde_json::Error>| text.unwrap_or_default();
        out.push_str(&json(serde_json::to_string(&columns)));
        out.push_str(r#","Rows":{"#);
        if !self.rows.is_empty() {
            out.push_str(r#""Row":"#);
            out.push_str(&json(serde_json::to_string(&self.rows)));
        }
        out.push('}');
    }
}
