//! Which requests a fault strikes.

use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::server::KINDS;

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FaultKind {
    /// 429, or another status, in XML, JSON, HTML or empty, with or without Retry-After.
    Throttle,
    /// 500 with code 10000.
    Error,
    /// 502 HTML.
    BadGateway,
    /// 503, empty.
    Unavailable,
    /// 504 HTML.
    GatewayTimeout,
    /// 413, empty.
    TooLarge,
    /// 401 of the gateway.
    Unauthorized,
    /// 403 with code 3100.
    Forbidden,
    /// 200 with a fault in place of the answer.
    FaultInSuccess,
    /// 200 with a fault inside of `QueryResponse`.
    FaultInResponse,
    /// 200 with what is not an answer.
    Garbage,
    /// The token endpoint's `invalid_grant`.
    InvalidGrant,
    /// The token endpoint's `invalid_client`.
    InvalidClient,
    /// The connection breaks before anything is done.
    Reset,
    /// What was asked is done, and the answer lost: of a refresh, the rotated token.
    LostAnswer,
    /// Half of the body, then the connection breaks.
    Truncate,
    /// The body in drops.
    Trickle,
    /// No answer, until the client gives up.
    Hang,
    /// The answer comes later.
    Slow,
    /// The answer is fine, and then the books change.
    Change,
}

/// Every fault with what it does and the settings of its own, for people.
pub(crate) const FAULTS: &[(&str, &str)] = &[
    (
        "throttle",
        "429 (or status) with the throttle's body in format xml, json, html or empty; retry_after",
    ),
    ("error", "500 with code 10000"),
    ("bad-gateway", "502 with an HTML page"),
    ("unavailable", "503 without a body; retry_after"),
    ("gateway-timeout", "504 with an HTML page"),
    ("too-large", "413 without a body"),
    ("unauthorized", "401 of the gateway"),
    ("forbidden", "403 with code 3100"),
    (
        "fault-in-success",
        "200 with a Fault in place of the answer",
    ),
    (
        "fault-in-response",
        "200 with a Fault inside of QueryResponse",
    ),
    ("garbage", "200 with what is not an answer"),
    ("invalid-grant", "400 invalid_grant; for the token endpoint"),
    (
        "invalid-client",
        "401 invalid_client; for the token endpoint",
    ),
    ("reset", "the connection breaks before anything is done"),
    (
        "lost-answer",
        "what was asked is done and the answer lost: of a refresh, the rotated token",
    ),
    ("truncate", "half of the body, then the connection breaks"),
    ("trickle", "the body at bytes_per_s"),
    ("hang", "no answer until the client gives up"),
    ("slow", "the answer comes ms later"),
    (
        "change",
        "the answer is fine, and then the commands in do change the books",
    ),
];

/// A fault and the requests that it strikes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    pub(super) fault: FaultKind,
    /// Only requests of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<String>,
    /// Only paths that contain this.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Only requests whose query or body contains this.
    #[serde(skip_serializing_if = "Option::is_none")]
    contains: Option<String>,
    /// Not before the n-th of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    nth: Option<u64>,
    /// At most so often; 0: without end. Once, unless a probability or a duration is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    /// Each with this probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    /// Seed of the probability.
    #[serde(default)]
    seed: u64,
    /// Not before so many seconds from now.
    #[serde(default)]
    after_s: f64,
    /// For so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    for_s: Option<f64>,
    /// Status of `throttle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// Body of `throttle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<Format>,
    /// The header, as it will be sent: seconds or a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<Value>,
    /// Delay of `slow`.
    #[serde(default)]
    pub(super) ms: u64,
    /// Speed of `trickle`.
    #[serde(default = "default_trickle")]
    pub(super) bytes_per_s: u64,
    /// Commands of `change`.
    #[serde(rename = "do", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) changes: Vec<Box<RawValue>>,
}

/// The shape of a throttle's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    Xml,
    Json,
    Html,
    Empty,
}

