//! What a fault says about the request, the entity, the company or the server.

use super::fault::Fault;
use crate::domain::ENTITIES;

/// What an answer that is not a success says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultMeaning {
    /// The company is over its limit.
    Throttled,
    /// The company's plan or country does not have the entity.
    NoSuchEntity,
    /// The subscription has ended, or the company is locked.
    CompanyClosed,
    /// The company is being moved or maintained.
    CompanyBusy,
    /// The person who connected the company has lost access to it.
    AccessLost,
    /// The access token was refused.
    TokenRefused,
    /// The token is not valid for this company or host.
    WrongCompany,
    /// The server failed, and may answer the next time.
    Passing,
    /// Anything else. The request will fail again.
    Other,
}

/// Returns the meaning of a fault. The codes are those of Intuit's error list (qbo-facts 7.2, 13.7 and 13.17).
pub(super) fn fault_meaning(status: u16, fault: &Fault) -> FaultMeaning {
    let text = fault.text().to_ascii_lowercase();
    // The gateway writes 003200 for 3200.
    match (status, fault.code.trim_start_matches('0')) {
        (429, _) | (_, "3001") => FaultMeaning::Throttled,
        // A fault of the accounting service about one feature, not about the token.
        (_, "5020" | "5030") if !names_option(&text) => FaultMeaning::NoSuchEntity,
        _ if lacks_entity(&text) && !names_option(&text) => FaultMeaning::NoSuchEntity,
        (_, "6190" | "140" | "7001") => FaultMeaning::CompanyClosed,
        _ if text.contains("subscription for company has lapsed") => FaultMeaning::CompanyClosed,
        (_, "130" | "150") => FaultMeaning::CompanyBusy,
        (500.., "120" | "3100") if is_server_failure(&text) => FaultMeaning::Passing,
        (_, "120") => FaultMeaning::AccessLost,
        (401, _) | (_, "3200" | "100" | "110") => FaultMeaning::TokenRefused,
        (403, _) | (_, "3100" | "3201" | "3202") => FaultMeaning::WrongCompany,
        // All our requests go to paths of the company, which exist whatever is asked for.
        (402 | 404 | 405 | 410 | 451, "") => FaultMeaning::WrongCompany,
        (408 | 500.., _) | (_, "10000") => FaultMeaning::Passing,
        _ => FaultMeaning::Other,
    }
}

/// Words of a gateway that fails inside and answers with a code of lost access (qbo-facts 13.17).
fn is_server_failure(text: &str) -> bool {
    ["internalservererror", "unknown error during authentication"]
        .iter()
        .any(|words| text.contains(words))
}

/// Returns true if a text in lower case is about an option of the request and not about its entity
/// (qbo-facts 13.4 and 13.5).
fn names_option(text: &str) -> bool {
    ["include=", "enhancedallcustomfields", "invoicelink"]
        .iter()
        .any(|words| text.contains(words))
}

/// Words about a feature that the company's plan or settings do not have.
const MISSING_FEATURE: [&str; 4] = [
    "feature not supported",
    "you do not have permission to access this feature",
    "multi currency should be enabled",
    "multicurrency should be enabled",
];

/// Words before the name of an entity that the company does not know.
const UNKNOWN_NAME: [&str; 3] = [
    "metadata not found for entity",
    "invalid context declaration",
    "object name",
];

/// Words of an unsupported operation that is not about an entity: a change date that is too old, a
/// server that does not know its own paths, a body that it cannot read (qbo-facts 4 and 13.18).
const OTHER_OPERATION: [&str; 4] = [
    "changedsince",
    "older than",
    "could not find resource",
    "exception",
];

/// Returns true if a text in lower case says that the company does not have the entity.
fn lacks_entity(text: &str) -> bool {
    let names_feature = || MISSING_FEATURE.iter().any(|words| text.contains(words));
    let names_ours = || {
        UNKNOWN_NAME.iter().any(|words| {
            text.rsplit_once(words)
                .is_some_and(|(_, rest)| is_entity(rest))
        })
    };
    let is_unsupported = || {
        text.contains("unsupported operation")
            && !OTHER_OPERATION.iter().any(|words| text.contains(words))
    };
    names_feature() || names_ours() || is_unsupported()
}

/// Returns true if a text begins with the name of an entity, after punctuation.
fn is_entity(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    ENTITIES
        .iter()
        .any(|entity| entity.qbo_name.eq_ignore_ascii_case(&text[..end]))
}
