//! Which of Intuit's endpoints a request is for.

use axum::http::Method;

/// The token endpoint's path, as at Intuit.
pub(crate) const TOKEN_PATH: &str = "/oauth2/v1/tokens/bearer";
pub(crate) const REVOKE_PATH: &str = "/v2/oauth2/tokens/revoke";
pub(crate) const CONSENT_PATH: &str = "/connect/oauth2";

/// One endpoint. Those of a company carry its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint<'p> {
    Token,
    Revoke,
    Consent,
    Discovery,
    Query {
        realm: &'p str,
    },
    Cdc {
        realm: &'p str,
    },
    Batch {
        realm: &'p str,
    },
    /// One record, or one of the singletons.
    Read {
        realm: &'p str,
        entity: &'p str,
        id: Option<&'p str>,
    },
    Unknown,
}

impl<'p> Endpoint<'p> {
    pub fn of(method: &Method, path: &'p str) -> Self {
        let (is_get, is_post) = (method == Method::GET, method == Method::POST);
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (path, &parts[..]) {
            (TOKEN_PATH, _) if is_post => Self::Token,
            (REVOKE_PATH, _) if is_post => Self::Revoke,
            (CONSENT_PATH, _) if is_get => Self::Consent,
            (_, [".well-known", document]) if is_get && is_discovery(document) => Self::Discovery,
            (_, ["v3", "company", realm, "query"]) if is_get || is_post => Self::Query { realm },
            (_, ["v3", "company", realm, "cdc"]) if is_get => Self::Cdc { realm },
            (_, ["v3", "company", realm, "batch"]) if is_post => Self::Batch { realm },
            (_, ["v3", "company", realm, entity]) if is_get => Self::Read {
                realm,
                entity,
                id: None,
            },
            (_, ["v3", "company", realm, entity, id]) if is_get => Self::Read {
                realm,
                entity,
                id: Some(id),
            },
            _ => Self::Unknown,
        }
    }

    /// The word of statistics and faults.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::Consent => "consent",
            Self::Discovery => "discovery",
            Self::Query { .. } => "query",
            Self::Cdc { .. } => "cdc",
            Self::Batch { .. } => "batch",
            Self::Read { .. } => "read",
            Self::Unknown => "unknown",
        }
    }

    /// The company, for endpoints that ask for an access token.
    pub fn realm(&self) -> Option<&'p str> {
        match self {
            Self::Query { realm }
            | Self::Cdc { realm }
            | Self::Batch { realm }
            | Self::Read { realm, .. } => Some(realm),
            _ => None,
        }
    }
}

/// The documents of production and sandbox, in both spellings.
fn is_discovery(document: &str) -> bool {
    matches!(
        document.replace('-', "_").as_str(),
        "openid_configuration" | "openid_sandbox_configuration"
    )
}

/// What a fault or a statistic can be about.
pub(crate) const KINDS: [&str; 9] = [
    "token",
    "revoke",
    "consent",
    "discovery",
    "query",
    "cdc",
    "batch",
    "read",
    "unknown",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_intuits() {
        let get = |path: &'static str| Endpoint::of(&Method::GET, path).kind();
        assert_eq!(get("/v3/company/9/query"), "query");
        assert_eq!(get("/v3/company/9/customer/1"), "read");
        assert_eq!(get("/v3/company/9/customer/1/5"), "unknown");
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
            Endpoint::of(&Method::POST, "/v3/company/9/batch").realm(),
            Some("9")
        );
    }
}
