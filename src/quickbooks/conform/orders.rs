//! Probes of the order of rows.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::reply::Reply;
use super::{COUNTED, ProbeResult, Prober};
use crate::domain::instant::parse_record_time;
use crate::error::Result;

const OTHER_ORDER: &str = "the rows are in an order of another kind";

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
    pub(super) async fn probe_orders(&self, found: &mut Vec<ProbeResult>) -> Result<()> {
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
    async fn id_order(&self) -> Result<ProbeResult> {
        const NAME: &str = "id-order";
        let Some((entity, 3..)) = self.largest(&COUNTED) else {
            return Ok(ProbeResult::unknown(
                NAME,
                "the company has too few records",
            ));
        };
        let upwards = format!("SELECT * FROM {entity} ORDERBY Id MAXRESULTS {ROWS}");
        let upwards = self.query(&upwards).await?;
        if upwards.is_refused() {
            return Ok(ProbeResult::shown(NAME, "refused", &upwards));
        }
        let downwards = format!("SELECT * FROM {entity} ORDERBY Id DESC MAXRESULTS {ROWS}");
        let downwards = self.query(&downwards).await?;
        if downwards.is_refused() {
            return Ok(ProbeResult::refused(NAME, &downwards));
        }
        let ids = upwards.ids();
        if ids == downwards.ids() {
            return Ok(ProbeResult::shown(NAME, "ignored", &upwards));
        }
        Ok(match (ids.is_sorted(), is_sorted_by_number(&ids)) {
            (true, false) => ProbeResult::shown(NAME, "text", &upwards),
            (false, true) => ProbeResult::shown(NAME, "number", &upwards),
            (true, true) => {
                ProbeResult::unknown(NAME, "the ids sort the same as text and as numbers")
            }
            (false, false) => ProbeResult::unknown(NAME, OTHER_ORDER),
        })
    }

    /// Asks with a first key that many rows share, and with a second key upwards and downwards.
    async fn second_order_key(&self) -> Result<ProbeResult> {
        const NAME: &str = "second-order-key";
        let candidates = TWO_KEYS.into_iter();
        let mut candidates =
            candidates.filter(|(entity, ..)| self.counts.get(entity).is_some_and(|n| *n >= 3));
        let Some((entity, first, second)) = candidates.next() else {
            return Ok(ProbeResult::unknown(
                NAME,
                "the company has too few records",
            ));
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
            return Ok(ProbeResult::refused(NAME, refused));
        }
        if !has_ties(&upwards, first, second) {
            return Ok(ProbeResult::unknown(
                NAME,
                "no two records share the first key",
            ));
        }
        if upwards.ids() == downwards.ids() {
            return Ok(ProbeResult::shown(NAME, "ignored", &upwards));
        }
        // Rows that an ignored key leaves in no order can differ from answer to answer.
        let up = tied_texts(&upwards, first, second);
        let mut down = tied_texts(&downwards, first, second);
        down.iter_mut().for_each(|texts| texts.reverse());
        Ok(if are_sorted(&up) && are_sorted(&down) {
            ProbeResult::shown(NAME, "used", &upwards)
        } else {
            ProbeResult::unknown(NAME, OTHER_ORDER)
        })
    }

    /// Asks for pages that overlap, and for one of them twice.
    async fn default_order(&self) -> Result<ProbeResult> {
        const NAME: &str = "default-order";
        let Some((entity, 100..)) = self.largest(&COUNTED) else {
            return Ok(ProbeResult::unknown(NAME, "no entity has 100 records"));
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
            return Ok(ProbeResult::refused(NAME, refused));
        }
        let ids = whole.ids();
        let expected = ids.get(ROWS as usize..).unwrap_or_default();
        Ok(if expected == second.ids() && second.ids() == again.ids() {
            ProbeResult::shown(NAME, "stays", &whole).because("in three pages of one entity")
        } else {
            ProbeResult::shown(NAME, "shifts", &whole)
        })
    }

    async fn tax_agency_order(&self) -> Result<ProbeResult> {
        const NAME: &str = "tax-agency-order";
        let ask = async |direction: &str| {
            let order = format!("MetaData.LastUpdatedTime{direction}");
            let statement = format!("SELECT * FROM TaxAgency ORDERBY {order} MAXRESULTS {ROWS}");
            self.query(&statement).await
        };
        let upwards = ask("").await?;
        if upwards.is_refused() {
            return Ok(ProbeResult::refused(NAME, &upwards));
        }
        let rising = times(&upwards);
        if rising.iter().collect::<BTreeSet<_>>().len() < 2 {
            return Ok(ProbeResult::unknown(
                NAME,
                "the company has no two tax agencies of different times",
            ));
        }
        let downwards = ask(" DESC").await?;
        if downwards.is_refused() {
            return Ok(ProbeResult::refused(NAME, &downwards));
        }
        if upwards.ids() == downwards.ids() {
            return Ok(ProbeResult::shown(NAME, "ignored", &upwards));
        }
        let mut falling = times(&downwards);
        falling.reverse();
        Ok(if rising.is_sorted() && falling.is_sorted() {
            ProbeResult::shown(NAME, "used", &upwards)
        } else {
            ProbeResult::unknown(NAME, OTHER_ORDER)
        })
    }
}

/// Returns the times of the last change of an answer's rows, in order.
fn times(reply: &Reply) -> Vec<DateTime<Utc>> {
    let rows = reply.rows().into_iter();
    let texts = rows.filter_map(|row| row["MetaData"]["LastUpdatedTime"].as_str());
    texts.filter_map(parse_record_time).collect()
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

/// Returns the texts of the second key, one list for each run of rows that share the first key.
fn tied_texts<'a>(reply: &'a Reply, first: &str, second: &str) -> Vec<Vec<&'a str>> {
    let rows = reply.rows();
    let text = |row: &&'a Value| row[second].as_str().unwrap_or_default();
    rows.chunk_by(|a, b| a[first] == b[first])
        .map(|run| run.iter().map(text).collect())
        .collect()
}

/// Returns whether the texts of every run rise: by their bytes, by their letters without regard to
/// case, or as numbers. It is open which of these QuickBooks takes.
fn are_sorted(runs: &[Vec<&str>]) -> bool {
    let by_bytes = runs.iter().all(|run| run.is_sorted());
    let by_letters = runs
        .iter()
        .all(|run| run.is_sorted_by_key(|text| text.to_lowercase()));
    by_bytes || by_letters || runs.iter().all(|run| is_sorted_by_number(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_sorted_by_bytes_letters_or_numbers_and_within_ties_alone() {
        for sorted in [
            [vec!["A", "B", "a"], vec!["A"]],
            [vec!["a", "B", "c"], vec!["C", "d"]],
            [vec!["9", "10"], vec!["2", "11"]],
        ] {
            assert!(are_sorted(&sorted), "{sorted:?}");
        }
        for unsorted in [
            [vec!["b", "a"], vec!["a", "b"]],
            [vec!["a", "b"], vec!["c", "b"]],
            [vec!["a", "B"], vec!["9", "10"]],
        ] {
            assert!(!are_sorted(&unsorted), "{unsorted:?}");
        }
    }

    #[test]
    fn ids_sort_as_numbers_whatever_their_length() {
        assert!(is_sorted_by_number(&["2", "10", "5000000000000500000"]));
        assert!(!is_sorted_by_number(&["10", "2"]));
        assert!(!is_sorted_by_number(&["1", "2x"]));
    }
}
