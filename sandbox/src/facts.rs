//! Intuit's tables of entities and of queryable properties (`facts/README.md`). The simulator
//! refuses what they do not allow.

use std::collections::HashMap;
use std::sync::LazyLock;

const ENTITIES: &str = include_str!("../../facts/entities.tsv");
const PROPERTIES: &str = include_str!("../../facts/properties.tsv");

static TABLES: LazyLock<HashMap<&'static str, EntityFacts>> = LazyLock::new(read);

/// What Intuit says about one entity.
#[derive(Debug, Default)]
pub(crate) struct EntityFacts {
    /// Whether queries can ask for it.
    pub(crate) has_query: bool,
    /// Whether its records have `Active`.
    pub(crate) has_active: bool,
    /// Whether change data capture reports it.
    pub(crate) has_cdc: bool,
    properties: Vec<Property>,
}

/// A property that queries can filter or sort by.
#[derive(Debug)]
pub(crate) struct Property {
    pub(crate) name: &'static str,
    /// Whether values are compared as numbers. All others are compared as text.
    pub(crate) is_number: bool,
    pub(crate) is_filterable: bool,
    pub(crate) is_sortable: bool,
}

impl EntityFacts {
    /// Returns a property by its name, in upper or lower case.
    pub(crate) fn property(&self, name: &str) -> Option<&Property> {
        let mut properties = self.properties.iter();
        properties.find(|property| property.name.eq_ignore_ascii_case(name))
    }
}

/// Returns the facts about an entity, or `None` if Intuit has no such entity.
pub(crate) fn of_entity(name: &str) -> Option<&'static EntityFacts> {
    TABLES.get(name)
}

/// Returns the spelling of an entity's name.
pub(crate) fn name_of(name: &str) -> Option<&'static str> {
    let mut names = TABLES.keys().copied();
    names.find(|known| known.eq_ignore_ascii_case(name))
}

fn read() -> HashMap<&'static str, EntityFacts> {
    let is_yes = |cell: &str| cell == "yes";
    let mut tables: HashMap<_, _> = rows(ENTITIES)
        .filter_map(|row| {
            let [name, query, _, active, cdc, ..] = row[..] else {
                return None;
            };
            let facts = EntityFacts {
                has_query: is_yes(query),
                has_active: is_yes(active),
                has_cdc: is_yes(cdc),
                properties: Vec::new(),
            };
            Some((name, facts))
        })
        .collect();
    for row in rows(PROPERTIES) {
        let [entity, name, kind, filterable, sortable] = row[..] else {
            continue;
        };
        if let Some(facts) = tables.get_mut(entity) {
            facts.properties.push(Property {
                name,
                is_number: kind.ends_with("Decimal"),
                is_filterable: is_yes(filterable),
                is_sortable: is_yes(sortable),
            });
        }
    }
    tables
}

/// Returns the rows of a table, each as its cells, without comments and the row of names.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.skip(1).map(|line| line.split('\t').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_tables_is_read() {
        assert_eq!(TABLES.len(), rows(ENTITIES).count());
        let properties = TABLES.values().map(|facts| facts.properties.len());
        assert_eq!(properties.sum::<usize>(), rows(PROPERTIES).count());
        assert!(rows(PROPERTIES).count() > 200);
    }

    #[test]
    fn an_id_can_be_filtered_and_never_sorted_by() {
        let ids = TABLES
            .values()
            .filter_map(|facts| facts.property("Id"))
            .collect::<Vec<_>>();
        assert!(ids.len() > 35);
        assert!(ids.iter().all(|id| id.is_filterable && !id.is_sortable));
    }
}
