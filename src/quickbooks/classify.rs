//! The meaning of statuses and faults: the table of qbo-facts 7.2 as one pure function.

use super::fault::Fault;
use crate::error::{Error, Trace};
use crate::http::Response;
use crate::quickbooks::client::Verdict;

/// Classifies an answer that is not a success, or that holds a fault.
///
/// | status, code | verdict |
/// | --- | --- |
/// | 429, or code 3001 with any status | throttled |
/// | 401; code 3200 | renew the token once |
/// | code 120 | the connecting user lost access: fatal |
/// | 403; code 3100 | wrong company or host: fatal |
/// | 408, 5xx; code 10000 | retry |
/// | anything else | fatal |
pub(super) fn classify_failure<T>(response: &Response, fault: Option<Fault>) -> Verdict<T> {
    let intuit_tid = response.header("intuit_tid").map(str::to_owned);
    let fault = fault.unwrap_or_default();
    let status = response.status;
    let code = Some(fault.code.clone()).filter(|code| !code.is_empty());
    let trace = Trace {
        code,
        intuit_tid: intuit_tid.clone(),
    };
    match (status, fault.code.as_str()) {
        (429, _) | (_, "3001") => {
            let retry_after = crate::quickbooks::client::retry_after(response);
            Verdict::Throttled(Error::RateLimited { retry_after, trace })
        }
        (_, "120") => Verdict::Fatal(Error::Unauthenticated {
            reason: format!(
                "{}; an administrator of the company must connect it again",
                fault.text()
            ),
            trace,
        }),
        (401, _) | (_, "3200") => Verdict::RefreshToken(Error::Unauthenticated {
            reason: format!(
                "a fresh access token was refused ({})",
                text_or_status(&fault, status)
            ),
            trace,
        }),
        (403, _) | (_, "3100") => Verdict::Fatal(Error::PermissionDenied {
            reason: format!(
                "{}. The usual causes are sandbox keys used against the production host or the reverse, or a \
                 QBO_REALM_ID that the token was not issued for: check QBO_ENVIRONMENT (or QBO_API_URL) and QBO_REALM_ID",
                text_or_status(&fault, status)
            ),
            trace,
        }),
        _ => {
            let code = trace.code;
            let is_transient = matches!(status, 408 | 500..) || code.as_deref() == Some("10000");
            let error = Error::Api {
                status,
                code,
                message: text_or_status(&fault, status),
                intuit_tid,
            };
            match is_transient {
                true => Verdict::Retry(error),
                false => Verdict::Fatal(error),
            }
        }
    }
}

fn text_or_status(fault: &Fault, status: u16) -> String {
    let text = fault.text();
    if text.is_empty() {
        format!("HTTP {status} without a readable fault")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    fn verdict(status: u16, code: &str) -> &'static str {
        let response = Response {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let fault = (!code.is_empty()).then(|| Fault {
            code: code.into(),
            ..Fault::default()
        });
        match classify_failure::<()>(&response, fault) {
            Verdict::Done(()) => "done",
            Verdict::Retry(_) => "retry",
            Verdict::Throttled(_) => "throttled",
            Verdict::RefreshToken(_) => "refresh",
            Verdict::Fatal(_) => "fatal",
        }
    }

    #[test]
    fn answers_are_classified_as_documented() {
        let rows = [
            (429, "", "throttled"),
            (403, "3001", "throttled"),
            (200, "3001", "throttled"),
            (401, "", "refresh"),
            (401, "3200", "refresh"),
            (401, "120", "fatal"),
            (400, "120", "fatal"),
            (403, "3100", "fatal"),
            (403, "", "fatal"),
            (400, "4000", "fatal"),
            (400, "4001", "fatal"),
            (404, "", "fatal"),
            (413, "", "fatal"),
            (408, "", "retry"),
            (500, "10000", "retry"),
            (200, "10000", "retry"),
            (400, "4002", "fatal"),
            (502, "", "retry"),
            (503, "", "retry"),
            (504, "", "retry"),
        ];
        for (status, code, expected) in rows {
            assert_eq!(verdict(status, code), expected, "{status} {code}");
        }
    }
}
