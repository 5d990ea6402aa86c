//! One company, built from settings: its token store, its token issuer and the admission of its
//! requests.

use std::path::Path;
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use crate::config::{OAuthConfig, QboConfig, Settings};
use crate::domain::ConnectionReport;
use crate::error::{Error, Result, Trace};
use crate::http::{TokenIssuer as _, Transport};
use crate::port::{Endpoint, Progress};
use crate::quickbooks::oauth::{Authorizer, Reconnect, TokenEndpoint, expires_at, expiry_warning};
use crate::quickbooks::{Access, Includes, QboSource, Uncaptured};
use crate::quickbooks::{AdmissionControl, MonthlyCap};
use crate::store::token_store::{ConnectionSummary, Key, file_summaries};
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
    let control = AdmissionControl::new(
        config.limits,
        config.oauth.retry.max_elapsed,
        config.oauth.retry.max_throttled,
        backend.traffic_state(&traffic_key(config, realm_id)),
        config.monthly_quota,
    );
    let cap = (config.max_monthly_reads > 0).then(|| {
        let key = traffic_key(config, REALM_OF_ALL);
        MonthlyCap::new(config.max_monthly_reads, backend.traffic_state(&key))
    });
    Arc::new(control.capped(cap))
}

/// Stands for all companies of an app in the key of a document; no company has this id.
const REALM_OF_ALL: &str = "all";

/// Returns what is known of a company's answers to `include`, which its processes share.
pub(super) fn includes(backend: &StateBackend, config: &QboConfig, realm_id: &str) -> Includes {
    let [_, key] = document_keys(config, realm_id);
    Includes::new(backend.traffic_state(&key))
}

/// Returns the keys of a company's shared documents: of its traffic, and of its answers to `include`.
pub(super) fn document_keys(config: &QboConfig, realm_id: &str) -> [String; 2] {
    let key = traffic_key(config, realm_id);
    let includes = format!("{key}-includes");
    [key, includes]
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

/// Returns the file of the user that holds tokens although it is not the token store, and their
/// companies. A login before the database was configured has stored them there.
fn unused_tokens(oauth: &OAuthConfig) -> Option<(&Path, Vec<String>)> {
    let file = oauth.unused_token_file.as_deref()?;
    // It is only looked at for a message, so that a file which cannot be read is as good as none.
    let connections = file_summaries(file).ok()?;
    let realm_ids: Vec<String> = connections
        .into_iter()
        .map(|known| known.realm_id)
        .collect();
    (!realm_ids.is_empty()).then_some((file, realm_ids))
}

/// Returns the settings of the company to read: the one of `QBO_REALM_ID`, else the only one of the
/// token store.
///
/// # Errors
/// Settings; no company or several ones, by their ids; errors of the store.
pub(super) async fn company_config(settings: &Settings) -> Result<QboConfig> {
    let mut config = settings.qbo_of_any()?;
    if config.realm_id.is_empty() {
        config.realm_id = only_company(settings, &config.oauth).await?;
        // It says of no company that it belongs to it.
        config.oauth.credentials.refresh_token = None;
    }
    Ok(config)
}

/// Returns the only company of the token store.
async fn only_company(settings: &Settings, oauth: &OAuthConfig) -> Result<String> {
    let backend = StateBackend::open(settings, &oauth.token_store, 1).await?;
    only_of(&backend.connections().await?, oauth, &backend.place())
}

/// Returns the company that is meant where the settings name none: the only one of the token store at `place`.
///
/// # Errors
/// [`Error::Config`] if the store holds none, or several, by their ids.
pub(super) fn only_of(
    connections: &[ConnectionSummary],
    oauth: &OAuthConfig,
    place: &str,
) -> Result<String> {
    let reason = match connections {
        [only] => return Ok(only.realm_id.clone()),
        [] => return Err(no_company(oauth, place)),
        several => {
            let realm_ids = several.iter().map(|known| known.realm_id.clone());
            format!(
                "not set, and {place} holds {} companies: set it to one of {}",
                several.len(),
                named(&realm_ids.collect::<Vec<_>>())
            )
        }
    };
    Err(Error::config("QBO_REALM_ID", reason))
}

/// Returns the error that says that neither the settings nor the token store at `place` name a
/// company, and what to do.
pub(super) fn no_company(oauth: &OAuthConfig, place: &str) -> Error {
    let reason = match unused_tokens(oauth) {
        None => format!(
            "not set, and {place} holds no company: run `qbo-rs auth login`, which prints the company's id"
        ),
        Some((file, others)) => format!(
            "not set, and {place} holds no company, but {file} holds {}, from a login without a database: set \
             QBO_TOKEN_STORE={file} to use it, or run `qbo-rs auth login` once more, which stores a token in {place}",
            named(&others),
            file = file.display()
        ),
    };
    Error::config("QBO_REALM_ID", reason)
}

/// The most companies that an error lists.
const MAX_NAMED: usize = 20;

pub(super) fn named(realm_ids: &[String]) -> String {
    let shown = &realm_ids[..realm_ids.len().min(MAX_NAMED)];
    match realm_ids.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
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
    let other_file = unused_tokens(oauth)
        .filter(|(_, realm_ids)| realm_ids.iter().any(|known| known == realm_id))
        .map(|(file, _)| file.display().to_string());
    let reconnect = reconnect(oauth, realm_id).with_other_file(other_file);
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
            mask: config.mask.clone(),
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

    /// Obtains new tokens, even if the stored access token still works. As always, they are stored
    /// before they are used.
    pub(super) async fn refresh(&self) -> Result<()> {
        let stored = self.issuer.connection().await?;
        let access = stored.and_then(|connection| connection.access);
        let issued = self.issuer.clone().issue(access.map(|access| access.token));
        issued.await.map(drop)
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

    /// Returns the reads of the month that all processes have counted.
    ///
    /// # Errors
    /// If their count is out of reach.
    pub(super) async fn monthly_reads(&self) -> Result<u64> {
        self.admission.monthly_reads().await
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
