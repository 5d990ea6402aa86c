//! One company, built from settings: its token store, its token issuer and the admission of its
//! requests.

use std::sync::Arc;

use chrono::Utc;
use ring::digest::{SHA256, digest};

use crate::config::{OAuthConfig, QboConfig, Settings};
use crate::domain::ConnectionReport;
use crate::error::{Error, Result, Trace};
use crate::http::Transport;
use crate::port::{Endpoint, Progress};
use crate::quickbooks::AdmissionControl;
use crate::quickbooks::oauth::{Authorizer, TokenEndpoint, expires_at};
use crate::quickbooks::{Access, QboSource};
use crate::store::StateBackend;
use crate::store::token_store::Key;

pub(super) type Issuer = Arc<Authorizer>;
pub(super) type Source = QboSource;

/// Tokens need two connections, one of them for the lock; admission one.
pub(super) const CONNECTIONS: usize = 3;

/// Returns the admission control of a company, which shares its state through `backend`.
pub(super) fn admission(
    backend: &StateBackend,
    config: &QboConfig,
    realm_id: &str,
) -> Arc<AdmissionControl> {
    Arc::new(AdmissionControl::new(
        config.limits,
        config.oauth.retry.max_elapsed,
        backend.traffic_state(&traffic_key(config, realm_id)),
        config.monthly_quota,
    ))
}

/// Returns the key of the shared rate-limit state. Limits apply per API host, app and company; the
/// key is a hash and not meant to be read.
fn traffic_key(config: &QboConfig, realm_id: &str) -> String {
    let name = format!(
        "{}\n{}\n{realm_id}",
        config.api_url, config.oauth.credentials.client_id
    );
    digest(&SHA256, name.as_bytes())
        .as_ref()
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Returns the token endpoint that the settings name.
pub(super) fn token_endpoint(
    oauth: &OAuthConfig,
    progress: &Arc<dyn Progress>,
) -> Result<TokenEndpoint> {
    let transport = Transport::new(oauth.timeouts, Endpoint::Token, progress.clone())?;
    Ok(endpoint_over(transport, oauth))
}

fn endpoint_over(transport: Transport, oauth: &OAuthConfig) -> TokenEndpoint {
    let credentials = &oauth.credentials;
    let (id, secret) = (
        credentials.client_id.clone(),
        credentials.client_secret.clone(),
    );
    TokenEndpoint::new(transport, oauth.token_url.clone(), id, secret, oauth.retry)
}

/// A company that is ready to be read.
pub(super) struct Company {
    pub source: Source,
    issuer: Issuer,
    admission: Arc<AdmissionControl>,
    realm_id: String,
}

impl Company {
    pub(super) async fn open(
        settings: &Settings,
        config: &QboConfig,
        progress: &Arc<dyn Progress>,
    ) -> Result<Self> {
        let location = &config.oauth.token_store;
        let backend = StateBackend::open(settings, location, CONNECTIONS).await?;
        Self::open_at(&backend, config, progress).await
    }

    /// Opens a company like [`Self::open`], with shared state that is already open.
    pub(super) async fn open_at(
        backend: &StateBackend,
        config: &QboConfig,
        progress: &Arc<dyn Progress>,
    ) -> Result<Self> {
        warn_of_clear_text(config);
        let oauth = &config.oauth;
        let transport = Transport::new(oauth.timeouts, Endpoint::Data, progress.clone())?;
        let key = Key::new(&oauth.credentials.client_secret, oauth.token_key.as_ref())?;
        let store = backend.token_store(&config.realm_id, key).await?;
        let endpoint = endpoint_over(transport.for_endpoint(Endpoint::Token), oauth);
        let configured = oauth.credentials.refresh_token.clone();
        let issuer = Arc::new(Authorizer::new(
            endpoint,
            store,
            &config.realm_id,
            configured,
        ));
        let admission = admission(backend, config, &config.realm_id);
        let access = Access {
            transport,
            admission: admission.clone(),
            issuer: issuer.clone(),
            retry: oauth.retry,
            api_url: &config.api_url,
            realm_id: &config.realm_id,
        };
        let source = QboSource::new(access, config.lag, config.max_requests)?;
        Ok(Self {
            source,
            issuer,
            admission,
            realm_id: config.realm_id.clone(),
        })
    }

    /// Returns the source, and the status of the connection for reports.
    pub(super) fn into_parts(self) -> (Arc<Source>, ConnectionStatus) {
        let Self {
            source,
            issuer,
            admission,
            realm_id,
        } = self;
        (
            Arc::new(source),
            ConnectionStatus {
                issuer,
                admission,
                realm_id,
            },
        )
    }
}

/// Reads the state of a company's connection after a run.
pub(super) struct ConnectionStatus {
    issuer: Issuer,
    admission: Arc<AdmissionControl>,
    realm_id: String,
}

impl ConnectionStatus {
    /// Returns the reason if a person must connect the company again.
    pub(super) async fn needs_reauth(&self) -> Result<Option<Error>> {
        let reason = self.issuer.reauth_reason().await?;
        Ok(reason.map(|reason| Error::Unauthenticated {
            reason,
            trace: Trace::refused_grant(),
        }))
    }

    /// Checks that there is a token for the company.
    ///
    /// # Errors
    /// Returns which setting or stored token is missing.
    pub(super) async fn has_token(&self) -> Result<()> {
        self.issuer.has_token().await
    }

    pub(super) async fn report(&self) -> Option<ConnectionReport> {
        let connection = self.issuer.connection().await.ok().flatten()?;
        Some(ConnectionReport {
            realm_id: self.realm_id.clone(),
            refresh_token_expires_at: connection.refresh_token_expires_at,
            connection_expires_at: connection.connection_expires_at,
            days_left: expires_at(&connection).map(|end| (end - Utc::now()).num_days()),
            monthly_reads: self.admission.traffic().await.monthly_reads,
        })
    }
}

fn warn_of_clear_text(config: &QboConfig) {
    for url in [&config.api_url, &config.oauth.token_url] {
        let host = url.host_str().unwrap_or_default();
        let is_local = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if url.scheme() == "http" && !is_local {
            tracing::warn!(
                phase = "auth",
                event = "unencrypted",
                "tokens travel to {host} unencrypted: {} is not https",
                url
            );
        }
    }
}
