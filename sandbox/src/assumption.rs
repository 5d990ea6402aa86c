//! Assumptions about QuickBooks where no source is certain. Each is a choice between two
//! behaviours; the one that is harder on clients is the default.

use std::collections::HashSet;

/// A question about QuickBooks that no source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    PositionZero,
    TooManyResults,
    FilterZone,
    IdOrder,
    SecondOrderKey,
    DefaultOrder,
    TaxAgencyOrder,
    InactiveTaxCodes,
    CdcCap,
    CdcTimeActivity,
    CdcUnknownEntity,
    CdcFalseDeletes,
    BatchCap,
    BatchMetering,
    QuotaOnRefresh,
    ThrottleBody,
    RetryAfter,
    GrantDescription,
}

/// A question about QuickBooks with its two possible answers.
#[derive(Debug)]
pub struct Assumption {
    pub(crate) topic: Topic,
    /// The assumption's name, as in `id-order`.
    pub name: &'static str,
    /// The answer that is harder on clients, which is the default.
    pub harder: &'static str,
    /// The other answer.
    pub milder: &'static str,
    /// The question, with the number of its fact.
    pub question: &'static str,
}

const fn assumption(
    topic: Topic,
    name: &'static str,
    harder: &'static str,
    milder: &'static str,
    question: &'static str,
) -> Assumption {
    Assumption {
        topic,
        name,
        harder,
        milder,
        question,
    }
}

/// All assumptions.
pub const ASSUMPTIONS: &[Assumption] = &[
    assumption(
        Topic::PositionZero,
        "position-zero",
        "error",
        "first",
        "STARTPOSITION 0 (qbo-facts 2.3)",
    ),
    assumption(
        Topic::TooManyResults,
        "results-above-1000",
        "cut",
        "error",
        "MAXRESULTS above 1000 (qbo-facts 2.3)",
    ),
    assumption(
        Topic::FilterZone,
        "filter-zone",
        "pacific",
        "utc",
        "zone of a filter without an offset (qbo-facts 2.4)",
    ),
    assumption(
        Topic::IdOrder,
        "id-order",
        "text",
        "number",
        "how ORDERBY Id sorts (qbo-facts 2.3)",
    ),
    assumption(
        Topic::SecondOrderKey,
        "second-order-key",
        "ignored",
        "used",
        "ORDERBY with two keys (qbo-facts 2.3)",
    ),
    assumption(
        Topic::DefaultOrder,
        "default-order",
        "shifts",
        "stays",
        "order between pages without ORDERBY (qbo-facts 3.7)",
    ),
    assumption(
        Topic::TaxAgencyOrder,
        "tax-agency-order",
        "ignored",
        "used",
        "ORDERBY on TaxAgency (qbo-facts 8)",
    ),
    assumption(
        Topic::InactiveTaxCodes,
        "inactive-tax-codes",
        "hidden",
        "shown",
        "inactive TaxCodes unasked (qbo-facts 3.1)",
    ),
    assumption(
        Topic::CdcCap,
        "cdc-cap",
        "answer",
        "entity",
        "what the 1000 of CDC are counted over (qbo-facts 4)",
    ),
    assumption(
        Topic::CdcTimeActivity,
        "cdc-time-activity",
        "unsupported",
        "supported",
        "CDC of TimeActivity (qbo-facts 4)",
    ),
    assumption(
        Topic::CdcUnknownEntity,
        "cdc-unknown-entity",
        "fault",
        "empty",
        "CDC of an entity without it (qbo-facts 4)",
    ),
    assumption(
        Topic::CdcFalseDeletes,
        "cdc-false-deletes",
        "sometimes",
        "never",
        "Deleted for a live list record (qbo-facts 4)",
    ),
    assumption(
        Topic::BatchCap,
        "batch-cap",
        "1000",
        "none",
        "records in all of a batch's answers (qbo-facts 6.3)",
    ),
    assumption(
        Topic::BatchMetering,
        "batch-metering",
        "item",
        "call",
        "what a batch costs of the monthly quota (qbo-facts 6.2)",
    ),
    assumption(
        Topic::QuotaOnRefresh,
        "quota-on-refresh",
        "refused",
        "free",
        "refreshing with the quota used up (qbo-facts 1.5)",
    ),
    assumption(
        Topic::ThrottleBody,
        "throttle-body",
        "xml",
        "json",
        "body of a 429 (qbo-facts 6.1)",
    ),
    assumption(
        Topic::RetryAfter,
        "retry-after",
        "never",
        "seconds",
        "Retry-After on a 429 (qbo-facts 6.1)",
    ),
    assumption(
        Topic::GrantDescription,
        "grant-description",
        "absent",
        "present",
        "description of invalid_grant (qbo-facts 1.5)",
    ),
];

/// The chosen answer of every assumption. The default is the harder answer of each.
///
/// ```
/// let mut assumptions = qbo_sandbox::Assumptions::default();
/// assumptions.set("id-order", "number")?;
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Assumptions {
    milder: HashSet<Topic>,
}

impl Assumptions {
    /// Returns whether the harder answer is chosen.
    pub(crate) fn is_harder(&self, topic: Topic) -> bool {
        !self.milder.contains(&topic)
    }

    /// Chooses an answer. Both the assumption and the answer are given by name.
    ///
    /// # Errors
    /// The reason, with a list of the valid names.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(assumption) = ASSUMPTIONS
            .iter()
            .find(|assumption| assumption.name == name)
        else {
            let names: Vec<_> = ASSUMPTIONS
                .iter()
                .map(|assumption| assumption.name)
                .collect();
            return Err(format!(
                "there is no assumption '{name}'; there are {}",
                names.join(", ")
            ));
        };
        let Assumption {
            topic,
            harder,
            milder,
            ..
        } = assumption;
        match value {
            value if value == *harder => self.milder.remove(topic),
            value if value == *milder => self.milder.insert(*topic),
            _ => {
                return Err(format!("{name} is {harder} or {milder}, not '{value}'"));
            }
        };
        Ok(())
    }

    /// Returns every assumption with its chosen answer.
    pub fn chosen(&self) -> impl Iterator<Item = (&'static Assumption, &'static str)> {
        ASSUMPTIONS.iter().map(|assumption| {
            let is_harder = self.is_harder(assumption.topic);
            (
                assumption,
                if is_harder {
                    assumption.harder
                } else {
                    assumption.milder
                },
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_can_be_answered_either_way_and_nothing_else() {
        let mut assumptions = Assumptions::default();
        for assumption in ASSUMPTIONS {
            assert!(assumptions.is_harder(assumption.topic));
            assumptions.set(assumption.name, assumption.milder).unwrap();
            assert!(!assumptions.is_harder(assumption.topic));
            assumptions.set(assumption.name, assumption.harder).unwrap();
            assert!(assumptions.is_harder(assumption.topic));
            assert!(
                assumptions
                    .set(assumption.name, "x")
                    .unwrap_err()
                    .contains(assumption.milder)
            );
        }
        assert!(
            assumptions
                .set("x", "y")
                .unwrap_err()
                .contains("position-zero")
        );
    }
}
