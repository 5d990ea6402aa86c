//! The kinds of faults.

use serde::{Deserialize, Serialize};

/// The kind of a fault.
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
    /// A fault of the accounting service with any status, code and texts.
    Refused,
    /// 200 with a fault in place of the answer.
    FaultInSuccess,
    /// 200 with a fault inside of `QueryResponse`.
    FaultInResponse,
    /// 200 with an HTML page.
    Garbage,
    /// The token endpoint's `invalid_grant`.
    InvalidGrant,
    /// The token endpoint's `invalid_client`.
    InvalidClient,
    /// The connection is reset before the request has any effect.
    Reset,
    /// The request takes effect, but its answer is lost. A refresh loses the rotated token.
    LostAnswer,
    /// The connection is reset after half of the body.
    Truncate,
    /// The body arrives slowly.
    Trickle,
    /// The normal answer goes on with blanks, without an end.
    Endless,
    /// The normal answer goes on with blanks that are much larger than they arrive.
    GzipBomb,
    /// The normal answer goes on with blanks, and its head announces their length.
    Announced,
    /// No answer arrives until the client gives up.
    Hang,
    /// The answer arrives late.
    Slow,
    /// 200 with a fault in XML.
    FaultInXml,
    /// 200 without a body.
    Empty,
    /// The object of the answer is null.
    NullResponse,
    /// The object of the answer is missing.
    NoResponse,
    /// The object of the answer is empty: no rows, no counters, no total.
    EmptyResponse,
    /// Rows come under another key.
    OtherKey,
    /// The counters of a page come without its rows.
    LostRows,
    /// The last row of a page is missing, but its counters count it.
    FewerRows,
    /// The counters of a page leave out its last row.
    MoreRows,
    /// A page with rows is a fault with code 10000; pages without rows, and counts, are normal.
    FaultForRows,
    /// Every row of a page is null.
    NullRows,
    /// Every row of a page has the id of the first.
    RepeatedId,
    /// A fault whose text holds NUL and control characters.
    OddFault,
    /// 403 of the gateway for a token without the scope.
    Scope,
    /// 403 of a firewall, as an HTML page.
    Firewall,
    /// 407 of a proxy, as an HTML page.
    ProxyAuth,
    /// Groups of change data capture come in reverse order.
    CdcReversed,
    /// One group of change data capture is a fault.
    CdcFault,
    /// One group of change data capture is missing.
    CdcMissing,
    /// All groups of change data capture are one object.
    CdcMerged,
    /// A report ends in the middle, with the row that says so.
    ReportCut,
    /// The header of a report says something else.
    ReportHeader,
    /// A column of a report has another key.
    ReportColumn,
    /// A report without data.
    ReportEmpty,
    /// The lifetimes of a token answer have another form.
    Lifetimes,
    /// The answer is normal, except that a text in its body is replaced.
    Rewrite,
    /// The answer is normal, except that a text stands in it many times.
    Flood,
    /// The answer is normal, and the company changes after it.
    Change,
}

impl FaultKind {
    /// Returns true for an answer that is larger than any client should read.
    pub(super) fn is_bomb(self) -> bool {
        matches!(self, Self::Endless | Self::GzipBomb | Self::Announced)
    }

    /// Returns the only kind of request that the fault can affect, if there is one.
    pub(super) fn only_on(self) -> Option<&'static str> {
        match self {
            Self::CdcReversed | Self::CdcFault | Self::CdcMissing | Self::CdcMerged => Some("cdc"),
            Self::ReportCut | Self::ReportHeader | Self::ReportColumn | Self::ReportEmpty => {
                Some("report")
            }
            Self::Lifetimes => Some("token"),
            _ => None,
        }
    }
}

