//! The options of a sandbox.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::assumption::Assumptions;
use crate::company::{CompanySize, Refusal};
use crate::faults::FaultRule;
use crate::oauth::OAuthOptions;
use crate::throttle::ThrottleOptions;

/// The options that [`Sandbox::start`](crate::Sandbox::start) takes.
///
/// The default is one sample company on a free port of this machine, with Intuit's limits.
///
/// ```
/// use qbo_sandbox::{CompanySize, SandboxOptions, ThrottleOptions};
///
/// let options = SandboxOptions {
///     size: CompanySize { invoices: 100, ..CompanySize::default() },
///     throttle: ThrottleOptions::NONE,
///     ..SandboxOptions::default()
/// };
/// # assert_eq!(options.companies, 1);
/// ```
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Address to listen on. Port 0 takes a free port.
    pub address: SocketAddr,
    /// Realm id of the first company. The other companies get the numbers after it.
    pub realm_id: String,
    /// Number of companies. At least one is served.
    pub companies: u32,
    /// Intuit's environment that the keys belong to.
    pub environment: Environment,
    /// Seed of the sample company. The same seed always makes the same company; the other
    /// companies have the seeds after it.
    pub seed: u64,
    /// Number of records of the sample company.
    pub size: CompanySize,
    /// Number of transactions of companies with double-entry books, which are served in place of the
    /// sample companies. `None` serves those.
    pub books: Option<u32>,
    /// Files or directories of real answers or records. If there are any, they are served as one
    /// company instead of the sample companies.
    pub records: Vec<PathBuf>,
    /// File with a snapshot of a company, which is served in place of the first company.
    pub restore: Option<PathBuf>,
    /// Keys, tokens and their lifetimes.
    pub oauth: OAuthOptions,
    /// Rate limits of each company.
    pub throttle: ThrottleOptions,
    /// Faults that are armed from the start.
    pub faults: Vec<FaultRule>,
    /// Chosen behaviour where the facts about QuickBooks are uncertain.
    pub assumptions: Assumptions,
    /// Entities that the companies do not have, each with the answer to requests for it.
    pub unavailable: Vec<(String, Refusal)>,
    /// Longest time that a change stays hidden from queries (qbo-facts 3.9).
    pub visibility_delay: Duration,
    /// The time that the sandbox's clock shows at the start. `None` is the real time.
    pub now: Option<DateTime<Utc>>,
    /// Time added to every answer.
    pub latency: Duration,
    /// Number of threads that serve requests. At least one is used.
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
            books: None,
            records: Vec::new(),
            restore: None,
            oauth: OAuthOptions::default(),
            throttle: ThrottleOptions::default(),
            faults: Vec::new(),
            assumptions: Assumptions::default(),
            unavailable: Vec::new(),
            visibility_delay: Duration::ZERO,
            now: None,
            latency: Duration::ZERO,
            threads: 2,
        }
    }
}

/// One of Intuit's two environments. Each has a host and keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Development keys, for `sandbox-quickbooks.api.intuit.com`.
    Sandbox,
    /// Production keys, for `quickbooks.api.intuit.com`.
    Production,
}

impl Environment {
    /// Returns whether these keys are valid at a host. A host that is not Intuit's takes any keys.
    pub(crate) fn is_valid_at(self, host: &str) -> bool {
        let host = host.split(':').next().unwrap_or_default();
        match host {
            "quickbooks.api.intuit.com" => self == Self::Production,
            "sandbox-quickbooks.api.intuit.com" => self == Self::Sandbox,
            _ => true,
        }
    }
}
