//! Cells of QuickBooks reports as lines of COPY.

use std::fmt::Write as _;

use crate::domain::reports::ReportCell;
use crate::postgres::copy_text::{end, plain, text};

/// Starts the stream of cells.
pub(super) const COPY: &str = "
COPY qbo.report_rows (schema_name, realm_id, report_id, row_number, column_number, column_key,
    row_kind, path, groups, row_group, account_id, txn_date, txn_type, txn_id, party_id, cell_id,
    amount, value) FROM STDIN";

/// Writes a cell as a row.
pub(super) fn write_line(out: &mut String, key: [&str; 3], cell: &ReportCell<'_>) {
    let path = cell
        .row
        .path
        .iter()
        .map(|section| Some(section.label.as_str()));
    let groups = cell.row.path.iter().map(|section| section.group.as_deref());
    for part in key {
        text(out, Some(part));
    }
    plain(out, Some(cell.row_number));
    plain(out, Some(cell.column_number));
    text(out, Some(&cell.column.key));
    text(out, Some(cell.row.kind.word()));
    text(out, Some(&array(path)));
    text(out, Some(&array(groups)));
    text(out, cell.row.group.as_deref());
    text(out, cell.place.account_id);
    plain(out, cell.txn_date);
    text(out, cell.place.txn_type);
    text(out, cell.place.txn_id);
    text(out, cell.place.party_id);
    text(out, cell.id);
    plain(out, cell.amount);
    text(out, Some(cell.value));
    end(out);
}

/// Returns the literal of an array of texts.
fn array<'t>(texts: impl Iterator<Item = Option<&'t str>>) -> String {
    let mut out = String::from("{");
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(',');
        }
        match text {
            None => out.push_str("NULL"),
            Some(text) => {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                // Writing into a String cannot fail.
                let _ = write!(out, "\"{text}\"");
            }
        }
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_for_the_array() {
        assert_eq!(array([].into_iter()), "{}");
        let texts = [
            Some(r#"a "b" \c"#),
            None,
            Some(""),
            Some("NULL"),
            Some("x,y"),
        ];
        assert_eq!(
            array(texts.into_iter()),
            r#"{"a \"b\" \\c",NULL,"","NULL","x,y"}"#
        );
    }
}
