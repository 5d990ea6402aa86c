//! Payments in another currency that differ because of what they settle.

use std::collections::{BTreeSet, HashSet};

use super::cause::Cause;
use super::chart::{Chart, PartyKind};
use super::difference::TransactionDifference;
use super::side::Key;
use crate::books::Settlement;

/// Names payments that differ although they have the rate of QuickBooks, and settle no document that has another
/// one: the document is missing, or the record does not name it. What is settled leaves at the rate of the document,
/// and what is not at that of the payment.
pub(crate) fn name_links(
    chart: &Chart,
    differences: &mut [TransactionDifference],
    settlements: &[Settlement],
) {
    let of_rates = |it: &&TransactionDifference| it.cause == Some(Cause::Fx);
    let differing: HashSet<Key> = differences.iter().filter(of_rates).map(key).collect();
    if differing.is_empty() {
        return;
    }
    let settled = settlements.iter();
    let settled = settled.filter(|it| differing.contains(&it.document));
    let of_wrong_documents: HashSet<&Key> = settled.map(|it| &it.payment).collect();
    let unpaid: BTreeSet<&str> = chart
        .owed_accounts()
        .chain(chart.exchange_accounts())
        .collect();
    for difference in differences {
        let has_same_money = difference
            .signed_lines()
            .all(|(_, account, _)| unpaid.contains(account));
        if difference.cause == Some(Cause::Fx)
            && PartyKind::paid_by(&difference.entity).is_some()
            && has_same_money
            && !of_wrong_documents.contains(&key(difference))
        {
            difference.cause = Some(Cause::LinkMissing);
        }
    }
}

fn key(difference: &TransactionDifference) -> Key {
    (difference.entity.clone(), difference.id.clone())
}
