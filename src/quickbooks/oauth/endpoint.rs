//! Intuit's token endpoint: what is sent, and what its answers mean (qbo-facts 1.2 to 1.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::error::{Error, Result, Trace};
use crate::http::{Attempts, Request, Response, RetryPolicy, Transport};
use crate::port::Secret;
use crate::quickbooks::client::retry_after;
use crate::quickbooks::scrub::scrub;

/// Asks for and revokes tokens in the name of one app.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    transport: Transport,
    token_url: Url,
    client_id: String,
    client_secret: Secret,
    retry: RetryPolicy,
}

/// New tokens. Fields that are missing make the whole answer unusable: an error body must never
/// pass for tokens (qbo-facts 10, "both tokens become empty").
#[derive(Deserialize)]
pub struct TokenAnswer {
    access_token: String,
    refresh_token: String,
    /// Seconds that the access token works.
    pub expires_in: u64,
    /// Seconds that the refresh token works if it is not used.
    pub x_refresh_token_expires_in: Option<u64>,
    /// Seconds to the end of the connection, if that is told.
    pub x_refresh_token_hard_expires_in: Option<u64>,
}

impl TokenAnswer {
    /// The access token.
    pub fn access_token(&self) -> Secret {
        Secret::new(self.access_token.clone())
    }

    /// The refresh token, the same as before or a new one.
    pub fn refresh_token(&self) -> Secret {
        Secret::new(self.refresh_token.clone())
    }
}

#[derive(Deserialize, Default)]
struct TokenFault {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Why there are no tokens.
#[derive(Debug)]
pub enum Refusal {
    /// This refresh token or code is dead; another may live.
    InvalidGrant {
        /// Intuit's words.
        said: String,
        /// Which answer.
        trace: Trace,
        /// An earlier try may have been carried out whose answer did not arrive.
        was_answer_lost: bool,
    },
    /// Nothing else to try. If the flag is set, a request may have been carried out whose answer
    /// did not arrive.
    Final(Error, bool),
}

/// Asks for the time left of the five years (qbo-facts 1.3).
const HARD_EXPIRY: HeaderName = HeaderName::from_static("x-include-refresh-token-hard-expires-in");

impl TokenEndpoint {
    /// The endpoint at `token_url`, asked in the name of the app `client_id`.
    pub fn new(
        transport: Transport,
        token_url: Url,
        client_id: String,
        client_secret: Secret,
        retry: RetryPolicy,
    ) -> Self {
        Self {
            transport,
            token_url,
            client_id,
            client_secret,
            retry,
        }
    }

    /// New tokens for a refresh token. Asked again while answers are missing or say that it will
    /// pass.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub async fn refresh(&self, token: &Secret) -> Result<TokenAnswer, Refusal> {
        let token = utf8_percent_encode(token.expose(), NON_ALPHANUMERIC);
        self.ask(format!("grant_type=refresh_token&refresh_token={token}"))
            .await
    }

