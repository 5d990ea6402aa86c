//! The page that Intuit sends the browser back to, on this machine.

use std::future::IntoFuture;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use reqwest::Url;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};
use crate::quickbooks::oauth::Callback;

/// Time for the browser to take its answer. A connection that says nothing does not hold up the login.
const TIME_TO_ANSWER: Duration = Duration::from_secs(2);

/// Listens at the address of a redirect URI, which must be on this machine.
pub(super) fn bind(redirect_uri: &Url) -> Result<TcpListener> {
    let refuse = |reason: String| Error::config("redirect-uri", reason);
    let host = redirect_uri.host_str().unwrap_or_default();
    if redirect_uri.scheme() != "http" || !matches!(host, "localhost" | "127.0.0.1") {
        return Err(refuse(format!(
            "'{redirect_uri}' is not http on this machine; use --paste with it"
        )));
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, redirect_uri.port().unwrap_or(80)));
    let listener = TcpListener::bind(address)
        .map_err(|e| refuse(format!("cannot listen at {address}: {e}; name another port with --redirect-uri, which the app must list, or add --paste")))?;
    listener
        .set_nonblocking(true)
        .map_err(|e| refuse(e.to_string()))?;
    Ok(listener)
}

type Questions = mpsc::Sender<(String, oneshot::Sender<String>)>;

/// Serves until the browser comes back with an answer to this login: `read` gives none for what is
/// not.
pub(super) async fn wait(
    listener: TcpListener,
    path: &str,
    read: impl Fn(&str) -> Option<Result<Callback>>,
) -> Result<Callback> {
    let failed = |e: std::io::Error| Error::config("redirect-uri", e.to_string());
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    let (questions, mut asked) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    let stop = Arc::new(Mutex::new(Some(stop)));
    let router = Router::new().route(path, get(answer)).with_state(questions);
    let serve = axum::serve(listener, router).with_graceful_shutdown(async { _ = stopped.await });
    let mut serve = pin!(serve.into_future());
    let decide = async {
        while let Some((query, reply)) = asked.recv().await {
            let outcome = read(&query);
            let text = match &outcome {
                Some(Ok(callback)) => {
                    format!(
                        "Company {} is being connected. You can close this page.",
                        callback.realm_id
                    )
                }
                Some(Err(error)) => error.to_string(),
                None => "This is not the answer to the login that waits here.".to_owned(),
            };
            let _ = reply.send(text);
            if let Some(decided) = outcome {
                drop(stop.lock().unwrap_or_else(PoisonError::into_inner).take());
                return decided;
            }
        }
        Err(Error::Cancelled)
    };
    let decided = tokio::select! {
        served = &mut serve => return served.map_err(failed).and(Err(Error::Cancelled)),
        decided = decide => decided,
    };
    let _ = tokio::time::timeout(TIME_TO_ANSWER, serve).await;
    decided
}

async fn answer(
    State(questions): State<Questions>,
    RawQuery(query): RawQuery,
) -> (StatusCode, Html<String>) {
    let (reply, told) = oneshot::channel();
    let asked = questions.send((query.unwrap_or_default(), reply)).await;
    let text = match asked {
        Ok(()) => told.await.unwrap_or_default(),
        Err(_) => "This login is over.".to_owned(),
    };
    let safe = text.replace('&', "&amp;").replace('<', "&lt;");
    (
        StatusCode::OK,
        Html(format!("<!doctype html><title>qbo-rs</title><p>{safe}</p>")),
    )
}
