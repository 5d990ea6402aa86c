//! A simulator of QuickBooks Online for tests.
//!
//! A sandbox serves a sample company, or recorded records, over real HTTP. Where the behaviour of
//! QuickBooks is known, the sandbox behaves the same way. Where it is uncertain, the sandbox takes
//! the behaviour that is harder on clients ([`ASSUMPTIONS`]). On demand it fails ([`FaultRule`]).
//! Everything but the wall clock is deterministic for a seed.
//!
//! The crate shares no code with the client of this project. Otherwise a fact that both misread in
//! the same way would go unnoticed.
//!
//! # Example
//!
//! ```
//! use qbo_sandbox::{Sandbox, SandboxOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The default address has port 0, so the sandbox takes a free port.
//! let sandbox = Sandbox::start(SandboxOptions::default())?;
//! println!("{}", sandbox.url());
//!
//! // Settings for a client, as environment variables.
//! for (name, value) in sandbox.environment() {
//!     println!("{name}={value}");
//! }
//!
//! // The third query is throttled. An invoice changes now.
//! sandbox.control("fault", r#"{"fault": "throttle", "on": "query", "nth": 3}"#)?;
//! sandbox.control("edit", r#"{"entity": "Invoice", "id": "5"}"#)?;
//!
//! // The records that a correct extract must hold.
//! let invoices = sandbox.truth(None, "Invoice", 0, i64::MAX)?;
//! assert_eq!(invoices.len(), 5000);
//! # Ok(())
//! # }
//! ```

#![deny(unreachable_pub)]
// The client's rule about its clock. `clock.rs` is the clock of the sandbox.
#![allow(clippy::disallowed_methods)]

mod answer;
mod assumption;
mod books;
mod clock;
mod company;
mod control;
mod entities;
mod facts;
mod faults;
mod hash;
mod oauth;
mod options;
mod pacific;
mod paths;
mod query;
mod refreshes;
mod remote;
mod reports;
mod server;
mod snapshot;
mod state;
mod stats;
mod stopping;
#[cfg(test)]
mod testing;
mod throttle;
mod webhooks;
mod xml;

use std::net::SocketAddr;
use std::ops::DerefMut;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Types of requests and answers, for [`Sandbox::answer`].
pub use axum::http;

pub use self::assumption::{ASSUMPTIONS, Assumption, Assumptions};
use self::clock::Clock;
use self::company::MAX_BOOKS;
pub use self::company::{Blemish, ChangeError, Company, CompanySize, RecordsError, Refusal};
pub use self::control::{ControlError, descriptions as control_descriptions};
pub use self::faults::{FaultError, FaultRule};
pub use self::oauth::OAuthOptions;
pub use self::options::{Environment, SandboxOptions};
use self::paths::{CONSENT_PATH, REVOKE_PATH, TOKEN_PATH};
pub use self::remote::control as control_remote;
pub use self::server::Reply;
use self::state::{CompanyState, State};
pub use self::stats::Stats;
pub use self::throttle::ThrottleOptions;
use self::webhooks::Webhooks;

