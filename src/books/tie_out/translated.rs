//! Open documents that a report calls by a word of another language.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::parties::OpenDocuments;
use crate::books::Entry;
use crate::domain::ENTITIES;
use crate::domain::reports::has_no_entity;

/// Returns reported documents by the entity of the record that has the id, where the report's word says none:
/// words are translated (reports.md F).
pub(super) fn by_entity(report: &OpenDocuments, entries: &[Entry]) -> OpenDocuments {
    let is_known =
        |word: &str| ENTITIES.iter().any(|it| it.qbo_name == word) || has_no_entity(word);
    let unknown = report.keys().filter(|((word, _), _)| !is_known(word));
    let unknown: HashSet<&str> = unknown.map(|((_, id), _)| id.as_str()).collect();
    let mut entities: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for entry in entries.iter().filter(|it| unknown.contains(it.id.as_str())) {
        entities.entry(&entry.id).or_default().insert(&entry.entity);
    }
    let named = |word: &str, id: &str| -> Option<String> {
        let found = entities.get(id).filter(|found| found.len() == 1)?;
        (!is_known(word)).then(|| found.iter().copied().collect())
    };
    let documents = report.iter().map(|(((word, id), owner), document)| {
        let entity = named(word, id).unwrap_or_else(|| word.clone());
        (((entity, id.clone()), owner.clone()), document.clone())
    });
    documents.collect()
}
