//! Statements in Intuit's query language (qbo-facts 2.3), with quoting of values.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};

use crate::domain::entity::{EntitySpec, Ordering};
use crate::domain::instant::format_instant;

/// Order of the rows of a page. Every query names one, because the default order is not stable
/// (qbo-facts 3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Oldest change first.
    LastUpdated,
    /// By the property that separates records of one second, usually `Id`. A total order.
    WithinSecond,
}

/// A query for one page of an entity's records changed in `[from, until)`.
#[derive(Debug, Clone)]
pub struct PageQuery<'a> {
    /// The record type.
    pub entity: &'a EntitySpec,
    /// Start of the time of change, inclusive, whole seconds.
    pub from: DateTime<Utc>,
    /// End of the time of change, exclusive.
    pub until: DateTime<Utc>,
    /// Order of the rows.
    pub order: Order,
    /// Position of the first row, counted from 1. Never 0, because the meaning of 0 is not known.
    pub start_position: u32,
    /// Maximum number of rows in the answer.
    pub max_results: u32,
}

impl fmt::Display for PageQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT * FROM {} WHERE ", self.entity.qbo_name)?;
        let order = match self.order {
            Order::LastUpdated => "MetaData.LastUpdatedTime",
            Order::WithinSecond => match self.entity.ordering {
                Ordering::By(property) => property,
                Ordering::Unreliable => "Id",
            },
        };
        write_range(f, self.entity, self.from, self.until)?;
        write!(
            f,
            " ORDERBY {order} ASC STARTPOSITION {} MAXRESULTS {}",
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
}

impl fmt::Display for CountQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT COUNT(*) FROM {} WHERE ", self.entity.qbo_name)?;
        write_range(f, self.entity, self.from, self.until)
    }
}

/// A query for records by their ids.
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
        write!(
            f,
            ") ORDERBY Id ASC STARTPOSITION 1 MAXRESULTS {}",
            self.ids.len()
        )
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
    use crate::domain::entity::find_entity;
    use crate::domain::instant::parse_instant;

    fn page(entity: &str, order: Order) -> String {
        PageQuery {
            entity: find_entity(entity).unwrap(),
            from: parse_instant("from", "2025-01-01").unwrap(),
            until: parse_instant("until", "2025-02-01").unwrap(),
            order,
            start_position: 1,
            max_results: 1000,
        }
        .to_string()
    }

    #[test]
    fn lists_ask_for_inactive_records_too() {
        assert_eq!(
            page("customers", Order::LastUpdated),
            "SELECT * FROM Customer WHERE Active IN (true, false) AND MetaData.LastUpdatedTime >= '2025-01-01T00:00:00Z' \
             AND MetaData.LastUpdatedTime < '2025-02-01T00:00:00Z' ORDERBY MetaData.LastUpdatedTime ASC \
             STARTPOSITION 1 MAXRESULTS 1000"
        );
    }

    #[test]
    fn transactions_never_mention_active() {
        let query = page("invoices", Order::WithinSecond);
        assert!(
            !query.contains("Active") && query.contains("ORDERBY Id ASC"),
            "{query}"
        );
    }

    /// Returns every query of an entity, one a line.
    fn queries(name: &str) -> String {
        let entity = find_entity(name).unwrap();
        let count = CountQuery {
            entity,
            from: parse_instant("from", "2025-01-01").unwrap(),
            until: parse_instant("until", "2025-02-01").unwrap(),
        };
        let ids = ["7".to_owned(), "12".to_owned()];
        format!(
            "page: {}\npage within a second: {}\ncount: {count}\nids: {}\n",
            page(name, Order::LastUpdated),
            page(name, Order::WithinSecond),
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
}
