//! Probes of batches.

use super::{COUNTED, ProbeResult, Prober};
use crate::error::Result;

/// Most records in all answers of a batch, if there is a cap (qbo-facts 6.3).
const CAP: u64 = 1000;
/// Most items of a batch (qbo-facts 6.3).
const MAX_ITEMS: u64 = 30;

impl Prober<'_> {
    pub(super) async fn probe_batches(&self, found: &mut Vec<ProbeResult>) -> Result<()> {
        let cap = self.batch_cap().await;
        found.push(Self::finding("batch-cap", cap)?);
        Ok(())
    }

    /// Asks for the same rows so often that they are more than the cap.
    async fn batch_cap(&self) -> Result<ProbeResult> {
        const NAME: &str = "batch-cap";
        let too_few = ProbeResult::unknown(NAME, "no entity has enough records");
        let Some((entity, count @ 1..)) = self.largest(&COUNTED) else {
            return Ok(too_few);
        };
        // Small items, so that no item is cut by the largest page.
        let rows = count.min(CAP / 2);
        let items = CAP / rows + 1;
        if items > MAX_ITEMS {
            return Ok(too_few);
        }
        let statement = format!("SELECT * FROM {entity} MAXRESULTS {rows}");
        let statements: Vec<String> = (0..items).map(|_| statement.clone()).collect();
        let whole = self.batch(&statements).await?;
        if whole.is_refused() {
            return Ok(ProbeResult::refused(NAME, &whole));
        }
        let answers = whole.items(statements.len());
        let total: usize = answers.iter().flatten().map(|item| item.rows().len()).sum();
        Ok(match u64::try_from(total).unwrap_or(u64::MAX) {
            CAP => ProbeResult::shown(NAME, "1000", &whole),
            total if total > CAP => ProbeResult::shown(NAME, "none", &whole),
            _ => ProbeResult::unknown(NAME, "fewer than 1000 records came back"),
        })
    }
}
