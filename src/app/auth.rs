//! Logins, the state of stored connections, their end, and the change of their key.

use std::time::Duration;

use serde::Serialize;
use tracing::warn;

use super::company::{
    CONNECTIONS, Company, authorizer, document_keys, key, reconnect, token_endpoint,
};
use super::{App, company_schema};
use crate::config::{OAuthConfig, QboConfig, StoreLocation};
use crate::domain::ConnectionState;
use crate::error::{Error, Result};
use crate::port::{Connection, Source as _};
use crate::postgres::rights;
use crate::quickbooks::oauth::{
    Authorizer, Callback, Consent, EXPIRY_WARNING, earlier_end, expiry_warning,
};
use crate::quickbooks::{Includes, Traffic};
use crate::store::StateBackend;
use crate::store::shared_state::Documents;
use crate::store::token_store::{ConnectionSummary, Key, POSTGRES_PLACE};
use crate::unbroken::unbroken;

/// The state of all stored connections.
#[derive(Debug, Serialize)]
pub struct AuthReport {
    /// Place of the token store.
    pub store: String,
    /// The stored connections.
    pub accounts: Vec<CompanyReport>,
    /// The company of the settings, or any if they name none, has neither a stored connection nor a
    /// refresh token in the settings.
    #[serde(skip)]
    pub is_login_needed: bool,
}

/// The state of one connection.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct CompanyReport {
    /// The part of the connection that is stored unencrypted.
    #[serde(flatten)]
    pub account: ConnectionSummary,
    /// `active`, `expires_soon` or `needs_reauth`.
    pub state: ConnectionState,
    /// Whole days to the end of the connection, if it is known.
    pub days_left: Option<i64>,
    /// Advice for a person, if the connection ends within 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Intuit's address at which the company is connected again, if a person has to do that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect_url: Option<String>,
    /// Requests and limits of all processes that share the store.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Values of `include` that QuickBooks refuses for this company, so that records lack these parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_includes: Vec<String>,
}

#[cfg(test)]
impl CompanyReport {
    /// Returns the report of a company of which nothing but this is known.
    pub(super) fn of_test(realm_id: &str, state: ConnectionState) -> Self {
        Self {
            account: ConnectionSummary {
                realm_id: realm_id.to_owned(),
                needs_reauth: None,
                access_token_expires_at: None,
                refresh_token_expires_at: None,
                connection_expires_at: None,
            },
            state,
            days_left: None,
            warning: None,
            reconnect_url: None,
            traffic: Traffic::read(None, chrono::DateTime::UNIX_EPOCH),
            refused_includes: Vec::new(),
        }
    }
}

/// The result of a change of the key.
#[derive(Debug, Default, Serialize)]
pub struct KeyChange {
    /// The companies whose tokens have the new key.
    pub changed: Vec<String>,
    /// The companies whose tokens are sealed with some other key, and stay as they are.
    pub not_opened: Vec<String>,
}

impl AuthReport {
    /// Returns true if no person is needed for any company, now or within 30 days.
    pub fn is_ok(&self) -> bool {
        let is_active = |account: &CompanyReport| account.state == ConnectionState::Active;
        !self.is_login_needed && self.accounts.iter().all(is_active)
    }
}

/// Returns the report of the connections that are stored in `backend`.
pub(super) async fn auth_report(backend: &StateBackend, config: &QboConfig) -> Result<AuthReport> {
    // An unusable key is an error here, although the stored connections are listed without it.
    key(&config.oauth)?;
    let connections = backend.connections().await?;
    let keys = |account: &ConnectionSummary| document_keys(config, &account.realm_id);
    let documents = backend
        .documents(connections.iter().flat_map(keys).collect())
        .await;
    // A role that may not read them still sees the connections; in a database without the table, nobody has sent
    // anything.
    let documents = documents.unwrap_or_else(|error| {
        if !rights::is_missing_table(&error) {
            warn!(
                phase = "extract",
                event = "limits_not_shared",
                "{error}; the traffic of companies is unknown"
            );
        }
        Documents::none()
    });
    let report = |account: ConnectionSummary| {
        let [traffic, includes] = keys(&account);
        let traffic = Traffic::read(documents.get(&traffic), documents.read_at);
        CompanyReport {
            refused_includes: Includes::refused_in(documents.get(&includes)),
            ..company_report(account, traffic, &config.oauth)
        }
    };
    let accounts: Vec<CompanyReport> = connections.into_iter().map(report).collect();
    let is_connected = accounts
        .iter()
        .any(|known| config.realm_id.is_empty() || known.account.realm_id == config.realm_id);
    Ok(AuthReport {
        store: backend.place(),
        accounts,
        is_login_needed: !is_connected && config.oauth.credentials.refresh_token.is_none(),
    })
}

