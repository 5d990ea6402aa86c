//! The lookups of columns in a record, each made once a row.
//!
//! A view looks up what a query reads, each time anew. Who reads all columns looks the same object up a
//! hundred times, and in most records it is not there. So the queries that fill tables look up every
//! object first, then the values that a column reads more than once, and columns of an object that is
//! not there cost next to nothing.

use std::collections::BTreeMap;

use super::cast::literal;
use super::common::by_parts;

/// Operators of a lookup, and what ends its path.
const OPERATORS: [(&str, &str); 4] = [
    (" #>> '{", "}'"),
    (" #> '{", "}'"),
    (" ->> '", "'"),
    (" -> '", "'"),
];

/// A lookup in the text of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lookup<'a> {
    path: Vec<&'a str>,
    is_text: bool,
}

/// A piece of the text of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<'a> {
    Other(&'a str),
    Lookup(Lookup<'a>),
}

/// Splits an expression at its lookups in `record`.
fn pieces<'a>(expression: &'a str, record: &str) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let (mut rest, mut from) = (expression, 0);
    while let Some(found) = rest.get(from..).and_then(|text| text.find(record)) {
        let begin = from + found;
        let after = rest.get(begin + record.len()..).unwrap_or_default();
        let Some((lookup, length)) = lookup_at(after) else {
            from = begin + record.len();
            continue;
        };
        pieces.push(Piece::Other(rest.get(..begin).unwrap_or_default()));
        pieces.push(Piece::Lookup(lookup));
        rest = after.get(length..).unwrap_or_default();
        from = 0;
    }
    pieces.push(Piece::Other(rest));
    pieces
}

/// Returns the lookup with which a text begins, and its length.
fn lookup_at(text: &str) -> Option<(Lookup<'_>, usize)> {
    OPERATORS.iter().find_map(|(operator, end)| {
        let path = text.strip_prefix(operator)?;
        let (path, _) = path.split_once(end)?;
        let lookup = Lookup {
            path: path.split(',').collect(),
            is_text: operator.contains(">>"),
        };
        Some((lookup, operator.len() + path.len() + end.len()))
    })
}

/// A value that several columns, or one column several times, read.
#[derive(Debug)]
struct Value {
    is_text: bool,
    uses: usize,
    name: String,
}

/// Columns whose lookups are made once a row.
#[derive(Debug)]
pub(super) struct Lookups<'a> {
    /// The record as the columns name it, such as `l.value`.
    record: &'a str,
    /// Its name within the rows `r`.
    column: &'a str,
    /// Names of the objects, by their paths.
    objects: BTreeMap<Vec<&'a str>, String>,
    values: BTreeMap<Vec<&'a str>, Value>,
}

impl<'a> Lookups<'a> {
    /// Gathers the lookups of expressions in a record, which is a column of the rows `r`.
    pub(super) fn of(
        expressions: impl IntoIterator<Item = &'a str>,
        record: &'a str,
        column: &'a str,
    ) -> Self {
        let mut all = Self {
            record,
            column,
            objects: BTreeMap::new(),
            values: BTreeMap::new(),
        };
        for expression in expressions {
            for piece in pieces(expression, record) {
                if let Piece::Lookup(lookup) = piece {
                    all.add(lookup);
                }
            }
        }
        all
    }

    /// A column looks up first what it needs in most rows: the text of a text, the JSON of a
    /// number. The other one is looked up where it is needed.
    fn add(&mut self, lookup: Lookup<'a>) {
        for length in 1..lookup.path.len() {
            let object = lookup.path.get(..length).unwrap_or_default().to_vec();
            let name = format!("o{}", self.objects.len() + 1);
            self.objects.entry(object).or_insert(name);
        }
        let name = format!("v{}", self.values.len() + 1);
        let value = self.values.entry(lookup.path).or_insert(Value {
            is_text: lookup.is_text,
            uses: 0,
            name,
        });
        value.uses += usize::from(value.is_text == lookup.is_text);
    }

    /// Returns an expression that reads what was looked up.
    pub(super) fn expression(&self, expression: &str) -> String {
        let pieces = pieces(expression, self.record).into_iter();
        let pieces = pieces.map(|piece| match piece {
            Piece::Other(text) => text.to_owned(),
            Piece::Lookup(lookup) => self.read(&lookup),
        });
        by_parts(&pieces.collect::<String>())
    }

    fn read(&self, lookup: &Lookup<'_>) -> String {
        let known = self.values.get(&lookup.path);
        match known.filter(|value| value.is_text == lookup.is_text && value.uses > 1) {
            Some(value) => format!("r.{}", value.name),
            None => self.step(&lookup.path, lookup.is_text),
        }
    }

