//! The HTTP server. Each request is counted, checked against the armed faults, authorized, answered
//! and sent.

mod bomb;
mod connection;
mod endpoint;
mod gateway;
mod request;
mod service;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::time::Instant;

use self::connection::ConnectionHandle;
use self::endpoint::Endpoint;
use self::request::ReceivedRequest;
use crate::answer::Answer;
use crate::control;
use crate::faults::{Delivery, Effects, Replacement};
use crate::paths::MAX_COMMAND_BYTES;
use crate::state::State;

/// Requests with a larger body are refused.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// The time for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);

/// Serves requests until the future is dropped. Errors of single connections do not end it.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let connection = connection::accept(&listener).await;
        let state = state.clone();
        tokio::spawn(
            connection
                .converse(move |handle, request| self::handle(state.clone(), handle, request)),
        );
    }
}

async fn handle(state: Arc<State>, connection: ConnectionHandle, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let max_bytes = match control::command_in_path(head.uri.path()) {
        Some(_) => match control::refusal_of_caller(&head.method, &head.headers) {
            Some(refusal) => return send_unchanged(&state, refusal),
            None => MAX_COMMAND_BYTES,
        },
        None => MAX_REQUEST_BYTES,
    };
    let body = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, max_bytes)).await;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return send_unchanged(&state, Answer::empty(413)),
        Err(_) => return send_unchanged(&state, Answer::empty(408)),
    };
    let request = ReceivedRequest {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
    };
    if let Some(command) = control::command_in_path(request.path()) {
        let arguments = control::arguments(&request.body, &request.query());
        let answer = control::answer(&state, &request.method, command, arguments);
        return send_unchanged(&state, answer);
    }
    match exchange(&state, &request).await {
        Some((head, body, Delivery::Whole)) => head.map(|()| Body::from(body)),
        Some((head, body, faulty)) => connection.deliver(head, body, faulty),
        None => {
            connection.reset();
            Response::new(Body::empty())
        }
    }
}

/// The outcome of a request that came without a connection.
#[derive(Debug)]
pub enum Reply {
    /// The whole answer.
    Whole(Response<Bytes>),
    /// The first half of an answer, before the connection was lost.
    Half(Response<Bytes>),
    /// The connection was lost before any answer. The request may have had its effect.
    Lost,
}

/// Answers a request that came without a connection.
pub(crate) async fn reply(state: &State, request: axum::http::Request<Bytes>) -> Reply {
    let (head, body) = request.into_parts();
    let request = ReceivedRequest {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
    };
    match exchange(state, &request).await {
        Some((head, body, Delivery::Truncated)) => {
            Reply::Half(head.map(|()| body.slice(..body.len() / 2)))
        }
        Some((head, body, _)) => Reply::Whole(head.map(|()| body)),
        None => Reply::Lost,
    }
}

/// Counts and answers a request. Returns the answer with the way in which it reaches the client, or
/// `None` if a fault breaks the connection.
async fn exchange(
    state: &State,
    request: &ReceivedRequest,
) -> Option<(Response<()>, Bytes, Delivery)> {
    let endpoint = Endpoint::of(&request.method, request.path());
    let kind = endpoint.kind();
    let in_flight = state.stats.begin_request(kind);
    let effects =
        state
            .faults
            .lock()
            .effects_on(kind, request.path(), &request.text(), Instant::now());
    let refresh = tokens::refresh_token(kind, request).map(|token| state.refreshes.begin(token));
    let answer = answer(state, request, &endpoint, &effects).await;
    drop(refresh);
    control::run_changes(state, &effects.changes);
    let Some(answer) = answer else {
        in_flight.finish(0, 0);
        return None;
    };
    let answer = answer.negotiated(&request.headers);
    let answer = match effects.delivery() {
        Delivery::Endless | Delivery::GzipBomb { .. } | Delivery::Announced { .. } => answer,
        _ => answer.encoded(&request.headers),
    };
    let status = answer.status;
    let (head, body) = answer.into_parts(state.next_answer(), state.clock.now());
    in_flight.finish(status, body.len());
    Some((head, body, effects.delivery()))
}

/// Answers a request. Returns `None` if a fault breaks the connection instead.
async fn answer(
    state: &State,
    request: &ReceivedRequest,
    endpoint: &Endpoint<'_>,
    effects: &Effects,
) -> Option<Answer> {
    effects.wait().await;
    match effects.replacement(state.clock.now()) {
        Replacement::None => {}
        Replacement::Answer(answer) => return Some(answer),
        Replacement::Reset => return None,
    }
    let answer = gateway::answer(state, request, endpoint).await;
    if effects.loses_answer() {
        None
    } else {
        Some(effects.malform(answer))
    }
}

/// Sends an answer as it is.
fn send_unchanged(state: &State, answer: Answer) -> Response {
    let (head, body) = answer.into_parts(state.next_answer(), state.clock.now());
    head.map(|()| Body::from(body))
}
