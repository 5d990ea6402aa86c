//! Connections: their places, the time limits for reading a head and for writing an answer, and a
//! graceful end. By hand, because neither `axum::serve` nor a tower layer can limit how long a
//! client takes to send its head or to read its answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceBuilder;
use tracing::warn;

use super::metrics::Counters;
use super::places::{Places, Seat};
use super::protection::PlacedStream;

/// The time limit for the head of a request, and for the pause between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The time that a client may take to read what has been written before it can be written on.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a connection that are buffered, and so the limit of a head.
const MAX_BUFFER: usize = 32 * 1024;
/// Connections open at a time, if the process may open twice as many files.
const MAX_CONNECTIONS: usize = 1024;
/// The pause after a failed accept, for example if file descriptors ran out.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Connections that are ended after a failed accept.
const ENDED_AFTER_FAILURE: usize = 16;
/// The shortest time between two warnings that connections had to give way.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// The time that requests under way get when the service stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until `stop` completes, then finishes the requests under way.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    per_address: Option<usize>,
    counters: &Counters,
    stop: impl Future<Output = ()>,
) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_BUFFER);
    let graceful = GracefulShutdown::new();
    let places = Places::new(max_connections(), per_address);
    let mut warned_at = None;
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                after_failure(&error, &places).await;
                continue;
            }
        };
        if let Some(seat) = admit(&places, address, counters, &mut warned_at) {
            tokio::spawn(converse(&server, &graceful, stream, app.clone(), seat));
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
}

/// Returns a future that answers the requests of a connection until it ends or must give way.
fn converse(
    server: &http1::Builder,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    app: Router,
    seat: Seat,
) -> impl Future<Output = ()> + Send + use<> {
    // Answers are small and written at once.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let place = seat.place.clone();
    let app = ServiceBuilder::new()
        .map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(place.clone());
            request
        })
        .service(app);
    let stream = TokioIo::new(PlacedStream::new(stream, seat.place.clone()));
    let connection = server.serve_connection(stream, TowerToHyperService::new(app));
    let connection = graceful.watch(connection);
    async move {
        tokio::select! {
            // A broken connection affects no other.
            _ = connection => {}
            () = seat.place.taken_away() => {}
        }
    }
}

/// Gives a connection a place, and reports that another one lost its own.
fn admit(
    places: &Arc<Places>,
    address: SocketAddr,
    counters: &Counters,
    warned_at: &mut Option<Instant>,
) -> Option<Seat> {
    let arrival = places.arrive(address.ip());
    if arrival.displaced || arrival.seat.is_none() {
        counters.count_displaced();
        if warned_at.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            *warned_at = Some(Instant::now());
            warn!(
                phase = "serve",
                event = "connections_displaced",
                "there are too many connections, the newest from {}; the oldest that are idle or \
                 have not shown the key are closed",
                address.ip()
            );
        }
    }
    arrival.seat
}

async fn after_failure(error: &io::Error, places: &Places) {
    warn!(
        phase = "serve",
        event = "not_accepted",
        "a connection was not accepted: {error}"
    );
    // Most likely all file descriptors are in use.
    for _ in 0..ENDED_AFTER_FAILURE {
        places.make_room();
    }
    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
}

/// Returns the number of connections that leaves half of all file descriptors for the database and
/// for QuickBooks.
fn max_connections() -> usize {
    #[cfg(unix)]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let half = limit.and_then(|limit| usize::try_from(limit / 2).ok());
        half.unwrap_or(MAX_CONNECTIONS).clamp(1, MAX_CONNECTIONS)
    }
    #[cfg(not(unix))]
    {
        MAX_CONNECTIONS
    }
}
