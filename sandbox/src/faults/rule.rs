//! The rules that say which fault affects which requests.

use std::time::Duration;

use axum::http::HeaderValue;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::kind::FaultKind;

/// The kinds of requests that faults and statistics distinguish.
pub(crate) const REQUEST_KINDS: [&str; 10] = [
    "token",
    "revoke",
    "consent",
    "discovery",
    "query",
    "cdc",
    "batch",
    "read",
    "report",
    "unknown",
];

/// A fault and the requests that it affects.
///
/// [`FaultRule::parse`] reads one from text; `docs/sandbox.md` describes all settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    pub(super) fault: FaultKind,
    /// Affects only requests of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<String>,
    /// Affects only paths that contain this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Affects only requests whose query string or body contains this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    contains: Option<String>,
    /// Number of the first matching request that is affected, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    nth: Option<u64>,
    /// Highest number of affected requests; 0 means no limit. The default is one, or no limit if
    /// a probability or a duration is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    /// Probability with which each matching request is affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    /// Seed of the probability's random generator.
    #[serde(default)]
    seed: u64,
    /// Seconds after which the fault begins.
    #[serde(default)]
    after_s: f64,
    /// Seconds for which the fault lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    for_s: Option<f64>,
    /// Status of `throttle`, by default 429, of `odd-fault` and `refused`, by default 400, or of
    /// `rewrite`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// Code of `refused`: text or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<Value>,
    /// Message of `refused`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
    /// Detail of `refused`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) detail: String,
    /// Format of the body of `throttle` and `unauthorized`, by default XML, or of `forbidden`, by
    /// default JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<Format>,
    /// Value of the `Retry-After` header: seconds or a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<Value>,
    /// Delay of `slow` in milliseconds.
    #[serde(default)]
    pub(super) ms: u64,
    /// Speed of `trickle` in bytes per second.
    #[serde(default = "default_bytes_per_s")]
    pub(super) bytes_per_s: u64,
    /// Unpacked size of `gzip-bomb` and of `announced`, and size of `flood`, in megabytes.
    #[serde(default = "default_mb")]
    pub(super) mb: u64,
    /// Key of the rows for `other-key`, member of the header for `report-header`, or key of the column for
    /// `report-column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// Entity whose group `cdc-fault` or `cdc-missing` affects, by default that of the first group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entity: Option<String>,
    /// Value of `lifetimes`, `report-header` or `report-column`. Without it the members are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Value>,
    /// Text that `rewrite` replaces, or behind which `flood` begins.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) find: String,
    /// Text that `rewrite` puts in its place, or that `flood` repeats.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) put: String,
    /// Content type of `rewrite`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    /// Control commands of `change`.
    #[serde(rename = "do", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) changes: Vec<Box<RawValue>>,
}

/// The format of a gateway's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    Xml,
    Json,
    Html,
    Empty,
}

fn default_mb() -> u64 {
    1024
}

fn default_bytes_per_s() -> u64 {
    1024
}

/// The reason why a rule is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

impl FaultRule {
    /// Parses a rule from a JSON object, or from the short form `fault,name=value,...`.
    ///
    /// ```
    /// let rule = qbo_sandbox::FaultRule::parse("throttle,on=query,nth=3,format=json");
    /// # assert!(rule.is_ok());
    /// ```
    ///
    /// # Errors
    /// [`FaultError`] with the reason. For an unknown fault it lists the known ones.
    pub fn parse(text: &str) -> Result<Self, FaultError> {
        let text = text.trim();
        let json = if text.starts_with('{') {
            text.to_owned()
        } else {
            from_pairs(text)?
        };
        if let Ok(Value::Object(members)) = serde_json::from_str(&json)
            && let Some(Value::String(name)) = members.get("fault")
        {
            known(name)?;
        }
        // Not from those members: the records of a change keep their text.
        let rule: Self = serde_json::from_str(&json).map_err(|error| {
            let text = error.to_string();
            // The short form has no lines.
            let reason = text.split(" at line ").next().unwrap_or(&text);
            FaultError(format!("not a fault: {reason}"))
        })?;
        rule.check()?;
        Ok(rule)
    }

    fn check(&self) -> Result<(), FaultError> {
        let refuse = |reason: String| Err(FaultError(reason));
        if let Some(kind) = self
            .on
            .as_deref()
            .filter(|kind| !REQUEST_KINDS.contains(kind))
        {
            return refuse(format!(
                "'{kind}' is not a kind of request; the kinds are {}",
                REQUEST_KINDS.join(", ")
            ));
        }
        if self.nth == Some(0) {
            return refuse("nth counts from 1".to_owned());
        }
        if self.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return refuse("probability must be between 0 and 1".to_owned());
        }
        if !self.after_s.is_finite()
            || self.after_s < 0.0
            || self.for_s.is_some_and(|s| !s.is_finite() || s < 0.0)
        {
            return refuse("after_s and for_s must be seconds, at least 0".to_owned());
        }
        if (self.fault == FaultKind::Change) == self.changes.is_empty() {
            return refuse(
                "the fault 'change' needs commands in do, and no other fault takes them".to_owned(),
            );
        }
        let is_header =
            |value: &Value| HeaderValue::from_str(value.as_str().unwrap_or("0")).is_ok();
        if !self.retry_after.as_ref().is_none_or(is_header) {
            return refuse("retry_after cannot be sent as a header".to_owned());
        }
        let lowest_status = match self.fault {
            FaultKind::Rewrite => 200,
            _ => 400,
        };
        if self
            .status
            .is_some_and(|status| !(lowest_status..600).contains(&status))
        {
            return refuse(format!("status must be between {lowest_status} and 599"));
        }
        let content_type = self.content_type.as_deref().unwrap_or_default();
        if HeaderValue::from_str(content_type).is_err() {
            return refuse("content_type cannot be sent as a header".to_owned());
        }
        Ok(())
    }

    /// Returns the highest number of requests that the fault affects.
    fn max_struck(&self) -> u64 {
        match self.times {
            Some(0) => u64::MAX,
            Some(times) => times,
            None if self.probability.is_some() || self.for_s.is_some() => u64::MAX,
            None => 1,
        }
    }
}

