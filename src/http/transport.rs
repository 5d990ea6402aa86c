//! One HTTP exchange: a request sent, the whole answer received.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use tokio::time::timeout;

use crate::error::{Error, Result, chain};
use crate::port::{Endpoint, Progress, Secret};

/// A request without its authorisation. Cheap to clone, so that it can be repeated.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers, `Authorization` left out.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A whole answer, decompressed.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Response {
    /// A header as text, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next part of an answer that has begun to arrive.
    pub read: Duration,
    /// For the whole of one request. QBO itself gives up after 120 s (qbo-facts 6.1).
    pub request: Duration,
}

/// Sends requests; keeps connections alive between them. Shared by cloning.
#[derive(Clone)]
pub struct Transport {
    client: reqwest::Client,
    between_chunks: Duration,
    endpoint: Endpoint,
    progress: Arc<dyn Progress>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// More is not set aside on a server's word.
const FIRST_BUFFER: u64 = 4 << 20;

impl Transport {
    /// A transport over TLS (ring, the system's certificate authorities) or plain HTTP, as the URL
    /// says. Every request's end is told to `progress`.
    ///
    /// # Errors
    /// If TLS cannot be set up on this machine.
    pub fn new(
        timeouts: Timeouts,
        endpoint: Endpoint,
        progress: Arc<dyn Progress>,
    ) -> Result<Self> {
        // Only the first call in a process installs it; a later one finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .user_agent(concat!("qbo_rs/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.request)
            // A redirect would carry the token to a host that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .gzip(true)
            .build()
            .map(|client| Self {
                client,
                between_chunks: timeouts.read,
                endpoint,
                progress,
            })
            .map_err(|e| Error::Transport {
                reason: format!("cannot set up HTTP: {}", chain(&e)),
                was_sent: false,
            })
    }

    /// The same connections, for requests that count as another endpoint's.
    pub fn to(&self, endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            ..self.clone()
        }
    }

    /// Sends one request and reads its whole answer, whatever its status.
    ///
    /// # Errors
    /// [`Error::Transport`] if no complete answer arrived.
    pub async fn send(&self, request: Request, bearer: Option<&Secret>) -> Result<Response> {
        let begin = Instant::now();
        let outcome = self.exchange(request, bearer).await;
        let status = outcome.as_ref().ok().map(|response| response.status);
        self.progress
            .request_ended(self.endpoint, status, begin.elapsed());
        outcome
    }

    async fn exchange(&self, request: Request, bearer: Option<&Secret>) -> Result<Response> {
        let host = host_of(&request.url);
        let mut builder = self
            .client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body);
        if let Some(token) = bearer {
            builder = builder.bearer_auth(token.expose());
        }
        let failed = |e: reqwest::Error| Error::Transport {
            was_sent: !e.is_connect(),
            reason: describe(&host, e),
        };
        let mut response = builder.send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = BytesMut::with_capacity(
            response.content_length().unwrap_or(0).min(FIRST_BUFFER) as usize,
        );
        loop {
            match timeout(self.between_chunks, response.chunk()).await {
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Ok(None)) => {
                    return Ok(Response {
                        status,
                        headers,
                        body: body.freeze(),
                    });
                }
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => {
                    let seconds = self.between_chunks.as_secs_f64();
                    let reason = format!(
                        "the answer of {host} stopped in the middle: nothing came for {seconds} s"
                    );
                    return Err(Error::Transport {
                        reason,
                        was_sent: true,
                    });
                }
            }
        }
    }
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn describe(host: &str, error: reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "timed out waiting for"
    } else if error.is_connect() {
        "cannot connect to"
    } else {
        "lost the answer of"
    };
    // Without its URL: a query string may hold what nobody should read in a log.
    format!("{what} {host}: {}", chain(&error.without_url()))
}
