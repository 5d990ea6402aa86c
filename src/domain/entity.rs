//! The registry of QBO entities. A new entity is one row of [`ENTITIES`].

use crate::error::{Error, Result};

/// How QBO treats a record type (qbo-facts 3.1 and 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityKind {
    /// Never removed, only made inactive; hidden from queries unless `Active` is asked for.
    List,
    /// Removed for good when deleted; has no `Active`.
    Transaction,
}

/// One record type: what we call it and how QBO treats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitySpec {
    /// Our name, plural and lower case; also the end of the table's name.
    pub name: &'static str,
    /// QBO's name, in queries and as the key of an answer.
    pub qbo_name: &'static str,
    /// List or transaction.
    pub kind: EntityKind,
}

/// Every entity this release can extract.
pub const ENTITIES: &[EntitySpec] = &[
    EntitySpec { name: "customers", qbo_name: "Customer", kind: EntityKind::List },
    EntitySpec { name: "invoices", qbo_name: "Invoice", kind: EntityKind::Transaction },
    EntitySpec { name: "items", qbo_name: "Item", kind: EntityKind::List },
];

impl EntitySpec {
    /// The table that holds it, without its schema: `qb_customers`.
    pub fn table(&self) -> String {
        format!("qb_{}", self.name)
    }
}

/// The entities a program works with: [`ENTITIES`], and what it adds.
#[derive(Debug, Clone)]
pub struct EntityRegistry(Vec<EntitySpec>);

impl Default for EntityRegistry {
    fn default() -> Self {
        Self(ENTITIES.to_vec())
    }
}

impl EntityRegistry {
    /// Adds an entity, replacing one of the same name.
    #[must_use]
    pub fn with(mut self, spec: EntitySpec) -> Self {
        self.0.retain(|known| known.name != spec.name);
        self.0.push(spec);
        self
    }

    /// All entities, in the order of the registry.
    pub fn all(&self) -> &[EntitySpec] {
        &self.0
    }

    /// Finds an entity by our name or QBO's, in any case.
    ///
    /// # Errors
    /// [`Error::Config`] that lists the known names.
    pub fn get(&self, name: &str) -> Result<&EntitySpec> {
        let wanted = name.trim();
        self.0
            .iter()
            .find(|e| e.name.eq_ignore_ascii_case(wanted) || e.qbo_name.eq_ignore_ascii_case(wanted))
            .ok_or_else(|| {
                let known: Vec<_> = self.0.iter().map(|e| e.name).collect();
                Error::config("entity", format!("unknown entity '{name}'; known: {}", known.join(", ")))
            })
    }

    /// Finds several, in the order asked for, each once.
    ///
    /// # Errors
    /// [`Error::Config`] if one is unknown or none is named.
    pub fn select<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<EntitySpec>> {
        let mut selected: Vec<EntitySpec> = Vec::new();
        for name in names {
            let spec = self.get(name.as_ref())?;
            if !selected.contains(spec) {
                selected.push(spec.clone());
            }
        }
        if selected.is_empty() {
            return Err(Error::config("entity", "no entity was named"));
        }
        Ok(selected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_plain_identifiers() {
        let names: HashSet<_> = ENTITIES.iter().map(|e| e.name).collect();
        let qbo_names: HashSet<_> = ENTITIES.iter().map(|e| e.qbo_name).collect();
        assert_eq!((names.len(), qbo_names.len()), (ENTITIES.len(), ENTITIES.len()));
        // Table names are built from them, unquoted.
        assert!(names.iter().all(|n| n.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    }

    #[test]
    fn both_names_find_an_entity_and_unknown_ones_are_listed() {
        let registry = EntityRegistry::default();
        assert_eq!(registry.get("Invoice").unwrap().name, "invoices");
        let text = registry.get("invoces").unwrap_err().to_string();
        assert!(text.contains("'invoces'") && text.contains("customers, invoices, items"), "{text}");
    }

    #[test]
    fn an_entity_named_twice_is_selected_once() {
        let selected = EntityRegistry::default().select(&["items", "Item", "customers"]).unwrap();
        assert_eq!(selected.iter().map(|e| e.name).collect::<Vec<_>>(), ["items", "customers"]);
    }
}
