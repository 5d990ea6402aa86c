//! Fields that the table of fields does not know, as rows for it; and what the service keeps of masks
//! and differences.

use std::collections::BTreeMap;

use super::{App, Service};
use crate::domain::{Mask, find_entity, unknown_row};
use crate::error::Result;
use crate::postgres::Db;
use crate::store::{SchemaDrift, schema_drift};
use crate::terminal::one_line;

impl Service {
    /// Returns the properties that are never stored.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Returns the differences between the records of all companies and the table of fields.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn schema_drift(&self) -> Result<Vec<SchemaDrift>> {
        schema_drift(&self.db, None, &[]).await
    }
}

impl App {
    /// Returns the members that no row of `facts/fields.tsv` names, as rows for it, in the order of that
    /// file. The type is that of most values, and the meaning says where they were seen.
    ///
    /// # Errors
    /// Returns errors of the settings and of the database.
    pub async fn unknown_fields(&self, schema: &str) -> Result<String> {
        let db = Db::open(&self.settings.postgres()?, 1).await?;
        let mut rows: BTreeMap<(String, String), (i64, String)> = BTreeMap::new();
        for drift in schema_drift(&db, Some(schema), &[]).await? {
            let entity = match find_entity(&drift.entity) {
                Ok(entity) if drift.kind == "unknown" => entity,
                _ => continue,
            };
            let Some((model, path)) = unknown_row(entity, &drift.path)? else {
                continue;
            };
            let field_type = match drift.found.as_str() {
                // Of a null nothing is known.
                "null" => "text",
                other => other,
            };
            // A null says less about the type than any other value.
            let weight = match drift.found.as_str() {
                "null" => 0,
                _ => drift.records,
            };
            let meaning = format!(
                "?; {} of {}, record {}, since {}",
                drift.path,
                entity.qbo_name,
                drift.example_id,
                drift.first_seen.format("%Y-%m-%d")
            );
            let row = row_of([&model, &path, field_type, "", &meaning]);
            let known = rows.entry((model, path)).or_insert((-1, String::new()));
            if weight > known.0 {
                *known = (weight, row);
            }
        }
        Ok(rows.into_values().map(|(_, row)| row).collect())
    }
}

/// Returns a row of a table of tabs. Ids and names are texts of others: none begins a column or a row, or
/// changes a terminal.
fn row_of(columns: [&str; 5]) -> String {
    columns.map(one_line).join("\t") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_company_begins_a_row_or_changes_a_terminal() {
        let forged = "7\nItem\tForged\u{1b}[2J\u{202e}";
        let row = row_of(["Item", forged, "text", "", forged]);
        let shown = r"7\nItem\tForged\u{1b}[2J\u{202e}";
        assert_eq!(row, format!("Item\t{shown}\ttext\t\t{shown}\n"));
    }
}
