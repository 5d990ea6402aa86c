//! The statement that fills an entity's tables with the rows of some records, all at once: each payload
//! is unpacked once, each record is taken apart into its lines once, and what begins every row is made
//! once a record.

use super::cast::{array_at, literal};
use super::definition::{Part, ViewColumn};
use super::lookups::Lookups;
use super::rows::{Base, GROUP, LINE, RECORD, Rows};
use super::source::{HEAD_VALUES, Source};
use super::table::Table;
use crate::domain::Identity;
use crate::postgres::quote_identifier;

/// Returns the statement that adds rows to tables of an entity, those of the records whose ids are in
/// the array `changed_ids`. None of the tables may have rows of them.
pub(super) fn fill(source: &Source<'_>, tables: &[&Table<'_>]) -> String {
    let parts = tables.iter().flat_map(|table| table.parts_of(source));
    let parts: Vec<&Part> = parts.collect();
    let fill = Fill::of(source, &parts);
    let mut with = vec![format!("r AS MATERIALIZED ({})", fill.records())];
    if fill.has_lines(&parts) {
        with.push(format!("t AS MATERIALIZED ({})", fill.lines()));
    }
    let inserts = tables.iter().map(|table| fill.insert(source, table));
    let mut inserts: Vec<String> = inserts.collect();
    let last = inserts.pop().unwrap_or_default();
    for (place, insert) in inserts.iter().enumerate() {
        with.push(format!("i{place} AS (\n{insert}\n)"));
    }
    format!("WITH {}\n{last};\n", with.join(",\n"))
}

/// The queries that the rows of all tables of an entity share.
struct Fill<'a> {
    source: &'a Source<'a>,
    /// Expressions of [`HEAD_VALUES`].
    head: Vec<ViewColumn>,
    /// Lookups in the record that lines need.
    of_record: Lookups<'a>,
}

