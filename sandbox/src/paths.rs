//! The fixed URL paths that the sandbox serves, and the size of what is sent to the control API.

/// Prefix of the control API. Intuit has no path below it.
pub(crate) const CONTROL_PREFIX: &str = "/sandbox";

/// Bytes of a command or its answer, one of which holds a whole company.
pub(crate) const MAX_COMMAND_BYTES: usize = 256 << 20;

/// The token endpoint, as at Intuit.
pub(crate) const TOKEN_PATH: &str = "/oauth2/v1/tokens/bearer";

/// The revocation endpoint, as at Intuit.
pub(crate) const REVOKE_PATH: &str = "/v2/oauth2/tokens/revoke";

/// The consent page, as at Intuit.
pub(crate) const CONSENT_PATH: &str = "/connect/oauth2";
