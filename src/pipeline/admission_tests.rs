//! Windows that share memory and connections, with as little of both as can be.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::run;
use crate::domain::{
    Chunk, EntitySpec, Held, Page, PageSize, Plan, RunStatus, Window, chunk_range, find_entity,
};
use crate::error::{Error, Result};
use crate::port::{
    CommitSummary, MemoryBudget, Meter, NoProgress, ReadSummary, Sink, Source, Span, WindowContext,
    WindowWriter,
};

const PAGES: u32 = 5;

/// A source of pages that need two thirds of the memory to arrive, and keep half of that.
struct LargePages(MemoryBudget);

impl Source for LargePages {
    fn realm_id(&self) -> &str {
        "9"
    }

    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    const SHARES_REQUESTS: bool = false;

    async fn read_span(
        &self,
        _entity: &EntitySpec,
        span: &Span,
        size: u32,
        _meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> Result<Option<DateTime<Utc>>> {
        for number in 1..=PAGES {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let mut memory = self.0.take(64 << 10).await;
            memory.shrink_to(40 << 10);
            let page = Page {
                number,
                size,
                request: "{}".into(),
                ingested_at: span.start,
                covered_until: span.start,
                horizon: None,
                records: Vec::new(),
                rejects: Vec::new(),
                held: memory.into_held(),
            };
            pages.send(page).await.map_err(|_| Error::Cancelled)?;
        }
        Ok(None)
    }
}

/// A sink of which each window has a connection from its first page to its commit.
struct FewConnections {
    connections: Arc<Semaphore>,
    windows: Arc<Semaphore>,
}

impl Sink for FewConnections {
    type Writer = Connected;

    const PHASE: &'static str = "load";

    async fn admit_window(&self) -> Held {
        Held::new(self.windows.clone().acquire_owned().await.unwrap())
    }

    async fn open_window(&self, _context: WindowContext) -> Result<Connected> {
        Ok(Connected {
            connections: self.connections.clone(),
            connection: None,
        })
    }
}

struct Connected {
    connections: Arc<Semaphore>,
    connection: Option<OwnedSemaphorePermit>,
}

impl WindowWriter for Connected {
    async fn write(&mut self, _page: Page) -> Result<()> {
        if self.connection.is_none() {
            self.connection = Some(self.connections.clone().acquire_owned().await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    }

    async fn commit(self, _summary: ReadSummary) -> Result<CommitSummary> {
        Ok(CommitSummary::default())
    }
}

#[tokio::test(start_paused = true)]
async fn windows_that_wait_for_a_connection_hold_no_memory_that_others_wait_for() {
    let source = Arc::new(LargePages(MemoryBudget::new(96 << 10)));
    let sink = Arc::new(FewConnections {
        connections: Arc::new(Semaphore::new(1)),
        windows: Arc::new(Semaphore::new(1)),
    });
    let year = Window::parse("2024-01-01", "2025-01-01").unwrap();
    let plan = Plan {
        entity: *find_entity("items").unwrap(),
        windows: chunk_range(year, Chunk::Months(1)),
        skipped: Vec::new(),
        read_from: Vec::new(),
        reads_since: None,
        page_size: PageSize::default(),
        concurrency: 4,
        strict_windows: false,
        run_id: None,
        is_quiet: false,
    };
    // Of several companies.
    let runs = (0..3).map(|number| {
        let (source, sink, plan) = (source.clone(), sink.clone(), plan.clone());
        async move {
            run(
                source,
                sink,
                plan,
                &number.to_string(),
                Arc::new(NoProgress),
            )
            .await
        }
    });
    let ended = futures_util::future::join_all(runs);
    let reports = tokio::time::timeout(Duration::from_secs(600), ended)
        .await
        .expect("they wait for each other");
    for report in reports {
        assert_eq!((report.status, report.totals.windows), (RunStatus::Ok, 12));
    }
}
