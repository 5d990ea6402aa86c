//! What a fault does to a request and its answer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::rule::{FaultKind, FaultRule, Format};
use crate::answer::{Answer, ServiceFault, gateway_fault, throttled_json, throttled_xml};
use crate::pacific;
use crate::server::forbidden;

/// Longer than any client waits.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// How an answer reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    Truncated,
    Trickling { bytes_per_s: u64 },
}

/// Everything that happens to one request.
#[derive(Debug, Default)]
pub(crate) struct Strike {
    rule: Option<FaultRule>,
    /// Commands that change the books after the answer.
    pub changes: Vec<Box<RawValue>>,
}

impl Strike {
    /// Whether nothing breaks the request so far.
    pub fn is_free(&self) -> bool {
        self.rule.is_none()
    }

    pub fn add(&mut self, rule: &FaultRule) {
        match rule.fault {
            FaultKind::Change => self.changes.extend(rule.changes.iter().cloned()),
            _ => self.rule = Some(rule.clone()),
        }
    }

    fn fault(&self) -> Option<FaultKind> {
        self.rule.as_ref().map(|rule| rule.fault)
    }

    /// Waits as long as the fault says.
    pub async fn wait(&self) {
        match &self.rule {
            Some(rule) if rule.fault == FaultKind::Slow => {
                tokio::time::sleep(Duration::from_millis(rule.ms)).await
            }
            Some(rule) if rule.fault == FaultKind::Hang => tokio::time::sleep(FOR_EVER).await,
            _ => {}
        }
    }

    /// What is answered without doing what was asked: `None` if that is done, `Some(None)` if
    /// nothing is answered.
    pub fn instead(&self, time: DateTime<Utc>) -> Option<Option<Answer>> {
        let rule = self.rule.as_ref()?;
        Some(Some(match rule.fault {
            FaultKind::Reset | FaultKind::Hang => return Some(None),
            FaultKind::Throttle => rule.with_retry_after(rule.throttled(time)),
            FaultKind::Error => ServiceFault::application().answer(time),
            FaultKind::BadGateway => Answer::html(502, "Bad Gateway"),
            FaultKind::Unavailable => rule.with_retry_after(Answer::empty(503)),
            FaultKind::GatewayTimeout => Answer::html(504, "Gateway Time-out"),
            FaultKind::TooLarge => Answer::empty(413),
            FaultKind::Unauthorized => {
                let detail = "Token expired: AB0160139-not-a-token";
                gateway_fault(
                    401,
                    "AuthenticationFailed",
                    "3200",
                    detail,
                    "AUTHENTICATION",
                    time,
                )
            }
            FaultKind::Forbidden => forbidden(),
            FaultKind::FaultInSuccess => ServiceFault {
                status: 200,
                ..ServiceFault::application()
            }
            .answer(time),
            FaultKind::FaultInResponse => {
                let (fault, time) = (
                    ServiceFault::application().value(),
                    pacific::format_millis(time),
                );
                Answer::service(
                    200,
                    format!(r#"{{"QueryResponse":{{"Fault":{fault}}},"time":"{time}"}}"#),
                )
            }
            FaultKind::Garbage => Answer::html(200, "Welcome"),
            FaultKind::InvalidGrant => Answer::json(400, &json!({"error": "invalid_grant"})),
            FaultKind::InvalidClient => Answer::json(401, &json!({"error": "invalid_client"})),
            FaultKind::LostAnswer
            | FaultKind::Truncate
            | FaultKind::Trickle
            | FaultKind::Slow
            | FaultKind::Change => {
                return None;
            }
        }))
    }

    /// Whether what was asked is done and the answer thrown away.
    pub fn loses_answer(&self) -> bool {
        self.fault() == Some(FaultKind::LostAnswer)
    }

    pub fn delivery(&self) -> Delivery {
        match &self.rule {
            Some(rule) if rule.fault == FaultKind::Truncate => Delivery::Truncated,
            Some(rule) if rule.fault == FaultKind::Trickle => Delivery::Trickling {
                bytes_per_s: rule.bytes_per_s,
            },
            _ => Delivery::Whole,
        }
    }
}

impl FaultRule {
    fn throttled(&self, time: DateTime<Utc>) -> Answer {
        let status = self.status.unwrap_or(429);
        match self.format.unwrap_or(Format::Xml) {
            Format::Xml => throttled_xml(status, time),
            Format::Json => throttled_json(status, time),
            Format::Html => Answer::html(status, "Too Many Requests"),
            Format::Empty => Answer::empty(status),
        }
    }

    fn with_retry_after(&self, answer: Answer) -> Answer {
        match &self.retry_after {
            Some(Value::String(text)) => answer.with_header("retry-after", text.clone()),
            Some(other) => answer.with_header("retry-after", other.to_string()),
            None => answer,
        }
    }
}
