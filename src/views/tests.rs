//! Views as text.

use std::collections::HashSet;

use super::companies::Schemas;
use super::{View, all_views};
use crate::domain::ENTITIES;

fn views() -> Vec<View> {
    let entities: Vec<_> = ENTITIES.iter().collect();
    let schemas = Schemas {
        company_info: vec!["raw".to_owned()],
        preferences: Vec::new(),
    };
    all_views("raw", &entities, &schemas).unwrap()
}

#[test]
fn names_are_unique_and_short_enough_for_postgres() {
    let mut names = HashSet::new();
    for view in views() {
        assert!(names.insert(view.name.clone()), "{}", view.name);
        let mut columns = HashSet::new();
        for column in view.columns() {
            assert!(
                columns.insert(&column.name),
                "{}.{}",
                view.name,
                column.name
            );
            assert!(column.name.len() <= 63, "{}.{}", view.name, column.name);
            assert!(!column.comment.is_empty(), "{}.{}", view.name, column.name);
        }
    }
}

#[test]
fn the_parts_of_a_view_have_the_same_columns() {
    for view in views() {
        let signatures = |part: &super::definition::Part| -> Vec<String> {
            part.columns
                .iter()
                .map(super::definition::ViewColumn::signature)
                .collect()
        };
        let parts: HashSet<Vec<String>> = view.parts.iter().map(signatures).collect();
        assert_eq!(parts.len(), 1, "{}", view.name);
    }
}

#[test]
fn every_view_of_records_begins_with_the_same_columns() {
    for view in views().iter().filter(|view| view.name != "companies") {
        let first: Vec<&str> = view
            .columns()
            .iter()
            .take(6)
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(
            first,
            [
                "realm_id",
                "id",
                "sync_token",
                "created_at",
                "updated_at",
                "deleted_at"
            ],
            "{}",
            view.name
        );
    }
}
