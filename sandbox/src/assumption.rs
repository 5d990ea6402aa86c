//! Assumptions about QuickBooks where no source is certain. Each is a choice between behaviours; the
//! one that is hardest on clients is the default. Two have no hardest answer, because each of their
//! forms breaks the clients that know only the other: `include-form` and `classification-list`. Their
//! default is the likelier form. So is that of `trial-balance-income`.

use std::collections::HashMap;

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
    CdcOrder,
    CdcUnavailable,
    CdcInclude,
    IncludeForm,
    IncludeUnknown,
    ClassificationList,
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
    UnauthorizedBody,
    DoubleGrant,
    TrialBalanceIncome,
}

/// A question about QuickBooks with its possible answers.
#[derive(Debug)]
pub struct Assumption {
    pub(crate) topic: Topic,
    /// The assumption's name, as in `id-order`.
    pub name: &'static str,
    /// The possible answers. The first one is the default.
    pub answers: &'static [&'static str],
    /// The question, with the number of its fact.
    pub question: &'static str,
}

const fn assumption(
    topic: Topic,
    name: &'static str,
    answers: &'static [&'static str],
    question: &'static str,
) -> Assumption {
    Assumption {
        topic,
        name,
        answers,
        question,
    }
}

impl Assumption {
    /// Returns the default answer.
    pub fn default_answer(&self) -> &'static str {
        self.answers.first().copied().unwrap_or_default()
    }
}

/// All assumptions.
pub const ASSUMPTIONS: &[Assumption] = &[
    assumption(
        Topic::PositionZero,
        "position-zero",
        &["error", "first"],
        "STARTPOSITION 0 (qbo-facts 2.3)",
    ),
    assumption(
        Topic::TooManyResults,
        "results-above-1000",
        &["cut", "error"],
        "MAXRESULTS above 1000 (qbo-facts 2.3)",
    ),
    assumption(
        Topic::FilterZone,
        "filter-zone",
        &["pacific", "utc"],
        "zone of a filter without an offset (qbo-facts 2.4)",
    ),
    assumption(
        Topic::IdOrder,
        "id-order",
        &["refused", "ignored", "text", "number"],
        "ORDERBY Id (qbo-facts 13.1)",
    ),
    assumption(
        Topic::SecondOrderKey,
        "second-order-key",
        &["ignored", "used"],
        "ORDERBY with two keys (qbo-facts 2.3)",
    ),
    assumption(
        Topic::DefaultOrder,
        "default-order",
        &["shifts", "stays"],
        "order between pages without ORDERBY (qbo-facts 3.7)",
    ),
    assumption(
        Topic::TaxAgencyOrder,
        "tax-agency-order",
        &["ignored", "used"],
        "ORDERBY on TaxAgency (qbo-facts 8)",
    ),
    assumption(
        Topic::InactiveTaxCodes,
        "inactive-tax-codes",
        &["hidden", "shown"],
        "inactive TaxCodes unasked (qbo-facts 3.1)",
    ),
    assumption(
        Topic::CdcOrder,
        "cdc-order",
        &["any", "asked"],
        "order of the groups of CDC (qbo-facts 13.8)",
    ),
    assumption(
        Topic::CdcUnavailable,
        "cdc-unavailable",
        &["fails", "group"],
        "CDC with an entity that the company does not have (qbo-facts 13.7)",
    ),
    assumption(
        Topic::CdcInclude,
        "cdc-include",
        &["ignored", "served"],
        "include in CDC (qbo-facts 13.4)",
    ),
    assumption(
        Topic::IncludeForm,
        "include-form",
        &["comma", "repeated", "both"],
        "two values of include: a,b or include twice (qbo-facts 13.5)",
    ),
    assumption(
        Topic::IncludeUnknown,
        "include-unknown",
        &["ignored", "refused"],
        "a value of include, or a second include, that is not understood (qbo-facts 13.5)",
    ),
    assumption(
        Topic::ClassificationList,
        "classification-list",
        &["plain", "response"],
        "the list of tax classifications: bare or in a QueryResponse (qbo-facts 13.6)",
    ),
    assumption(
        Topic::CdcCap,
        "cdc-cap",
        &["answer", "entity"],
        "what the 1000 of CDC are counted over (qbo-facts 4)",
    ),
    assumption(
        Topic::CdcTimeActivity,
        "cdc-time-activity",
        &["unsupported", "supported"],
        "CDC of TimeActivity (qbo-facts 4)",
    ),
    assumption(
        Topic::CdcUnknownEntity,
        "cdc-unknown-entity",
        &["fault", "empty"],
        "CDC of an entity without it (qbo-facts 4)",
    ),
    assumption(
        Topic::CdcFalseDeletes,
        "cdc-false-deletes",
        &["sometimes", "never"],
        "Deleted for a live list record (qbo-facts 4)",
    ),
    assumption(
        Topic::BatchCap,
        "batch-cap",
        &["1000", "none"],
        "records in all of a batch's answers (qbo-facts 6.3)",
    ),
    assumption(
        Topic::BatchMetering,
        "batch-metering",
        &["item", "call"],
        "what a batch costs of the monthly quota (qbo-facts 6.2)",
    ),
    assumption(
        Topic::QuotaOnRefresh,
        "quota-on-refresh",
        &["refused", "free"],
        "refreshing with the quota used up (qbo-facts 1.5)",
    ),
    assumption(
        Topic::ThrottleBody,
        "throttle-body",
        &["xml", "json"],
        "body of a 429 (qbo-facts 6.1)",
    ),
    assumption(
        Topic::RetryAfter,
        "retry-after",
        &["never", "seconds"],
        "Retry-After on a 429 (qbo-facts 6.1)",
    ),
    assumption(
        Topic::GrantDescription,
        "grant-description",
        &["absent", "present"],
        "description of invalid_grant (qbo-facts 1.5)",
    ),
    assumption(
        Topic::UnauthorizedBody,
        "unauthorized-body",
        &["xml", "json"],
        "body of the gateway's 401 (qbo-facts 13.20)",
    ),
    assumption(
        Topic::DoubleGrant,
        "double-grant",
        &["revoked", "refused"],
        "a code that is exchanged twice: the connection ends, or the exchange is refused (qbo-facts 13.19)",
    ),
    assumption(
        Topic::TrialBalanceIncome,
        "trial-balance-income",
        &["fiscal-year", "inception"],
        "income and expenses of a trial balance: since the fiscal year began, or all (reports.md I)",
    ),
];

