//! The time that each entity lacks, and how to read it.

use chrono::{DateTime, Utc};

use super::company::CompanySyncer;
use super::lacking::{lacking, settled};
use super::poll::{Poll, years};
use crate::app::run::plan;
use crate::domain::{EntitySpec, Plan, Window};
use crate::error::Result;
use crate::store::{Standing, Standings};

impl CompanySyncer<'_> {
    /// Determines the time that each entity lacks.
    pub(super) async fn polls(
        &self,
        entities: &[EntitySpec],
        now: DateTime<Utc>,
    ) -> Result<Vec<Poll>> {
        let mut standings = self.sink.standings(self.realm_id, entities).await?;
        let mut polls = Vec::with_capacity(entities.len());
        for entity in entities {
            let standing = standings.take(entity);
            polls.push(self.poll(entity, standing, &standings, now).await?);
        }
        Ok(polls)
    }

    /// Determines the time that an entity lacks, and how to read it.
    async fn poll(
        &self,
        entity: &EntitySpec,
        standing: Standing,
        standings: &Standings,
        now: DateTime<Utc>,
    ) -> Result<Poll> {
        if !entity.has_query {
            return self
                .poll_unqueryable(entity, standing, standings, now)
                .await;
        }
        let is_done = |window: &Window| standing.is_done(*window);
        let Standing {
            committed, failed, ..
        } = &standing;
        let (settled, failed) = settled(failed.clone(), committed);
        if !settled.is_empty() {
            self.sink.settle(self.realm_id, entity, &settled).await?;
        }
        let lacking = lacking(&years(now)?, committed, &failed);
        let plan = plan(*entity, lacking.windows, Vec::new(), self.page_size);
        let is_new = committed.is_empty() && self.sink.is_empty(entity).await?;
        Ok(Poll {
            is_one_done: matches!(&plan.windows[..], [only] if is_done(only)),
            plan: Plan {
                read_from: lacking
                    .latest_from
                    .map(|from| standings.continued(from))
                    .into_iter()
                    .collect(),
                is_quiet: true,
                ..plan
            },
            since: lacking.latest_from.filter(|_| lacking.is_latest_only),
            state: standing.state,
            is_new,
        })
    }
}
