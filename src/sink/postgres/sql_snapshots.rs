//! Golden files of the SQL for one entity.

use super::ddl;
use super::writer::merge_statement;
use crate::domain::ENTITIES;
use crate::postgres::table_name;

#[test]
fn the_sql_of_an_entity_is_as_recorded() {
    let entity = &ENTITIES[..1];
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("ddl", ddl("raw", entity).unwrap());
        insta::assert_snapshot!("merge", merge_statement(&table_name("raw", &entity[0])));
    });
}
