//! `qbo-rs serve`: the HTTP API, webhooks, the status page, metrics, and the workers that run jobs.

mod api;
mod connections;
mod credentials;
mod guard;
mod metrics;
mod openapi;
mod page;
mod places;
mod protection;
mod readiness;
mod reply;
mod requests;
mod routes;
mod state;
mod turns;
mod webhooks;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::credentials::{ApiKey, FormToken, VerifierToken};
use self::metrics::Counters;
use self::readiness::{Health, Readiness};
use self::state::AppState;
use self::workers::Stopped;
use crate::app::{App, Service};
use crate::error::{Error, Result};
use crate::quickbooks::Pace;

/// The time that workers get to return their jobs when the service stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves pages to the user of this machine until `stop` completes, within the time limits of the service: no other
/// program can hold all connections by saying nothing.
pub(crate) async fn serve_pages(
    listener: TcpListener,
    pages: Router,
    stop: impl Future<Output = ()>,
) {
    connections::serve(listener, pages, None, &Counters::default(), stop).await;
}

/// The options of a [`Server`].
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The address to listen on; port 0 picks a free port.
    pub address: SocketAddr,
    /// The key that callers must send; required unless the address is a loopback address.
    pub api_key: Option<String>,
    /// The verifier token of the Intuit app, which signs webhooks; `None` refuses webhooks.
    pub verifier_token: Option<String>,
    /// Names of the entities to sync; empty: all.
    pub entities: Vec<String>,
    /// Jobs run at a time; 0 runs none in this process.
    pub workers: usize,
    /// The interval at which every company is synced; `None` syncs on request only.
    pub every: Option<Duration>,
    /// Connections of one address; `None` means 128, and no limit for this machine.
    pub per_address: Option<usize>,
}

/// A server that listens, but does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    state: Arc<AppState>,
    options: ServerOptions,
}

impl Server {
    /// Connects to the database and starts to listen.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is invalid, the API key is missing although other machines
    /// can reach the address, or the address is in use; [`Error::Database`].
    pub async fn start(app: App, options: ServerOptions) -> Result<Self> {
        if options.api_key.is_none() && !options.address.ip().is_loopback() {
            let reason = format!(
                "not set; required because other machines can reach {}",
                options.address
            );
            return Err(Error::config("QBO_API_KEY", reason));
        }
        let counters = Arc::new(Counters::default());
        let service = Service::start(
            App {
                progress: counters.clone(),
                ..app
            },
            &options.entities,
        )
        .await?;
        let cannot_listen =
            |e| Error::config("port", format!("cannot listen on {}: {e}", options.address));
        let listener = TcpListener::bind(options.address)
            .await
            .map_err(cannot_listen)?;
        let api_key = options.api_key.as_deref().map(ApiKey::new);
        let state = AppState {
            form_token: FormToken::new(api_key.as_ref())?,
            service,
            api_key,
            verifier_token: options.verifier_token.as_deref().map(VerifierToken::new),
            counters,
            readiness: Readiness::default(),
            health: Health::default(),
            webhook_rate: Pace::per_minute(webhooks::MAX_PER_MINUTE),
        };
        Ok(Self {
            listener,
            state: Arc::new(state),
            options,
        })
    }

    /// Returns the address that the server listens on.
    ///
    /// # Errors
    /// [`Error::Internal`] if the operating system cannot tell.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener
            .local_addr()
            .map_err(|e| Error::Internal(e.to_string()))
    }

    /// Serves until `stop` completes. Then it answers the requests under way and returns
    /// unfinished jobs to the queue. Rows that they have committed stay; another process
    /// continues there.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) {
        let Self {
            listener,
            state,
            options,
        } = self;
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        spawn_workers(&mut tasks, &state, &options, &stopped);
        let stop = async move {
            stop.await;
            let _ = stopping.send(true);
        };
        let counters = state.counters.clone();
        let app = routes::router(state);
        connections::serve(listener, app, options.per_address, &counters, stop).await;
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, async {
            while tasks.join_next().await.is_some() {}
        })
        .await;
        tasks.shutdown().await;
    }
}

fn spawn_workers(
    tasks: &mut JoinSet<()>,
    state: &Arc<AppState>,
    options: &ServerOptions,
    stopped: &Stopped,
) {
    let (state, stopped) = (|| state.clone(), || stopped.clone());
    if options.workers > 0 {
        tasks.spawn(workers::run_jobs(state(), options.workers, stopped()));
        tasks.spawn(workers::delete_expired(state(), stopped()));
        if options.verifier_token.is_some() {
            tasks.spawn(workers::dispatch_events(state(), stopped()));
        }
    }
    tasks.spawn(workers::watch_alerts(state(), stopped()));
    if let Some(interval) = options.every {
        tasks.spawn(workers::run_schedule(state(), interval, stopped()));
    }
}
