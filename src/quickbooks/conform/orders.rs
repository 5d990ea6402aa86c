//! Probes of the order of rows.

use std::collections::BTreeSet;

use super::reply::Reply;
use super::{COUNTED, Finding, Prober};
use crate::error::Result;

/// Rows of one answer whose order is looked at.
const ROWS: u32 = 50;

/// Entities with a property that many records share, and a second one that differs. Both can be
/// sorted by (qbo-facts 13.2).
const TWO_KEYS: [(&str, &str, &str); 3] = [
    ("Customer", "Active", "DisplayName"),
    ("Item", "Type", "Name"),
    ("Invoice", "TxnDate", "DocNumber"),
];

impl Prober<'_> {
    pub(super) async fn probe_orders(&self, found: &mut Vec<Finding>) -> Result<()> {
        let by_id = self.id_order().await;
        found.push(Self::finding("id-order", by_id)?);
        let second = self.second_order_key().await;
        found.push(Self::finding("second-order-key", second)?);
        let default = self.default_order().await;
        found.push(Self::finding("default-order", default)?);
        let agencies = self.tax_agency_order().await;
        found.push(Self::finding("tax-agency-order", agencies)?);
        Ok(())
    }

    /// Asks for the ids upwards and downwards.
    async fn id_order(&self) -> Result<Finding> {
        const NAME: &str = "id-order";
        let Some((entity, 3..)) = self.largest(&COUNTED) else {
            return Ok(Finding::unknown(NAME, "the company has too few records"));
        };
        let upwards = format!("SELECT * FROM {entity} ORDERBY Id MAXRESULTS {ROWS}");
        let upwards = self.query(&upwards).await?;
        if upwards.is_refused() {
            return Ok(Finding::shown(NAME, "refused", &upwards));
        }
        let downwards = format!("SELECT * FROM {entity} ORDERBY Id DESC MAXRESULTS {ROWS}");
        let downwards = self.query(&downwards).await?;
        if downwards.is_refused() {
            return Ok(Finding::refused(NAME, &downwards));
        }
        let ids = upwards.ids();
        if ids == downwards.ids() {
            return Ok(Finding::shown(NAME, "ignored", &upwards));
        }
        Ok(match (ids.is_sorted(), is_sorted_by_number(&ids)) {
            (true, false) => Finding::shown(NAME, "text", &upwards),
            (false, true) => Finding::shown(NAME, "number", &upwards),
            (true, true) => Finding::unknown(NAME, "the ids sort the same as text and as numbers"),
            (false, false) => Finding::unknown(NAME, "the rows are in an order of another kind"),
        })
    }

    /// Asks with a first key that many rows share, and with a second key upwards and downwards.
    async fn second_order_key(&self) -> Result<Finding> {
        const NAME: &str = "second-order-key";
        let candidates = TWO_KEYS.into_iter();
        let mut candidates =
            candidates.filter(|(entity, ..)| self.counts.get(entity).is_some_and(|n| *n >= 3));
        let Some((entity, first, second)) = candidates.next() else {
            return Ok(Finding::unknown(NAME, "the company has too few records"));
        };
        let ask = async |direction: &str| {
            let order = format!("{first}, {second}{direction}");
            let statement = format!("SELECT * FROM {entity} ORDERBY {order} MAXRESULTS {ROWS}");
            self.query(&statement).await
        };
        let (upwards, downwards) = (ask("").await?, ask(" DESC").await?);
        if upwards.is_refused() || downwards.is_refused() {
            let refused = if upwards.is_refused() {
                &upwards
            } else {
                &downwards
            };
            return Ok(Finding::refused(NAME, refused));
        }
        if !has_ties(&upwards, first, second) {
            return Ok(Finding::unknown(NAME, "no two records share the first key"));
        }
        let answer = if upwards.ids() == downwards.ids() {
            "ignored"
        } else {
            "used"
        };
        Ok(Finding::shown(NAME, answer, &upwards))
    }

    /// Asks for pages that overlap, and for one of them twice.
    async fn default_order(&self) -> Result<Finding> {
        const NAME: &str = "default-order";
        let Some((entity, 100..)) = self.largest(&COUNTED) else {
            return Ok(Finding::unknown(NAME, "no entity has 100 records"));
        };
        let ask = async |first: u32, rows: u32| {
            let statement =
                format!("SELECT * FROM {entity} STARTPOSITION {first} MAXRESULTS {rows}");
            self.query(&statement).await
        };
        let whole = ask(1, 2 * ROWS).await?;
        let (second, again) = (ask(ROWS + 1, ROWS).await?, ask(ROWS + 1, ROWS).await?);
        if let Some(refused) = [&whole, &second, &again]
            .into_iter()
            .find(|reply| reply.is_refused())
        {
            return Ok(Finding::refused(NAME, refused));
        }
        let ids = whole.ids();
        let expected = ids.get(ROWS as usize..).unwrap_or_default();
        Ok(if expected == second.ids() && second.ids() == again.ids() {
            Finding::shown(NAME, "stays", &whole).because("in three pages of one entity")
        } else {
            Finding::shown(NAME, "shifts", &whole)
        })
    }

    async fn tax_agency_order(&self) -> Result<Finding> {
        const NAME: &str = "tax-agency-order";
        let ask = async |direction: &str| {
            let order = format!("MetaData.LastUpdatedTime{direction}");
            let statement = format!("SELECT * FROM TaxAgency ORDERBY {order} MAXRESULTS {ROWS}");
            self.query(&statement).await
        };
        let upwards = ask("").await?;
        if upwards.is_refused() {
            return Ok(Finding::refused(NAME, &upwards));
        }
        let rows = upwards.rows();
        let times: BTreeSet<&str> = rows
            .iter()
            .filter_map(|row| row["MetaData"]["LastUpdatedTime"].as_str())
            .collect();
        if times.len() < 2 {
            return Ok(Finding::unknown(
                NAME,
                "the company has no two tax agencies of different times",
            ));
        }
        let downwards = ask(" DESC").await?;
        if downwards.is_refused() {
            return Ok(Finding::refused(NAME, &downwards));
        }
        let answer = if upwards.ids() == downwards.ids() {
            "ignored"
        } else {
            "used"
        };
        Ok(Finding::shown(NAME, answer, &upwards))
    }
}

/// Returns whether all ids are whole numbers in rising order, however long.
fn is_sorted_by_number(ids: &[&str]) -> bool {
    let is_number = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let key = |id: &&str| {
        let digits = id.trim_start_matches('0').to_owned();
        (digits.len(), digits)
    };
    ids.iter().all(is_number) && ids.is_sorted_by_key(key)
}

/// Returns whether two neighbours have the same first key and different second keys.
fn has_ties(reply: &Reply, first: &str, second: &str) -> bool {
    let rows = reply.rows();
    rows.windows(2)
        .any(|pair| pair[0][first] == pair[1][first] && pair[0][second] != pair[1][second])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_numbers_whatever_their_length() {
        assert!(is_sorted_by_number(&["2", "10", "5000000000000500000"]));
        assert!(!is_sorted_by_number(&["10", "2"]));
        assert!(!is_sorted_by_number(&["1", "2x"]));
    }
}
