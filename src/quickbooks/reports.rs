//! Reports (Reports API, version 2): asked for in ranges that are short enough, and checked against the
//! question.

use std::collections::VecDeque;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};

use super::QboSource;
use super::classify::classify_failure;
use super::envelope::{misunderstood, unreadable_body};
use super::failure_cause::{FailureCause, failure_cause};
use super::fault::Fault;
use super::members::Members;
use super::scrub::trace_id;
use crate::domain::reports::{
    Basis, ParsedReport, Refusal, ReportAnswer, ReportRequest, check_report, find_report,
    parse_report,
};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::port::Meter;
use crate::quickbooks::client::{RetryBehavior, Verdict};

/// Answers that do not arrive are asked for in halves after so many attempts.
const ATTEMPTS_BEFORE_HALVES: u32 = 3;

/// An answer to one request, and what it was asked with.
#[derive(Debug, Clone)]
pub(crate) struct LandedReport {
    pub(crate) request: ReportRequest,
    pub(crate) parsed: ParsedReport,
    /// The answer as it was received.
    pub(crate) body: Bytes,
    /// Path and parameters of the request.
    pub(crate) address: String,
    /// The header `v3modernResponse`: whether the service of 2026 has answered.
    pub(crate) modern: Option<String>,
    pub(crate) intuit_tid: Option<String>,
    pub(crate) received_at: DateTime<Utc>,
}

impl LandedReport {
    pub(crate) fn answer(&self) -> &ReportAnswer {
        &self.parsed.answer
    }
}

/// The answers that make up a report: one for each part of its range, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct FetchedReport {
    pub(crate) answers: Vec<LandedReport>,
    /// Number of requests, retries included.
    pub(crate) requests: u64,
}

impl QboSource {
    /// Fetches a report by its name. Both days belong to it; a report of one day is that of the last.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name or parameter; as for [`report`](Self::report).
    pub(crate) async fn fetch_report(
        &self,
        name: &str,
        basis: Basis,
        days: (NaiveDate, NaiveDate),
        columns: &[String],
        parameters: &[(String, String)],
    ) -> Result<FetchedReport> {
        let request = ReportRequest::new(find_report(name)?, basis, days, columns, parameters)?;
        let meter = Meter::default();
        let answers = self.report(&request, &meter).await?;
        let requests = meter.requests();
        Ok(FetchedReport { answers, requests })
    }

    /// Reads a report in parts of at most six months, if it adds up. A part whose answer was cut, or
    /// did not arrive, is asked for in halves.
    ///
    /// # Errors
    /// Errors of the API; [`Error::TooLarge`] if the answer to what cannot be divided is cut;
    /// [`Error::Decode`] if an answer is one to another question.
    pub(crate) async fn report(
        &self,
        request: &ReportRequest,
        meter: &Meter,
    ) -> Result<Vec<LandedReport>> {
        let mut remaining: VecDeque<ReportRequest> = request.parts().into();
        let mut answers = Vec::with_capacity(remaining.len());
        while let Some(part) = remaining.pop_front() {
            let halves = part.halves();
            let answer = match self.read_report(&part, halves.is_some(), meter).await {
                Ok(answer) => answer,
                Err(error) => match halves {
                    Some(halves) if is_too_much(&error) => {
                        halves_first(&mut remaining, halves);
                        continue;
                    }
                    _ => return Err(error),
                },
            };
            // The same question would get the same answer, and so would its halves.
            check_report(&part, &answer.parsed).map_err(|reason| refused(&answer, &reason))?;
            match answer.answer().is_cut {
                false => answers.push(answer),
                true => {
                    let halves = halves.ok_or_else(|| is_cut(&part))?;
                    halves_first(&mut remaining, halves);
                }
            }
        }
        Ok(answers)
    }

