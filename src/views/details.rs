//! The views of other lists in records that people join by: one row an element.

use super::definition::{View, ViewColumn};
use super::rows::{Base, LINE};
use super::source::Source;
use crate::domain::{FieldType, columns};

/// A list that has a view.
struct List {
    /// Our name of the entity.
    entity: &'static str,
    /// Place of the list in the record.
    path: &'static [&'static str],
    /// Name of the view.
    view: &'static str,
}

const LISTS: [List; 5] = [
    List {
        entity: "attachables",
        path: &["AttachableRef"],
        view: "attachable_refs",
    },
    List {
        entity: "budgets",
        path: &["BudgetDetail"],
        view: "budget_details",
    },
    List {
        entity: "items",
        path: &["ItemGroupDetail", "ItemGroupLine"],
        view: "item_group_lines",
    },
    List {
        entity: "tax_codes",
        path: &["SalesTaxRateList", "TaxRateDetail"],
        view: "tax_code_sales_rates",
    },
    List {
        entity: "tax_codes",
        path: &["PurchaseTaxRateList", "TaxRateDetail"],
        view: "tax_code_purchase_rates",
    },
];

/// Returns the views of an entity's lists.
pub(super) fn views(source: &Source<'_>) -> Vec<View> {
    let lists = LISTS.iter();
    let lists = lists.filter(|list| list.entity == source.entity.name);
    lists.filter_map(|list| view(source, list)).collect()
}

fn view(source: &Source<'_>, list: &List) -> Option<View> {
    let entity = source.entity.qbo_name;
    let mut model = entity;
    let mut field_type = FieldType::Object;
    for path in list.path {
        let field = source.table.field(model, path)?;
        (model, field_type) = (field.of?, field.field_type);
    }
    if field_type != FieldType::List {
        return None;
    }
    let mut all = source.head();
    all.push(ViewColumn::new(
        "line_number",
        "integer",
        "Place of the element in its array, from 1.",
        "l.place::integer",
    ));
    let own = columns(source.table, model, &[]);
    all.extend(own.iter().map(|column| ViewColumn::of(LINE, column)));
    let path = list.path.join(".");
    Some(View::of(
        list.view.to_owned(),
        format!("{path} of {entity}, one row an element."),
        all,
        source.rows(Base::Elements(list.path)),
    ))
}
