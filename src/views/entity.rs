//! The view of an entity: one row a record.

use super::cast::{at_rate, json_at, literal, text_at, value_at, without_keys};
use super::definition::{View, ViewColumn};
use super::rows::{Base, RECORD};
use super::source::{EXCHANGE_RATE, NOT_IN_RECORDS, Source};
use crate::domain::voided::{VOIDED_NOTE, lines_tell};
use crate::domain::{ColumnType, EntityKind, EntitySpec, FieldType, Identity, columns};

/// Model of what every record may have beside its own, which is of no use in a column.
const ANY_RECORD: &str = "Record";

/// Lists whose records can be merged, which removes one of the two (qbo-facts 5).
const MERGEABLE: [&str; 9] = [
    "accounts",
    "classes",
    "customers",
    "departments",
    "employees",
    "items",
    "payment_methods",
    "terms",
    "vendors",
];

/// Returns whether records of the entity can be merged.
pub(super) fn is_mergeable(entity: &EntitySpec) -> bool {
    MERGEABLE.contains(&entity.name)
}

/// Returns the view of an entity's records.
pub(super) fn view(source: &Source<'_>) -> View {
    let entity = source.entity;
    let mut all = source.head();
    if entity.identity == Identity::Wrapped {
        all.push(ViewColumn::new(
            "template_type",
            "text",
            "Kind of the transaction that is repeated, such as Invoice; the template's own properties are in extra.",
            "r.template_type",
        ));
    }
    let below = columns(source.table, entity.qbo_name, &NOT_IN_RECORDS);
    let below = below.iter().filter(|column| {
        // Columns and views that are made from them are added elsewhere.
        let elsewhere: [&[&str]; 4] = [
            &["TxnTaxDetail", "TaxLine"],
            &["HomeTotalAmt"],
            &["MetaData", "CreateTime"],
            &["MetaData", "LastUpdatedTime"],
        ];
        !elsewhere.contains(&column.path.as_slice())
    });
    all.extend(below.map(|column| ViewColumn::of(RECORD, column)));
    all.extend(derived(source));
    let mut known: Vec<&str> = source
        .table
        .of(entity.qbo_name)
        .iter()
        .map(|field| field.path)
        .collect();
    known.extend(source.table.of(ANY_RECORD).iter().map(|field| field.path));
    known.sort_unstable();
    known.dedup();
    all.push(ViewColumn::new(
        "extra",
        "jsonb",
        "Properties that have no column; NULL if there is none.",
        without_keys(RECORD, &known),
    ));
    let comment = format!(
        "{} of QuickBooks, one row each, deleted ones included.",
        entity.qbo_name
    );
    View::of(
        entity.name.to_owned(),
        comment,
        all,
        source.rows(Base::Records),
    )
}

/// Returns columns that no single property holds.
fn derived(source: &Source<'_>) -> Vec<ViewColumn> {
    let mut derived = Vec::new();
    let total = source.number("TotalAmt");
    let is_text = |path| {
        source
            .field(path)
            .is_some_and(|field| field.field_type == FieldType::Text)
    };
    let home_total = source.number("HomeTotalAmt");
    match (&total, source.has_exchange_rate(), home_total) {
        (Some(total), true, home) => {
            let own = home.map_or(String::new(), |home| format!("{home}, "));
            derived.push(ViewColumn::new(
                "home_total_amt",
                "numeric",
                "TotalAmt in the company's currency: HomeTotalAmt where the record has it, else TotalAmt times ExchangeRate \
                 (1 if there is none; NULL if it is no number), not rounded.",
                format!("coalesce({own}{})", at_rate(total, RECORD, &EXCHANGE_RATE)),
            ));
        }
        (_, _, Some(home)) => derived.push(ViewColumn::new(
            "home_total_amt",
            "numeric",
            "HomeTotalAmt: TotalAmt in the company's currency.",
            home,
        )),
        (_, _, None) => {}
    }
    if let (Some(total), true, EntityKind::Transaction) =
        (&total, is_text("PrivateNote"), source.entity.kind)
    {
        let note = value_at(RECORD, &["PrivateNote"], ColumnType::Text);
        derived.push(ViewColumn::new(
            "is_voided",
            "boolean",
            "True if it was voided: PrivateNote begins with Voided, TotalAmt is 0 and, of a journal entry, every line is 0.",
            voided(source.entity.qbo_name, &note, total),
        ));
    }
    if is_mergeable(source.entity) {
        derived.push(ViewColumn::new(
            "is_merged",
            "boolean",
            "True if it was deleted because it was merged into another record, as a webhook says that is still in \
             qbo.webhook_events; NULL if that is not known.",
            format!(
                "CASE WHEN r.deleted_at_utc IS NOT NULL AND EXISTS (\n        \
                 SELECT FROM qbo.webhook_events AS e\n        WHERE e.realm_id = {} AND e.entity = {}\n        \
                 AND e.operation IN ('merge', 'merged')\n        AND r.id IN (e.event #>> '{{data,deletedId}}', \
                 e.event ->> 'deletedId', e.event ->> 'deletedID')\n    ) THEN true END",
                source.realm_id(),
                literal(source.entity.name)
            ),
        ));
    }
    derived
}

/// Amounts of lines that are not zero, also those that are written as text.
const AMOUNTS: &str = "$[*].Amount ? (@.type() == \"number\" && @ != 0 || @.type() == \"string\" && \
                       !(@ like_regex \"^[-+]?[0.]*$\"))";

/// Returns the rule of [`is_voided`](crate::domain::voided::is_voided) as SQL.
fn voided(entity: &str, note: &str, total: &str) -> String {
    let is_zero = format!(
        "coalesce({total} = 0, ({}) IS NULL)",
        text_at(RECORD, &["TotalAmt"])
    );
    let is_nothing = match lines_tell(entity) {
        true => format!(
            "{is_zero} AND NOT coalesce(jsonb_path_exists({}, {}), false)",
            json_at(RECORD, &["Line"]),
            literal(AMOUNTS)
        ),
        false => is_zero,
    };
    format!(
        "CASE WHEN starts_with({note}, {}) THEN {is_nothing} ELSE false END",
        literal(VOIDED_NOTE)
    )
}
