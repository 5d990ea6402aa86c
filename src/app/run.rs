//! Running the plans of a request, one run per entity.

use std::sync::Arc;

use super::App;
use crate::domain::plan::DEFAULT_CONCURRENCY;
use crate::domain::{EntitySpec, PageSize, Plan, Report, RunReport, Window, WindowReport};
use crate::pipeline;
use crate::port::{Sink, Source};

impl App {
    pub(super) async fn run<S: Source, K: Sink>(
        &self,
        source: Arc<S>,
        sink: Arc<K>,
        plans: Vec<Plan>,
    ) -> Report {
        let mut runs = Vec::with_capacity(plans.len());
        for plan in plans {
            let run_id = uuid::Uuid::new_v4().to_string();
            runs.push(
                pipeline::run(
                    source.clone(),
                    sink.clone(),
                    plan,
                    &run_id,
                    self.progress.clone(),
                )
                .await,
            );
        }
        Report {
            runs,
            connection: None,
        }
    }
}

pub(super) fn plan(
    entity: EntitySpec,
    windows: Vec<Window>,
    skipped: Vec<WindowReport>,
    page_size: PageSize,
) -> Plan {
    let concurrency = DEFAULT_CONCURRENCY;
    Plan {
        entity,
        windows,
        skipped,
        read_from: None,
        page_size,
        concurrency,
        strict_windows: false,
        is_quiet: false,
    }
}

/// A report in which every window that would be read is skipped.
pub(super) fn dry_run<'a>(
    realm_id: &str,
    plans: impl Iterator<Item = (&'a EntitySpec, Vec<Window>)>,
) -> Report {
    let run = |(entity, windows): (&EntitySpec, Vec<Window>)| {
        let reports = windows.into_iter().map(WindowReport::skipped).collect();
        RunReport::new(entity.name, realm_id, "dry-run", reports, 0)
    };
    Report {
        runs: plans.map(run).collect(),
        connection: None,
    }
}
