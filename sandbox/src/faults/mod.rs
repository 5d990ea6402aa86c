//! Faults on demand: rules that pick requests, and the effects on these requests.

mod effects;
mod kind;
mod malformed;
mod reports;
mod rule;

use tokio::time::Instant;

pub(crate) use self::effects::{Delivery, Effects, Replacement};
pub(crate) use self::kind::FAULTS;
use self::rule::Armed;
pub use self::rule::{FaultError, FaultRule};

/// The armed faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Armed>,
}

impl Faults {
    pub(crate) fn new(rules: Vec<FaultRule>) -> Self {
        let mut faults = Self::default();
        rules.into_iter().for_each(|rule| faults.arm(rule));
        faults
    }

    pub(crate) fn arm(&mut self, rule: FaultRule) {
        self.armed.push(Armed::new(rule, Instant::now()));
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    /// Returns every armed fault as JSON, with the numbers of matched and affected requests.
    pub(crate) fn list(&self) -> Vec<serde_json::Value> {
        self.armed.iter().map(Armed::report).collect()
    }

    /// Returns the effects of all armed faults on a request. If several faults would break it, the
    /// first one applies; changes of the company add up.
    pub(crate) fn effects_on(
        &mut self,
        kind: &str,
        path: &str,
        text: &str,
        now: Instant,
    ) -> Effects {
        let mut effects = Effects::default();
        for armed in &mut self.armed {
            if (effects.is_intact() || armed.is_change()) && armed.affects(kind, path, text, now) {
                effects.add(armed.rule());
            }
        }
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn faults(rules: &[serde_json::Value]) -> Faults {
        Faults::new(
            rules
                .iter()
                .map(|rule| FaultRule::parse(&rule.to_string()).unwrap())
                .collect(),
        )
    }

    /// Returns which of `count` queries are affected, counted from 1.
    fn affected(faults: &mut Faults, count: usize) -> Vec<usize> {
        let now = Instant::now();
        (1..=count)
            .filter(|_| {
                !faults
                    .effects_on("query", "/v3/company/9/query", "FROM Invoice", now)
                    .is_intact()
            })
            .collect()
    }

    #[test]
    fn a_rule_affects_one_request_unless_it_says_otherwise() {
        assert_eq!(affected(&mut faults(&[json!({"fault": "reset"})]), 5), [1]);
        assert_eq!(
            affected(&mut faults(&[json!({"fault": "reset", "nth": 3})]), 5),
            [3]
        );
        assert_eq!(
            affected(
                &mut faults(&[json!({"fault": "reset", "nth": 3, "times": 2})]),
                6
            ),
            [3, 4]
        );
        assert_eq!(
            affected(
                &mut faults(&[json!({"fault": "unauthorized", "times": 0})]),
                4
            ),
            [1, 2, 3, 4]
        );
    }

    #[test]
    fn a_rule_can_select_requests_by_kind_path_and_text() {
        let now = Instant::now();
        let mut armed = faults(&[
            json!({"fault": "hang", "on": "query", "path": "/9/", "contains": "Invoice", "times": 0}),
        ]);
        let mut is_intact = |kind, path, text| armed.effects_on(kind, path, text, now).is_intact();
        assert!(!is_intact("query", "/v3/company/9/query", "FROM Invoice"));
        assert!(is_intact("token", "/v3/company/9/query", "FROM Invoice"));
        assert!(is_intact("query", "/v3/company/8/query", "FROM Invoice"));
        assert!(is_intact("query", "/v3/company/9/query", "FROM Item"));
    }

    #[test]
    fn a_probability_has_a_seed() {
        let rule = |seed| [json!({"fault": "reset", "probability": 0.25, "seed": seed})];
        let first = affected(&mut faults(&rule(1)), 400);
        assert_eq!(first, affected(&mut faults(&rule(1)), 400));
        assert_ne!(first, affected(&mut faults(&rule(2)), 400));
        assert!((60..140).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn a_rule_can_last_for_a_while() {
        let mut armed = faults(&[json!({"fault": "unavailable", "after_s": 10, "for_s": 5})]);
        let begin = Instant::now();
        let mut is_intact = |after| {
            armed
                .effects_on("query", "", "", begin + Duration::from_secs(after))
                .is_intact()
        };
        assert!(is_intact(9) && !is_intact(11) && !is_intact(14) && is_intact(16));
    }

    #[test]
    fn the_first_fault_wins_and_changes_add_up() {
        let change =
            json!({"fault": "change", "do": [{"command": "edit", "entity": "Invoice", "id": "1"}]});
        let mut armed = faults(&[
            json!({"fault": "reset"}),
            change.clone(),
            json!({"fault": "hang"}),
            change,
        ]);
        let effects = armed.effects_on("query", "", "", Instant::now());
        assert_eq!((effects.is_intact(), effects.changes.len()), (false, 2));
        assert_eq!(affected(&mut armed, 2), [1]);
    }

    #[test]
    fn an_invalid_rule_is_refused_with_the_reason() {
        for (rule, words) in [
            (json!({"fault": "explode"}), "unauthorized"),
            (json!({"fault": "reset", "on": "page"}), "'page'"),
            (json!({"fault": "reset", "ntth": 1}), "ntth"),
            (json!({"fault": "reset", "nth": 0}), "nth"),
            (json!({"fault": "reset", "probability": 2}), "probability"),
            (json!({"fault": "change"}), "do"),
            (json!({"fault": "throttle", "format": "csv"}), "html"),
            (json!([1]), "fault"),
        ] {
            let error = FaultRule::parse(&rule.to_string()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
