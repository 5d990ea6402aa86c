//! A simulator of QuickBooks Online that is hard on clients in the ways the real one is.
//!
//! Shares no code with the client: a fact that both misread in the same place would never be noticed. Everything is
//! deterministic from a seed but the wall clock.

mod answer;
pub mod company;
mod entities;
mod oauth;
mod pacific;
mod query;
mod server;
mod throttle;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::company::{Company, CompanySize, RecordsError};
pub use self::oauth::OAuthOptions;
pub use self::server::Stats;
pub use self::throttle::ThrottleOptions;

/// What a sandbox is started with.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The company's id.
    pub realm_id: String,
    /// Makes the sample company; the same seed makes the same one.
    pub seed: u64,
    /// How many records the sample company has.
    pub size: CompanySize,
    /// Files or directories of real answers or records, served instead of the sample company.
    pub records: Vec<PathBuf>,
    /// Keys and tokens.
    pub oauth: OAuthOptions,
    /// Limits.
    pub throttle: ThrottleOptions,
    /// Added to every answer.
    pub latency: Duration,
    /// Threads that serve.
    pub threads: usize,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            realm_id: "9341450000000001".to_owned(),
            seed: 1,
            size: CompanySize::default(),
            records: Vec::new(),
            oauth: OAuthOptions::default(),
            throttle: ThrottleOptions::default(),
            latency: Duration::ZERO,
            threads: 2,
        }
    }
}

/// A running sandbox, on threads of its own. Stops when dropped.
pub struct Sandbox {
    address: SocketAddr,
    options: SandboxOptions,
    state: Arc<server::State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// The records cannot be served.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl Sandbox {
    /// Makes or reads the company, and listens.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(options: SandboxOptions) -> Result<Self, StartError> {
        let company = match options.records.is_empty() {
            true => Company::generate(options.seed, options.size),
            false => Company::read(&options.records)?,
        };
        let listen_failed = |reason| StartError::Listen { address: options.address, reason };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("sandbox")
            .enable_all()
            .build()
            .map_err(listen_failed)?;
        // Bound without the runtime: the caller may be on one of its own.
        let listener = std::net::TcpListener::bind(options.address).map_err(listen_failed)?;
        listener.set_nonblocking(true).map_err(listen_failed)?;
        let address = listener.local_addr().map_err(listen_failed)?;
        let state = Arc::new(server::State::new(&options, company));
        let (stop, stopped) = oneshot::channel();
        let router = server::router(state.clone());
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    // Errors of single connections do not end it.
                    _ = async { axum::serve(listener, router).await } => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_timeout(Duration::from_millis(200));
        });
        Ok(Self { address, options, state, stop: Some(stop), thread: Some(thread) })
    }

    /// The base URL: the value of `QBO_API_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a client must be told, as the environment variables of this project.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let oauth = &self.options.oauth;
        vec![
            ("QBO_API_URL", self.url()),
            ("QBO_TOKEN_URL", format!("{}{}", self.url(), server::TOKEN_PATH)),
            ("QBO_REALM_ID", self.options.realm_id.clone()),
            ("QBO_CLIENT_ID", oauth.client_id.clone()),
            ("QBO_CLIENT_SECRET", oauth.client_secret.clone()),
            ("QBO_REFRESH_TOKEN", oauth.refresh_token.clone()),
        ]
    }

    /// What the server has seen so far.
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// The books, to look at or to edit while clients read.
    pub fn company(&self) -> MutexGuard<'_, Company> {
        self.state.company()
    }

    /// Calls `hook` with the books and the number of the query after each answered query: to edit between two pages.
    pub fn after_each_query(&self, hook: impl FnMut(&mut Company, u64) + Send + 'static) {
        self.state.set_hook(Box::new(hook));
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Gone already if the server ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A lock that a panicking holder leaves usable: the books are changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
