//! Connections: so many at a time, each with a time by which it must have asked, all ended when the
//! service is.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::warn;

/// For the head of a request, and between two.
const PATIENCE: Duration = Duration::from_secs(10);
/// Open at a time; others wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// After an accept that failed, as for want of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);
/// For answers under way when the service ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until `stop` ends, and then what is under way.
pub(super) async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()>) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(
                    phase = "serve",
                    event = "not_accepted",
                    "a connection was not accepted: {error}"
                );
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        let connection =
            server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // One that breaks off concerns nobody else.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places
        .clone()
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small and whole.
    let _ = stream.set_nodelay(true);
    Ok((stream, place))
}
