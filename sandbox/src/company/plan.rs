//! The parts of QuickBooks that a company cannot use: entities that its plan or country does not
//! have, or all of them because it is closed (qbo-facts 7.2 and 13.7).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The answer of QuickBooks to a request for an entity that the company does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Code 5020: the company has no permission to use the feature.
    Permission,
    /// Code 5030: the feature is not supported.
    Feature,
    /// Code 500: the operation is not supported.
    Operation,
    /// Code 4001: the entity is not known.
    Metadata,
}

impl Refusal {
    /// All refusals, each by its code.
    const CODES: [(&'static str, Self); 4] = [
        ("5020", Self::Permission),
        ("5030", Self::Feature),
        ("500", Self::Operation),
        ("4001", Self::Metadata),
    ];

    /// Returns the refusal with a code.
    ///
    /// # Errors
    /// The reason, with a list of the codes.
    pub fn of_code(code: &str) -> Result<Self, String> {
        let found = Self::CODES.iter().find(|(known, _)| *known == code);
        let codes = Self::CODES.map(|(known, _)| known).join(", ");
        found
            .map(|(_, refusal)| *refusal)
            .ok_or_else(|| format!("'{code}' is not one of the codes {codes}"))
    }
}

/// The answer of a closed company to every request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closure {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) detail: String,
}

impl Closure {
    /// Returns the answer with a code, as far as it is known.
    pub(crate) fn of_code(code: &str) -> Self {
        let (status, message, detail) = match code {
            "6190" => (
                400,
                "Invalid Company Status",
                "Subscription period has ended or canceled or there was a billing problem",
            ),
            "120" => (
                401,
                "Authorization Failure",
                "AuthorizationFailure: errorCode: -11014, statusCode: 401",
            ),
            "3100" => (
                403,
                "ApplicationAuthorizationFailed",
                "ApplicationAuthorizationFailed",
            ),
            "3201" | "3202" => (403, "AuthorizationFailed", "AuthorizationFailed"),
            _ => (400, "Company Not Available", "The company cannot be used"),
        };
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            detail: detail.to_owned(),
        }
    }

    /// Returns whether the gateway answers, and not the accounting service.
    pub(crate) fn is_of_gateway(&self) -> bool {
        self.code.starts_with('3')
    }
}

/// The parts of QuickBooks that a company cannot use.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) refused: BTreeMap<&'static str, Refusal>,
    pub(super) closure: Option<Closure>,
    /// Ids of the tax classifications that the tax authority has withdrawn.
    pub(super) withdrawn: BTreeSet<String>,
    /// The name of the plan; `None` for the usual one.
    pub(super) name: Option<String>,
}