/// The name of every fault and its description, which lists the settings of that fault.
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
    (
        "unauthorized",
        "401 of the gateway in format xml, json, html or empty",
    ),
    (
        "forbidden",
        "403 with code 3100 in format json, xml, html or empty",
    ),
    (
        "refused",
        "400 (or status) with a Fault that has code, message and detail, such as code 6190 of a closed company",
    ),
    (
        "fault-in-success",
        "200 with a Fault in place of the answer",
    ),
    ("fault-in-response", "200 with a Fault inside QueryResponse"),
    ("garbage", "200 with an HTML page in place of the answer"),
    ("invalid-grant", "400 invalid_grant; for the token endpoint"),
    (
        "invalid-client",
        "401 invalid_client; for the token endpoint",
    ),
    (
        "reset",
        "the connection is reset before the request has any effect",
    ),
    (
        "lost-answer",
        "the request takes effect but its answer is lost; a refresh loses the rotated token",
    ),
    ("truncate", "the connection is reset after half of the body"),
    ("trickle", "the body arrives at bytes_per_s"),
    (
        "endless",
        "the normal answer, or one with status, goes on with blanks and never ends",
    ),
    (
        "gzip-bomb",
        "the normal answer, or one with status, goes on with mb megabytes of blanks, compressed",
    ),
    (
        "announced",
        "the normal answer, or one with status, goes on with mb megabytes of blanks, whose length its head announces",
    ),
    ("hang", "no answer arrives until the client gives up"),
    ("slow", "the answer arrives ms later"),
    ("fault-in-xml", "200 with a Fault in XML"),
    ("empty", "200 without a body"),
    (
        "null-response",
        "200 whose QueryResponse, CDCResponse or BatchItemResponse is null",
    ),
    (
        "no-response",
        "200 without QueryResponse, CDCResponse or BatchItemResponse",
    ),
    (
        "empty-response",
        "200 with a QueryResponse that has neither rows nor totalCount",
    ),
    (
        "other-key",
        "the rows come under key, by default Record, and not under their entity",
    ),
    (
        "lost-rows",
        "startPosition and maxResults come without the rows that they count",
    ),
    (
        "fewer-rows",
        "the last row is missing, but maxResults counts it",
    ),
    ("more-rows", "maxResults does not count the last row"),
    (
        "fault-for-rows",
        "200 with a Fault of code 10000 for a page with rows; pages without rows, and counts, are normal",
    ),
    ("null-rows", "every row of a page is null"),
    ("repeated-id", "every row of a page has the id of the first"),
    (
        "odd-fault",
        "400 (or status) with a Fault whose text holds NUL and control characters",
    ),
    (
        "scope",
        "403 of the gateway: the access token does not have sufficient scope",
    ),
    ("firewall", "403 with an HTML page"),
    ("proxy-auth", "407 with an HTML page"),
    (
        "cdc-reversed",
        "the groups of change data capture come in reverse order",
    ),
    (
        "cdc-fault",
        "the group of entity, by default the first one, is a Fault",
    ),
    (
        "cdc-missing",
        "the group of entity, by default the first one, is missing",
    ),
    (
        "cdc-merged",
        "all groups of change data capture are one object",
    ),
    (
        "report-cut",
        "a report ends in the middle, with the row that says that more data cannot be displayed",
    ),
    (
        "report-header",
        "the member key of a report's Header is value, such as another EndPeriod; without value it is missing",
    ),
    (
        "report-column",
        "the column of a report that has the key key has the key value; without value it has none",
    ),
    (
        "report-empty",
        "a report without rows, whose option NoReportData is true",
    ),
    (
        "lifetimes",
        "the lifetimes in a token answer are value, such as \"3600\", -1 or 0.5; without value they are missing",
    ),
    (
        "rewrite",
        "the answer is normal, except that the text find in its body is put; status, content_type",
    ),
    (
        "flood",
        "the answer is normal, except that put stands mb megabytes long behind the first find in its body; each # in it is its number",
    ),
    (
        "change",
        "the answer is normal, and then the commands in do change the company",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::FaultRule;

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
        let (_, named) = unknown.split_once("there are ").unwrap();
        let named: Vec<&str> = named.split(", ").collect();
        assert_eq!(
            named,
            FAULTS.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        );
        // Each variant stands in backticks, after the one that is unknown.
        let variants = serde_json::from_str::<FaultKind>(r#""x""#).unwrap_err();
        let names = variants.to_string().matches('`').count() / 2 - 1;
        assert_eq!(names, FAULTS.len(), "{variants}");
    }
}
