//! One HTTP exchange: a request sent, the whole answer received.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use crate::error::{Error, Result, chain};

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
    /// For the whole of one request. QBO itself gives up after 120 s (qbo-facts 6.1).
    pub request: Duration,
}

/// Sends requests; keeps connections alive between them. Shared by cloning.
#[derive(Debug, Clone)]
pub struct Transport(reqwest::Client);

impl Transport {
    /// A transport over TLS (ring, the system's certificate authorities) or plain HTTP, as the URL says.
    ///
    /// # Errors
    /// If TLS cannot be set up on this machine.
    pub fn new(timeouts: Timeouts) -> Result<Self> {
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
            .map(Self)
            .map_err(|e| Error::Transport { reason: format!("cannot set up HTTP: {}", chain(&e)), was_sent: false })
    }

    /// Sends one request and reads its whole answer, whatever its status.
    ///
    /// # Errors
    /// [`Error::Transport`] if no complete answer arrived.
    pub async fn send(&self, request: Request, authorization: Option<&str>) -> Result<Response> {
        let host = host_of(&request.url);
        let mut builder = self.0.request(request.method, request.url).headers(request.headers).body(request.body);
        if let Some(value) = authorization {
            builder = builder.header(reqwest::header::AUTHORIZATION, value);
        }
        let failed = |e: reqwest::Error| Error::Transport { was_sent: !e.is_connect(), reason: describe(&host, e) };
        let response = builder.send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.map_err(failed)?;
        Ok(Response { status, headers, body })
    }
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
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
