//! The page that Intuit sends the browser back to, on this machine.

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
use crate::server;

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
    let mut serve = pin!(server::serve_pages(listener, router, async {
        _ = stopped.await
    }));
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
        () = &mut serve => return Err(Error::Cancelled),
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// The clock jumps to the next time limit whenever nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn a_program_that_says_nothing_holds_no_connection_of_a_login() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let read = |query: &str| (query == "over").then_some(Err(Error::Cancelled));
        let login = wait(listener, "/callback", read);
        let clients = async {
            for said in ["", "GET /callback?x HTTP/1.1\r\nhost: x\r\n"] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(said.as_bytes()).await.unwrap();
                let mut rest = Vec::new();
                let ended = stream.read_to_end(&mut rest);
                let ended = tokio::time::timeout(Duration::from_secs(120), ended).await;
                assert!(ended.is_ok(), "{said:?}");
            }
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = "GET /callback?over HTTP/1.1\r\nhost: x\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (decided, answer) = tokio::join!(login, clients);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(matches!(decided, Err(Error::Cancelled)));
    }
}
