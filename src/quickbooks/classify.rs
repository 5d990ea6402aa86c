//! The meaning of statuses and faults: the table of qbo-facts 7.2 as one pure function.

use super::fault::Fault;
use super::fault_meaning::{FaultMeaning, fault_meaning};
use super::foreign::{elsewhere, is_page};
use crate::domain::EntitySpec;
use crate::error::{Error, Trace};
use crate::http::Response;
use crate::quickbooks::client::Verdict;
use crate::quickbooks::scrub::trace_id;

/// Classifies an answer that is not a success, or that holds a fault. `entity` is the only one that
/// the request is about.
///
/// | status, code | verdict |
/// | --- | --- |
/// | 429, or code 3001 with any status | throttled |
/// | codes 5020 and 5030; an operation or a name that the company does not know | this entity does not exist in the company, or the connecting user may not read it if every plan has it: fatal for the entity |
/// | codes 6190, 140, 7001 | the company is closed: fatal |
/// | codes 130, 150 | the company cannot be read at the moment: retry, then fatal |
/// | codes 120 and 3100 of a server that failed inside | retry |
/// | code 120 | the connecting user lost access: fatal |
/// | 401; codes 3200, 100, 110 | renew the token once |
/// | 3xx and 421 without a fault | another server: fatal |
/// | 403; codes 3100, 3201, 3202; 404 and the like without a fault | wrong company or host: fatal; a 404 for an entity that is read as a whole says nothing about others |
/// | 408, 5xx; code 10000 | retry |
/// | anything else | fatal |
pub(super) fn classify_failure<T>(
    response: &Response,
    fault: Option<Fault>,
    entity: Option<&EntitySpec>,
) -> Verdict<T> {
    let intuit_tid = response.header("intuit_tid").map(trace_id);
    let fault = fault.unwrap_or_default();
    let status = response.status;
    let trace = Trace {
        code: Some(fault.code.clone()).filter(|code| !code.is_empty()),
        intuit_tid,
    };
    let text = text_or_status(&fault, status);
    if fault.code.is_empty()
        && let Some(place) = elsewhere(response)
    {
        return Verdict::Fatal(Error::PermissionDenied {
            reason: format!(
                "HTTP {status} points to {place}. It is not followed, because the access token would go there, and \
                 QuickBooks answers no request like this: a proxy or a login to the network does, or QBO_API_URL is not \
                 the address of the API itself (http instead of https, or another host)"
            ),
            trace,
        });
    }
    match fault_meaning(status, &fault) {
        FaultMeaning::Throttled => {
            let retry_after = crate::quickbooks::client::retry_after(response);
            Verdict::Throttled(Error::RateLimited { retry_after, trace })
        }
        // 5020 is also what a user gets whose role has been taken away.
        FaultMeaning::NoSuchEntity if entity.is_some_and(EntitySpec::is_in_every_plan) => {
            Verdict::Fatal(Error::EntityDenied {
                reason: format!(
                    "{text}. Every plan has this entity, so the user who connected the company has probably lost the \
                     role that may read it: an administrator of the company has to give it back, or to connect \
                     the company again"
                ),
                trace,
            })
        }
        FaultMeaning::NoSuchEntity => Verdict::Fatal(Error::Unavailable {
            reason: text,
            trace,
        }),
        FaultMeaning::CompanyClosed => Verdict::Fatal(Error::CompanyClosed {
            reason: format!(
                "{text}. Its owner has to renew the subscription or reopen it in QuickBooks; until then every \
                 request is refused"
            ),
            trace,
        }),
        FaultMeaning::CompanyBusy => Verdict::Retry(Error::CompanyClosed {
            reason: format!("{text}. It is closed for the moment"),
            trace,
        }),
        FaultMeaning::AccessLost => Verdict::Fatal(Error::Unauthenticated {
            reason: format!("{text}; an administrator of the company must connect it again"),
            trace,
        }),
        FaultMeaning::TokenRefused => Verdict::RefreshToken(Error::Unauthenticated {
            reason: format!("a fresh access token was refused ({text})"),
            trace,
        }),
        // Not known to exist in every company (qbo-facts 13.6).
        FaultMeaning::WrongCompany
            if status == 404 && entity.is_some_and(|entity| entity.is_read_whole) =>
        {
            Verdict::Fatal(api(status, text, trace))
        }
        FaultMeaning::WrongCompany => Verdict::Fatal(Error::PermissionDenied {
            reason: format!("the answer was '{text}'; {}", denial_hint(response, &text)),
            trace,
        }),
        FaultMeaning::Passing => Verdict::Retry(api(status, text, trace)),
        FaultMeaning::Other => Verdict::Fatal(api(status, text, trace)),
    }
}

