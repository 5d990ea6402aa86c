//! Statements in Intuit's query language (qbo-facts 2.3), with quoting of values.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};

use crate::domain::entity::EntitySpec;
use crate::domain::instant::format_instant;

/// A query for one page of an entity's records changed in `[from, until)`, oldest change first.
/// Every page names its order, because the default order is not stable (qbo-facts 3.7).
#[derive(Debug, Clone)]
pub struct PageQuery<'a> {
    /// The record type.
    pub entity: &'a EntitySpec,
    /// Start of the time of change, inclusive, whole seconds.
    pub from: DateTime<Utc>,
    /// End of the time of change, exclusive.
    pub until: DateTime<Utc>,
    /// Further conditions.
    pub conditions: &'a [Condition],
    /// Position of the first row, counted from 1. Never 0, because the meaning of 0 is not known.
    pub start_position: u32,
    /// Maximum number of rows in the answer.
    pub max_results: u32,
}

impl fmt::Display for PageQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT * FROM {} WHERE ", self.entity.qbo_name)?;
        write_range(f, self.entity, self.from, self.until)?;
        write_conditions(f, self.conditions)?;
        write!(
            f,
            " ORDERBY MetaData.LastUpdatedTime ASC STARTPOSITION {} MAXRESULTS {}",
            self.start_position, self.max_results
        )
    }
}

/// A query for the number of an entity's records changed in `[from, until)`.
#[derive(Debug, Clone)]
pub struct CountQuery<'a> {
    /// The record type.
    pub entity: &'a EntitySpec,
    /// Start of the time of change, inclusive, whole seconds.
    pub from: DateTime<Utc>,
    /// End of the time of change, exclusive.
    pub until: DateTime<Utc>,
    /// Further conditions.
    pub conditions: &'a [Condition],
}

impl fmt::Display for CountQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT COUNT(*) FROM {} WHERE ", self.entity.qbo_name)?;
        write_range(f, self.entity, self.from, self.until)?;
        write_conditions(f, self.conditions)
    }
}

/// A condition that divides the records of one second. A record without the property meets none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Path of a property that QBO can filter by (`facts/properties.tsv`).
    pub property: &'static str,
    /// Relation to the value.
    pub comparison: Comparison,
    /// The value.
    pub value: String,
}

/// Relation of a property to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Less than the value.
    Below,
    /// Equal to the value.
    Equal,
    /// Greater than the value.
    Above,
}

fn write_conditions(f: &mut fmt::Formatter<'_>, conditions: &[Condition]) -> fmt::Result {
    for condition in conditions {
        let sign = match condition.comparison {
            Comparison::Below => '<',
            Comparison::Equal => '=',
            Comparison::Above => '>',
        };
        write!(
            f,
            " AND {} {sign} {}",
            condition.property,
            Quoted(&condition.value)
        )?;
    }
    Ok(())
}

/// A query for records by their ids. It needs no order, because the answer is one page; QBO sorts no
/// record by `Id` (qbo-facts 13.1).
#[derive(Debug, Clone)]
pub struct IdQuery<'a> {
    /// The record type.
    pub entity: &'a EntitySpec,
    /// Ids, at most as many as a page holds.
    pub ids: &'a [String],
}

impl fmt::Display for IdQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT * FROM {} WHERE ", self.entity.qbo_name)?;
        if self.entity.has_active() {
            f.write_str("Active IN (true, false) AND ")?;
        }
        f.write_str("Id IN (")?;
        for (position, id) in self.ids.iter().enumerate() {
            write!(f, "{}{}", if position > 0 { ", " } else { "" }, Quoted(id))?;
        }
        write!(f, ") STARTPOSITION 1 MAXRESULTS {}", self.ids.len())
    }
}

/// A query for the only record of an entity.
#[derive(Debug, Clone)]
pub struct SingleQuery<'a> {
    /// The record type.
    pub entity: &'a EntitySpec,
}

impl fmt::Display for SingleQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Preferences can be filtered by nothing but times (facts/properties.tsv).
        let name = self.entity.qbo_name;
        write!(f, "SELECT * FROM {name} STARTPOSITION 1 MAXRESULTS 1")
    }
}

