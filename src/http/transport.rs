//! One HTTP exchange: a request sent, the whole answer received.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use tokio::time::{Instant, timeout};

use super::body::{AnswerBody, AnswerLimit, Full};
use super::certificates::check_certificate_file;
use super::failure::{Destination, Lost, not_set_up};
use super::proxy::Proxies;
use crate::error::{Error, Result};
use crate::port::{Endpoint, Held, Progress, Secret};

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
    /// Memory of the body, if it is large. Others may wait for it.
    pub held: Held,
}

impl Response {
    /// Returns a header as text, or `None` if it is absent or not readable as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A request without a complete answer.
#[derive(Debug)]
pub(crate) struct Broken {
    /// The failure.
    pub error: Error,
    /// The request has left this machine, as far as is known.
    pub was_sent: bool,
    /// Status of the answer, if it had begun.
    pub status: Option<u16>,
    /// The part of the answer's body that arrived.
    pub received: Bytes,
}

impl Broken {
    /// Returns the failure of a request that was not sent.
    fn before_sending(error: Error) -> Self {
        Self {
            error,
            was_sent: false,
            status: None,
            received: Bytes::new(),
        }
    }
}

/// The part of an answer that has arrived: its status and body.
type Part = Option<(u16, AnswerBody)>;

/// Limits of one request, in time and size.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For opening a connection.
    pub connect: Duration,
    /// For the next chunk of an answer that has begun to arrive.
    pub read: Duration,
    /// For one whole request, from connecting to the last byte, without the time in which it waits for
    /// memory of this process.
    pub request: Duration,
    /// Largest answer with data, unpacked, in bytes.
    pub max_answer: usize,
}

/// An HTTP client that keeps connections alive between requests. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Transport {
    connections: Connections,
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

/// The way to the server.
#[derive(Clone)]
enum Connections {
    Network(Network),
    /// A network that a test simulates.
    #[cfg(test)]
    Simulated(Arc<dyn SimulatedNetwork>),
}

/// Real connections, and the limits of what is received on them.
#[derive(Clone)]
struct Network {
    client: reqwest::Client,
    proxies: Arc<Proxies>,
    read_timeout: Duration,
    request_timeout: Duration,
    answer_limit: AnswerLimit,
}

/// The time that the network may take for one request. What the request waits for in this process, such as
/// memory for its answer, does not count.
struct NetworkTime {
    left: Duration,
}

impl NetworkTime {
    /// Waits for the network, `most` at the longest; `None` if that takes longer, or more than is left.
    async fn spend<T>(&mut self, most: Duration, waited: impl Future<Output = T>) -> Option<T> {
        let begin = Instant::now();
        let outcome = timeout(most.min(self.left), waited).await;
        self.left = self.left.saturating_sub(begin.elapsed());
        outcome.ok().filter(|_| !self.is_over())
    }

    fn is_over(&self) -> bool {
        self.left.is_zero()
    }
}

/// A network without sockets, for tests.
#[cfg(test)]
pub(crate) trait SimulatedNetwork: Send + Sync {
    /// Sends one request and waits for the complete answer.
    ///
    /// # Errors
    /// [`Broken`], if no complete answer arrives.
    fn exchange<'n>(
        &'n self,
        request: Request,
        bearer: Option<&'n Secret>,
    ) -> futures_util::future::BoxFuture<'n, Result<Response, Broken>>;
}

impl Transport {
    /// Creates a transport over TLS (ring, the system's certificate authorities) or plain HTTP,
    /// depending on the URL. Reports the end of every request to `progress`.
    ///
    /// # Errors
    /// If TLS cannot be set up on this machine; [`Error::Config`] about `SSL_CERT_FILE`.
    pub(crate) fn new(
        timeouts: Timeouts,
        endpoint: Endpoint,
        progress: Arc<dyn Progress>,
    ) -> Result<Self> {
        check_certificate_file()?;
        // The first call in a process installs it; later calls fail, which is harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .user_agent(concat!("qbo_rs/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            // A redirect would send the token to a host that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .gzip(true)
            .build()
            .map(|client| Self {
                connections: Connections::Network(Network {
                    client,
                    proxies: Arc::new(Proxies::from_env()),
                    read_timeout: timeouts.read,
                    request_timeout: timeouts.request,
                    answer_limit: AnswerLimit::new(timeouts.max_answer),
                }),
                endpoint,
                progress,
            })
            .map_err(not_set_up)
    }

    /// Creates a transport over a simulated network.
    #[cfg(test)]
    pub(crate) fn simulated(network: Arc<dyn SimulatedNetwork>, endpoint: Endpoint) -> Self {
        Self {
            connections: Connections::Simulated(network),
            endpoint,
            progress: Arc::new(crate::port::NoProgress),
        }
    }

