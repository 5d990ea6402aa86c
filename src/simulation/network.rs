//! The network between a process and the sandbox, which answers in this process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use qbo_sandbox::Reply;
use reqwest::header::{AUTHORIZATION, HOST, HeaderValue};
use tokio::time::timeout;

use super::process::Process;
use crate::error::{Error, Result};
use crate::http::{Broken, Request, Response, SimulatedNetwork};
use crate::port::Secret;

/// Time limit of one request, as in production.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

pub(super) struct Wire {
    process: Arc<Process>,
}

impl Wire {
    pub(super) fn new(process: Arc<Process>) -> Self {
        Self { process }
    }

    async fn send(&self, request: Request, bearer: Option<&Secret>) -> Result<Response, Broken> {
        let world = &self.process.world;
        let line = line_of(&request);
        let is_token = line.contains("/oauth2/");
        self.process.operation(&format!("asks {line}")).await;
        world.moves();
        if world.fails("no connection", 0.5) {
            return Err(broken(false, "cannot connect"));
        }
        if is_token {
            world.tokens.set_settled(false);
        }
        let reply = timeout(
            REQUEST_TIMEOUT,
            world.sandbox.answer(with_token(request, bearer)),
        );
        let Ok(reply) = reply.await else {
            return Err(broken(true, "timed out"));
        };
        world.moves();
        self.process.operation(&format!("hears {line}")).await;
        let response = match reply {
            Reply::Whole(response) => response,
            Reply::Half(response) => {
                let received = response.body().clone();
                return Err(Broken {
                    status: Some(response.status().as_u16()),
                    received,
                    ..broken(true, "the answer was cut")
                });
            }
            Reply::Lost => return Err(broken(true, "connection reset")),
        };
        if world.fails("the answer is lost", 0.5) {
            return Err(broken(true, "connection reset"));
        }
        let (head, body) = response.into_parts();
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            held: crate::port::Held::default(),
        })
    }
}

impl SimulatedNetwork for Wire {
    fn exchange<'n>(
        &'n self,
        request: Request,
        bearer: Option<&'n Secret>,
    ) -> BoxFuture<'n, Result<Response, Broken>> {
        Box::pin(self.send(request, bearer))
    }
}

/// Returns a request in one line, for the log of the world.
fn line_of(request: &Request) -> String {
    let body = String::from_utf8_lossy(&request.body);
    let query = request.url.query().unwrap_or_default();
    format!("{} {query} {body}", request.url.path())
}

/// Returns a request as it arrives at the server.
fn with_token(request: Request, bearer: Option<&Secret>) -> qbo_sandbox::http::Request<Bytes> {
    let url = request.url;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut arriving = qbo_sandbox::http::Request::new(request.body);
    *arriving.method_mut() = request.method;
    *arriving.uri_mut() = target.parse().unwrap();
    *arriving.headers_mut() = request.headers;
    let headers = arriving.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("books.test"));
    if let Some(token) = bearer {
        let value = format!("Bearer {}", token.expose());
        headers.insert(AUTHORIZATION, value.parse().unwrap());
    }
    arriving
}

fn broken(was_sent: bool, reason: &str) -> Broken {
    Broken {
        error: Error::Transport {
            reason: reason.to_owned(),
            was_sent,
            source: None,
        },
        was_sent,
        status: None,
        received: Bytes::new(),
    }
}
