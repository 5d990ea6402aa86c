//! Probes of what QuickBooks answers only on request, and of reads that are no queries.

use super::reply::Reply;
use super::{LOOK_BACK, ProbeResult, Prober};
use crate::domain::instant::format_instant;
use crate::error::Result;

/// A value of `include` that shows itself in every invoice which has a link (qbo-facts 13.5).
const LINK: &str = "invoiceLink";
/// Another value.
const CUSTOM_FIELDS: &str = "enhancedAllCustomFields";

const NO_LINK: &str = "no invoice has a link, or none is answered";
const SHOWN_UNASKED: &str = "the link of an invoice is shown unasked";

impl Prober<'_> {
    pub(super) async fn probe_includes(&self, found: &mut Vec<ProbeResult>) -> Result<()> {
        let form = self.include_form().await;
        found.push(Self::finding("include-form", form)?);
        let changes = self.cdc_include().await;
        found.push(Self::finding("cdc-include", changes)?);
        let list = self.classification_list().await;
        found.push(Self::finding("classification-list", list)?);
        Ok(())
    }

    /// Asks for two parts of invoices in either form. The second one shows whether both were read.
    async fn include_form(&self) -> Result<ProbeResult> {
        const NAME: &str = "include-form";
        let statement = "SELECT * FROM Invoice ORDERBY MetaData.LastUpdatedTime DESC MAXRESULTS 50";
        let single = self.query_with(statement, &[LINK]).await?;
        if !has_link(&single) {
            return Ok(ProbeResult::unknown(NAME, NO_LINK));
        }
        // A link that is always there says nothing about what was asked for.
        if has_link(&self.query(statement).await?) {
            return Ok(ProbeResult::unknown(NAME, SHOWN_UNASKED));
        }
        let both = format!("{CUSTOM_FIELDS},{LINK}");
        let comma = self.query_with(statement, &[&both]).await?;
        let repeated = self.query_with(statement, &[CUSTOM_FIELDS, LINK]).await?;
        Ok(match (has_link(&comma), has_link(&repeated)) {
            (true, true) => ProbeResult::shown(NAME, "both", &comma),
            (true, false) => ProbeResult::shown(NAME, "comma", &comma),
            (false, true) => ProbeResult::shown(NAME, "repeated", &repeated),
            (false, false) => ProbeResult::unknown(NAME, "neither form shows the second value"),
        })
    }

    /// Asks for the links of the invoices that have changed, as a query shows them.
    async fn cdc_include(&self) -> Result<ProbeResult> {
        const NAME: &str = "cdc-include";
        let since = self.now - LOOK_BACK;
        let condition = format!("MetaData.LastUpdatedTime >= '{}'", format_instant(since));
        let order = "ORDERBY MetaData.LastUpdatedTime DESC MAXRESULTS 50";
        let statement = format!("SELECT * FROM Invoice WHERE {condition} {order}");
        if !has_link(&self.query_with(&statement, &[LINK]).await?) {
            return Ok(ProbeResult::unknown(
                NAME,
                "no invoice with a link changed in the last 29 days",
            ));
        }
        let reply = self.changes_with("Invoice", since, LINK).await?;
        if reply.is_refused() {
            return Ok(ProbeResult::refused(NAME, &reply));
        }
        if !has_link(&reply) {
            return Ok(ProbeResult::shown(NAME, "ignored", &reply));
        }
        let unasked = self.changes(&["Invoice"], since).await?;
        Ok(if has_link(&unasked) {
            ProbeResult::unknown(NAME, SHOWN_UNASKED)
        } else {
            ProbeResult::shown(NAME, "served", &reply)
        })
    }

    async fn classification_list(&self) -> Result<ProbeResult> {
        const NAME: &str = "classification-list";
        let reply = self.tax_classifications().await?;
        let Some(body) = reply.body() else {
            return Ok(ProbeResult::refused(NAME, &reply));
        };
        Ok(match () {
            () if body["QueryResponse"].is_object() => ProbeResult::shown(NAME, "response", &reply),
            () if body["TaxClassification"].is_array() => ProbeResult::shown(NAME, "plain", &reply),
            () => ProbeResult::unknown(NAME, "the list has another form"),
        })
    }
}

/// Returns whether any invoice of an answer shows its link.
fn has_link(reply: &Reply) -> bool {
    let changed = reply.groups().concat();
    let mut rows = reply.rows().into_iter().chain(changed);
    rows.any(|row| row["InvoiceLink"].is_string())
}
