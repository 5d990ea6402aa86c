//! Intuit's token endpoint: requests and the meaning of answers (qbo-facts 1.2 to 1.5).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::answer::TokenAnswer;
use crate::error::{Error, Recovery, Result, Trace};
use crate::http::{Attempts, Broken, Request, Response, RetryPolicy, Transport};
use crate::port::Secret;
use crate::quickbooks::client::retry_after;
use crate::quickbooks::foreign::{elsewhere, is_page};
use crate::quickbooks::scrub::{scrub, trace_id};

/// Client of the token endpoint for one app.
#[derive(Debug, Clone)]
pub(crate) struct TokenEndpoint {
    transport: Transport,
    token_url: Url,
    client_id: Secret,
    client_secret: Secret,
    retry: RetryPolicy,
}

#[derive(Deserialize, Default)]
struct TokenFault {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Reason why the endpoint did not issue tokens.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// This refresh token or code is no longer valid; another one may be.
    InvalidGrant {
        /// Intuit's answer, for error texts.
        answer: String,
        /// Code and id of the answer.
        trace: Trace,
        /// An earlier attempt may have been carried out whose answer was lost.
        was_answer_lost: bool,
    },
    /// No other token would help.
    Final {
        /// The error to report.
        error: Error,
        /// An attempt may have been carried out whose answer was lost.
        was_answer_lost: bool,
    },
}

/// Header that requests the remaining lifetime of the connection (qbo-facts 1.3).
const INCLUDE_HARD_EXPIRY: HeaderName =
    HeaderName::from_static("x-include-refresh-token-hard-expires-in");

impl TokenEndpoint {
    /// Creates a client of the endpoint at `token_url` for the app `client_id`.
    pub(crate) fn new(
        transport: Transport,
        token_url: Url,
        client_id: String,
        client_secret: Secret,
        retry: RetryPolicy,
    ) -> Self {
        Self {
            transport,
            token_url,
            // No secret, but nothing that an answer should show either.
            client_id: Secret::new(client_id),
            client_secret,
            retry,
        }
    }

