//! Golden files of the SQL for one entity.

use super::ddl;
use super::merge::merge_statement;
use crate::domain::{ENTITIES, find_entity};

#[test]
fn the_sql_of_an_entity_is_as_recorded() {
    let entity = &ENTITIES[..1];
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("ddl", ddl("raw", entity).unwrap());
        insta::assert_snapshot!("merge", merge_statement("raw", &entity[0], false, None));
    });
}

#[test]
fn the_merge_of_wrapped_records_reads_the_object_inside() {
    let entity = find_entity("recurring_transactions").unwrap();
    let statement = merge_statement("raw", entity, false, None);
    assert!(
        !statement.contains("known.payload #>>") && !statement.contains("there.payload #>>"),
        "{statement}"
    );
    assert!(!statement.contains("_is_newer}"), "{statement}");
}
