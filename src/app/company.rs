//! One company, built from settings: its token store, its token issuer and the admission of its
//! requests.

use std::sync::Arc;

use ring::digest::{SHA256, digest};

use crate::config::{OAuthConfig, QboConfig, Settings};
use crate::domain::ConnectionReport;
use crate::error::{Error, Result, Trace};
use crate::http::Transport;
use crate::port::{Endpoint, Progress};
use crate::quickbooks::AdmissionControl;
use crate::quickbooks::oauth::{Authorizer, Reconnect, TokenEndpoint, expires_at, expiry_warning};
use crate::quickbooks::{Access, Includes, QboSource, Uncaptured};
use crate::store::token_store::Key;
use crate::store::{StateBackend, rescue_stores};

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

/// Returns what is known of a company's answers to `include`, which its processes share.
pub(super) fn includes(backend: &StateBackend, config: &QboConfig, realm_id: &str) -> Includes {
    let key = format!("{}-includes", traffic_key(config, realm_id));
    Includes::new(backend.traffic_state(&key))
}

/// Returns what is known of the entities whose changes a company does not report.
fn uncaptured(backend: &StateBackend, config: &QboConfig, realm_id: &str) -> Uncaptured {
    let key = format!("{}-changes", traffic_key(config, realm_id));
    Uncaptured::new(backend.traffic_state(&key))
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

/// Returns the key of the token store that the settings name.
///
/// # Errors
/// [`Error::Config`] if `QBO_TOKEN_KEY` cannot be used.
pub(super) fn key(oauth: &OAuthConfig) -> Result<Key> {
    Key::new(&oauth.credentials.client_secret, oauth.token_key.as_ref())
}

/// Returns how a person connects a company again.
pub(super) fn reconnect(oauth: &OAuthConfig, realm_id: &str) -> Reconnect {
    Reconnect::new(realm_id, oauth.credentials.app_id.as_deref())
}

/// Returns the authorizer of a company whose tokens are in `backend`.
///
/// # Errors
/// [`Error::Config`] if `QBO_TOKEN_KEY` cannot be used; errors of the store.
pub(super) async fn authorizer(
    backend: &StateBackend,
    oauth: &OAuthConfig,
    realm_id: &str,
    endpoint: TokenEndpoint,
) -> Result<Authorizer> {
    let key = key(oauth)?;
    let rescues = rescue_stores(&oauth.rescue_files, realm_id, &key);
    let store = backend.token_store(realm_id, key).await?;
    let configured = oauth.credentials.refresh_token.clone();
    let reconnect = reconnect(oauth, realm_id);
    Ok(Authorizer::new(
        endpoint, store, rescues, reconnect, configured,
    ))
}

/// A company that is ready to be read.
pub(super) struct Company {
    pub source: Source,
    issuer: Issuer,
    admission: Arc<AdmissionControl>,
    reconnect: Reconnect,
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
        let endpoint = endpoint_over(transport.for_endpoint(Endpoint::Token), oauth);
        let issuer = Arc::new(authorizer(backend, oauth, &config.realm_id, endpoint).await?);
        let admission = admission(backend, config, &config.realm_id);
        let access = Access {
            transport,
            admission: admission.clone(),
            issuer: issuer.clone(),
            retry: oauth.retry,
            includes: includes(backend, config, &config.realm_id),
            uncaptured: uncaptured(backend, config, &config.realm_id),
            api_url: &config.api_url,
            realm_id: &config.realm_id,
        };
        let source = QboSource::new(access, config.lag, config.max_requests)?;
        Ok(Self {
            source,
            issuer,
            admission,
            reconnect: reconnect(oauth, &config.realm_id),
        })
    }

    /// Returns the source, and the status of the connection for reports.
    pub(super) fn into_parts(self) -> (Arc<Source>, ConnectionStatus) {
        let Self {
            source,
            issuer,
            admission,
            reconnect,
        } = self;
        (
            Arc::new(source),
            ConnectionStatus {
                issuer,
                admission,
                reconnect,
            },
        )
    }
}

/// Reads the state of a company's connection after a run.
pub(super) struct ConnectionStatus {
    issuer: Issuer,
    admission: Arc<AdmissionControl>,
    reconnect: Reconnect,
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
        let (now, end) = (crate::clock::now(), expires_at(&connection));
        Some(ConnectionReport {
            realm_id: self.reconnect.realm_id().to_owned(),
            refresh_token_expires_at: connection.refresh_token_expires_at,
            connection_expires_at: connection.connection_expires_at,
            days_left: end.map(|end| (end - now).num_days()),
            monthly_reads: self.admission.traffic().await.monthly_reads,
            warning: expiry_warning(end, now, &self.reconnect),
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