    /// Obtains new tokens for a refresh token. Retries lost answers and transient errors.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub(crate) async fn refresh(&self, token: &Secret) -> Result<TokenAnswer, Refusal> {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose()),
        ];
        self.request_tokens(&form, false).await
    }

    /// Returns the tries and waits between answers.
    pub(crate) fn attempts(&self) -> Attempts {
        Attempts::new(self.retry, "auth")
    }

    /// Obtains the first tokens for the code of a consent. A code can be used once, and Intuit may
    /// revoke the connection if it is sent again (qbo-facts 13.19), so a lost answer is not asked for
    /// twice.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub(crate) async fn exchange(
        &self,
        code: &Secret,
        redirect_uri: &str,
    ) -> Result<TokenAnswer, Refusal> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
        ];
        self.request_tokens(&form, true).await
    }

    /// Revokes the connection that a token belongs to. Answers have empty bodies (qbo-facts 1.2).
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if Intuit refuses; [`Error::Transport`] if no answer arrives.
    pub(crate) async fn revoke(&self, revoke_url: &Url, token: &Secret) -> Result<()> {
        let mut request = self.request(revoke_url.clone(), "application/json");
        request.body = Bytes::from(serde_json::json!({"token": token.expose()}).to_string());
        let mut attempts = self.attempts();
        loop {
            attempts.start_next();
            let (error, requested_wait) = match self.transport.send(request.clone(), None).await {
                Ok(Response { status: 200, .. })
                // The status says all, whatever its body is and whether it arrives.
                | Err(Broken { status: Some(200), .. }) => return Ok(()),
                Ok(response) if is_transient(response.status) => {
                    let error = self.unusable("revocation", revoke_url, &response);
                    (error, retry_after(&response))
                }
                Ok(response) if is_foreign(&response) => {
                    return Err(self.not_intuits("revocation", revoke_url, &response));
                }
                Ok(response) => {
                    let reason = format!(
                        "the revocation endpoint answered HTTP {}; the token is unknown there, or the keys are not the app's",
                        response.status
                    );
                    return Err(Error::Unauthenticated {
                        reason,
                        trace: trace_of(&response, None),
                    });
                }
                Err(Broken { error, .. }) => (error, None),
            };
            if error.recovery() != Recovery::Retry {
                return Err(error);
            }
            attempts.wait(error, requested_wait).await?;
        }
    }

    /// Requests tokens until an answer holds some. With `is_single_use`, a request that may have been
    /// carried out is not repeated.
    async fn request_tokens(
        &self,
        form: &[(&str, &str)],
        is_single_use: bool,
    ) -> Result<TokenAnswer, Refusal> {
        let request = self.token_request(form);
        let mut attempts = self.attempts();
        let mut was_answer_lost = false;
        loop {
            attempts.start_next();
            let (error, requested_wait) = match self.transport.send(request.clone(), None).await {
                Ok(response) => match self.read(&response, was_answer_lost)? {
                    Reading::Tokens(answer) => return Ok(answer),
                    Reading::Unusable { error, wait } => {
                        was_answer_lost |= is_success(response.status);
                        (error, wait)
                    }
                },
                Err(Broken {
                    error,
                    status,
                    received,
                    ..
                }) => {
                    let answer = match status.is_some_and(is_success) {
                        true => TokenAnswer::read_part(&received),
                        false => TokenAnswer::default(),
                    };
                    if answer.refresh_token.is_some() {
                        return Ok(answer);
                    }
                    was_answer_lost |= matches!(
                        error,
                        Error::Transport { was_sent: true, .. } | Error::TooLarge { .. }
                    );
                    (error, None)
                }
            };
            let is_over = error.recovery() != Recovery::Retry || (is_single_use && was_answer_lost);
            let waited = match is_over {
                true => Err(attempts.give_up(error)),
                false => attempts.wait(error, requested_wait).await,
            };
            waited.map_err(|error| Refusal::Final {
                error,
                was_answer_lost,
            })?;
        }
    }

    /// Reads an answer. A success that holds a token is one with tokens, whatever its form. The page
    /// of a server that fails may speak of tokens, and counts only if it is JSON with a refresh token and more. A
    /// refusal (4xx) may quote a token that is not new.
    fn read(&self, response: &Response, was_answer_lost: bool) -> Result<Reading, Refusal> {
        let answer = match is_success(response.status) {
            true => TokenAnswer::read(&response.body),
            false => TokenAnswer::read_json(&response.body),
        };
        let is_passing = is_transient(response.status);
        let is_refusal = !is_success(response.status) && !is_passing;
        if is_passing && answer.is_issued() || is_success(response.status) && answer.has_tokens() {
            return Ok(Reading::Tokens(answer));
        }
        if is_refusal && is_foreign(response) {
            return Err(Refusal::Final {
                error: self.not_intuits("token", &self.token_url, response),
                was_answer_lost,
            });
        }
        // A proxy or a library may turn the status of a refusal into a success.
        if is_refusal || fault_of(response).is_known() {
            return Err(refusal(response, was_answer_lost));
        }
        Ok(Reading::Unusable {
            error: self.unusable("token", &self.token_url, response),
            wait: retry_after(response).filter(|_| is_passing),
        })
    }

    fn token_request(&self, form: &[(&str, &str)]) -> Request {
        let mut request = self.request(self.token_url.clone(), "application/x-www-form-urlencoded");
        request
            .headers
            .insert(INCLUDE_HARD_EXPIRY, HeaderValue::from_static("true"));
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        request.body = Bytes::from(form);
        request
    }

    fn request(&self, url: Url, content_type: &'static str) -> Request {
        let basic = STANDARD.encode(format!(
            "{}:{}",
            self.client_id.expose(),
            self.client_secret.expose()
        ));
        // An answer may repeat it.
        let basic = Secret::new(basic);
        // Base64 is always a legal header value.
        let mut authorization = HeaderValue::from_str(&format!("Basic {}", basic.expose()))
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

    fn unusable(&self, name: &str, url: &Url, response: &Response) -> Error {
        let status = response.status;
        let reason = match is_page(response) {
            false => format!("the {name} endpoint answered HTTP {status} without usable tokens"),
            true => format!(
                "the {name} endpoint answered HTTP {status} with an HTML page{}, which may be that of a proxy, of a \
                 firewall or of a login to the network",
                self.transport.way(url)
            ),
        };
        Error::Transport {
            reason,
            was_sent: true,
            source: None,
        }
    }

    /// Returns the error for an answer that is not the endpoint's, so that it says nothing about the
    /// credentials.
    fn not_intuits(&self, name: &str, url: &Url, response: &Response) -> Error {
        let (status, way) = (response.status, self.transport.way(url));
        let host = url.host_str().unwrap_or_default();
        let setting = match name {
            "token" => "QBO_TOKEN_URL",
            _ => "QBO_REVOKE_URL",
        };
        let reason = match elsewhere(response) {
            Some(place) => format!(
                "the {name} endpoint answered HTTP {status}, which points to {place}{way}. It is not followed, because \
                 the client secret would go there. A proxy or a login to the network answers like this; or \
                 {setting} is not the endpoint's own address"
            ),
            None => format!(
                "the {name} endpoint answered HTTP {status} with an HTML page{way}, which is no answer of Intuit's \
                 endpoint: a firewall or proxy between this machine and {host} refuses the request; let it allow that \
                 host, or check {setting}"
            ),
        };
        Error::PermissionDenied {
            reason,
            trace: trace_of(response, None),
        }
    }
}

/// Returns whether an answer that is no success is not the endpoint's: it answers in JSON, and never
/// redirects.
fn is_foreign(response: &Response) -> bool {
    let has_fault = !fault_of(response).error.is_empty();
    !has_fault && (elsewhere(response).is_some() || is_page(response))
}

fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// The use of an answer that is no refusal.
enum Reading {
    /// It holds tokens.
    Tokens(TokenAnswer),
    /// It holds none; the server may ask for a wait.
    Unusable {
        error: Error,
        wait: Option<Duration>,
    },
}

fn fault_of(response: &Response) -> TokenFault {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

impl TokenFault {
    /// Returns true for the refusals that no repetition changes.
    fn is_known(&self) -> bool {
        matches!(
            self.error.as_str(),
            "invalid_grant" | "invalid_client" | "unauthorized_client"
        )
    }
}

fn refusal(response: &Response, was_answer_lost: bool) -> Refusal {
    let fault = fault_of(response);
    let answer = match (fault.error.as_str(), fault.error_description.as_str()) {
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
            answer,
            trace,
            was_answer_lost,
        };
    }
    let hint = match fault.error.as_str() {
        "invalid_client" => {
            "check QBO_CLIENT_ID and QBO_CLIENT_SECRET against the keys of your app at https://developer.intuit.com"
        }
        _ => "check QBO_TOKEN_URL and the credentials",
    };
    let reason = format!("the token endpoint said {answer}; {hint}");
    Refusal::Final {
        error: Error::Unauthenticated { reason, trace },
        was_answer_lost,
    }
}

fn trace_of(response: &Response, code: Option<&str>) -> Trace {
    Trace {
        code: code.map(scrub),
        intuit_tid: response.header("intuit_tid").map(trace_id),
    }
}
