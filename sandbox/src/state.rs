//! The state that all requests share, and the state of each company.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::assumption::Assumptions;
use crate::clock::Clock;
use crate::company::Company;
use crate::faults::Faults;
use crate::oauth::OAuth;
use crate::options::{Environment, SandboxOptions};
use crate::refreshes::Refreshes;
use crate::stats::Counters;
use crate::stopping::Stopping;
use crate::throttle::Throttle;
use crate::webhooks::Webhooks;

/// A callback with a company and the number of the query that was just answered.
pub(crate) type QueryHook = Box<dyn FnMut(&mut Company, u64) + Send>;

/// A company with its realm id and its rate limits.
pub(crate) struct CompanyState {
    pub(crate) realm_id: String,
    pub(crate) throttle: Mutex<Throttle>,
    company: RwLock<Company>,
}

impl CompanyState {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Company> {
        self.company.read()
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Company> {
        self.company.write()
    }

    /// Returns the company as queries see it now, with all changes that have become visible.
    pub(crate) fn read_visible(&self) -> RwLockReadGuard<'_, Company> {
        let now = self.read().now();
        if self.read().has_pending_changes() {
            self.write().apply_visible_changes(now);
        }
        self.read()
    }
}

/// The state of a sandbox.
pub(crate) struct State {
    pub(crate) companies: Vec<CompanyState>,
    pub(crate) environment: Environment,
    pub(crate) latency: Duration,
    pub(crate) clock: Clock,
    pub(crate) oauth: Mutex<OAuth>,
    pub(crate) refreshes: Refreshes,
    pub(crate) assumptions: RwLock<Assumptions>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) webhooks: Webhooks,
    pub(crate) stats: Counters,
    pub(crate) stopping: Stopping,
    hook: Mutex<Option<QueryHook>>,
    queries: AtomicU64,
    answers: AtomicU64,
}

impl State {
    /// Builds the state of a sandbox. `companies` are pairs of a realm id and its company.
    pub(crate) fn new(
        options: &SandboxOptions,
        companies: Vec<(String, Company)>,
        webhooks: Webhooks,
        clock: Clock,
    ) -> Self {
        let realm_ids: Vec<String> = companies.iter().map(|(id, _)| id.clone()).collect();
        let companies = companies.into_iter().map(|(realm_id, mut company)| {
            company.set_visibility_delay(options.visibility_delay);
            company.set_listener(webhooks.listener(&realm_id));
            company.set_clock(clock.clone());
            CompanyState {
                realm_id,
                company: RwLock::new(company),
                throttle: Mutex::new(Throttle::new(options.throttle)),
            }
        });
        let companies = companies.collect();
        let oauth = OAuth::new(options.oauth.clone(), &realm_ids, clock.now());
        Self {
            companies,
            environment: options.environment,
            latency: options.latency,
            clock,
            oauth: Mutex::new(oauth),
            refreshes: Refreshes::default(),
            assumptions: RwLock::new(options.assumptions.clone()),
            faults: Mutex::new(Faults::new(options.faults.clone())),
            webhooks,
            stats: Counters::default(),
            stopping: Stopping::default(),
            hook: Mutex::default(),
            queries: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        }
    }

    /// Returns the company with a realm id, or the first company if none is given.
    pub(crate) fn company(&self, realm_id: Option<&str>) -> Option<&CompanyState> {
        match realm_id {
            Some(id) => self.companies.iter().find(|company| company.realm_id == id),
            None => self.companies.first(),
        }
    }

    /// Returns a copy of the assumptions, which stays the same while one request is answered.
    pub(crate) fn assumptions(&self) -> Assumptions {
        self.assumptions.read().clone()
    }

    /// Sets the callback that runs after each answered query.
    pub(crate) fn set_query_hook(&self, hook: QueryHook) {
        *self.hook.lock() = Some(hook);
    }

    /// Runs the callback of [`Self::set_query_hook`], if there is one.
    pub(crate) fn run_query_hook(&self, company: &CompanyState, query_number: u64) {
        if let Some(hook) = &mut *self.hook.lock() {
            hook(&mut company.write(), query_number);
        }
    }

    /// Returns the number of queries so far, and adds `queries` to it.
    pub(crate) fn count_queries(&self, queries: u64) -> u64 {
        self.queries.fetch_add(queries, Ordering::Relaxed)
    }

    /// Sets the number of queries so far.
    pub(crate) fn set_queries(&self, queries: u64) {
        self.queries.store(queries, Ordering::Relaxed);
    }

    /// Returns the serial number of the next answer.
    pub(crate) fn next_answer(&self) -> u64 {
        self.answers.fetch_add(1, Ordering::Relaxed)
    }
}
