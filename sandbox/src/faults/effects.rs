//! The effects of faults on a request and its answer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::kind::FaultKind;
use super::malformed;
use super::rule::{FaultRule, Format};
use crate::answer::{
    Answer, GatewayFault, ServiceFault, fault_in_xml, forbidden, out_of_scope, throttled,
    unauthorized,
};
use crate::pacific;

/// The duration of a hang, which is longer than any client waits.
const HANG: Duration = Duration::from_secs(24 * 3600);

/// The way in which an answer reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    Truncated,
    Trickling { bytes_per_s: u64 },
    Endless,
    GzipBomb { mb: u64 },
    Announced { mb: u64 },
}

/// An answer that a fault gives in place of the normal one.
#[derive(Debug)]
pub(crate) enum Replacement {
    /// The request is answered as usual.
    None,
    /// The request has no effect and gets this answer.
    Answer(Answer),
    /// The request has no effect and the connection is reset.
    Reset,
}

/// The effects of all faults on one request.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    rule: Option<FaultRule>,
    /// Control commands that change the company after the answer.
    pub changes: Vec<Box<RawValue>>,
}

impl Effects {
    /// Returns whether no fault has changed the request or its answer so far.
    pub(crate) fn is_intact(&self) -> bool {
        self.rule.is_none()
    }

    /// Adds the effects of a rule.
    pub(crate) fn add(&mut self, rule: &FaultRule) {
        match rule.fault {
            FaultKind::Change => self.changes.extend(rule.changes.iter().cloned()),
            _ => self.rule = Some(rule.clone()),
        }
    }

    fn fault(&self) -> Option<FaultKind> {
        self.rule.as_ref().map(|rule| rule.fault)
    }

    /// Waits for the duration of a `slow` or `hang` fault.
    pub(crate) async fn wait(&self) {
        match &self.rule {
            Some(rule) if rule.fault == FaultKind::Slow => {
                tokio::time::sleep(Duration::from_millis(rule.ms)).await
            }
            Some(rule) if rule.fault == FaultKind::Hang => tokio::time::sleep(HANG).await,
            _ => {}
        }
    }

    /// Returns what replaces the normal answer.
    pub(crate) fn replacement(&self, time: DateTime<Utc>) -> Replacement {
        let Some(rule) = &self.rule else {
            return Replacement::None;
        };
        Replacement::Answer(match rule.fault {
            FaultKind::Reset | FaultKind::Hang => return Replacement::Reset,
            FaultKind::Throttle => {
                let fault = throttled(rule.status.unwrap_or(429));
                rule.with_retry_after(rule.of_gateway(&fault, Format::Xml, time))
            }
            FaultKind::Error => ServiceFault::application().answer(time),
            FaultKind::BadGateway => Answer::html(502, "Bad Gateway"),
            FaultKind::Unavailable => rule.with_retry_after(Answer::empty(503)),
            FaultKind::GatewayTimeout => Answer::html(504, "Gateway Time-out"),
            FaultKind::TooLarge => Answer::empty(413),
            FaultKind::Unauthorized => {
                let fault = unauthorized("Token expired: AB0160139-not-a-token");
                rule.of_gateway(&fault, Format::Xml, time)
            }
            FaultKind::Forbidden => rule.of_gateway(&forbidden(), Format::Json, time),
            FaultKind::Refused => rule.refused(time),
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
            FaultKind::FaultInXml => fault_in_xml(time),
            FaultKind::Empty => Answer::empty(200),
            FaultKind::OddFault => ServiceFault {
                status: rule.status.unwrap_or(400),
                ..ServiceFault::odd()
            }
            .answer(time),
            FaultKind::Scope => out_of_scope().json(time),
            FaultKind::Firewall => Answer::html(403, "Request blocked"),
            FaultKind::ProxyAuth => Answer::html(407, "Proxy Authentication Required")
                .with_header("proxy-authenticate", "Basic realm=\"proxy\"".to_owned()),
            FaultKind::InvalidGrant => Answer::json(400, &json!({"error": "invalid_grant"})),
            FaultKind::InvalidClient => Answer::json(401, &json!({"error": "invalid_client"})),
            FaultKind::LostAnswer
            | FaultKind::Truncate
            | FaultKind::Trickle
            | FaultKind::Endless
            | FaultKind::GzipBomb
            | FaultKind::Announced
            | FaultKind::Slow
            | FaultKind::NullResponse
            | FaultKind::NoResponse
            | FaultKind::EmptyResponse
            | FaultKind::OtherKey
            | FaultKind::LostRows
            | FaultKind::FewerRows
            | FaultKind::MoreRows
            | FaultKind::FaultForRows
            | FaultKind::NullRows
            | FaultKind::RepeatedId
            | FaultKind::CdcReversed
            | FaultKind::CdcFault
            | FaultKind::CdcMissing
            | FaultKind::CdcMerged
            | FaultKind::ReportCut
            | FaultKind::ReportHeader
            | FaultKind::ReportColumn
            | FaultKind::ReportEmpty
            | FaultKind::Lifetimes
            | FaultKind::Rewrite
            | FaultKind::Flood
            | FaultKind::Change => {
                return Replacement::None;
            }
        })
    }

    /// Returns the normal answer, malformed if a fault says so.
    pub(crate) fn malform(&self, answer: Answer) -> Answer {
        match &self.rule {
            Some(rule) if rule.fault == FaultKind::Rewrite => malformed::rewrite(rule, answer),
            Some(rule) if rule.fault == FaultKind::Flood => malformed::flood(rule, answer),
            Some(rule) if rule.fault.is_bomb() => {
                let mut answer = answer;
                answer.status = rule.status.unwrap_or(answer.status);
                answer
            }
            Some(rule) if answer.status == 200 => malformed::apply(rule, answer),
            _ => answer,
        }
    }

    /// Returns whether the request takes effect but its answer is lost.
    pub(crate) fn loses_answer(&self) -> bool {
        self.fault() == Some(FaultKind::LostAnswer)
    }

    /// Returns the way in which the answer reaches the client.
    pub(crate) fn delivery(&self) -> Delivery {
        match &self.rule {
            Some(rule) if rule.fault == FaultKind::Truncate => Delivery::Truncated,
            Some(rule) if rule.fault == FaultKind::Trickle => Delivery::Trickling {
                bytes_per_s: rule.bytes_per_s,
            },
            Some(rule) if rule.fault == FaultKind::Endless => Delivery::Endless,
            Some(rule) if rule.fault == FaultKind::GzipBomb => Delivery::GzipBomb { mb: rule.mb },
            Some(rule) if rule.fault == FaultKind::Announced => Delivery::Announced { mb: rule.mb },
            _ => Delivery::Whole,
        }
    }
}

impl FaultRule {
    fn refused(&self, time: DateTime<Utc>) -> Answer {
        let code = match &self.code {
            Some(Value::String(code)) => code.clone(),
            Some(code) => code.to_string(),
            None => String::new(),
        };
        let fault = json!({"Fault": {
            "Error": [{"Message": self.message, "Detail": self.detail, "code": code}],
            "type": "ValidationFault",
        }, "time": pacific::format_millis(time)});
        Answer::service(self.status.unwrap_or(400), fault.to_string())
    }

    /// Returns a fault of the gateway in the format of this rule.
    fn of_gateway(&self, fault: &GatewayFault<'_>, default: Format, time: DateTime<Utc>) -> Answer {
        match self.format.unwrap_or(default) {
            Format::Xml => fault.xml(time),
            Format::Json => fault.json(time),
            Format::Html => Answer::html(fault.status, fault.title),
            Format::Empty => Answer::empty(fault.status),
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