    async fn read_report(
        &self,
        request: &ReportRequest,
        can_be_halved: bool,
        meter: &Meter,
    ) -> Result<LandedReport> {
        let sent = self.endpoints.report(request)?;
        let behavior = match can_be_halved {
            true => RetryBehavior {
                returns_early: |error, attempts| {
                    let cause = failure_cause(error);
                    cause == FailureCause::TooLarge
                        || (cause == FailureCause::TooMuch && attempts >= ATTEMPTS_BEFORE_HALVES)
                },
                is_retry: false,
            },
            false => RetryBehavior::FULL,
        };
        let (response, parsed) = self
            .client
            .send(&sent, meter, behavior, read_answer)
            .await?;
        let query = sent.url.query().unwrap_or_default();
        Ok(LandedReport {
            request: request.clone(),
            parsed,
            address: format!("{}?{query}", sent.url.path()),
            modern: response.header("v3modernResponse").map(str::to_owned),
            intuit_tid: response.header("intuit_tid").map(trace_id),
            body: response.body,
            received_at: crate::clock::now(),
        })
    }
}

fn read_answer(response: &Response) -> Verdict<(Response, ParsedReport)> {
    if !(200..300).contains(&response.status) {
        return classify_failure(response, Fault::parse(&response.body), None);
    }
    let members = match Members::parse(&response.body) {
        Ok(members) => members,
        Err(error) => return unreadable_body(response, error, None),
    };
    if let Some(fault) = members.fault() {
        return classify_failure(response, Fault::parse(fault.get().as_bytes()), None);
    }
    match parse_report(&response.body) {
        Ok(parsed) => Verdict::Done((response.clone(), parsed)),
        Err(Refusal::Unreadable(reason)) => misunderstood(reason),
        // The same question would get the same answer; a shorter one may not.
        Err(Refusal::TooLarge(reason)) => Verdict::Fatal(Error::TooLarge {
            reason: format!("answer of QuickBooks refused: {reason}"),
        }),
    }
}

/// Returns true if an answer that did not arrive may have been too large to be made.
fn is_too_much(error: &Error) -> bool {
    matches!(
        failure_cause(error),
        FailureCause::TooMuch | FailureCause::TooLarge
    )
}

fn halves_first(remaining: &mut VecDeque<ReportRequest>, [first, second]: [ReportRequest; 2]) {
    remaining.push_front(second);
    remaining.push_front(first);
}

fn is_cut(request: &ReportRequest) -> Error {
    let (name, days) = (request.report.route, request.days());
    let advice = match request.report.adds_up {
        true => "a single day cannot be divided: ask for fewer columns, or filter by account",
        false => "this report cannot be divided: ask for fewer columns, or use a filter",
    };
    Error::TooLarge {
        reason: format!(
            "{name} {days}: QuickBooks has left rows out, because the answer has too many cells, and {advice}"
        ),
    }
}

fn refused(answer: &LandedReport, reason: &str) -> Error {
    let (name, days) = (answer.request.report.route, answer.request.days());
    let trace = answer.intuit_tid.as_ref();
    let trace = trace.map_or(String::new(), |id| format!(" (intuit_tid={id})"));
    Error::decode(
        format!("{name} {days}"),
        format!("refused: {reason}{trace}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderMap;

    #[test]
    fn what_is_no_report_is_never_taken_for_one() {
        let read = |status, body: &'static str| {
            let response = Response {
                status,
                headers: HeaderMap::new(),
                body: Bytes::from_static(body.as_bytes()),
                held: crate::port::Held::default(),
            };
            match read_answer(&response) {
                Verdict::Done(_) => "done",
                Verdict::Retry(_) => "retry",
                Verdict::Fatal(_) => "fatal",
                _ => "other",
            }
        };
        let report = r#"{"Header":{"ReportName":"CashFlow"},"Columns":{},"Rows":{}}"#;
        assert_eq!(read(200, report), "done");
        for body in [
            "",
            "{}",
            "null",
            r#"{"Header":{}}"#,
            r#"{"QueryResponse":{}}"#,
            r#"{"Header":{"ReportName":"CashFlow"},"Rows":{"Row":[{"ColData":[{"value":"1"#,
            "<html></html>",
        ] {
            assert_eq!(read(200, body), "retry", "{body}");
        }
        let fault = r#"{"Fault":{"Error":[{"Message":"x","code":"2010"}]}}"#;
        assert_eq!((read(200, fault), read(400, fault)), ("fatal", "fatal"));
        assert_eq!(read(503, ""), "retry");
    }
}