fn company_report(
    account: ConnectionSummary,
    traffic: Traffic,
    oauth: &OAuthConfig,
) -> CompanyReport {
    let now = crate::clock::now();
    let end = earlier_end(
        account.refresh_token_expires_at,
        account.connection_expires_at,
    );
    let state = match (&account.needs_reauth, end) {
        (Some(_), _) => ConnectionState::NeedsReauth,
        (None, Some(end)) if end <= now => ConnectionState::NeedsReauth,
        (None, Some(end)) if end - now <= EXPIRY_WARNING => ConnectionState::ExpiresSoon,
        (None, _) => ConnectionState::Active,
    };
    let reconnect = reconnect(oauth, &account.realm_id);
    CompanyReport {
        state,
        days_left: end.map(|end| (end - now).num_days()),
        warning: match account.needs_reauth {
            Some(_) => None,
            None => expiry_warning(end, now, &reconnect),
        },
        reconnect_url: (state != ConnectionState::Active).then(|| reconnect.url()),
        traffic,
        refused_includes: Vec::new(),
        account,
    }
}

impl App {
    /// Returns the state of the stored connections. Only the store is asked.
    ///
    /// # Errors
    /// Settings, and those of the store.
    pub async fn auth_status(&self) -> Result<AuthReport> {
        let realm_id = self.settings.realm_id()?.unwrap_or_default();
        let config = self.settings.qbo_of(&realm_id)?;
        let location = &config.oauth.token_store;
        let backend = StateBackend::open(&self.settings, location, CONNECTIONS).await?;
        auth_report(&backend, &config).await
    }

    /// Begins a login. The browser comes back to `redirect_uri`, which the app must list.
    ///
    /// # Errors
    /// Fails before the consent page is opened if settings are invalid or the token store is unusable.
    pub async fn begin_login(&self, redirect_uri: &str) -> Result<Consent> {
        // After a consent it would be too late to say that no company can be connected.
        self.settings.realm_id()?;
        let oauth = self.settings.oauth()?;
        let backend = StateBackend::open(&self.settings, &oauth.token_store, CONNECTIONS).await?;
        let store = backend.token_store("login", key(&oauth)?).await?;
        backend.connections().await?;
        store.lock().await?.release().await;
        let redirect_uri = redirect_uri
            .parse()
            .map_err(|_| Error::config("redirect-uri", format!("'{redirect_uri}' is not a URL")))?;
        Consent::new(
            &oauth.authorize_url,
            &oauth.credentials.client_id,
            &redirect_uri,
        )
    }

    /// Reads the address that the browser was sent back to.
    ///
    /// # Errors
    /// [`Error::Config`] that says what is wrong with it.
    pub fn read_consent(&self, consent: &Consent, address: &str) -> Result<Callback> {
        consent.read(address, self.settings.realm_id()?.as_deref())
    }

    /// Ends a login: exchanges the code for tokens and stores them.
    ///
    /// # Errors
    /// A refused code; tokens of another company, if this one has a connection; those of the store.
    pub async fn finish_login(&self, consent: &Consent, callback: &Callback) -> Result<Connection> {
        self.exchange(
            &callback.realm_id,
            &callback.code,
            consent.redirect_uri().as_str(),
        )
        .await
    }

    /// Asks QuickBooks once for the company of a stored connection, since a token endpoint does not say of
    /// which company a token is. It is no trial of the network: nothing is waited for and tried again.
    ///
    /// # Errors
    /// Settings; a company that does not answer, or not to this token.
    pub async fn company_answers(&self, realm_id: &str) -> Result<()> {
        let mut settings = self.settings.clone();
        settings.set("QBO_RETRY_FOR_S", "0")?;
        let mut config = settings.qbo_of(realm_id)?;
        config.oauth.retry.max_throttled = Duration::ZERO;
        let company = Company::open(&settings, &config, &self.progress).await?;
        let (source, _) = company.into_parts();
        source.prepare().await?;
        source.company().await.map(drop)
    }

    /// Returns where tokens are kept, for messages.
    ///
    /// # Errors
    /// Settings.
    pub fn token_place(&self) -> Result<String> {
        Ok(match self.settings.oauth()?.token_store {
            StoreLocation::File(path) => path.display().to_string(),
            StoreLocation::Postgres => POSTGRES_PLACE.to_owned(),
        })
    }

    /// Ends the connection at Intuit and deletes its tokens. If another stored company has the same
    /// token, that needs `force`.
    ///
    /// # Errors
    /// Settings; the other companies that have the token; Intuit's refusal; those of the store.
    pub async fn revoke(&self, force: bool) -> Result<String> {
        let oauth = self.settings.oauth()?;
        let realm_id = self.required_realm()?;
        let authorizer = self.authorizer(&oauth, &realm_id).await?;
        let others = self.sharing(&oauth, &realm_id, &authorizer).await?;
        if !others.is_empty() && !force {
            let others = others.join(", ");
            return Err(Error::config(
                "QBO_REALM_ID",
                format!(
                    "the connection of company {realm_id} began with the same refresh token as that of company {others}: \
                     to revoke one ends both. `qbo-rs auth forget` removes that of company {realm_id} from the token \
                     store alone; `qbo-rs auth revoke --force` ends both"
                ),
            ));
        }
        unbroken(async move { authorizer.revoke(&oauth.revoke_url).await }).await?;
        company_schema::forget(&self.settings, &realm_id).await?;
        Ok(realm_id)
    }

