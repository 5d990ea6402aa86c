//! The differences of the last comparison, as they are kept.

use crate::books::tie_out::{Cause, PartyKind, PartyLine, TransactionDifference};
use crate::domain::parse_amount;
use crate::store::KnownDifference;

/// Returns what is kept of a difference; `None` if it has no cause, or if every comparison finds it anew: the open
/// documents of all time show which payments do not say what they settle.
pub(super) fn to_known(difference: &TransactionDifference) -> Option<KnownDifference> {
    let lines: Vec<_> = difference
        .signed_lines()
        .map(|(day, account, amount)| (day, account.to_owned(), amount.to_string()))
        .collect();
    let parties = difference.party_lines().iter().map(|line| {
        (
            line.date,
            line.kind.name().to_owned(),
            line.party.clone(),
            line.amount.to_string(),
        )
    });
    let cause = difference.cause?;
    let is_kept = !lines.is_empty() || difference.is_lost_without_amounts();
    is_kept.then(|| KnownDifference {
        entity: difference.entity.clone(),
        id: difference.id.clone(),
        txn_date: difference.date,
        cause: cause.name().to_owned(),
        lines,
        parties: parties.collect(),
    })
}

/// Returns a difference that was kept; `None` if an older or newer version kept it in other words.
pub(super) fn from_known(known: KnownDifference) -> Option<TransactionDifference> {
    let cause = Cause::ALL.into_iter().find(|it| it.name() == known.cause)?;
    let lines = known.lines.into_iter().map(|(day, account, text)| {
        let amount = parse_amount(&text)?;
        Some((day, account, amount))
    });
    let parties = known.parties.into_iter().map(|(date, kind, party, text)| {
        Some(PartyLine {
            date,
            kind: PartyKind::parse(&kind)?,
            party,
            amount: parse_amount(&text)?,
        })
    });
    Some(TransactionDifference::kept(
        (known.entity, known.id),
        (known.txn_date, cause),
        lines.collect::<Option<_>>()?,
        parties.collect::<Option<_>>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_kept_without_loss_and_foreign_words_are_not_guessed() {
        let known = KnownDifference {
            entity: "Invoice".to_owned(),
            id: "7".to_owned(),
            txn_date: "2031-02-01".parse().unwrap(),
            cause: "not_landed".to_owned(),
            lines: vec![("2031-02-01".parse().unwrap(), "2".into(), "12.340".into())],
            parties: vec![(
                "2031-02-01".parse().unwrap(),
                "customer".into(),
                "77".into(),
                "12.340".into(),
            )],
        };
        let difference = from_known(known.clone()).unwrap();
        assert_eq!(to_known(&difference), Some(known.clone()));
        let odd = KnownDifference {
            cause: "guessed".to_owned(),
            ..known
        };
        assert_eq!(from_known(odd), None);
    }
}
