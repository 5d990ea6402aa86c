//! Cells of QuickBooks reports as lines of COPY.

use std::fmt::Write as _;

use crate::domain::reports::ReportCell;

/// Starts the stream of cells.
pub(super) const COPY: &str = "
COPY qbo.report_rows (schema_name, realm_id, report_id, row_number, column_number, column_key,
    row_kind, path, groups, row_group, account_id, txn_date, txn_type, txn_id, party_id, cell_id,
    amount, value) FROM STDIN";

/// Writes a line of COPY's text format (PostgreSQL documentation, COPY, "Text Format").
pub(super) fn write_line(out: &mut String, key: [&str; 3], cell: &ReportCell<'_>) {
    let path = cell
        .row
        .path
        .iter()
        .map(|section| Some(section.label.as_str()));
    let groups = cell.row.path.iter().map(|section| section.group.as_deref());
    for text in key {
        field(out, Some(text));
    }
    field(out, Some(&cell.row_number.to_string()));
    field(out, Some(&cell.column_number.to_string()));
    field(out, Some(&cell.column.key));
    field(out, Some(cell.row.kind.word()));
    field(out, Some(&array(path)));
    field(out, Some(&array(groups)));
    field(out, cell.row.group.as_deref());
    field(out, cell.place.account_id);
    field(out, cell.txn_date.map(|date| date.to_string()).as_deref());
    field(out, cell.place.txn_type);
    field(out, cell.place.txn_id);
    field(out, cell.place.party_id);
    field(out, cell.id);
    field(out, cell.amount.map(|amount| amount.to_string()).as_deref());
    field(out, Some(cell.value));
    // The last field has a tab behind it.
    out.pop();
    out.push('\n');
}

fn field(out: &mut String, text: Option<&str>) {
    match text {
        None => out.push_str("\\N"),
        Some(text) => {
            for letter in text.chars() {
                match letter {
                    '\\' => out.push_str("\\\\"),
                    '\t' => out.push_str("\\t"),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    // Postgres stores no U+0000.
                    '\0' => out.push('\u{fffd}'),
                    other => out.push(other),
                }
            }
        }
    }
    out.push('\t');
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
    fn texts_are_escaped_for_the_array_and_for_copy() {
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
        let mut line = String::new();
        field(&mut line, Some("a\tb\n\\N\0"));
        field(&mut line, None);
        assert_eq!(line, "a\\tb\\n\\\\N\u{fffd}\t\\N\t");
    }
}
