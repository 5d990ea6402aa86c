//! Access tokens from a refresh token that rotates (qbo-facts 1.3 to 1.5).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use log::{info, warn};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::fault::scrub;
use crate::config::Credentials;
use crate::error::{Error, Result};
use crate::http::{AccessToken, Attempts, Request, Response, RetryPolicy, TokenIssuer, Transport, retry_after};
use crate::port::{Secret, TokenStore};

/// Obtains access tokens at Intuit's token endpoint.
#[derive(Debug)]
pub struct Authorizer<S> {
    transport: Transport,
    token_url: Url,
    credentials: Credentials,
    store: S,
    retry: RetryPolicy,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
    refresh_token: String,
}

#[derive(Deserialize, Default)]
struct TokenFault {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

const LONGEST_LIFETIME_S: u64 = 86_400;

enum Refusal {
    /// This refresh token is dead; another may live.
    InvalidGrant(Error),
    /// Nothing else to try.
    Final(Error),
}

impl<S: TokenStore> Authorizer<S> {
    /// Puts the parts together.
    pub fn new(transport: Transport, token_url: Url, credentials: Credentials, store: S, retry: RetryPolicy) -> Self {
        Self { transport, token_url, credentials, store, retry }
    }

    async fn refresh(&self, refresh_token: &Secret) -> Result<TokenAnswer, Refusal> {
        let request = self.request(refresh_token);
        let mut attempts = Attempts::begin(self.retry, "auth");
        loop {
            attempts.count();
            let (error, asked) = match self.transport.send(request.clone(), None).await {
                Ok(response) => match self.read(&response) {
                    Ok(answer) => return Ok(answer),
                    Err(Some(refusal)) => return Err(refusal),
                    Err(None) => (self.transient(&response), retry_after(&response)),
                },
                Err(error) => (error, None),
            };
            attempts.wait(error, asked).await.map_err(Refusal::Final)?;
        }
    }

    fn request(&self, refresh_token: &Secret) -> Request {
        let Credentials { client_id, client_secret, .. } = &self.credentials;
        let basic = STANDARD.encode(format!("{client_id}:{}", client_secret.expose()));
        // Base64 is always a legal header value.
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {basic}")).unwrap_or_else(|_| HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        let token = utf8_percent_encode(refresh_token.expose(), NON_ALPHANUMERIC);
        Request {
            method: Method::POST,
            url: self.token_url.clone(),
            headers: HeaderMap::from_iter([
                (ACCEPT, HeaderValue::from_static("application/json")),
                (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
                (AUTHORIZATION, authorization),
            ]),
            body: Bytes::from(format!("grant_type=refresh_token&refresh_token={token}")),
        }
    }

    /// The tokens, or why there are none; `Err(None)` if asking again may help.
    fn read(&self, response: &Response) -> Result<TokenAnswer, Option<Refusal>> {
        match response.status {
            // An error body must never pass for tokens (qbo-facts 10, "both tokens become empty"): all fields or none.
            200 => serde_json::from_slice::<TokenAnswer>(&response.body)
                .ok()
                .filter(|answer| !answer.access_token.is_empty() && !answer.refresh_token.is_empty())
                .ok_or(None),
            408 | 429 | 500.. => Err(None),
            _ => Err(Some(self.refusal(response))),
        }
    }

    fn transient(&self, response: &Response) -> Error {
        Error::Transport {
            reason: format!("the token endpoint answered HTTP {} without usable tokens", response.status),
            was_sent: true,
        }
    }

    fn refusal(&self, response: &Response) -> Refusal {
        let fault: TokenFault = serde_json::from_slice(&response.body).unwrap_or_default();
        let intuit_tid = response.header("intuit_tid").map(str::to_owned);
        let said = match (fault.error.as_str(), fault.error_description.as_str()) {
            ("", _) => format!("HTTP {}", response.status),
            (error, "") => scrub(error),
            (error, description) => format!("{}: {}", scrub(error), scrub(description)),
        };
        let step = match fault.error.as_str() {
            "invalid_grant" => {
                "the refresh token in QBO_REFRESH_TOKEN is expired, revoked or was replaced by a newer one; \
                 connect the company again and set the new token"
            }
            "invalid_client" => "check QBO_CLIENT_ID and QBO_CLIENT_SECRET",
            _ => "check QBO_TOKEN_URL and the credentials",
        };
        let error = Error::Unauthenticated { reason: format!("the token endpoint said {said}; {step}"), intuit_tid };
        if fault.error == "invalid_grant" { Refusal::InvalidGrant(error) } else { Refusal::Final(error) }
    }
}

impl<S: TokenStore> TokenIssuer for Authorizer<S> {
    async fn issue(&self) -> Result<AccessToken> {
        let stored = self.store.load().await?;
        let mut used = stored.clone().unwrap_or_else(|| self.credentials.refresh_token.clone());
        let mut outcome = self.refresh(&used).await;
        if let Err(Refusal::InvalidGrant(_)) = &outcome {
            // Another process may have rotated it meanwhile, or somebody has set a new one.
            let newer = self.store.load().await?.filter(|token| *token != used);
            let other = newer.or_else(|| Some(self.credentials.refresh_token.clone()).filter(|token| *token != used));
            if let Some(other) = other {
                warn!(phase = "auth", event = "refresh_token_replaced"; "refresh token refused, trying the other one known");
                outcome = self.refresh(&other).await;
                used = other;
            }
        }
        let answer = outcome.map_err(|refusal| match refusal {
            Refusal::InvalidGrant(error) | Refusal::Final(error) => error,
        })?;
        // Durable before the access token is used: QBO may already have forgotten the old one.
        let returned = Secret::new(answer.refresh_token);
        if returned != used || stored.is_some_and(|stored| stored != returned) {
            self.store.save(&returned).await?;
        }
        info!(phase = "auth", event = "token_refreshed", expires_in_s = answer.expires_in;
            "access token obtained, good for {} s", answer.expires_in);
        Ok(AccessToken {
            authorization: Secret::new(format!("Bearer {}", answer.access_token)),
            // Renewed at least daily: no clock overflows on what a server may say.
            lifetime: Duration::from_secs(answer.expires_in.min(LONGEST_LIFETIME_S)),
        })
    }
}