/// A query for records without an `Id`, by the properties of their identity.
#[derive(Debug, Clone)]
pub struct KeyQuery<'a> {
    /// The record type.
    pub entity: &'a EntitySpec,
    /// The first property of the identity, and its value.
    pub first: (&'a str, &'a str),
    /// The second property of the identity, and values that it may have.
    pub second: (&'a str, &'a [&'a str]),
    /// Maximum number of rows in the answer.
    pub max_results: u32,
}

impl fmt::Display for KeyQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value) = self.first;
        let from = self.entity.qbo_name;
        write!(
            f,
            "SELECT * FROM {from} WHERE {name} = {} AND ",
            Quoted(value)
        )?;
        let (name, values) = self.second;
        write!(f, "{name} IN (")?;
        for (position, value) in values.iter().enumerate() {
            write!(
                f,
                "{}{}",
                if position > 0 { ", " } else { "" },
                Quoted(value)
            )?;
        }
        write!(f, ") STARTPOSITION 1 MAXRESULTS {}", self.max_results)
    }
}

/// Writes the condition that page and count queries share.
fn write_range(
    f: &mut fmt::Formatter<'_>,
    entity: &EntitySpec,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> fmt::Result {
    if entity.has_active() {
        // QBO leaves out inactive records without this condition (qbo-facts 3.1) and refuses it for
        // transactions.
        f.write_str("Active IN (true, false) AND ")?;
    }
    let (from, until) = (format_instant(from), format_instant(until));
    write!(
        f,
        "MetaData.LastUpdatedTime >= {} AND MetaData.LastUpdatedTime < {}",
        Quoted(&from),
        Quoted(&until)
    )
}

/// A value in single quotes, with backslash and quote escaped by a backslash.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        for c in self.0.chars() {
            if matches!(c, '\'' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('\'')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entity::{ENTITIES, Identity};
    use crate::domain::find_entity;
    use crate::domain::instant::parse_instant;

    fn page(entity: &str, conditions: &[Condition]) -> String {
        PageQuery {
            entity: find_entity(entity).unwrap(),
            from: parse_instant("from", "2025-01-01").unwrap(),
            until: parse_instant("until", "2025-02-01").unwrap(),
            conditions,
            start_position: 1,
            max_results: 1000,
        }
        .to_string()
    }

    #[test]
    fn lists_ask_for_inactive_records_too() {
        assert_eq!(
            page("customers", &[]),
            "SELECT * FROM Customer WHERE Active IN (true, false) AND MetaData.LastUpdatedTime >= '2025-01-01T00:00:00Z' \
             AND MetaData.LastUpdatedTime < '2025-02-01T00:00:00Z' ORDERBY MetaData.LastUpdatedTime ASC \
             STARTPOSITION 1 MAXRESULTS 1000"
        );
    }

    #[test]
    fn transactions_never_mention_active() {
        let query = page("invoices", &[]);
        assert!(!query.contains("Active"), "{query}");
    }

    /// Returns every query of an entity, one a line.
    fn queries(name: &str) -> String {
        let entity = find_entity(name).unwrap();
        let part = [
            (Comparison::Above, "2024-12-31"),
            (Comparison::Below, "O'Hara"),
            (Comparison::Equal, "7"),
        ]
        .map(|(comparison, value)| Condition {
            property: "MetaData.CreateTime",
            comparison,
            value: value.to_owned(),
        });
        let count = CountQuery {
            entity,
            from: parse_instant("from", "2025-01-01").unwrap(),
            until: parse_instant("until", "2025-02-01").unwrap(),
            conditions: &part[..1],
        };
        let ids = ["7".to_owned(), "12".to_owned()];
        format!(
            "page: {}\npart of a second: {}\ncount: {count}\nids: {}\n",
            page(name, &[]),
            page(name, &part),
            IdQuery { entity, ids: &ids }
        )
    }

    #[test]
    fn the_queries_of_a_list_and_of_a_transaction_are_as_recorded() {
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!("queries_of_customers", queries("customers"));
            insta::assert_snapshot!("queries_of_invoices", queries("invoices"));
        });
    }

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(Quoted("Amy's \\ Birds").to_string(), r"'Amy\'s \\ Birds'");
    }

    /// Intuit's tables: whether queries and `Active` are possible, and by which properties.
    struct Facts {
        entities: Vec<Vec<&'static str>>,
        properties: Vec<Vec<&'static str>>,
    }

    impl Facts {
        fn read() -> Self {
            let rows = |table: &'static str| {
                let lines = table.lines().filter(|line| !line.starts_with('#'));
                lines.map(|line| line.split('\t').collect()).collect()
            };
            Self {
                entities: rows(include_str!("../../facts/entities.tsv")),
                properties: rows(include_str!("../../facts/properties.tsv")),
            }
        }

        fn entity(&self, name: &str) -> &[&'static str] {
            let found = self.entities.iter().find(|row| row[0] == name);
            found.unwrap_or_else(|| panic!("no row of {name}"))
        }

        fn allows(&self, entity: &str, property: &str, column: usize) -> bool {
            let mut rows = self.properties.iter();
            rows.any(|row| (row[0], row[1]) == (entity, property) && row[column] == "yes")
        }

        /// Checks a statement word by word.
        fn check(&self, entity: &EntitySpec, statement: &str) {
            let name = entity.qbo_name;
            let wrong = |why: &str| panic!("{why}: {statement}");
            let row = self.entity(name);
            if row[1] != "yes" {
                wrong("no query");
            }
            let (head, tail) = statement
                .split_once(" STARTPOSITION")
                .unwrap_or((statement, ""));
            assert!(
                tail.is_empty() || tail.starts_with(" 1 MAXRESULTS "),
                "{statement}"
            );
            let (head, order) = head.split_once(" ORDERBY ").unwrap_or((head, ""));
            if !order.is_empty() && !self.allows(name, order.trim_end_matches(" ASC"), 4) {
                wrong("not sortable");
            }
            let (_, conditions) = head.split_once(" WHERE ").unwrap_or((head, ""));
            for condition in conditions.split(" AND ") {
                let property = condition.split(' ').next().unwrap_or_default();
                if !self.allows(name, property, 3) {
                    wrong(&format!("{property} is not filterable"));
                }
                if property == "Active" && row[3] != "yes" {
                    wrong("no Active");
                }
            }
            // Inactive records are left out unless a query names them.
            assert_eq!(
                conditions.contains("Active IN (true, false)"),
                row[3] == "yes",
                "{statement}"
            );
        }
    }

    #[test]
    fn queries_name_only_what_intuit_allows() {
        let facts = Facts::read();
        let mut checked = 0;
        for entity in ENTITIES.iter().filter(|entity| entity.has_query) {
            let (from, until) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
            let divided = entity.dividers().iter().map(|divider| {
                let part = |comparison| Condition {
                    property: divider.name(),
                    comparison,
                    value: "7".to_owned(),
                };
                [Comparison::Below, Comparison::Equal, Comparison::Above]
                    .map(part)
                    .to_vec()
            });
            for conditions in std::iter::once(Vec::new()).chain(divided) {
                let page = PageQuery {
                    entity,
                    from,
                    until,
                    conditions: &conditions,
                    start_position: 1,
                    max_results: 1000,
                };
                let count = CountQuery {
                    entity,
                    from,
                    until,
                    conditions: &conditions,
                };
                facts.check(entity, &page.to_string());
                facts.check(entity, &count.to_string());
                checked += 2;
            }
            let ids = ["7".to_owned()];
            match entity.identity {
                Identity::Id | Identity::Wrapped => {
                    facts.check(entity, &IdQuery { entity, ids: &ids }.to_string());
                }
                Identity::Properties(names) => {
                    let query = KeyQuery {
                        entity,
                        first: (names[0], "7"),
                        second: (names[1], &["7"]),
                        max_results: 1000,
                    };
                    facts.check(entity, &query.to_string());
                }
                Identity::Single => {
                    let query = SingleQuery { entity }.to_string();
                    assert!(
                        !query.contains("WHERE") && !query.contains("ORDERBY"),
                        "{query}"
                    );
                }
            }
            assert_eq!(
                entity.has_cdc,
                facts.entity(entity.qbo_name)[4] == "yes",
                "{}",
                entity.name
            );
        }
        assert!(checked > 200, "{checked}");
    }
}