fn default_trickle() -> u64 {
    1024
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

impl FaultRule {
    /// Reads a rule: a JSON object, or `fault,name=value,...`.
    ///
    /// # Errors
    /// [`FaultError`] that says what is wrong, and what the faults are if that is it.
    pub fn parse(text: &str) -> Result<Self, FaultError> {
        let text = text.trim();
        let json = if text.starts_with('{') {
            text.to_owned()
        } else {
            from_pairs(text)?
        };
        let rule: Self = serde_json::from_str(&json)
            .map_err(|error| FaultError(format!("not a fault: {error}")))?;
        rule.check()?;
        Ok(rule)
    }

    fn check(&self) -> Result<(), FaultError> {
        let refuse = |reason: String| Err(FaultError(reason));
        if let Some(kind) = self.on.as_deref().filter(|kind| !KINDS.contains(kind)) {
            return refuse(format!(
                "'{kind}' is not a kind of request; there are {}",
                KINDS.join(", ")
            ));
        }
        if self.nth == Some(0) {
            return refuse("nth counts from 1".to_owned());
        }
        if self.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return refuse("probability is between 0 and 1".to_owned());
        }
        if !self.after_s.is_finite()
            || self.after_s < 0.0
            || self.for_s.is_some_and(|s| !s.is_finite() || s < 0.0)
        {
            return refuse("after_s and for_s are seconds".to_owned());
        }
        if (self.fault == FaultKind::Change) == self.changes.is_empty() {
            return refuse("the fault 'change', and only it, has commands in do".to_owned());
        }
        let is_header =
            |value: &Value| HeaderValue::from_str(value.as_str().unwrap_or("0")).is_ok();
        if !self.retry_after.as_ref().is_none_or(is_header) {
            return refuse("retry_after is what a header can hold".to_owned());
        }
        if self
            .status
            .is_some_and(|status| !(400..600).contains(&status))
        {
            return refuse("status is between 400 and 599".to_owned());
        }
        Ok(())
    }

    /// How often it strikes at most.
    fn limit(&self) -> u64 {
        match self.times {
            Some(0) => u64::MAX,
            Some(times) => times,
            None if self.probability.is_some() || self.for_s.is_some() => u64::MAX,
            None => 1,
        }
    }
}

/// `throttle,nth=3,format=json` as JSON. Values are JSON where they can be, else text.
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

/// A rule at work.
#[derive(Debug)]
pub(super) struct Armed {
    rule: FaultRule,
    begin: Instant,
    random: Pcg64Mcg,
    matched: u64,
    struck: u64,
}

impl Armed {
    pub fn new(rule: FaultRule, now: Instant) -> Self {
        let random = Pcg64Mcg::seed_from_u64(rule.seed);
        Self {
            rule,
            begin: now,
            random,
            matched: 0,
            struck: 0,
        }
    }

    pub fn rule(&self) -> &FaultRule {
        &self.rule
    }

    pub fn is_change(&self) -> bool {
        self.rule.fault == FaultKind::Change
    }

    pub fn strikes(&mut self, kind: &str, path: &str, text: &str, now: Instant) -> bool {
        let rule = &self.rule;
        let is_within = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| found.contains(wanted))
        };
        let is_meant = rule.on.as_ref().is_none_or(|on| on == kind)
            && is_within(&rule.path, path)
            && is_within(&rule.contains, text);
        let age = now.saturating_duration_since(self.begin);
        let start = Duration::from_secs_f64(rule.after_s);
        let is_time = age >= start
            && rule
                .for_s
                .is_none_or(|s| age < start + Duration::from_secs_f64(s));
        if !is_meant || !is_time {
            return false;
        }
        self.matched += 1;
        let is_due = self.matched >= rule.nth.unwrap_or(1) && self.struck < rule.limit();
        let is_drawn = rule.probability.is_none_or(|p| self.random.random_bool(p));
        self.struck += u64::from(is_due && is_drawn);
        is_due && is_drawn
    }

    pub fn report(&self) -> Value {
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
    fn the_short_form_is_the_long_one() {
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
    fn every_fault_is_explained() {
        for (name, _) in FAULTS {
            let rest = if *name == "change" {
                r#","do":[{}]"#
            } else {
                ""
            };
            FaultRule::parse(&format!(r#"{{"fault":"{name}"{rest}}}"#)).unwrap();
        }
        let unknown = FaultRule::parse("x").unwrap_err().to_string();
        assert!(
            FAULTS
                .iter()
                .all(|(name, _)| unknown.contains(&format!("`{name}`"))),
            "{unknown}"
        );
    }
}
