//! One HTTP exchange: a request sent, the whole answer received.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use tokio::time::timeout;

use crate::error::{Error, Result, chain};
use crate::port::{Endpoint, Progress, Secret};

/// A request without its `Authorization` header. Cheap to clone, so that it can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// GET or POST.
    pub method: Method,
    /// Full URL.
    pub url: Url,
    /// Headers except `Authorization`.
    pub headers: HeaderMap,
    /// Body; empty for GET.
    pub body: Bytes,
}

/// A complete answer, decompressed.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Response {
    /// Returns a header as text, or `None` if it is absent or not readable as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Time limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For opening a connection.
    pub connect: Duration,
    /// For the next chunk of an answer that has begun to arrive.
    pub read: Duration,
    /// For one whole request, from connecting to the last byte.
    pub request: Duration,
}

/// An HTTP client that keeps connections alive between requests. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Transport {
    client: reqwest::Client,
    read_timeout: Duration,
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

/// Cap of the buffer that is allocated because of a `Content-Length` header, which may be wrong.
const MAX_INITIAL_BUFFER: u64 = 4 << 20;

impl Transport {
    /// Creates a transport over TLS (ring, the system's certificate authorities) or plain HTTP,
    /// depending on the URL. Reports the end of every request to `progress`.
    ///
    /// # Errors
    /// If TLS cannot be set up on this machine.
    pub(crate) fn new(
        timeouts: Timeouts,
        endpoint: Endpoint,
        progress: Arc<dyn Progress>,
    ) -> Result<Self> {
        // The first call in a process installs it; later calls fail, which is harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .user_agent(concat!("qbo_rs/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.request)
            // A redirect would send the token to a host that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .gzip(true)
            .build()
            .map(|client| Self {
                client,
                read_timeout: timeouts.read,
                endpoint,
                progress,
            })
            .map_err(|e| Error::Transport {
                reason: format!("cannot set up HTTP: {}", chain(&e)),
                was_sent: false,
                source: Some(Box::new(e)),
            })
    }

    /// Returns a transport over the same connections that reports its requests as `endpoint`'s.
    pub(crate) fn for_endpoint(&self, endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            ..self.clone()
        }
    }

    /// Sends one request and reads the complete answer, whatever its status.
    ///
    /// # Errors
    /// [`Error::Transport`] if no complete answer arrived.
    pub(crate) async fn send(&self, request: Request, bearer: Option<&Secret>) -> Result<Response> {
        let started_at = Instant::now();
        let outcome = self.exchange(request, bearer).await;
        let status = outcome.as_ref().ok().map(|response| response.status);
        self.progress
            .request_ended(self.endpoint, status, started_at.elapsed());
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
        let failed = |e: reqwest::Error| {
            // Without the URL: its query string may hold data that does not belong in a log.
            let e = e.without_url();
            Error::Transport {
                was_sent: !e.is_connect(),
                reason: describe(&host, &e),
                source: Some(Box::new(e)),
            }
        };
        let mut response = builder.send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = BytesMut::with_capacity(
            response
                .content_length()
                .unwrap_or(0)
                .min(MAX_INITIAL_BUFFER) as usize,
        );
        loop {
            match timeout(self.read_timeout, response.chunk()).await {
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
                    let seconds = self.read_timeout.as_secs_f64();
                    let reason = format!(
                        "the answer of {host} stopped in the middle: nothing arrived for {seconds} s"
                    );
                    return Err(Error::Transport {
                        reason,
                        was_sent: true,
                        source: None,
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

fn describe(host: &str, error: &reqwest::Error) -> String {
    let problem = if error.is_timeout() {
        "timed out waiting for"
    } else if error.is_connect() {
        "cannot connect to"
    } else {
        "lost the answer of"
    };
    format!("{problem} {host}: {}", chain(error))
}
