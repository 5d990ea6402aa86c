//! The kind of an error as one word, for programs.

use super::Error;

impl Error {
    /// Returns what kind of error it is, as `qbo-rs --json` writes it: `config`, `database` and so on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config { .. } => "config",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::Unavailable { .. } => "unavailable",
            Self::EntityDenied { .. } => "entity_denied",
            Self::CompanyClosed { .. } => "company_closed",
            Self::RateLimited { .. } | Self::AskedToWait { .. } => "rate_limited",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::Busy { .. } => "busy",
            Self::RequestCap { .. } | Self::ReadCap { .. } => "request_cap",
            Self::Transport { .. } => "transport",
            Self::TooLarge { .. } => "too_large",
            Self::Api { .. } => "api",
            Self::Decode { .. } => "decode",
            Self::SearchEnded { .. } => "search_ended",
            Self::TooManyRejects { .. } => "too_many_rejects",
            Self::AfterAttempts { last, .. } => last.kind(),
            Self::Database { .. } => "database",
            Self::Stuck { .. } => "stuck",
            Self::Landing { .. } => "landing",
            Self::Cancelled => "cancelled",
            Self::Internal(_) => "internal",
        }
    }
}
