//! `qbo-rs serve`: the HTTP API, the workers behind it, and what guards the door.

mod connections;
mod guard;
mod metrics;
mod page;
mod routes;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use self::guard::ApiKey;
use self::metrics::Counters;
use self::webhooks::VerifierToken;
use crate::app::{App, Job, Service};
use crate::domain::SyncReport;
use crate::error::{Error, Result};
use crate::quickbooks::Pace;

/// Between looks into an empty queue.
const IDLE: Duration = Duration::from_millis(500);
/// Between tries of a database that is away.
const DATABASE_RETRY_DELAY: Duration = Duration::from_secs(5);
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3600);

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// What callers must send; needed where others than this machine can come.
    pub api_key: Option<String>,
    /// Key of the signatures of webhooks; none: they are not taken.
    pub verifier_token: Option<String>,
    /// Names of the entities that are kept in step; empty: all.
    pub entities: Vec<String>,
    /// Jobs worked on at a time.
    pub workers: usize,
    /// Sync every company once in this time; none: only when asked.
    pub every: Option<Duration>,
}

/// What requests share.
#[derive(Debug)]
struct State {
    service: Service,
    key: Option<ApiKey>,
    verifier: Option<VerifierToken>,
    counters: Arc<Counters>,
    webhooks: Pace,
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    state: Arc<State>,
    options: ServerOptions,
}

impl Server {
    /// Connects to the database and listens.
    ///
    /// # Errors
    /// Settings; no key where one is needed; an address that cannot be had.
    pub async fn start(app: App, options: ServerOptions) -> Result<Self> {
        if options.api_key.is_none() && !options.address.ip().is_loopback() {
            let reason = format!(
                "not set; {} can be reached by others, who must not come in without it",
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
        let taken = |e| Error::config("port", format!("cannot listen on {}: {e}", options.address));
        let listener = TcpListener::bind(options.address).await.map_err(taken)?;
        let key = options.api_key.as_deref().map(ApiKey::new);
        let verifier = options.verifier_token.as_deref().map(VerifierToken::new);
        let state = State {
            service,
            key,
            verifier,
            counters,
            webhooks: Pace::per_minute(webhooks::MAX_PER_MINUTE),
        };
        Ok(Self {
            listener,
            state: Arc::new(state),
            options,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If that is no longer known.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener
            .local_addr()
            .map_err(|e| Error::Internal(e.to_string()))
    }

    /// Serves until `stop` ends; then answers what was asked, and ends what is worked on: what is
    /// committed stays, and another process goes on with it.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) {
        let Self {
            listener,
            state,
            options,
        } = self;
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        if options.workers > 0 {
            tasks.spawn(work(state.clone(), options.workers, stopped.clone()));
            tasks.spawn(delete_expired(state.clone(), stopped.clone()));
        }
        if state.verifier.is_some() && options.workers > 0 {
            tasks.spawn(answer_events(state.clone(), stopped.clone()));
        }
        if let Some(interval) = options.every {
            tasks.spawn(keep_in_step(state.clone(), interval, stopped));
        }
        let app = routes::router(state);
        let stop = async move {
            stop.await;
            let _ = stopping.send(true);
        };
        connections::serve(listener, app, stop).await;
        // Within this time all of them hear that they are to end, and give back what they have.
        let _ = tokio::time::timeout(SHUTDOWN_GRACE, async {
            while tasks.join_next().await.is_some() {}
        })
        .await;
        tasks.shutdown().await;
    }
}

/// Works on jobs, so many at a time. Stopped, it gives back what is not done.
async fn work(state: Arc<State>, workers: usize, mut stopped: watch::Receiver<bool>) {
    let mut running = JoinSet::new();
    while !*stopped.borrow() {
        let mut pause = DATABASE_RETRY_DELAY;
        while running.len() < workers {
            match state.service.claim_job().await {
                Ok(Some(job)) => _ = running.spawn(run_job(state.clone(), job, stopped.clone())),
                Ok(None) => {
                    pause = IDLE;
                    break;
                }
                Err(error) => {
                    warn!(phase = "sync", event = "queue_away", "{error}");
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Some(_) = running.join_next() => {}
            _ = stopped.changed() => {}
        }
    }
    while running.join_next().await.is_some() {}
}

async fn run_job(state: Arc<State>, job: Job, mut stopped: watch::Receiver<bool>) {
    let stop = async move {
        // An error: whoever could stop it is gone.
        let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
    };
    match state.service.run_job(&job, stop).await {
        Ok(report) => {
            info!(
                phase = "sync",
                event = "job_ended",
                job_id = job.job_id.as_str(),
                "job {} has ended",
                job.job_id
            );
            state.count(report.as_ref());
        }
        Err(error) => {
            warn!(
                phase = "sync",
                event = "job_not_recorded",
                job_id = job.job_id.as_str(),
                "{error}"
            )
        }
    }
}

/// Turns events of webhooks into jobs.
async fn answer_events(state: Arc<State>, mut stopped: watch::Receiver<bool>) {
    loop {
        let pause = match state.service.answer_events().await {
            Ok(_) => IDLE,
            Err(error) => {
                warn!(phase = "sync", event = "events_wait", "{error}");
                DATABASE_RETRY_DELAY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => return,
        }
    }
}

/// Lets go what nobody will ask for any more.
async fn delete_expired(state: Arc<State>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = state.service.delete_expired().await {
            warn!(phase = "sync", event = "old_rows_stay", "{error}");
        }
        tokio::select! {
            () = tokio::time::sleep(HOUR) => {}
            _ = stopped.changed() => return,
        }
    }
}

/// Syncs by the schedule.
async fn keep_in_step(state: Arc<State>, interval: Duration, mut stopped: watch::Receiver<bool>) {
    let show = |report: &SyncReport| {
        state.count(Some(report));
        Ok(())
    };
    loop {
        let ended = tokio::select! {
            ended = state.service.sync_every(interval, &show) => ended,
            _ = stopped.changed() => return,
        };
        if let Err(error) = ended {
            error!(phase = "sync", event = "schedule_stopped", "{error}");
        }
        // No company yet, perhaps: one may be connected meanwhile.
        tokio::select! {
            () = tokio::time::sleep(DATABASE_RETRY_DELAY) => {}
            _ = stopped.changed() => return,
        }
    }
}

impl State {
    fn count(&self, report: Option<&SyncReport>) {
        if let Some(report) = report {
            self.counters.count_sync(report);
        }
    }
}
