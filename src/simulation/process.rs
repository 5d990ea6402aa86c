//! One process: a backfill, or the queries of a sync, and the operation at which it is killed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::TimeDelta;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::sleep;

use super::network::Wire;
use super::sabotage::{Sabotage, Sabotaged};
use super::shared::{Document, SharedDocument, TokenPlace};
use super::store::MemorySink;
use super::world::{ENTITIES, World};
use crate::app::run::{plan, run_plans};
use crate::domain::{
    Chunk, PageSize, Plan, Report, Resumed, Window, chunk_range, select_readable, split_committed,
};
use crate::error::Result;
use crate::http::{RetryPolicy, Transport};
use crate::port::{Endpoint, NoProgress, Progress, Secret, Source};
use crate::quickbooks::oauth::{Authorizer, Reconnect, TokenEndpoint};
use crate::quickbooks::{Access, AdmissionControl, Includes, Limits, QboSource, Uncaptured};
use crate::unbroken::LIMIT;

/// Distance that reads keep from the present, as by default.
const LAG: TimeDelta = TimeDelta::seconds(30);
/// A host that takes the keys of both of Intuit's environments.
const HOST: &str = "http://books.test";
const REALM: &str = "9341450000000001";
const FIRST_TOKEN: &str = "RT1-sandbox-refresh-token";

/// A process of the world.
pub(super) struct Process {
    pub world: Arc<World>,
    name: &'static str,
    operations: AtomicU64,
    parts: AtomicU64,
    killed_at: Option<Kill>,
    is_dead: AtomicBool,
    killed: Notify,
    leases: Mutex<Vec<Weak<Guard>>>,
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kill {
    /// Before an operation, by its number.
    Operation(u64),
    /// After a part of a window was committed, by the number of the part, and before it is known.
    Part(u64),
}

/// Name of the operation after the commit of a part.
pub(super) const PART_COMMITTED: &str = "has committed a part";

/// The lease of the tokens. It ends with the process, although a refresh goes on when its caller is
/// dropped.
pub(super) type Guard = Mutex<Option<OwnedMutexGuard<()>>>;

/// The manner in which a process reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub chunk: &'static str,
    pub page_size: i64,
    pub strict_windows: bool,
    pub resume: bool,
    /// A sync, which reads the years that are not committed.
    pub is_sync: bool,
}

