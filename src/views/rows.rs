//! The rows of a view: records, their lines, or the elements of lists in them.

use super::cast::array_at;

/// The record within the rows.
pub(super) const RECORD: &str = "r.payload";

/// The line, or the element of a list, within the rows.
pub(super) const LINE: &str = "l.value";

/// Detail of a group, which has lines of its own.
pub(super) const GROUP: &str = "GroupLineDetail";

/// The source of one row, before lists within it are taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// A record `r`.
    Records,
    /// A line `l(value, place, parent)` of a record.
    Lines {
        /// Lines may be groups, whose members are lines too.
        has_groups: bool,
    },
    /// An element `l(value, place)` of a list of a record.
    Elements(&'static [&'static str]),
}

/// A list within a row.
#[derive(Debug, Clone)]
pub(super) struct List {
    /// The object that has it.
    pub record: &'static str,
    /// Its property.
    pub property: &'static str,
    /// Name of its elements.
    pub alias: &'static str,
    /// The place of the element is read.
    pub has_place: bool,
}

impl List {
    /// Returns the text after `FROM` that takes the list apart.
    pub(super) fn join(&self) -> String {
        let array = array_at(self.record, &[self.property]);
        let alias = self.alias;
        match self.has_place {
            true => format!(
                "\nCROSS JOIN LATERAL jsonb_array_elements({array})\n    WITH ORDINALITY AS {alias}(value, place)"
            ),
            false => {
                format!("\nCROSS JOIN LATERAL jsonb_array_elements({array}) AS {alias}(value)")
            }
        }
    }
}

/// The rows of a part of a view.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// Text after `FROM` that gives the records as `r`.
    pub records: String,
    pub base: Base,
    pub lists: Vec<List>,
}

impl Rows {
    /// Returns the rows with those of a list in place of each.
    pub(super) fn each(mut self, list: List) -> Self {
        self.lists.push(list);
        self
    }

    /// Returns the text after `FROM` of the view.
    pub(super) fn from(&self) -> String {
        let lists = self.lists.iter().map(List::join).collect::<String>();
        format!("{}{}{lists}", self.records, self.base())
    }

    fn base(&self) -> String {
        match self.base {
            Base::Records => String::new(),
            Base::Elements(path) => format!(
                "\nCROSS JOIN LATERAL jsonb_array_elements({})\n    WITH ORDINALITY AS l(value, place)",
                array_at(RECORD, path)
            ),
            Base::Lines { has_groups: false } => format!(
                "\nCROSS JOIN LATERAL (\n    SELECT t.value, t.place, NULL::bigint AS parent\n    \
                 FROM jsonb_array_elements({}) WITH ORDINALITY AS t(value, place)\n) AS l",
                array_at(RECORD, &["Line"])
            ),
            Base::Lines { has_groups: true } => format!(
                "\nCROSS JOIN LATERAL jsonb_array_elements({})\n    WITH ORDINALITY AS t(value, place)\n\
                 CROSS JOIN LATERAL (\n    SELECT t.value, t.place, NULL::bigint AS parent\n    UNION ALL\n    \
                 SELECT m.value, m.place, t.place\n    FROM jsonb_array_elements({}) \
                 WITH ORDINALITY AS m(value, place)\n) AS l",
                array_at(RECORD, &["Line"]),
                array_at("t.value", &[GROUP, "Line"])
            ),
        }
    }
}