    /// Returns the lookup in the object that has the value.
    fn step(&self, path: &[&str], is_text: bool) -> String {
        let (name, above) = path.split_last().unwrap_or((&"", &[]));
        let object = self.objects.get(above).map_or(self.column, String::as_str);
        let operator = if is_text { "->>" } else { "->" };
        format!("r.{object} {operator} {}", literal(name))
    }

    /// Returns every value as JSON, and its name, for rows that are made without the record.
    pub(super) fn carried(&self) -> Vec<(String, String)> {
        let values = self.values.iter();
        let carried = values.map(|(path, value)| {
            let path = path.join(",");
            (
                format!("r.{} #> {}", self.column, literal(&format!("{{{path}}}"))),
                format!("c{}", value.name),
            )
        });
        carried.collect()
    }

    /// Returns an expression that reads the values which [`carried`](Self::carried) has named.
    pub(super) fn reading_carried(&self, expression: &str) -> String {
        let pieces = pieces(expression, self.record).into_iter();
        let pieces = pieces.map(|piece| match piece {
            Piece::Other(text) => text.to_owned(),
            Piece::Lookup(lookup) => {
                let value = self.values.get(&lookup.path);
                let name = value.map_or("", |value| value.name.as_str());
                match lookup.is_text {
                    true => format!("(r.c{name} #>> '{{}}')"),
                    false => format!("r.c{name}"),
                }
            }
        });
        pieces.collect()
    }

    /// Returns the text after `FROM` that gives the rows `r` with everything that was looked up. OFFSET
    /// keeps each step apart: otherwise every column would look up for itself again.
    pub(super) fn from(&self, rows: &str) -> String {
        let mut from = format!("{rows} AS r");
        let deepest = self.objects.keys().map(Vec::len).max().unwrap_or_default();
        for depth in 1..=deepest {
            let objects = self.objects.iter().filter(|(path, _)| path.len() == depth);
            let objects = objects.map(|(path, name)| (self.step(path, false), name));
            from = with(objects.collect(), &from);
        }
        let values = self.values.iter().filter(|(_, value)| value.uses > 1);
        let values = values.map(|(path, value)| (self.step(path, value.is_text), &value.name));
        with(values.collect(), &from)
    }
}

/// Adds columns to rows.
fn with(columns: Vec<(String, &String)>, from: &str) -> String {
    if columns.is_empty() {
        return from.to_owned();
    }
    let columns = columns.iter();
    let columns: Vec<String> = columns
        .map(|(expression, name)| format!("{expression} AS {name}"))
        .collect();
    format!(
        "(\nSELECT r.*, {}\nFROM {from}\nOFFSET 0) AS r",
        columns.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_split_at_its_lookups_in_the_record() {
        let text = "CASE WHEN r.payload #>> '{A,B}' ~ 'r.payload' THEN (r.payload -> 'C') ELSE l.value ->> 'D' END";
        let lookup = |path: &[&'static str], is_text| {
            Piece::Lookup(Lookup {
                path: path.to_vec(),
                is_text,
            })
        };
        assert_eq!(
            pieces(text, "r.payload"),
            [
                Piece::Other("CASE WHEN "),
                lookup(&["A", "B"], true),
                Piece::Other(" ~ 'r.payload' THEN ("),
                lookup(&["C"], false),
                Piece::Other(") ELSE l.value ->> 'D' END"),
            ]
        );
    }

    #[test]
    fn objects_and_what_is_read_twice_are_looked_up_once() {
        let columns = [
            "f(l.value ->> 'A', l.value -> 'A', l.value ->> 'A')",
            "l.value #>> '{B,C,D}'",
            "coalesce(l.value #> '{B,E}', l.value #> '{B,E}')",
        ];
        let lookups = Lookups::of(columns, "l.value", "value");
        let read: Vec<String> = columns.map(|column| lookups.expression(column)).into();
        assert_eq!(
            read,
            [
                "f(r.v1, r.value -> 'A', r.v1)",
                "r.o2 ->> 'D'",
                "coalesce(r.v3, r.v3)"
            ]
        );
        assert_eq!(
            lookups.from("rows"),
            "(\nSELECT r.*, r.value ->> 'A' AS v1, r.o1 -> 'E' AS v3\nFROM (\nSELECT r.*, r.o1 -> 'C' AS o2\n\
             FROM (\nSELECT r.*, r.value -> 'B' AS o1\nFROM rows AS r\nOFFSET 0) AS r\nOFFSET 0) AS r\nOFFSET 0) AS r"
        );
    }
}