impl Process {
    pub(super) fn new(
        world: &Arc<World>,
        name: &'static str,
        killed_at: Option<Kill>,
    ) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            name,
            operations: AtomicU64::new(0),
            parts: AtomicU64::new(0),
            killed_at,
            is_dead: AtomicBool::new(false),
            killed: Notify::new(),
            leases: Mutex::default(),
        })
    }

    /// One operation outside of the core, which takes a moment. The process may be killed before it:
    /// it then never returns. What a dead process drops has no effect any more either.
    pub(super) async fn operation(&self, what: &str) {
        self.stays_alive().await;
        if self.is_killed_before(what) {
            // A process that is stopped by Ctrl-C still does what its parts do when they are dropped.
            let is_stopped = self.world.chance(0.25);
            let end = if is_stopped { "stopped" } else { "killed" };
            self.world
                .note(format!("{} {end} before {what}", self.name));
            self.world.kills.fetch_add(1, Ordering::Relaxed);
            self.is_dead.store(!is_stopped, Ordering::Relaxed);
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
        self.world.note(format!("{} {what}", self.name));
        sleep(Duration::from_millis(self.world.below(120))).await;
        self.stays_alive().await;
    }

    /// Counts an operation. Returns true if the process does not live to see it.
    fn is_killed_before(&self, what: &str) -> bool {
        let number = self.operations.fetch_add(1, Ordering::Relaxed);
        let is_part = what.starts_with(PART_COMMITTED);
        let part = match is_part {
            true => self.parts.fetch_add(1, Ordering::Relaxed),
            false => 0,
        };
        match self.killed_at {
            Some(Kill::Operation(last)) => number == last,
            Some(Kill::Part(last)) => is_part && part == last,
            None => false,
        }
    }

    /// Keeps a lease until the process ends, or until the returned value is dropped.
    pub(super) fn hold(&self, guard: OwnedMutexGuard<()>) -> Arc<Guard> {
        let guard = Arc::new(Mutex::new(Some(guard)));
        self.leases.lock().push(Arc::downgrade(&guard));
        guard
    }

    /// Returns if the process is alive; a dead one never goes on.
    pub(super) async fn stays_alive(&self) {
        if self.is_dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.is_dead.load(Ordering::Relaxed)
    }

    /// Runs a backfill until it ends or the process is killed, which returns `None`.
    pub(super) async fn run(self: Arc<Self>, manner: Manner) -> Option<Result<Report>> {
        let outcome = tokio::select! {
            biased;
            () = self.killed.notified() => None,
            outcome = self.backfill(manner) => Some(outcome),
        };
        // What the parts do when they are dropped goes on in the background, and the end of a process
        // waits for a refresh.
        if !self.is_dead.load(Ordering::Relaxed) {
            sleep(LIMIT).await;
        }
        self.is_dead.store(true, Ordering::Relaxed);
        for lease in self.leases.lock().drain(..) {
            drop(lease.upgrade().and_then(|guard| guard.lock().take()));
        }
        outcome
    }

    async fn backfill(self: &Arc<Self>, manner: Manner) -> Result<Report> {
        let sink = Arc::new(MemorySink::new(self.clone(), manner.is_sync));
        let range = Window::parse("2024-01-01", "2027-06-01")?;
        let windows = chunk_range(range, manner.chunk.parse::<Chunk>()?);
        let page_size = PageSize::new(manner.page_size)?;
        let mut plans = Vec::new();
        for entity in select_readable(&ENTITIES.map(|(name, _)| name))? {
            let store = &self.world.store;
            let resumed = match manner.resume {
                true if manner.is_sync => Resumed {
                    remaining: split_committed(&windows, &store.complete_parts(entity.name)).0,
                    ..Resumed::default()
                },
                true => store.resumed(entity.name, &windows),
                false => Resumed {
                    remaining: windows.clone(),
                    ..Resumed::default()
                },
            };
            let continued = resumed.read_from.len() as u64;
            self.world.continued.fetch_add(continued, Ordering::Relaxed);
            plans.push(Plan {
                strict_windows: manner.strict_windows,
                read_from: resumed.read_from,
                ..plan(entity, resumed.remaining, Vec::new(), page_size)
            });
        }
        let source = Arc::new(self.source()?);
        source.prepare().await?;
        let progress: Arc<dyn Progress> = Arc::new(NoProgress);
        let spans = plans
            .iter()
            .filter_map(|plan| Some((plan.entity, crate::pipeline::first_span(plan)?)))
            .collect::<Vec<_>>();
        if let Some(sabotage @ (Sabotage::ByOffset | Sabotage::LastSecond)) = self.world.sabotage {
            let source = Arc::new(Sabotaged::new(source, sabotage, self.world.clone()));
            return Ok(run_plans(source, sink, plans, &progress).await);
        }
        if !manner.strict_windows {
            source.prefetch(&spans, page_size).await;
        }
        Ok(run_plans(source, sink, plans, &progress).await)
    }

    fn source(self: &Arc<Self>) -> Result<QboSource> {
        let api_url = HOST.parse().unwrap();
        let wire = Arc::new(Wire::new(self.clone()));
        let transport = Transport::simulated(wire, Endpoint::Data);
        let retry = RetryPolicy::default();
        let endpoint = TokenEndpoint::new(
            transport.for_endpoint(Endpoint::Token),
            format!("{HOST}/oauth2/v1/tokens/bearer").parse().unwrap(),
            "sandbox-client-id".to_owned(),
            Secret::new("sandbox-client-secret".to_owned()),
            retry,
        );
        let issuer = Authorizer::new(
            endpoint,
            Arc::new(TokenPlace::new(self.clone())),
            Vec::new(),
            Reconnect::new(REALM, None),
            Some(Secret::new(FIRST_TOKEN.to_owned())),
        );
        let shared = |document: fn(&World) -> &Document| {
            Box::new(SharedDocument::new(self.clone(), document))
        };
        let admission = AdmissionControl::new(
            Limits::default(),
            retry.max_elapsed,
            retry.max_throttled,
            shared(|world| &world.limits),
            0,
        );
        let access = Access {
            transport,
            admission: Arc::new(admission),
            issuer: Arc::new(issuer),
            retry,
            includes: Includes::new(shared(|world| &world.includes)),
            uncaptured: Uncaptured::new(shared(|world| &world.uncaptured)),
            mask: Arc::default(),
            api_url: &api_url,
            realm_id: REALM,
        };
        QboSource::new(access, LAG, 0)
    }
}
