//! The open documents of an ageing detail report.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rust_decimal::Decimal;

use super::chart::Chart;
use super::reported::{can_be_summed, sum};
use super::side::Key;
use crate::books::Entry;
use crate::domain::ENTITIES;
use crate::domain::reports::{ReportAnswer, RowKind, entity_of_label, has_no_entity};

/// The open amount of a document. Payables count as positive, as reports show them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OpenDocument {
    pub(super) name: String,
    pub(super) amount: Decimal,
}

/// Open documents by transaction and customer or vendor: a journal entry may have several.
pub(crate) type OpenDocuments = BTreeMap<(Key, String), OpenDocument>;

/// Reads the open documents of an ageing detail report.
///
/// # Errors
/// The reason, if the report is cut, has no open balances in the home currency, or an amount is none.
pub(crate) fn open_documents_of(
    answer: &ReportAnswer,
    chart: &Chart,
) -> Result<OpenDocuments, String> {
    let name = &answer.name;
    if answer.is_cut {
        return Err(format!("{name} is cut"));
    }
    let column = |keys: &[&str]| keys.iter().find_map(|key| answer.column(key));
    let missing = |what: &str| format!("{name} has no column of {what}");
    let label = column(&["txn_type"]).ok_or_else(|| missing("types of transactions"))?;
    let party = column(&["cust_name", "vend_name", "name"]).ok_or_else(|| missing("names"))?;
    let open = column(&["subt_home_open_bal", "subt_neg_home_open_bal"]);
    // Without a word about the home currency, an amount may be in that of its document (qbo-facts 13.29).
    let of_one_currency = || match chart.may_have_currencies {
        true => None,
        false => column(&["subt_open_bal", "subt_neg_open_bal"]),
    };
    let open = open
        .or_else(of_one_currency)
        .ok_or_else(|| missing("open balances in the home currency"))?;
    let mut found = OpenDocuments::new();
    for row in answer.rows.iter().filter(|row| row.kind == RowKind::Data) {
        let cell = |column: usize| row.cells.get(column).cloned().unwrap_or_default();
        let text = cell(open).value;
        let amount = match text.as_str() {
            "" => Decimal::ZERO,
            text => row
                .amount(open)
                .filter(can_be_summed)
                .ok_or_else(|| format!("{name}: '{text}' is no amount"))?,
        };
        let word = cell(label).value;
        let Some(id) = cell(label).id.filter(|id| !id.is_empty()) else {
            if amount.is_zero() {
                continue;
            }
            return Err(format!("{name}: a row of {amount} names no transaction"));
        };
        let entity = entity_of_label(&word).map_or(word.clone(), str::to_owned);
        let owner = cell(party).id.unwrap_or_default();
        let document = found.entry(((entity, id), owner)).or_default();
        document.name = cell(party).value;
        document.amount = sum(document.amount, amount)?;
    }
    Ok(found)
}

/// Returns reported documents by the entity of the record that has the id, where the report's word says none:
/// words are translated (reports.md F). `entries` are those on accounts on which the parties of the report owe.
pub(super) fn by_entity<'e>(
    report: &OpenDocuments,
    entries: impl Iterator<Item = &'e Entry>,
) -> OpenDocuments {
    let is_known =
        |word: &str| ENTITIES.iter().any(|it| it.qbo_name == word) || has_no_entity(word);
    let unknown = report.keys().filter(|((word, _), _)| !is_known(word));
    let unknown: HashSet<&str> = unknown.map(|((_, id), _)| id.as_str()).collect();
    let mut entities: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for entry in entries.filter(|it| unknown.contains(it.id.as_str())) {
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
