//! Probes of statements: pages, filters, inactive records.

use chrono::DateTime;

use super::{COUNTED, ProbeResult, Prober};
use crate::error::Result;

impl Prober<'_> {
    pub(super) async fn probe_queries(&self, found: &mut Vec<ProbeResult>) -> Result<()> {
        let position = self.position_zero().await;
        found.push(Self::finding("position-zero", position)?);
        let results = self.results_above_1000().await;
        found.push(Self::finding("results-above-1000", results)?);
        let zone = self.filter_zone().await;
        found.push(Self::finding("filter-zone", zone)?);
        let codes = self.inactive_tax_codes().await;
        found.push(Self::finding("inactive-tax-codes", codes)?);
        Ok(())
    }

    async fn position_zero(&self) -> Result<ProbeResult> {
        let statement = "SELECT * FROM Account STARTPOSITION 0 MAXRESULTS 1";
        let reply = self.query(statement).await?;
        let answer = if reply.is_refused() { "error" } else { "first" };
        Ok(ProbeResult::shown("position-zero", answer, &reply))
    }

    async fn results_above_1000(&self) -> Result<ProbeResult> {
        // An id that matches one record at most, so that acceptance costs little.
        let statement = "SELECT * FROM Account WHERE Id = '1' MAXRESULTS 1001";
        let reply = self.query(statement).await?;
        let answer = if reply.is_refused() { "error" } else { "cut" };
        Ok(ProbeResult::shown("results-above-1000", answer, &reply))
    }

    /// Counts the records since the time of the newest one, without its offset and with either
    /// offset that may be meant.
    async fn filter_zone(&self) -> Result<ProbeResult> {
        const NAME: &str = "filter-zone";
        let Some((entity, 1..)) = self.largest(&COUNTED) else {
            return Ok(ProbeResult::unknown(
                NAME,
                "the company has no records to count",
            ));
        };
        let newest =
            format!("SELECT * FROM {entity} ORDERBY MetaData.LastUpdatedTime DESC MAXRESULTS 1");
        let newest = self.query(&newest).await?;
        if newest.is_refused() {
            return Ok(ProbeResult::refused(NAME, &newest));
        }
        let rows = newest.rows();
        let time = rows
            .first()
            .and_then(|row| row["MetaData"]["LastUpdatedTime"].as_str());
        let Some(time) = time.and_then(|time| DateTime::parse_from_rfc3339(time).ok()) else {
            return Ok(ProbeResult::unknown(
                NAME,
                "the newest record has no readable time",
            ));
        };
        if time.offset().local_minus_utc() >= 0 {
            return Ok(ProbeResult::unknown(
                NAME,
                "the times of records have no offset of the Americas",
            ));
        }
        let bare = time.to_utc().format("%Y-%m-%dT%H:%M:%S");
        let local = time.format("%:z");
        let statements = ["", "Z", &local.to_string()].map(|offset| {
            format!(
                "SELECT COUNT(*) FROM {entity} WHERE MetaData.LastUpdatedTime >= '{bare}{offset}'"
            )
        });
        let whole = self.batch(&statements).await?;
        let items = whole.items(statements.len());
        let counts: Vec<_> = items
            .iter()
            .map(|item| item.as_ref().and_then(|item| item.count()))
            .collect();
        let [Some(bare), Some(utc), Some(pacific)] = counts[..] else {
            return Ok(ProbeResult::refused(NAME, &whole));
        };
        Ok(match (bare == utc, bare == pacific) {
            (true, false) => ProbeResult::shown(NAME, "utc", &whole),
            (false, true) => ProbeResult::shown(NAME, "pacific", &whole),
            (true, true) => ProbeResult::unknown(NAME, "no record lies between the two times"),
            (false, false) => ProbeResult::unknown(NAME, "the counts agree with neither zone"),
        })
    }

    async fn inactive_tax_codes(&self) -> Result<ProbeResult> {
        const NAME: &str = "inactive-tax-codes";
        let statements = ["", " WHERE Active = true", " WHERE Active IN (true, false)"]
            .map(|filter| format!("SELECT COUNT(*) FROM TaxCode{filter}"));
        let whole = self.batch(&statements).await?;
        let items = whole.items(statements.len());
        let counts: Vec<_> = items
            .iter()
            .map(|item| item.as_ref().and_then(|item| item.count()))
            .collect();
        let [Some(unasked), Some(active), Some(all)] = counts[..] else {
            let refused = items.iter().flatten().find(|item| item.is_refused());
            return Ok(ProbeResult::refused(NAME, refused.unwrap_or(&whole)));
        };
        Ok(match () {
            () if active == all => {
                ProbeResult::unknown(NAME, "the company has no inactive tax code")
            }
            () if unasked == all => ProbeResult::shown(NAME, "shown", &whole),
            () if unasked == active => ProbeResult::shown(NAME, "hidden", &whole),
            () => ProbeResult::unknown(NAME, "the counts agree with neither answer"),
        })
    }
}
