//! A simulator of QuickBooks Online that is hard on clients in the ways the real one is.
//!
//! Shares no code with the client: a fact that both misread in the same place would never be
//! noticed. Everything is deterministic from a seed but the wall clock.

mod answer;
mod assumption;
pub mod company;
mod control;
mod entities;
mod faults;
mod oauth;
mod pacific;
mod query;
mod remote;
mod server;
#[cfg(test)]
mod testing;
mod throttle;
mod webhooks;
mod xml;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::assumption::{ASSUMPTIONS, Assumption, Assumptions};
pub use self::company::{Blemish, ChangeError, Company, CompanySize, RecordsError};
pub use self::control::ControlError;
pub use self::faults::{FaultError, FaultRule};
pub use self::oauth::OAuthOptions;
pub use self::remote::control as control_remote;
pub use self::server::Stats;
pub use self::throttle::ThrottleOptions;
pub use self::webhooks::WebhookOptions;
use self::webhooks::Webhooks;

/// What a sandbox is started with.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The first company's id; further ones count on from it.
    pub realm_id: String,
    /// How many companies there are.
    pub companies: u32,
    /// Which of Intuit's hosts the keys are for.
    pub environment: Environment,
    /// Makes the sample company; the same seed makes the same one. Further companies have the
    /// following seeds.
    pub seed: u64,
    /// How many records the sample company has.
    pub size: CompanySize,
    /// Files or directories of real answers or records, served instead of the sample company, as
    /// one company.
    pub records: Vec<PathBuf>,
    /// Keys and tokens.
    pub oauth: OAuthOptions,
    /// Limits.
    pub throttle: ThrottleOptions,
    /// Faults armed from the start.
    pub faults: Vec<FaultRule>,
    /// What is assumed where facts are uncertain.
    pub assumptions: Assumptions,
    /// How long changes stay hidden from queries, at most (qbo-facts 3.9).
    pub visibility_delay: Duration,
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
            companies: 1,
            environment: Environment::Sandbox,
            seed: 1,
            size: CompanySize::default(),
            records: Vec::new(),
            oauth: OAuthOptions::default(),
            throttle: ThrottleOptions::default(),
            faults: Vec::new(),
            assumptions: Assumptions::default(),
            visibility_delay: Duration::ZERO,
            latency: Duration::ZERO,
            threads: 2,
        }
    }
}

/// Intuit's two hosts, each with keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Development keys.
    Sandbox,
    /// Production keys.
    Production,
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
        f.debug_struct("Sandbox")
            .field("address", &self.address)
            .finish_non_exhaustive()
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
        let companies = companies(&options)?;
        let listen_failed = |reason| StartError::Listen {
            address: options.address,
            reason,
        };
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
        let webhooks = Webhooks::start(runtime.handle());
        let state = Arc::new(server::State::new(&options, companies, webhooks));
        let (stop, stopped) = oneshot::channel();
        let serving = state.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else {
                    return;
                };
                tokio::select! {
                    () = server::serve(listener, serving) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_timeout(Duration::from_millis(200));
        });
        Ok(Self {
            address,
            options,
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
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
            (
                "QBO_TOKEN_URL",
                format!("{}{}", self.url(), server::TOKEN_PATH),
            ),
            (
                "QBO_AUTHORIZE_URL",
                format!("{}{}", self.url(), server::CONSENT_PATH),
            ),
            (
                "QBO_REVOKE_URL",
                format!("{}{}", self.url(), server::REVOKE_PATH),
            ),
            (
                "QBO_REALM_ID",
                self.realm_ids().next().unwrap_or_default().to_owned(),
            ),
            ("QBO_CLIENT_ID", oauth.client_id.clone()),
            ("QBO_CLIENT_SECRET", oauth.client_secret.clone()),
            ("QBO_REFRESH_TOKEN", oauth.refresh_token.clone()),
        ]
    }

    /// What the server has seen so far.
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// The companies.
    pub fn realm_ids(&self) -> impl Iterator<Item = &str> {
        self.state.realms.iter().map(|realm| realm.id.as_str())
    }

    /// The refresh token that a company began with.
    pub fn refresh_token(&self, realm_id: &str) -> Option<String> {
        let position = self.realm_ids().position(|known| known == realm_id)?;
        Some(oauth::first_token(&self.options.oauth, position, realm_id))
    }

    /// The first company's books, to look at or to edit while clients read.
    pub fn company(&self) -> RwLockWriteGuard<'_, Company> {
        // There always is one.
        self.state.realms[0].write()
    }

    /// What a correct extract of a company, by default the first, must hold of `[from, until)`, in
    /// seconds since 1970: id and payload, by id.
    ///
    /// # Errors
    /// [`ControlError`] if there is no such company or entity.
    pub fn truth(
        &self,
        realm_id: Option<&str>,
        entity: &str,
        from: i64,
        until: i64,
    ) -> Result<Vec<(String, String)>, ControlError> {
        let refuse = |reason| ControlError::Arguments {
            command: "truth",
            reason,
        };
        let realm = self
            .state
            .realm(realm_id)
            .ok_or_else(|| refuse(format!("there is no company {realm_id:?}")))?;
        match entities::find(entity) {
            Some(entity) => Ok(realm.read().truth(entity.name, from, until)),
            None => Err(refuse(ChangeError::Entity(entity.to_owned()).to_string())),
        }
    }

    /// Runs a command of the control API; `arguments` is a JSON object. Answers JSON.
    ///
    /// # Errors
    /// [`ControlError`] if there is no such command, or it cannot be done.
    pub fn control(&self, command: &str, arguments: &str) -> Result<String, ControlError> {
        let arguments =
            control::Arguments::parse(arguments).map_err(|reason| ControlError::Arguments {
                command: "arguments",
                reason,
            })?;
        control::run(&self.state, command, &arguments)
    }

    /// Calls `hook` with the books and the number of the query after each answered query: to edit
    /// between two pages.
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

/// The books of every company, each with its id.
fn companies(options: &SandboxOptions) -> Result<Vec<(String, Company)>, RecordsError> {
    if !options.records.is_empty() {
        return Ok(vec![(
            options.realm_id.clone(),
            Company::read(&options.records)?,
        )]);
    }
    let companies = (0..options.companies.max(1)).map(|position| {
        let realm_id = match options.realm_id.parse::<u64>() {
            Ok(first) => (first + u64::from(position)).to_string(),
            // Not a number: companies are told apart all the same.
            Err(_) if position > 0 => format!("{}-{position}", options.realm_id),
            Err(_) => options.realm_id.clone(),
        };
        (
            realm_id,
            Company::generate(options.seed.wrapping_add(u64::from(position)), options.size),
        )
    });
    Ok(companies.collect())
}

/// A lock that a panicking holder leaves usable: the books are changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