/// Refuses a name that no fault has.
fn known(name: &str) -> Result<(), FaultError> {
    let Err(error) =
        FaultKind::deserialize(name.into_deserializer() as StrDeserializer<'_, ValueError>)
    else {
        return Ok(());
    };
    let text = error.to_string();
    // serde lists the names: "unknown variant `x`, expected one of `a`, `b`".
    let (_, names) = text.split_once("expected one of ").unwrap_or_default();
    let names = names.replace('`', "");
    Err(FaultError(format!(
        "there is no fault '{name}'; there are {names}"
    )))
}

/// Converts the short form, as in `throttle,nth=3,format=json`, to JSON. Values that are not JSON
/// are taken as text.
fn from_pairs(text: &str) -> Result<String, FaultError> {
    let mut members = serde_json::Map::new();
    for (position, part) in text.split(',').map(str::trim).enumerate() {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), value.trim()),
            None if position == 0 => ("fault", part),
            None => return Err(FaultError(format!("'{part}' is not name=value"))),
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        members.insert(name.to_owned(), value);
    }
    Ok(Value::from(members).to_string())
}

/// A rule that is waiting for requests.
#[derive(Debug)]
pub(super) struct Armed {
    rule: FaultRule,
    begin: Instant,
    random: Pcg64Mcg,
    matched: u64,
    struck: u64,
}

impl Armed {
    pub(super) fn new(rule: FaultRule, now: Instant) -> Self {
        let random = Pcg64Mcg::seed_from_u64(rule.seed);
        Self {
            rule,
            begin: now,
            random,
            matched: 0,
            struck: 0,
        }
    }

    pub(super) fn rule(&self) -> &FaultRule {
        &self.rule
    }

    pub(super) fn is_change(&self) -> bool {
        self.rule.fault == FaultKind::Change
    }

    /// Counts a request if it matches, and returns whether the fault affects it.
    pub(super) fn affects(&mut self, kind: &str, path: &str, text: &str, now: Instant) -> bool {
        let rule = &self.rule;
        let is_within = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| found.contains(wanted))
        };
        let is_match = rule.on.as_ref().is_none_or(|on| on == kind)
            && rule.fault.only_on().is_none_or(|only| only == kind)
            && is_within(&rule.path, path)
            && is_within(&rule.contains, text);
        let age = now.saturating_duration_since(self.begin);
        let start = Duration::from_secs_f64(rule.after_s);
        let is_time = age >= start
            && rule
                .for_s
                .is_none_or(|s| age < start + Duration::from_secs_f64(s));
        if !is_match || !is_time {
            return false;
        }
        self.matched += 1;
        let is_due = self.matched >= rule.nth.unwrap_or(1) && self.struck < rule.max_struck();
        let is_drawn = rule.probability.is_none_or(|p| self.random.random_bool(p));
        self.struck += u64::from(is_due && is_drawn);
        is_due && is_drawn
    }

    /// Returns the rule as JSON, with the numbers of matched and affected requests.
    pub(super) fn report(&self) -> Value {
        let mut report = serde_json::to_value(&self.rule).unwrap_or_default();
        report["matched"] = self.matched.into();
        report["struck"] = self.struck.into();
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_means_the_same_as_json() {
        let rule = FaultRule::parse("throttle, nth=3,format=json,retry_after=2,on=query").unwrap();
        let json = r#"{"fault":"throttle","nth":3,"format":"json","retry_after":2,"on":"query"}"#;
        let long = FaultRule::parse(json).unwrap();
        assert_eq!(
            serde_json::to_value(&rule).unwrap(),
            serde_json::to_value(&long).unwrap()
        );
        assert!(
            FaultRule::parse("reset,once")
                .unwrap_err()
                .to_string()
                .contains("'once'")
        );
    }

    #[test]
    fn an_unknown_fault_gets_the_names_of_all() {
        for text in ["thrott", r#"{"fault": "thrott"}"#] {
            let error = FaultRule::parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with("there is no fault 'thrott'; there are throttle, error, "),
                "{error}"
            );
            assert!(!error.contains(" at line "), "{error}");
        }
        let error = FaultRule::parse("throttle,nht=2").unwrap_err().to_string();
        assert!(
            error.starts_with("not a fault: unknown field `nht`"),
            "{error}"
        );
        assert!(!error.contains(" at line "), "{error}");
    }
}
