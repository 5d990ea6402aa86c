//! Faults on demand: which requests they strike, and what they do to them.

mod rule;
mod strike;

use std::time::Instant;

use self::rule::Armed;
pub(super) use self::rule::FAULTS;
pub use self::rule::{FaultError, FaultRule};
pub(super) use self::strike::{Delivery, Strike};

/// The faults that wait for requests.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Armed>,
}

impl Faults {
    pub fn new(rules: Vec<FaultRule>) -> Self {
        let mut faults = Self::default();
        rules.into_iter().for_each(|rule| faults.arm(rule));
        faults
    }

    pub fn arm(&mut self, rule: FaultRule) {
        self.armed.push(Armed::new(rule, Instant::now()));
    }

    pub fn clear(&mut self) {
        self.armed.clear();
    }

    /// Every fault with how many requests it has matched and struck.
    pub fn list(&self) -> Vec<serde_json::Value> {
        self.armed.iter().map(Armed::report).collect()
    }

    /// What happens to a request. Of several faults that break it the first wins; changes of the
    /// books add up.
    pub fn strike(&mut self, kind: &str, path: &str, text: &str, now: Instant) -> Strike {
        let mut strike = Strike::default();
        for armed in &mut self.armed {
            if (strike.is_free() || armed.is_change()) && armed.strikes(kind, path, text, now) {
                strike.add(armed.rule());
            }
        }
        strike
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

    /// Which of so many queries are struck, counted from 1.
    fn struck(faults: &mut Faults, count: usize) -> Vec<usize> {
        let now = Instant::now();
        (1..=count)
            .filter(|_| {
                !faults
                    .strike("query", "/v3/company/9/query", "FROM Invoice", now)
                    .is_free()
            })
            .collect()
    }

    #[test]
    fn a_rule_strikes_once_unless_told_otherwise() {
        assert_eq!(struck(&mut faults(&[json!({"fault": "reset"})]), 5), [1]);
        assert_eq!(
            struck(&mut faults(&[json!({"fault": "reset", "nth": 3})]), 5),
            [3]
        );
        assert_eq!(
            struck(
                &mut faults(&[json!({"fault": "reset", "nth": 3, "times": 2})]),
                6
            ),
            [3, 4]
        );
        assert_eq!(
            struck(
                &mut faults(&[json!({"fault": "unauthorized", "times": 0})]),
                4
            ),
            [1, 2, 3, 4]
        );
    }

    #[test]
    fn a_rule_can_ask_for_kind_path_and_text() {
        let now = Instant::now();
        let mut armed = faults(&[
            json!({"fault": "hang", "on": "query", "path": "/9/", "contains": "Invoice", "times": 0}),
        ]);
        let mut free = |kind, path, text| armed.strike(kind, path, text, now).is_free();
        assert!(!free("query", "/v3/company/9/query", "FROM Invoice"));
        assert!(free("token", "/v3/company/9/query", "FROM Invoice"));
        assert!(free("query", "/v3/company/8/query", "FROM Invoice"));
        assert!(free("query", "/v3/company/9/query", "FROM Item"));
    }

    #[test]
    fn a_probability_has_a_seed() {
        let rule = |seed| [json!({"fault": "reset", "probability": 0.25, "seed": seed})];
        let first = struck(&mut faults(&rule(1)), 400);
        assert_eq!(first, struck(&mut faults(&rule(1)), 400));
        assert_ne!(first, struck(&mut faults(&rule(2)), 400));
        assert!((60..140).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn a_rule_can_last_for_a_while() {
        let mut armed = faults(&[json!({"fault": "unavailable", "after_s": 10, "for_s": 5})]);
        let begin = Instant::now();
        let mut free = |after| {
            armed
                .strike("query", "", "", begin + Duration::from_secs(after))
                .is_free()
        };
        assert!(free(9) && !free(11) && !free(14) && free(16));
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
        let strike = armed.strike("query", "", "", Instant::now());
        assert_eq!((strike.is_free(), strike.changes.len()), (false, 2));
        assert_eq!(struck(&mut armed, 2), [1]);
    }

    #[test]
    fn what_a_rule_cannot_mean_is_refused_with_what_it_can() {
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
