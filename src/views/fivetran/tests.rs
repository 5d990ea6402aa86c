//! The table of what the package reads, and the SQL of single paths.

use std::collections::HashSet;

use super::path::Path;
use super::*;
use crate::domain::ENTITIES;

#[test]
fn every_table_is_made_of_properties_that_exist() {
    let entities: Vec<_> = ENTITIES.iter().collect();
    let views = all_views("raw", &entities).unwrap();
    assert_eq!(views.len(), table::tables().unwrap().len());
    assert_eq!(left_out(&entities).unwrap(), Vec::<String>::new());
    for view in &views {
        let columns: HashSet<&str> = view.columns().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(columns.len(), view.columns().len(), "{}", view.name);
        assert!(columns.contains("_fivetran_synced"), "{}", view.name);
        for column in view.columns() {
            assert!(!column.comment.is_empty(), "{}.{}", view.name, column.name);
        }
    }
}

#[test]
fn a_table_without_records_is_left_out() {
    let invoices: Vec<_> = ENTITIES.iter().filter(|e| e.name == "invoices").collect();
    let views = all_views("raw", &invoices).unwrap();
    let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "address",
            "invoice",
            "invoice_line",
            "invoice_line_bundle",
            "invoice_linked_txn",
            "invoice_tax_line"
        ]
    );
    assert!(
        left_out(&invoices)
            .unwrap()
            .contains(&"bill_line".to_owned())
    );
}

#[test]
fn a_property_that_does_not_exist_has_no_place() {
    let table = fields().unwrap();
    for (path, models, exists) in [
        ("TotalAmt", "Invoice", true),
        ("TotalAmount", "Invoice", false),
        ("CustomerRef.value", "Invoice", true),
        ("CustomerRef.id", "Invoice", false),
        ("TotalAmt.value", "Invoice", false),
        ("CustomerRef.type", "Invoice", false),
        ("TxnTaxDetail", "Invoice", false),
        ("LinkedTxn[TxnType=Bill].TxnId", "Invoice", true),
        ("LinkedTxn[Kind=Bill].TxnId", "Invoice", false),
        ("LinkedTxn.TxnId", "Invoice", false),
        ("EntityRef[type=Vendor].value", "Purchase", true),
        ("EntityRef[kind=Vendor].value", "Purchase", false),
        ("CustomField[Name=P.O. Number].StringValue", "Invoice", true),
    ] {
        let found = Path::parse(path).unwrap().place(table, &[models]);
        assert_eq!(found.is_some(), exists, "{path}");
    }
}