    /// Removes the stored connection of a company. Intuit is not asked. If no other stored company
    /// has the same token, that needs `force`, since the stored token may be the only one that works.
    ///
    /// # Errors
    /// Settings; no stored connection, and nothing in the database that a call before could not end; those of the store
    /// and of the database.
    pub async fn forget(&self, force: bool) -> Result<String> {
        let oauth = self.settings.oauth()?;
        let realm_id = self.required_realm()?;
        let backend = StateBackend::open(&self.settings, &oauth.token_store, CONNECTIONS).await?;
        let place = backend.place();
        let mut connections = backend.connections().await?.into_iter();
        let is_stored = connections.any(|known| known.realm_id == realm_id);
        let authorizer = self.authorizer(&oauth, &realm_id).await?;
        if !is_stored && !authorizer.has_rescued().await {
            // A call before may have removed the connection, and have failed then.
            return match company_schema::forget(&self.settings, &realm_id).await? {
                true => Ok(realm_id),
                false => {
                    let reason = format!("{place} holds no connection of company {realm_id}");
                    Err(Error::config("QBO_REALM_ID", reason))
                }
            };
        }
        if !force
            && self
                .sharing(&oauth, &realm_id, &authorizer)
                .await?
                .is_empty()
        {
            return Err(Error::config(
                "QBO_REALM_ID",
                format!(
                    "no other company in {place} began with the refresh token of company {realm_id}, so that the stored \
                     one may be the only one that still works: first let a command run with the right QBO_REALM_ID, or \
                     give up the token with `qbo-rs auth forget --force`"
                ),
            ));
        }
        authorizer.forget().await?;
        company_schema::forget(&self.settings, &realm_id).await?;
        Ok(realm_id)
    }

    /// Returns the other stored companies that have the token of a company.
    async fn sharing(
        &self,
        oauth: &OAuthConfig,
        realm_id: &str,
        authorizer: &Authorizer,
    ) -> Result<Vec<String>> {
        let key = key(oauth)?;
        let backend = StateBackend::open(&self.settings, &oauth.token_store, CONNECTIONS).await?;
        let mut sharing = Vec::new();
        for other in backend.connections().await? {
            if other.realm_id == realm_id {
                continue;
            }
            let store = backend.token_store(&other.realm_id, key.clone()).await?;
            if let Some(connection) = store.load().await?
                && authorizer.shares_token_with(&connection).await?
            {
                sharing.push(other.realm_id);
            }
        }
        Ok(sharing)
    }

    /// Seals all stored tokens with another key: `QBO_NEW_TOKEN_KEY`, or the one derived from
    /// `QBO_NEW_CLIENT_SECRET`. Tokens that the present key does not open stay as they are.
    ///
    /// # Errors
    /// Settings, and those of the store; what was changed before stays changed.
    pub async fn change_key(&self) -> Result<KeyChange> {
        let oauth = self.settings.oauth()?;
        let new = match (
            self.settings.secret("QBO_NEW_TOKEN_KEY"),
            self.settings.secret("QBO_NEW_CLIENT_SECRET"),
        ) {
            (Some(key), _) => Key::new(&oauth.credentials.client_secret, Some(&key))?,
            (None, Some(secret)) => Key::new(&secret, None)?,
            (None, None) => {
                return Err(Error::config(
                    "QBO_NEW_TOKEN_KEY, QBO_NEW_CLIENT_SECRET",
                    "neither is set: there is no new key",
                ));
            }
        };
        let old = key(&oauth)?;
        let backend = StateBackend::open(&self.settings, &oauth.token_store, CONNECTIONS).await?;
        let mut keys = KeyChange::default();
        for account in backend.connections().await? {
            match backend.change_key(&account.realm_id, &old, &new).await? {
                true => keys.changed.push(account.realm_id),
                false => keys.not_opened.push(account.realm_id),
            }
        }
        Ok(keys)
    }

    pub(super) async fn authorizer(
        &self,
        oauth: &OAuthConfig,
        realm_id: &str,
    ) -> Result<Authorizer> {
        let backend = StateBackend::open(&self.settings, &oauth.token_store, CONNECTIONS).await?;
        let endpoint = token_endpoint(oauth, &self.progress)?;
        authorizer(&backend, oauth, realm_id, endpoint).await
    }

    pub(super) fn required_realm(&self) -> Result<String> {
        self.settings
            .realm_id()?
            .ok_or_else(|| Error::config("QBO_REALM_ID", "not set"))
    }
}