/// A running sandbox, which serves requests on threads of its own. It stops when it is dropped.
pub struct Sandbox {
    address: SocketAddr,
    options: SandboxOptions,
    state: Arc<State>,
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

/// The reason why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        reason: std::io::Error,
    },
    /// An entity that the companies do not have is unknown.
    #[error(transparent)]
    Entity(#[from] ChangeError),
    /// A company cannot have books with so many transactions.
    #[error("books: {0} is not between 1 and {MAX_BOOKS}")]
    Books(u32),
    /// The clock cannot show the requested time.
    #[error("now: {0}")]
    Clock(String),
    /// A snapshot cannot be restored.
    #[error("{path}: {reason}")]
    Snapshot {
        /// The file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The records cannot be served.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl Sandbox {
    /// Generates or reads the companies, and starts to serve them.
    ///
    /// # Errors
    /// [`StartError`] if the records cannot be read, or the address cannot be listened on.
    pub fn start(mut options: SandboxOptions) -> Result<Self, StartError> {
        let Beginning {
            companies,
            clock,
            queries,
        } = beginning(&mut options, Clock::default())?;
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
        // The standard library binds the address, because the caller may be on a runtime of its
        // own.
        let listener = std::net::TcpListener::bind(options.address).map_err(listen_failed)?;
        listener.set_nonblocking(true).map_err(listen_failed)?;
        let address = listener.local_addr().map_err(listen_failed)?;
        let webhooks = Webhooks::start(runtime.handle());
        let state = Arc::new(State::new(&options, companies, webhooks, clock));
        state.set_queries(queries);
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

    /// Generates or reads the companies, and serves nobody: [`Self::answer`] answers requests one by
    /// one, without a network. `real_time` returns the present, so that a simulation can have a clock
    /// of its own. All waits are those of the calling runtime, whose clock may be paused.
    ///
    /// # Errors
    /// [`StartError`] if the records cannot be read.
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    pub fn without_server(
        mut options: SandboxOptions,
        real_time: fn() -> DateTime<Utc>,
    ) -> Result<Self, StartError> {
        let Beginning {
            companies,
            clock,
            queries,
        } = beginning(&mut options, Clock::over(real_time))?;
        let webhooks = Webhooks::start(&tokio::runtime::Handle::current());
        let state = Arc::new(State::new(&options, companies, webhooks, clock));
        state.set_queries(queries);
        Ok(Self {
            address: options.address,
            options,
            state,
            stop: None,
            thread: None,
        })
    }

    /// Answers one request as the server would, with all limits and armed faults. Serves Intuit's
    /// endpoints, not the control commands.
    pub async fn answer(&self, request: Request<Bytes>) -> Reply {
        server::reply(&self.state, request).await
    }

    /// Returns the base URL, which is the value of `QBO_API_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the settings of a client for the first company, as names and values of this
    /// project's environment variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let oauth = &self.options.oauth;
        vec![
            ("QBO_API_URL", self.url()),
            ("QBO_TOKEN_URL", format!("{}{}", self.url(), TOKEN_PATH)),
            (
                "QBO_AUTHORIZE_URL",
                format!("{}{}", self.url(), CONSENT_PATH),
            ),
            ("QBO_REVOKE_URL", format!("{}{}", self.url(), REVOKE_PATH)),
            (
                "QBO_REALM_ID",
                self.realm_ids().next().unwrap_or_default().to_owned(),
            ),
            ("QBO_CLIENT_ID", oauth.client_id.clone()),
            ("QBO_CLIENT_SECRET", oauth.client_secret.clone()),
            ("QBO_REFRESH_TOKEN", oauth.refresh_token.clone()),
        ]
    }

    /// Returns the time that the sandbox's clock shows. It is the real time unless
    /// [`SandboxOptions::now`], [`Self::advance_clock`] or the command `clock` moved it.
    pub fn now(&self) -> DateTime<Utc> {
        self.state.clock.now()
    }

    /// Moves the sandbox's clock forward. Tokens expire, hidden changes appear and months end as if
    /// the time had passed.
    ///
    /// # Errors
    /// [`ControlError`] if the clock would leave the years 2000 to 2199.
    pub fn advance_clock(&self, by: Duration) -> Result<(), ControlError> {
        let moved = self.state.clock.advance(by);
        moved.map_err(|reason| ControlError::Arguments {
            command: "clock",
            reason,
        })
    }

    /// Waits until the command `stop` asks for the end of this sandbox. Without a program that waits,
    /// the command is refused.
    pub async fn stop_requested(&self) {
        self.state.stopping.wait().await;
    }

    /// Returns counts of the requests so far.
    pub fn stats(&self) -> Stats {
        self.state.stats.stats()
    }

    /// Returns the realm ids of all companies.
    pub fn realm_ids(&self) -> impl Iterator<Item = &str> {
        self.state
            .companies
            .iter()
            .map(|company| company.realm_id.as_str())
    }

    /// Returns the first refresh token of a company.
    pub fn refresh_token(&self, realm_id: &str) -> Option<String> {
        let position = self.realm_ids().position(|known| known == realm_id)?;
        Some(oauth::first_refresh_token(
            &self.options.oauth,
            position,
            realm_id,
        ))
    }

    /// Locks the first company, to inspect or change it while clients read. Requests wait until the
    /// returned value is dropped.
    pub fn company(&self) -> impl DerefMut<Target = Company> + '_ {
        // A sandbox has at least one company.
        self.state.companies[0].write()
    }

    /// Returns the records that a correct extract of an entity must hold: pairs of id and payload,
    /// ordered by id. These are the records last changed in `[from, until)`, in seconds since 1970.
    ///
    /// Without a realm id, the first company is meant.
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
        let failed = |reason| ControlError::Arguments {
            command: "truth",
            reason,
        };
        let company = self
            .state
            .company(realm_id)
            .ok_or_else(|| failed(format!("there is no company {realm_id:?}")))?;
        match entities::find(entity) {
            Some(entity) => Ok(company.read().truth(entity.name, from, until)),
            None => Err(failed(ChangeError::Entity(entity.to_owned()).to_string())),
        }
    }

    /// Runs a command of the control API and returns its JSON. `arguments` is a JSON object.
    ///
    /// # Errors
    /// [`ControlError`] if there is no such command, or it failed.
    pub fn control(&self, command: &str, arguments: &str) -> Result<String, ControlError> {
        let arguments =
            control::Arguments::parse(arguments).map_err(|reason| ControlError::Arguments {
                command: "arguments",
                reason,
            })?;
        control::run(&self.state, command, &arguments)
    }

    /// Returns the text of a snapshot of a company, without a realm id of the first one. The file
    /// holds its records, the sandbox's clock and its assumptions.
    ///
    /// # Errors
    /// [`ControlError`] if there is no such company.
    pub fn snapshot(&self, realm_id: Option<&str>) -> Result<String, ControlError> {
        let company = self.find_company("snapshot", realm_id)?;
        snapshot::take(&self.state, company).map_err(|reason| ControlError::Arguments {
            command: "snapshot",
            reason,
        })
    }

    /// Puts the company of a snapshot in the place of another, without a realm id of the first one.
    /// The clock and the assumptions of the sandbox become those of the snapshot.
    ///
    /// # Errors
    /// [`ControlError`] if there is no such company, or the text is not a snapshot that this version
    /// reads. Nothing has changed then.
    pub fn restore(&self, realm_id: Option<&str>, snapshot: &str) -> Result<(), ControlError> {
        let company = self.find_company("restore", realm_id)?;
        snapshot::read(snapshot)
            .and_then(|restored| restored.install(&self.state, company))
            .map_err(|reason| ControlError::Arguments {
                command: "restore",
                reason,
            })
    }

    fn find_company(
        &self,
        command: &'static str,
        realm_id: Option<&str>,
    ) -> Result<&CompanyState, ControlError> {
        let company = self.state.company(realm_id);
        company.ok_or_else(|| ControlError::Arguments {
            command,
            reason: format!("there is no company {}", realm_id.unwrap_or_default()),
        })
    }

    /// Calls `hook` after each answered query, with the company and the number of the query. Tests
    /// change records between two pages this way.
    pub fn after_each_query(&self, hook: impl FnMut(&mut Company, u64) + Send + 'static) {
        self.state.set_query_hook(Box::new(hook));
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The receiver is gone if the server ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The parts that a sandbox begins with.
struct Beginning {
    companies: Vec<(String, Company)>,
    clock: Clock,
    queries: u64,
}

/// Generates, reads or restores the companies, and sets the clock. Options that were given go before
/// what a snapshot says; the other assumptions become those of the snapshot.
fn beginning(options: &mut SandboxOptions, clock: Clock) -> Result<Beginning, StartError> {
    if let Some(count) = options
        .books
        .filter(|count| !(1..=MAX_BOOKS).contains(count))
    {
        return Err(StartError::Books(count));
    }
    let mut companies = companies(options)?;
    let mut queries = 0;
    if let Some(path) = &options.restore {
        let failed = |reason| StartError::Snapshot {
            path: path.display().to_string(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let restored = snapshot::read(&text).map_err(failed)?;
        clock.set(restored.now, true).map_err(failed)?;
        queries = restored.queries;
        options.assumptions = restored.assumptions.overruled_by(&options.assumptions);
        if let Some((_, first)) = companies.first_mut() {
            *first = restored.company;
        }
    }
    for (_, company) in &mut companies {
        for (entity, refusal) in &options.unavailable {
            company.set_refusal(entity, Some(*refusal))?;
        }
    }
    if let Some(now) = options.now {
        clock.set(now, true).map_err(StartError::Clock)?;
    }
    Ok(Beginning {
        companies,
        clock,
        queries,
    })
}

/// Generates or reads the companies, each with its realm id.
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
            // The id is not a number, so the position makes it unique.
            Err(_) if position > 0 => format!("{}-{position}", options.realm_id),
            Err(_) => options.realm_id.clone(),
        };
        let seed = options.seed.wrapping_add(u64::from(position));
        let company = match options.books {
            Some(count) => Company::generate_with_books(seed, count),
            None => Company::generate(seed, options.size),
        };
        (realm_id, company)
    });
    Ok(companies.collect())
}
