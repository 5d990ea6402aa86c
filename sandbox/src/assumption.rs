//! What is not established about the real service, each as a choice between two behaviours. The one
//! that is harder on clients holds unless the other is asked for.

use std::collections::HashSet;

/// One question that no source settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Doubt {
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

/// A question and its two answers.
#[derive(Debug)]
pub struct Assumption {
    pub(super) doubt: Doubt,
    /// Its name.
    pub name: &'static str,
    /// The answer that is harder on clients; the default.
    pub harder: &'static str,
    /// The other one.
    pub milder: &'static str,
    /// What is asked, and the fact it belongs to.
    pub question: &'static str,
}

const fn assumption(
    doubt: Doubt,
    name: &'static str,
    harder: &'static str,
    milder: &'static str,
    question: &'static str,
) -> Assumption {
    Assumption {
        doubt,
        name,
        harder,
        milder,
        question,
    }
}

/// Every such question.
pub const ASSUMPTIONS: &[Assumption] = &[
    assumption(
        Doubt::PositionZero,
        "position-zero",
        "error",
        "first",
        "STARTPOSITION 0 (qbo-facts 2.3)",
    ),
    assumption(
        Doubt::TooManyResults,
        "results-above-1000",
        "cut",
        "error",
        "MAXRESULTS above 1000 (qbo-facts 2.3)",
    ),
    assumption(
        Doubt::FilterZone,
        "filter-zone",
        "pacific",
        "utc",
        "zone of a filter without an offset (qbo-facts 2.4)",
    ),
    assumption(
        Doubt::IdOrder,
        "id-order",
        "text",
        "number",
        "how ORDERBY Id sorts (qbo-facts 2.3)",
    ),
    assumption(
        Doubt::SecondOrderKey,
        "second-order-key",
        "ignored",
        "used",
        "ORDERBY with two keys (qbo-facts 2.3)",
    ),
    assumption(
        Doubt::DefaultOrder,
        "default-order",
        "shifts",
        "stays",
        "order between pages without ORDERBY (qbo-facts 3.7)",
    ),
    assumption(
        Doubt::TaxAgencyOrder,
        "tax-agency-order",
        "ignored",
        "used",
        "ORDERBY on TaxAgency (qbo-facts 8)",
    ),
    assumption(
        Doubt::InactiveTaxCodes,
        "inactive-tax-codes",
        "hidden",
        "shown",
        "inactive TaxCodes unasked (qbo-facts 3.1)",
    ),
    assumption(
        Doubt::CdcCap,
        "cdc-cap",
        "answer",
        "entity",
        "what the 1000 of CDC are counted over (qbo-facts 4)",
    ),
    assumption(
        Doubt::CdcTimeActivity,
        "cdc-time-activity",
        "unsupported",
        "supported",
        "CDC of TimeActivity (qbo-facts 4)",
    ),
    assumption(
        Doubt::CdcUnknownEntity,
        "cdc-unknown-entity",
        "fault",
        "empty",
        "CDC of an entity without it (qbo-facts 4)",
    ),
    assumption(
        Doubt::CdcFalseDeletes,
        "cdc-false-deletes",
        "sometimes",
        "never",
        "Deleted for a live list record (qbo-facts 4)",
    ),
    assumption(
        Doubt::BatchCap,
        "batch-cap",
        "1000",
        "none",
        "records in all of a batch's answers (qbo-facts 6.3)",
    ),
    assumption(
        Doubt::BatchMetering,
        "batch-metering",
        "item",
        "call",
        "what a batch costs of the monthly quota (qbo-facts 6.2)",
    ),
    assumption(
        Doubt::QuotaOnRefresh,
        "quota-on-refresh",
        "refused",
        "free",
        "refreshing with the quota used up (qbo-facts 1.5)",
    ),
    assumption(
        Doubt::ThrottleBody,
        "throttle-body",
        "xml",
        "json",
        "body of a 429 (qbo-facts 6.1)",
    ),
    assumption(
        Doubt::RetryAfter,
        "retry-after",
        "never",
        "seconds",
        "Retry-After on a 429 (qbo-facts 6.1)",
    ),
    assumption(
        Doubt::GrantDescription,
        "grant-description",
        "absent",
        "present",
        "description of invalid_grant (qbo-facts 1.5)",
    ),
];

/// The answers chosen.
#[derive(Debug, Clone, Default)]
pub struct Assumptions {
    milder: HashSet<Doubt>,
}

impl Assumptions {
    pub(super) fn is_harder(&self, doubt: Doubt) -> bool {
        !self.milder.contains(&doubt)
    }

    /// Chooses an answer, both by name.
    ///
    /// # Errors
    /// A line that lists what there is to choose from.
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
            doubt,
            harder,
            milder,
            ..
        } = assumption;
        match value {
            value if value == *harder => self.milder.remove(doubt),
            value if value == *milder => self.milder.insert(*doubt),
            _ => return Err(format!("{name} is {harder} or {milder}, not '{value}'")),
        };
        Ok(())
    }

    /// The answer that holds for each question.
    pub fn chosen(&self) -> impl Iterator<Item = (&'static Assumption, &'static str)> {
        ASSUMPTIONS.iter().map(|assumption| {
            let is_harder = self.is_harder(assumption.doubt);
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
            assert!(assumptions.is_harder(assumption.doubt));
            assumptions.set(assumption.name, assumption.milder).unwrap();
            assert!(!assumptions.is_harder(assumption.doubt));
            assumptions.set(assumption.name, assumption.harder).unwrap();
            assert!(assumptions.is_harder(assumption.doubt));
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