impl<'a> Fill<'a> {
    fn of(source: &'a Source<'a>, parts: &[&'a Part]) -> Self {
        let mut head = source.head();
        head.retain(|column| HEAD_VALUES.contains(&column.name.as_str()));
        let parts = parts.iter().filter(|part| !is_of_records(part));
        let columns = parts.flat_map(|part| &part.columns);
        let columns = columns.filter(|column| !HEAD_VALUES.contains(&column.name.as_str()));
        let expressions = columns.map(|column| column.expression.as_str());
        Self {
            source,
            head,
            of_record: Lookups::of(expressions, RECORD, "payload"),
        }
    }

    /// Returns the query of the records. Otherwise each of a hundred columns would unpack the payload
    /// for itself; an empty path unpacks, and OFFSET keeps it below the columns.
    fn records(&self) -> String {
        let template_type = match self.source.entity.identity {
            Identity::Wrapped => "r.template_type, ",
            _ => "",
        };
        let rows = format!(
            "(\nSELECT r.id, r.deleted_at_utc, {template_type}{RECORD} #> '{{}}' AS payload\nFROM {}\n\
             WHERE r.id = ANY (changed_ids)\nOFFSET 0)",
            self.source.from()
        );
        let expressions = self.head.iter().map(|column| column.expression.as_str());
        let lookups = Lookups::of(expressions, RECORD, "payload");
        let head = self.head.iter().map(|column| {
            let value = lookups.expression(&column.expression);
            format!("{value} AS {}", column.name)
        });
        let shared = self.of_record.carried().into_iter();
        let shared = shared.map(|(expression, name)| format!("{expression} AS {name}"));
        let columns: Vec<String> = head.chain(shared).collect();
        format!(
            "SELECT r.id, r.deleted_at_utc, {template_type}r.payload, {}\nFROM {}",
            columns.join(", "),
            lookups.from(&rows)
        )
    }

    fn has_lines(&self, parts: &[&Part]) -> bool {
        let mut rows = parts.iter().filter_map(|part| part.rows.as_ref());
        rows.any(|rows| matches!(rows.base, Base::Lines { .. }))
    }

    /// Returns the columns that rows below a record have of it.
    fn of_records(&self, rows: &str) -> String {
        let names = HEAD_VALUES.map(ToOwned::to_owned).into_iter();
        let carried = self.of_record.carried().into_iter().map(|(_, name)| name);
        let names = names.chain(carried).map(|name| format!("{rows}.{name}"));
        let names: Vec<String> = names.collect();
        format!("{rows}.id, {rows}.deleted_at_utc, {}", names.join(", "))
    }

    /// Returns the query of the lines, without the members of groups.
    fn lines(&self) -> String {
        format!(
            "SELECT {}, e.value, e.place, NULL::bigint AS parent\nFROM r\n\
             CROSS JOIN LATERAL jsonb_array_elements({}) WITH ORDINALITY AS e(value, place)",
            self.of_records("r"),
            array_at(RECORD, &["Line"])
        )
    }

    /// Returns the text after `FROM` that gives the rows, without a name. Rows without the list that is
    /// read are left out first.
    fn rows(&self, rows: &Rows) -> String {
        let all = match rows.base {
            Base::Records => "r".to_owned(),
            Base::Lines { has_groups: false } => "t".to_owned(),
            Base::Lines { has_groups: true } => format!(
                "(\nSELECT t.* FROM t\nUNION ALL\nSELECT {}, m.value, m.place, t.place\nFROM t\n\
                 CROSS JOIN LATERAL jsonb_array_elements({}) WITH ORDINALITY AS m(value, place)\n\
                 WHERE t.value ? {})",
                self.of_records("t"),
                array_at("t.value", &[GROUP, "Line"]),
                literal(GROUP)
            ),
            Base::Elements(path) => format!(
                "(\nSELECT {}, e.value, e.place\nFROM r\n\
                 CROSS JOIN LATERAL jsonb_array_elements({}) WITH ORDINALITY AS e(value, place)\n\
                 WHERE {RECORD} ? {})",
                self.of_records("r"),
                array_at(RECORD, path),
                literal(path.first().copied().unwrap_or_default())
            ),
        };
        let lists = rows.lists.iter();
        let mut lists = lists.filter(|list| list.record == LINE);
        match lists.next() {
            Some(list) => format!(
                "(\nSELECT r.* FROM {all} AS r\nWHERE r.value ? {})",
                literal(list.property)
            ),
            None => all,
        }
    }

    fn insert(&self, source: &Source<'_>, table: &Table<'_>) -> String {
        let columns = table.view.columns().iter();
        let columns: Vec<String> = columns
            .map(|column| quote_identifier(&column.name))
            .collect();
        let parts = table.parts_of(source).into_iter();
        let selects: Vec<String> = parts.filter_map(|part| self.select(part)).collect();
        format!(
            "INSERT INTO {} ({})\n{}",
            table.name(),
            columns.join(", "),
            selects.join("\nUNION ALL\n")
        )
    }

    fn select(&self, part: &Part) -> Option<String> {
        let rows = part.rows.as_ref()?;
        let is_of_records = is_of_records(part);
        let (record, column) = match is_of_records {
            true => (RECORD, "payload"),
            false => (LINE, "value"),
        };
        let own = part.columns.iter();
        let own = own.filter(|column| !HEAD_VALUES.contains(&column.name.as_str()));
        let own = own.map(|column| column.expression.as_str());
        let lookups = Lookups::of(own, record, column);
        let columns = part.columns.iter().map(|column| {
            if HEAD_VALUES.contains(&column.name.as_str()) {
                return format!("r.{}", column.name);
            }
            let expression = lookups.expression(&column.expression);
            match is_of_records {
                true => expression,
                false => self.of_record.reading_carried(&expression),
            }
        });
        let columns: Vec<String> = columns.collect();
        let line = match rows.base {
            Base::Records => "",
            Base::Elements(_) => "\nCROSS JOIN LATERAL (SELECT r.value, r.place) AS l",
            Base::Lines { .. } => "\nCROSS JOIN LATERAL (SELECT r.value, r.place, r.parent) AS l",
        };
        let lists: String = rows.lists.iter().map(super::rows::List::join).collect();
        Some(format!(
            "SELECT {}\nFROM {}{line}{lists}",
            columns.join(",\n"),
            lookups.from(&self.rows(rows))
        ))
    }
}

fn is_of_records(part: &Part) -> bool {
    let rows = part.rows.as_ref();
    rows.is_some_and(|rows| rows.base == Base::Records)
}