    /// The first tokens, for the code that consent has brought. A code is good for one use.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub async fn exchange(
        &self,
        code: &Secret,
        redirect_uri: &str,
    ) -> Result<TokenAnswer, Refusal> {
        let code = utf8_percent_encode(code.expose(), NON_ALPHANUMERIC);
        let redirect_uri = utf8_percent_encode(redirect_uri, NON_ALPHANUMERIC);
        self.ask(format!(
            "grant_type=authorization_code&code={code}&redirect_uri={redirect_uri}"
        ))
        .await
    }

    /// Ends the connection that a token belongs to. Answers have empty bodies (qbo-facts 1.2).
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if Intuit refuses; [`Error::Transport`] without an answer.
    pub async fn revoke(&self, revoke_url: &Url, token: &Secret) -> Result<()> {
        let mut request = self.request(revoke_url.clone(), "application/json");
        request.body = Bytes::from(serde_json::json!({"token": token.expose()}).to_string());
        let mut attempts = Attempts::new(self.retry, "auth");
        loop {
            attempts.start_next();
            let (error, asked) = match self.transport.send(request.clone(), None).await {
                Ok(response) if response.status == 200 => return Ok(()),
                Ok(response) if is_transient(response.status) => {
                    (self.unusable(&response), retry_after(&response))
                }
                Ok(response) => {
                    let reason = format!(
                        "the revocation endpoint said HTTP {}; the token is not known there, or the keys are not the app's",
                        response.status
                    );
                    return Err(Error::Unauthenticated {
                        reason,
                        trace: trace_of(&response, None),
                    });
                }
                Err(error) => (error, None),
            };
            attempts.wait(error, asked).await?;
        }
    }

    async fn ask(&self, form: String) -> Result<TokenAnswer, Refusal> {
        let mut request = self.request(self.token_url.clone(), "application/x-www-form-urlencoded");
        request
            .headers
            .insert(HARD_EXPIRY, HeaderValue::from_static("true"));
        request.body = Bytes::from(form);
        let mut attempts = Attempts::new(self.retry, "auth");
        let mut was_answer_lost = false;
        loop {
            attempts.start_next();
            let (error, asked) = match self.transport.send(request.clone(), None).await {
                Ok(response) if response.status == 200 => match read_tokens(&response) {
                    Some(answer) => return Ok(answer),
                    None => {
                        was_answer_lost = true;
                        (self.unusable(&response), None)
                    }
                },
                Ok(response) if is_transient(response.status) => {
                    (self.unusable(&response), retry_after(&response))
                }
                Ok(response) => return Err(refusal(&response, was_answer_lost)),
                Err(error) => {
                    was_answer_lost |= matches!(error, Error::Transport { was_sent: true, .. });
                    (error, None)
                }
            };
            attempts
                .wait(error, asked)
                .await
                .map_err(|error| Refusal::Final(error, was_answer_lost))?;
        }
    }

    fn request(&self, url: Url, content_type: &'static str) -> Request {
        let basic = STANDARD.encode(format!(
            "{}:{}",
            self.client_id,
            self.client_secret.expose()
        ));
        // Base64 is always a legal header value.
        let mut authorization = HeaderValue::from_str(&format!("Basic {basic}"))
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        Request {
            method: Method::POST,
            url,
            headers: HeaderMap::from_iter([
                (ACCEPT, HeaderValue::from_static("application/json")),
                (CONTENT_TYPE, HeaderValue::from_static(content_type)),
                (AUTHORIZATION, authorization),
            ]),
            body: Bytes::new(),
        }
    }

    fn unusable(&self, response: &Response) -> Error {
        Error::Transport {
            reason: format!(
                "the token endpoint answered HTTP {} without usable tokens",
                response.status
            ),
            was_sent: true,
            source: None,
        }
    }
}

fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

fn read_tokens(response: &Response) -> Option<TokenAnswer> {
    serde_json::from_slice::<TokenAnswer>(&response.body)
        .ok()
        .filter(|answer| !answer.access_token.is_empty() && !answer.refresh_token.is_empty())
}

fn refusal(response: &Response, was_answer_lost: bool) -> Refusal {
    let fault: TokenFault = serde_json::from_slice(&response.body).unwrap_or_default();
    let said = match (fault.error.as_str(), fault.error_description.as_str()) {
        ("", _) => format!("HTTP {}", response.status),
        (error, "") => scrub(error),
        (error, description) => format!("{}: {}", scrub(error), scrub(description)),
    };
    let trace = trace_of(
        response,
        Some(fault.error.as_str()).filter(|error| !error.is_empty()),
    );
    if trace.is_refused_grant() {
        return Refusal::InvalidGrant {
            said,
            trace,
            was_answer_lost,
        };
    }
    let step = match fault.error.as_str() {
        "invalid_client" => "check QBO_CLIENT_ID and QBO_CLIENT_SECRET",
        _ => "check QBO_TOKEN_URL and the credentials",
    };
    let reason = format!("the token endpoint said {said}; {step}");
    Refusal::Final(Error::Unauthenticated { reason, trace }, was_answer_lost)
}

fn trace_of(response: &Response, code: Option<&str>) -> Trace {
    Trace {
        code: code.map(scrub),
        intuit_tid: response.header("intuit_tid").map(str::to_owned),
    }
}
