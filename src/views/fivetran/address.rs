//! The table of addresses: Fivetran keeps them apart from the records that have them.

use super::table::{self, Rows, Table};
use super::{SYNCED, comment, no_such, view_column};
use crate::domain::ColumnType;
use crate::error::Result;
use crate::views::cast::{json_at, literal, text_at, value_at};
use crate::views::definition::{View, ViewColumn};
use crate::views::rows::RECORD;
use crate::views::source::Source;

/// Name of the table.
pub(super) const TABLE: &str = "address";

/// Model of an address.
const MODEL: &str = "PhysicalAddress";

/// Returns the id of the address that a record has at a property: its own, or one made of the
/// place where it stands, because not every address has one. NULL if the record has none.
pub(super) fn id_of(entity: &str, property: &str) -> String {
    let address = json_at(RECORD, &[property]);
    let own = text_at(RECORD, &[property, "Id"]);
    format!(
        "CASE jsonb_typeof({address}) WHEN 'object' THEN coalesce(nullif({own}, ''), {} || r.id || {}) END",
        literal(&format!("{entity} ")),
        literal(&format!(" {property}"))
    )
}

/// Returns the view. Records share addresses, and may keep an older state of one: a row is the
/// address of the record that was changed last, of those together the first in the table's list.
pub(super) fn view(table: &Table, sources: &[(Source<'_>, &Rows)]) -> Result<View> {
    let mut selects = Vec::new();
    let mut all_rows = Vec::new();
    let mut fields = None;
    for (place, (source, rows)) in sources.iter().enumerate() {
        let [property] = rows.list[..] else {
            return Err(no_such(table, "rows"));
        };
        let field = source
            .field(property)
            .filter(|field| field.of == Some(MODEL));
        field.ok_or_else(|| no_such(table, property))?;
        let changed = value_at(
            RECORD,
            &["MetaData", "LastUpdatedTime"],
            ColumnType::Timestamptz,
        );
        selects.push(format!(
            "SELECT {} AS id, {} AS value, {SYNCED} AS synced,\n            {changed} AS changed, \
             r.deleted_at_utc IS NOT NULL AS deleted, {place} AS place\n        FROM {}",
            id_of(source.entity.qbo_name, property),
            json_at(RECORD, &[property]),
            source.from()
        ));
        all_rows.push(*rows);
        fields = Some(source.table);
    }
    let fields = fields.ok_or_else(|| no_such(table, "rows"))?;
    let columns = table.columns.iter().map(|column| {
        let (expression, comment) = match (&column.source, column.column_type) {
            (table::Source::Id, _) => ("a.id".to_owned(), "Id of the address.".to_owned()),
            (table::Source::Synced, _) => ("a.synced".to_owned(), column.meaning.to_owned()),
            (table::Source::Paths(paths), super::Type::Of(column_type)) => {
                let path = paths.first().ok_or_else(|| no_such(table, column.name))?;
                let place = path.place(fields, &[MODEL]);
                let place = place.ok_or_else(|| no_such(table, column.name))?;
                let comment = match place.meaning {
                    "" => path.text(),
                    meaning => format!("{}: {meaning}", path.text()),
                };
                (path.sql("a.value", place, column_type), comment)
            }
            _ => return Err(no_such(table, column.name)),
        };
        Ok(view_column(column, comment, expression))
    });
    let columns: Vec<ViewColumn> = columns.collect::<Result<_>>()?;
    let from = format!(
        "(\n    SELECT DISTINCT ON (u.id) u.id, u.value, u.synced\n    FROM (\n        {}\n    ) AS u\n    \
         WHERE u.id IS NOT NULL\n    ORDER BY u.id, u.deleted, u.changed DESC NULLS LAST, u.place, u.value\n) AS a",
        selects.join("\n        UNION ALL\n        ")
    );
    Ok(View::new(
        table.name.to_owned(),
        comment(table, &all_rows),
        columns,
        from,
    ))
}