/// The chosen answer of every assumption. The default is the first answer of each.
///
/// ```
/// let mut assumptions = qbo_sandbox::Assumptions::default();
/// assumptions.set("id-order", "number")?;
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Assumptions {
    /// The answers that were given, defaults among them.
    chosen: HashMap<Topic, &'static str>,
}

impl Assumptions {
    /// Returns whether the default answer is chosen, which is the harder one.
    pub(crate) fn is_harder(&self, topic: Topic) -> bool {
        self.answer(topic) == default_answer(topic)
    }

    /// Returns the chosen answer of a question.
    pub(crate) fn answer(&self, topic: Topic) -> &'static str {
        let chosen = self.chosen.get(&topic).copied();
        chosen.unwrap_or_else(|| default_answer(topic))
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
        let topic = assumption.topic;
        match assumption.answers.iter().find(|answer| **answer == value) {
            Some(answer) => _ = self.chosen.insert(topic, answer),
            None => {
                let answers = assumption.answers.join(", ");
                return Err(format!("{name} is one of {answers}, not '{value}'"));
            }
        }
        Ok(())
    }

    /// Returns these answers, except where `others` was given an answer, be it the default.
    pub(crate) fn overruled_by(mut self, others: &Self) -> Self {
        self.chosen.extend(&others.chosen);
        self
    }

    /// Returns every assumption with its chosen answer.
    pub fn chosen(&self) -> impl Iterator<Item = (&'static Assumption, &'static str)> {
        ASSUMPTIONS
            .iter()
            .map(|assumption| (assumption, self.answer(assumption.topic)))
    }
}

fn default_answer(topic: Topic) -> &'static str {
    let mut all = ASSUMPTIONS.iter();
    let of_topic = all.find(|assumption| assumption.topic == topic);
    of_topic.map(Assumption::default_answer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_each_of_its_answers_and_no_other() {
        let mut assumptions = Assumptions::default();
        for assumption in ASSUMPTIONS {
            let topic = assumption.topic;
            assert!(assumptions.is_harder(topic) && assumption.answers.len() > 1);
            for answer in assumption.answers.iter().rev() {
                assumptions.set(assumption.name, answer).unwrap();
                assert_eq!(assumptions.answer(topic), *answer);
                let is_default = *answer == assumption.answers[0];
                assert_eq!(assumptions.is_harder(topic), is_default);
            }
            let refusal = assumptions.set(assumption.name, "x").unwrap_err();
            let last = assumption.answers[assumption.answers.len() - 1];
            assert!(refusal.contains(last), "{refusal}");
        }
        assert!(
            assumptions
                .set("x", "y")
                .unwrap_err()
                .contains("position-zero")
        );
    }
}
