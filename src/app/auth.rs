//! Logins, the state of stored connections, their end, and the change of their key.

use chrono::Utc;
use serde::Serialize;

use super::App;
use super::company::{CONNECTIONS, admission, token_endpoint};
use crate::config::{OAuthConfig, QboConfig, StoreLocation};
use crate::domain::ConnectionState;
use crate::error::{Error, Result};
use crate::port::{Connection, Secret};
use crate::quickbooks::Traffic;
use crate::quickbooks::oauth::{Authorizer, Callback, Consent, EXPIRY_WARNING, Refusal};
use crate::store::StateBackend;
use crate::store::token_store::{ConnectionSummary, Key};

/// The state of all stored connections.
#[derive(Debug, Serialize)]
pub struct AuthReport {
    /// Place of the token store; `None` if tokens are not stored.
    pub store: Option<String>,
    /// The stored connections.
    pub accounts: Vec<CompanyReport>,
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
    /// Requests and limits of all processes that share the store.
    #[serde(flatten)]
    pub traffic: Traffic,
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
    /// Returns true if no person is needed, now or within a fortnight.
    pub fn is_ok(&self) -> bool {
        self.accounts
            .iter()
            .all(|account| account.state == ConnectionState::Active)
    }
}

/// Returns the report of the connections that are stored in `backend`.
pub(super) async fn auth_report(backend: &StateBackend, config: &QboConfig) -> Result<AuthReport> {
    let store = backend.token_store("any", key(&config.oauth)?).await?;
    let mut accounts = Vec::new();
    for account in backend.connections().await? {
        let admission = admission(backend, config, &account.realm_id);
        let traffic = admission.traffic().await;
        let end = [
            account.refresh_token_expires_at,
            account.connection_expires_at,
        ]
        .into_iter()
        .flatten()
        .min();
        let remaining = end.map(|end| end - Utc::now());
        let state = match (&account.needs_reauth, remaining) {
            (Some(_), _) => ConnectionState::NeedsReauth,
            (None, Some(remaining)) if remaining < EXPIRY_WARNING => ConnectionState::ExpiresSoon,
            (None, _) => ConnectionState::Active,
        };
        accounts.push(CompanyReport {
            state,
            days_left: remaining.map(|remaining| remaining.num_days()),
            traffic,
            account,
        });
    }
    Ok(AuthReport {
        store: store.place(),
        accounts,
    })
}

impl App {
    /// Returns the state of the stored connections. Only the store is asked.
    ///
    /// # Errors
    /// Settings, and those of the store.
    pub async fn auth_status(&self) -> Result<AuthReport> {
        let config = self.settings.qbo_app()?;
        let location = &config.oauth.token_store;
        let backend = StateBackend::open(&self.settings, location, CONNECTIONS).await?;
        auth_report(&backend, &config).await
    }

    /// Begins a login. The browser comes back to `redirect_uri`, which the app must list.
    ///
    /// # Errors
    /// Fails before the consent page is opened if settings are invalid or there is no token store.
    pub async fn begin_login(&self, redirect_uri: &str) -> Result<Consent> {
        let oauth = self.storing_oauth()?;
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
    /// A refused code; those of the store.
    pub async fn finish_login(&self, consent: &Consent, callback: &Callback) -> Result<Connection> {
        self.exchange(
            &callback.realm_id,
            &callback.code,
            consent.redirect_uri().as_str(),
        )
        .await
    }

    /// Exchanges the code with which QuickBooks has sent a user back for tokens of a company, and
    /// stores them.
    ///
    /// # Errors
    /// A refused code; those of the store.
    pub(super) async fn exchange(
        &self,
        realm_id: &str,
        code: &Secret,
        redirect_uri: &str,
    ) -> Result<Connection> {
        let oauth = self.storing_oauth()?;
        let authorizer = self.authorizer(&oauth, realm_id).await?;
        let answer = token_endpoint(&oauth, &self.progress)?
            .exchange(code, redirect_uri)
            .await;
        let answer = answer.map_err(|refusal| match refusal {
            Refusal::InvalidGrant { answer, trace, .. } => Error::Unauthenticated {
                reason: format!("the token endpoint said {answer} of the code, which is good for one use and a few minutes; begin again"),
                trace,
            },
            Refusal::Final { error, .. } => error,
        })?;
        authorizer.store_tokens(&answer).await
    }

    /// Stores a refresh token that another tool obtained, such as Intuit's OAuth playground.
    ///
    /// # Errors
    /// Settings; a refused token; those of the store.
    pub async fn import_token(&self, token: &Secret) -> Result<(String, Connection)> {
        let oauth = self.storing_oauth()?;
        let realm_id = self.required_realm()?;
        let connection = self
            .authorizer(&oauth, &realm_id)
            .await?
            .import(token)
            .await?;
        Ok((realm_id, connection))
    }

    /// Ends the connection at Intuit and deletes its tokens.
    ///
    /// # Errors
    /// Settings; Intuit's refusal; those of the store.
    pub async fn revoke(&self) -> Result<String> {
        let oauth = self.settings.oauth()?;
        let realm_id = self.required_realm()?;
        self.authorizer(&oauth, &realm_id)
            .await?
            .revoke(&oauth.revoke_url)
            .await?;
        Ok(realm_id)
    }

    /// Seals all stored tokens with another key: `QBO_NEW_TOKEN_KEY`, or the one derived from
    /// `QBO_NEW_CLIENT_SECRET`. Tokens that the present key does not open stay as they are.
    ///
    /// # Errors
    /// Settings, and those of the store; what was changed before stays changed.
    pub async fn change_key(&self) -> Result<KeyChange> {
        let oauth = self.storing_oauth()?;
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

    async fn authorizer(&self, oauth: &OAuthConfig, realm_id: &str) -> Result<Authorizer> {
        let backend = StateBackend::open(&self.settings, &oauth.token_store, CONNECTIONS).await?;
        let store = backend.token_store(realm_id, key(oauth)?).await?;
        Ok(Authorizer::new(
            token_endpoint(oauth, &self.progress)?,
            store,
            realm_id,
            oauth.credentials.refresh_token.clone(),
        ))
    }

    fn storing_oauth(&self) -> Result<OAuthConfig> {
        let oauth = self.settings.oauth()?;
        match oauth.token_store {
            StoreLocation::Memory => Err(Error::config(
                "QBO_TOKEN_STORE",
                "not set: there is nowhere to keep tokens; name a file, or 'postgres'",
            )),
            StoreLocation::File(_) | StoreLocation::Postgres => Ok(oauth),
        }
    }

    fn required_realm(&self) -> Result<String> {
        self.settings
            .realm_id()?
            .ok_or_else(|| Error::config("QBO_REALM_ID", "not set"))
    }
}

/// Returns the key of the token store that the settings name.
///
/// # Errors
/// [`Error::Config`] if `QBO_TOKEN_KEY` cannot be used.
pub(super) fn key(oauth: &OAuthConfig) -> Result<Key> {
    Key::new(&oauth.credentials.client_secret, oauth.token_key.as_ref())
}