/// Returns what a person can do about a denial: it comes from a firewall, for lack of a scope, or
/// because token and company do not belong together (qbo-facts 7.2).
fn denial_hint(response: &Response, text: &str) -> &'static str {
    let authenticate = response.header("www-authenticate").unwrap_or_default();
    let is_about_scope = [text, authenticate]
        .iter()
        .any(|words| words.to_ascii_lowercase().contains("scope"));
    match (is_about_scope, is_page(response)) {
        (true, _) => {
            "the connection was made without the scope com.intuit.quickbooks.accounting; connect the company again \
             with it, by `qbo-rs auth login`"
        }
        (_, true) => {
            "an HTML page is no answer of QuickBooks: a firewall or proxy between this machine and QuickBooks refuses \
             the request; let it allow the host of QBO_API_URL"
        }
        _ => {
            "the usual causes are sandbox keys used against the production host or the reverse, or a QBO_REALM_ID \
             that the token was not issued for; check QBO_ENVIRONMENT (or QBO_API_URL) and QBO_REALM_ID"
        }
    }
}

fn api(status: u16, message: String, trace: Trace) -> Error {
    Error::Api {
        status,
        code: trace.code,
        message,
        intuit_tid: trace.intuit_tid,
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

    fn verdict(status: u16, code: &str, message: &str, detail: &str) -> &'static str {
        let response = Response {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            held: crate::port::Held::default(),
        };
        let fault = (!code.is_empty() || !message.is_empty()).then(|| Fault {
            code: code.into(),
            message: message.into(),
            detail: detail.into(),
            ..Fault::default()
        });
        match classify_failure::<()>(&response, fault, None) {
            Verdict::Done(()) => "done",
            Verdict::Retry(_) => "retry",
            Verdict::Throttled(_) => "throttled",
            Verdict::RefreshToken(_) => "refresh",
            Verdict::Fatal(Error::Unavailable { .. }) => "unavailable",
            Verdict::Fatal(Error::CompanyClosed { .. }) => "closed",
            Verdict::Fatal(error) if error.ends_company() => "access",
            Verdict::Fatal(_) => "fatal",
        }
    }

    #[test]
    fn answers_are_classified_as_documented() {
        let rows = [
            (429, "", "throttled"),
            (429, "5020", "throttled"),
            (403, "3001", "throttled"),
            (200, "3001", "throttled"),
            (401, "", "refresh"),
            (401, "3200", "refresh"),
            (400, "3200", "refresh"),
            (400, "100", "refresh"),
            (401, "120", "access"),
            (400, "120", "access"),
            (403, "3100", "access"),
            (403, "", "access"),
            (404, "", "access"),
            (402, "", "access"),
            (301, "", "access"),
            (302, "", "access"),
            (307, "", "access"),
            (308, "", "access"),
            (421, "", "access"),
            (302, "610", "fatal"),
            (400, "3202", "access"),
            (400, "6190", "closed"),
            (200, "6190", "closed"),
            (500, "6190", "closed"),
            (403, "140", "closed"),
            (400, "007001", "closed"),
            (503, "150", "retry"),
            (400, "130", "retry"),
            (400, "5020", "unavailable"),
            (403, "5020", "unavailable"),
            (500, "5030", "unavailable"),
            (200, "5030", "unavailable"),
            (400, "4000", "fatal"),
            (400, "4001", "fatal"),
            (400, "610", "fatal"),
            (404, "610", "fatal"),
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
            assert_eq!(verdict(status, code, "", ""), expected, "{status} {code}");
        }
    }

    #[test]
    fn an_entity_that_a_company_lacks_is_told_from_a_wrong_request() {
        let lacks =
            |entity: &str| format!("QueryValidationError: Metadata not found for Entity: {entity}");
        let context =
            |entity: &str| format!("QueryValidationError: invalid context declaration: {entity}");
        let rows = [
            (400, "4001", "Invalid query", lacks("JournalCode"), "unavailable"),
            (500, "4001", "Invalid query", lacks("journalcode"), "unavailable"),
            (400, "4001", "Invalid query", context("TaxPayment"), "unavailable"),
            (400, "", "QueryValidationError: invalid context declaration: Budget", String::new(), "unavailable"),
            // Not a name of ours: a misspelt statement.
            (400, "4001", "Invalid query", context("Custmoer"), "fatal"),
            (400, "4001", "Invalid query", "QueryValidationError: property 'Active' is not queryable".into(), "fatal"),
            (400, "500", "Unsupported Operation", "Operation query is not supported.".into(), "unavailable"),
            (500, "500", "Unsupported Operation", String::new(), "unavailable"),
            (403, "", "unsupported operation", String::new(), "unavailable"),
            (400, "2000", "Invalid or unsupported object name", "Object Name: Budget".into(), "unavailable"),
            (400, "6000", "Business Validation Error", "Multi Currency should be enabled to perform this operation".into(), "unavailable"),
            // A change date that is too old, a path that a failing server does not know, and a
            // request that is not UTF-8 are unsupported operations, too.
            (400, "500", "Unsupported Operation", "Operation cdc with changedSince date 2020-01-01 which is older than fixed days is not supported.".into(), "fatal"),
            (400, "500", "Unsupported Operation", "Operation Could not find resource for relative : /v3/company/1/query is not supported.".into(), "fatal"),
            (400, "500", "Unsupported Operation", "Operation MalformedByteSequenceException: Invalid byte 1 is not supported.".into(), "fatal"),
            // An option of the request that the company does not have.
            (
                400,
                "5030",
                "Feature Not Supported",
                "enhancedAllCustomFields is not part of the plan".into(),
                "fatal",
            ),
            // Gateways that fail inside use the codes of lost access.
            (500, "3100", "message=InternalServerError; errorCode=003100; statusCode=500", String::new(), "retry"),
            (500, "120", "Authorization Failure", "AuthorizationFailure: Unknown Error during Authentication, statusCode: 500".into(), "retry"),
            (400, "7001", "message=Subscription for company has lapsed; errorCode=007001", String::new(), "closed"),
        ];
        for (status, code, message, detail, expected) in rows {
            assert_eq!(
                verdict(status, code, message, &detail),
                expected,
                "{status} {code} {message} {detail}"
            );
        }
    }

    #[test]
    fn an_entity_of_every_plan_is_denied_and_not_lacking() {
        let response = Response {
            status: 400,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            held: crate::port::Held::default(),
        };
        for code in ["5020", "5030", "005020"] {
            for entity in crate::domain::ENTITIES {
                let fault = Fault {
                    code: code.into(),
                    ..Fault::default()
                };
                let verdict = classify_failure::<()>(&response, Some(fault), Some(entity));
                let Verdict::Fatal(error) = verdict else {
                    unreachable!("{} {code}", entity.name)
                };
                assert_eq!(error.denies_entity(), entity.is_in_every_plan());
                assert_ne!(error.denies_entity(), error.is_unavailable());
                assert!(!error.ends_company() && !error.ends_run(), "{error}");
            }
        }
    }

    #[test]
    fn each_denial_has_its_own_hint() {
        let hint = |headers: &[(&'static str, &'static str)], text| {
            let response = Response {
                status: 403,
                headers: headers
                    .iter()
                    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                    .collect::<HeaderMap>(),
                body: Bytes::new(),
                held: crate::port::Held::default(),
            };
            denial_hint(&response, text)
        };
        assert!(hint(&[], "ApplicationAuthorizationFailed").contains("QBO_ENVIRONMENT"));
        assert!(hint(&[], "Insufficient Scope").contains("auth login"));
        let authenticate = [("www-authenticate", "Bearer error=\"insufficient_scope\"")];
        assert!(hint(&authenticate, "").contains("auth login"));
        assert!(hint(&[("content-type", "text/html; charset=x")], "HTTP 403").contains("firewall"));
    }
}
