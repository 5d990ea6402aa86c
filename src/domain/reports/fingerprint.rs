//! The content of an answer as a digest: two answers that say the same have the same one.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};

use super::answer::{Cell, ReportRow};
use super::tree::ParsedReport;

/// Members of the Header that differ from one answer to the next.
const CHANGING: [&str; 1] = ["Time"];

impl ParsedReport {
    /// Returns a digest of Header, columns and rows. The order of rows does not matter, because it is
    /// not stable (qbo-facts 13.23), nor do titles of columns, nor the time of the answer.
    pub(crate) fn fingerprint(&self) -> String {
        let mut whole = Context::new(&SHA256);
        let mut members: Vec<_> = self.header.0.iter().collect();
        members.retain(|(name, _)| !CHANGING.contains(&name.as_str()));
        members.sort_by_key(|(name, _)| *name);
        for (name, value) in members {
            add(&mut whole, name);
            add(&mut whole, &value.to_string());
        }
        for column in &self.answer.columns {
            add(&mut whole, &column.key);
        }
        let mut rows: Vec<_> = self.answer.rows.iter().map(of_row).collect();
        rows.sort();
        for row in rows {
            whole.update(&row);
        }
        let mut text = String::with_capacity(64);
        for byte in whole.finish().as_ref() {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

fn add(context: &mut Context, text: &str) {
    context.update(&text.len().to_be_bytes());
    context.update(text.as_bytes());
}

fn add_optional(context: &mut Context, text: Option<&str>) {
    context.update(&[u8::from(text.is_some())]);
    add(context, text.unwrap_or_default());
}

fn of_row(row: &ReportRow) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(&[row.kind as u8]);
    add_optional(&mut context, row.group.as_deref());
    for section in &row.path {
        add(&mut context, &section.label);
        add_optional(&mut context, section.group.as_deref());
        add_optional(&mut context, section.id.as_deref());
    }
    context.update(&[u8::MAX]);
    for Cell { value, id } in &row.cells {
        add(&mut context, value);
        add_optional(&mut context, id.as_deref());
    }
    context.finish().as_ref().to_vec()
}
