//! Connections: their places, the time limits for reading a head and for writing an answer, and a
//! graceful end. By hand, because neither `axum::serve` nor a tower layer can limit how long a
//! client takes to send its head or to read its answer.

use std::io::{self, ErrorKind};
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
/// The pause after a failed accept that may fail again at once, for example for lack of files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Connections that are ended if file descriptors ran out.
const ENDED_AFTER_FAILURE: usize = 16;
/// The shortest time between two warnings of a kind.
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
    let mut reception = Reception::new(places, counters);
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tokio::time::sleep(reception.after_failure(&error)).await;
                continue;
            }
        };
        if let Some(seat) = reception.admit(address) {
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

/// Gives connections their places, and reports those that have to give way.
struct Reception<'a> {
    places: Arc<Places>,
    counters: &'a Counters,
    displaced: RareWarning,
    not_accepted: RareWarning,
}

/// A warning that is due once in [`WARNING_INTERVAL`] at most.
#[derive(Default)]
struct RareWarning(Option<Instant>);

impl RareWarning {
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

impl<'a> Reception<'a> {
    fn new(places: Arc<Places>, counters: &'a Counters) -> Self {
        Self {
            places,
            counters,
            displaced: RareWarning::default(),
            not_accepted: RareWarning::default(),
        }
    }

    /// Gives a connection a place, and reports that another one lost its own.
    fn admit(&mut self, address: SocketAddr) -> Option<Seat> {
        let arrival = self.places.arrive(address.ip());
        if arrival.displaced || arrival.seat.is_none() {
            self.counters.count_displaced(1);
            if self.displaced.is_due() {
                warn!(
                    phase = "serve",
                    event = "connections_displaced",
                    "there are too many connections, the newest from {}; the oldest that are idle \
                     or have not shown the key are closed",
                    address.ip()
                );
            }
        }
        arrival.seat
    }

    /// Makes room if file descriptors ran out. Returns the pause before the next accept.
    fn after_failure(&mut self, error: &io::Error) -> Duration {
        if self.not_accepted.is_due() {
            warn!(
                phase = "serve",
                event = "not_accepted",
                "a connection was not accepted: {error}"
            );
        }
        if files_ran_out(error) {
            let ended = (0..ENDED_AFTER_FAILURE).filter(|_| self.places.make_room());
            self.counters.count_displaced(ended.count());
        }
        match error.kind() {
            // That connection's own end; the next one has no part in it.
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset => Duration::ZERO,
            _ => ACCEPT_RETRY_DELAY,
        }
    }
}

/// Returns whether the process or the machine may open no more files.
fn files_ran_out(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let code = Errno::from_io_error(error);
        code.is_some_and(|code| code == Errno::MFILE || code == Errno::NFILE)
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
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

#[cfg(all(test, unix))]
mod tests {
    use futures_util::FutureExt as _;
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn connections_are_ended_for_lack_of_files_only_and_counted() {
        let (places, counters) = (Places::new(32, None), Counters::default());
        let mut reception = Reception::new(places, &counters);
        let from = "192.0.2.1:1".parse().unwrap();
        let seats: Vec<Seat> = (0..20).filter_map(|_| reception.admit(from)).collect();
        let ended = || {
            let lost = |seat: &&Seat| seat.place.taken_away().now_or_never().is_some();
            seats.iter().filter(lost).count()
        };
        for (error, ends, pauses) in [
            (Errno::CONNABORTED, 0, false),
            (Errno::PERM, 0, true),
            (Errno::NOBUFS, 0, true),
            (Errno::MFILE, 16, true),
            (Errno::NFILE, 4, true),
        ] {
            let pause = reception.after_failure(&error.into());
            assert_eq!((ended(), !pause.is_zero()), (ends, pauses), "{error}");
        }
        assert_eq!(counters.displaced(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_warning_is_given_once_a_minute() {
        let mut warning = RareWarning::default();
        assert!(warning.is_due() && !warning.is_due());
        tokio::time::advance(WARNING_INTERVAL).await;
        assert!(warning.is_due() && !warning.is_due());
    }
}
