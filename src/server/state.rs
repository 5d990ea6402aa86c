//! The state that all handlers share.

use std::sync::Arc;

use super::credentials::{ApiKey, FormToken, VerifierToken};
use super::metrics::Counters;
use super::readiness::{Health, Readiness};
use crate::app::Service;
use crate::quickbooks::Pace;

/// The shared state, as handlers take it.
pub(super) type Shared = axum::extract::State<Arc<AppState>>;

/// The state of one server.
#[derive(Debug)]
pub(super) struct AppState {
    /// Jobs, companies and records.
    pub(super) service: Service,
    /// The key that callers must send; `None` admits only this machine.
    pub(super) api_key: Option<ApiKey>,
    /// The token of the page's forms.
    pub(super) form_token: FormToken,
    /// The token that webhooks are signed with; `None` refuses webhooks.
    pub(super) verifier_token: Option<VerifierToken>,
    /// The metrics that this process counts.
    pub(super) counters: Arc<Counters>,
    /// Whether the database answered a moment ago.
    pub(super) readiness: Readiness,
    /// Whether anything needed somebody a moment ago.
    pub(super) health: Health,
    /// The rate limit of signed webhook deliveries.
    pub(super) webhook_rate: Pace,
}