    /// Returns a transport over the same connections that reports its requests as `endpoint`'s.
    pub(crate) fn for_endpoint(&self, endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            ..self.clone()
        }
    }

    /// Reports that no request is sent for a while.
    pub(crate) fn paused(&self, wait: Duration) {
        self.progress.paused(wait);
    }

    /// Returns the clause that names the proxy on the way to `url`; empty without one.
    pub(crate) fn way(&self, url: &Url) -> String {
        match &self.connections {
            Connections::Network(network) => network.destination(url).way(),
            #[cfg(test)]
            Connections::Simulated(_) => String::new(),
        }
    }

    /// Sends one request and reads the complete answer, whatever its status.
    ///
    /// # Errors
    /// [`Error::Transport`] if no complete answer arrived; [`Error::TooLarge`] if it is larger than
    /// its limit; [`Error::Config`] if the proxy or TLS refuses every connection. Each comes with the part of the
    /// answer that arrived.
    pub(crate) async fn send(
        &self,
        request: Request,
        bearer: Option<&Secret>,
    ) -> Result<Response, Broken> {
        let started_at = Instant::now();
        let outcome = match &self.connections {
            Connections::Network(network) => network.exchange(self.endpoint, request, bearer).await,
            #[cfg(test)]
            Connections::Simulated(network) => network.exchange(request, bearer).await,
        };
        let status = outcome.as_ref().ok().map(|response| response.status);
        self.progress
            .request_ended(self.endpoint, status, started_at.elapsed());
        outcome
    }

    /// Posts JSON to a URL that is a secret as a whole, and returns the status of the answer.
    ///
    /// # Errors
    /// As for [`Self::send`]; nothing of the URL but its host is in them.
    pub(crate) async fn post_json(&self, url: &Secret, body: String) -> Result<u16> {
        let url = Url::parse(url.expose()).map_err(|_| Error::Internal("no URL".to_owned()))?;
        let json = HeaderValue::from_static("application/json");
        let request = Request {
            method: Method::POST,
            url,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
            body: body.into(),
        };
        let sent = self.send(request, None).await;
        sent.map(|response| response.status)
            .map_err(|broken| broken.error)
    }
}

impl Network {
    fn destination(&self, url: &Url) -> Destination {
        Destination::new(url, self.proxies.of(url))
    }

    async fn exchange(
        &self,
        endpoint: Endpoint,
        request: Request,
        bearer: Option<&Secret>,
    ) -> Result<Response, Broken> {
        self.proxies
            .check(&request.url)
            .map_err(Broken::before_sending)?;
        let destination = self.destination(&request.url);
        let mut builder = self
            .client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body);
        if let Some(token) = bearer {
            builder = builder.bearer_auth(token.expose());
        }
        let mut part = None;
        self.receive(endpoint, builder, &destination, &mut part)
            .await
            .map_err(|Lost { error, was_sent }| {
                let part = part.map(|(status, mut body)| (status, body.take()));
                Broken {
                    error,
                    was_sent,
                    status: part.as_ref().map(|(status, _)| *status),
                    received: part.map(|(_, received)| received).unwrap_or_default(),
                }
            })
    }

    async fn receive(
        &self,
        endpoint: Endpoint,
        request: reqwest::RequestBuilder,
        destination: &Destination,
        part: &mut Part,
    ) -> Result<Response, Lost> {
        let failed = |error| destination.lost(error);
        let mut time = NetworkTime {
            left: self.request_timeout,
        };
        let timed_out = || Lost::after_sending(destination.timed_out());
        let sent = time.spend(self.request_timeout, request.send()).await;
        let mut response = sent.ok_or_else(timed_out)?.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = self.answer_limit.body(endpoint, status);
        let (_, body) = part.insert((status, body));
        if let Some(error) = destination.refused_by_proxy(status) {
            return Err(Lost::after_sending(error));
        }
        let mut added = body.expect(response.content_length().unwrap_or(0));
        loop {
            match added {
                Ok(()) => {}
                Err(Full::Fault) => break,
                Err(full) => return Err(Lost::after_sending(destination.too_large(full))),
            }
            added = match time.spend(self.read_timeout, response.chunk()).await {
                Some(Ok(Some(chunk))) => {
                    body.make_room(chunk.len()).await;
                    body.push(&chunk)
                }
                Some(Ok(None)) => break,
                Some(Err(error)) => return Err(failed(error)),
                None if time.is_over() => return Err(timed_out()),
                None => {
                    let stalled = destination.stalled(self.read_timeout.as_secs_f64());
                    return Err(Lost::after_sending(stalled));
                }
            }
        }
        let (body, held) = body.take_and_hold();
        Ok(Response {
            status,
            headers,
            body,
            held,
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::port::NoProgress;

    /// Answers each request with so many bytes, after a wait; returns the URL.
    async fn serve(length: usize, wait: Duration) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes()).await;
                    tokio::time::sleep(wait).await;
                    let _ = stream.write_all(&vec![b'x'; length]).await;
                });
            }
        });
        Url::parse(&url).unwrap()
    }

    fn transport(request: Duration) -> Transport {
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(5),
            request,
            max_answer: 4 << 20,
        };
        Transport::new(timeouts, Endpoint::Data, Arc::new(NoProgress)).unwrap()
    }

    fn get(url: &Url) -> Request {
        Request {
            method: Method::GET,
            url: url.clone(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    #[tokio::test]
    async fn the_wait_for_memory_is_no_time_of_the_network() {
        let url = serve(3 << 20, Duration::ZERO).await;
        let transport = transport(Duration::from_secs(1));
        let first = transport.send(get(&url), None).await.unwrap();
        let second = tokio::spawn({
            let (transport, request) = (transport.clone(), get(&url));
            async move { transport.send(request, None).await }
        });
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(
            !second.is_finished(),
            "it waits for the memory of the first"
        );
        drop(first);
        assert_eq!(second.await.unwrap().unwrap().body.len(), 3 << 20);
    }

    #[tokio::test]
    async fn a_request_has_its_time_for_the_whole_answer() {
        let url = serve(1000, Duration::from_secs(2)).await;
        let transport = transport(Duration::from_millis(300));
        let broken = transport.send(get(&url), None).await.unwrap_err();
        let said = broken.error.to_string();
        assert!(said.contains("timed out waiting for 127.0.0.1"), "{said}");
        assert!(broken.was_sent);
    }
}
