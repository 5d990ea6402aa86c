//! Intuit's endpoints, and the request for each.

use axum::http::Method;

use crate::paths::{CONSENT_PATH, REVOKE_PATH, TOKEN_PATH};

/// The endpoint of a request. The endpoints of a company hold its realm id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint<'p> {
    Token,
    Revoke,
    Consent,
    Discovery,
    Query {
        realm_id: &'p str,
    },
    Cdc {
        realm_id: &'p str,
    },
    Batch {
        realm_id: &'p str,
    },
    /// One record by its id, or the only record of an entity.
    Read {
        realm_id: &'p str,
        entity: &'p str,
        id: Option<&'p str>,
    },
    /// The tax classifications: all, one by its id, or those below it.
    Classification {
        realm_id: &'p str,
        id: Option<&'p str>,
        of_children: bool,
    },
    Report {
        realm_id: &'p str,
        name: &'p str,
    },
    /// What the plan of a company holds.
    Entitlements {
        realm_id: &'p str,
    },
    Unknown,
}

impl<'p> Endpoint<'p> {
    /// Returns the endpoint that serves a method and a path.
    pub(super) fn of(method: &Method, path: &'p str) -> Self {
        let (is_get, is_post) = (method == Method::GET, method == Method::POST);
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (path, &parts[..]) {
            (TOKEN_PATH, _) if is_post => Self::Token,
            (REVOKE_PATH, _) if is_post => Self::Revoke,
            (CONSENT_PATH, _) if is_get => Self::Consent,
            (_, [".well-known", document]) if is_get && is_discovery(document) => Self::Discovery,
            (_, ["v3", "company", realm_id, "query"]) if is_get || is_post => {
                Self::Query { realm_id }
            }
            (_, ["v3", "company", realm_id, "cdc"]) if is_get => Self::Cdc { realm_id },
            (_, ["v3", "company", realm_id, "batch"]) if is_post => Self::Batch { realm_id },
            (_, ["manage", "entitlements", "v3", realm_id]) if is_get => {
                Self::Entitlements { realm_id }
            }
            (_, ["v3", "company", realm_id, "reports", name]) if is_get => {
                Self::Report { realm_id, name }
            }
            (_, ["v3", "company", realm_id, "taxclassification", rest @ ..]) if is_get => {
                Self::classification(realm_id, rest)
            }
            (_, ["v3", "company", realm_id, entity]) if is_get => Self::Read {
                realm_id,
                entity,
                id: None,
            },
            (_, ["v3", "company", realm_id, entity, id]) if is_get => Self::Read {
                realm_id,
                entity,
                id: Some(id),
            },
            _ => Self::Unknown,
        }
    }

    fn classification(realm_id: &'p str, rest: &[&'p str]) -> Self {
        let (id, of_children) = match rest {
            [] => (None, false),
            [id] => (Some(*id), false),
            [id, "children"] => (Some(*id), true),
            _ => return Self::Unknown,
        };
        Self::Classification {
            realm_id,
            id,
            of_children,
        }
    }

    /// Returns the kind of request, one of [`REQUEST_KINDS`](crate::faults::REQUEST_KINDS).
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::Consent => "consent",
            Self::Discovery => "discovery",
            Self::Query { .. } => "query",
            Self::Cdc { .. } => "cdc",
            Self::Batch { .. } => "batch",
            Self::Read { .. } | Self::Classification { .. } | Self::Entitlements { .. } => "read",
            Self::Report { .. } => "report",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the realm id, for endpoints that need an access token.
    pub(super) fn realm_id(&self) -> Option<&'p str> {
        match self {
            Self::Query { realm_id }
            | Self::Cdc { realm_id }
            | Self::Batch { realm_id }
            | Self::Read { realm_id, .. }
            | Self::Classification { realm_id, .. }
            | Self::Report { realm_id, .. }
            | Self::Entitlements { realm_id } => Some(realm_id),
            _ => None,
        }
    }
}

/// Returns whether this is a discovery document, of production or sandbox, in either spelling.
fn is_discovery(document: &str) -> bool {
    matches!(
        document.replace('-', "_").as_str(),
        "openid_configuration" | "openid_sandbox_configuration"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_have_the_paths_of_intuit() {
        let get = |path: &'static str| Endpoint::of(&Method::GET, path).kind();
        assert_eq!(get("/v3/company/9/query"), "query");
        assert_eq!(get("/v3/company/9/customer/1"), "read");
        assert_eq!(get("/v3/company/9/customer/1/5"), "unknown");
        assert_eq!(get("/v3/company/9/taxclassification/1/children"), "read");
        assert_eq!(get("/v3/company/9/taxclassification/1/5"), "unknown");
        assert_eq!(get("/v3/company/9/reports/BalanceSheet"), "report");
        assert_eq!(get("/manage/entitlements/v3/9"), "read");
        assert_eq!(
            get("/.well-known/openid_sandbox_configuration/"),
            "discovery"
        );
        assert_eq!(
            get("/.well-known/openid-sandbox-configuration"),
            "discovery"
        );
        assert_eq!(get(TOKEN_PATH), "unknown");
        assert_eq!(
            Endpoint::of(&Method::POST, "/v3/company/9/customer"),
            Endpoint::Unknown
        );
        assert_eq!(
            Endpoint::of(&Method::POST, "/v3/company/9/batch").realm_id(),
            Some("9")
        );
    }
}
