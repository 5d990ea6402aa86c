//! Opens a company for a sync: its connection, and the schema that it has or is given.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::MutexGuard;

use super::Syncer;
use crate::app::company::{Company, ConnectionStatus, Source};
use crate::app::company_schema::Binding;
use crate::domain::EntitySpec;
use crate::error::Result;
use crate::http::RetryPolicy;
use crate::sink::postgres::{PostgresSink, RunRecords};

/// The time for which requests to a company that does not answer are retried.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// A company whose requests can be sent, and whose schema is prepared.
pub(super) type OpenedCompany = (Arc<Source>, ConnectionStatus, PostgresSink);

impl Syncer {
    /// Waits until it is a company's turn to be given a schema, in the order in which companies have begun;
    /// `None` if it has one: such a company waits for none here, and holds up none.
    async fn place_among_new(&self, realm_id: &str) -> Result<Option<MutexGuard<'_, ()>>> {
        let (mut place, mut look) = (
            pin!(self.schema_choice.lock()),
            pin!(self.schemas.bound_schema(realm_id)),
        );
        let mut held = None;
        let bound = loop {
            // The place in the order is taken before the look, which takes as long as it takes.
            tokio::select! {
                biased;
                guard = &mut place, if held.is_none() => held = Some(guard),
                bound = &mut look => break bound?,
            }
        };
        match (bound, held) {
            (Some(_), _) => Ok(None),
            (None, Some(guard)) => Ok(Some(guard)),
            (None, None) => Ok(Some(place.await)),
        }
    }

    /// Opens the company and its sink. A company without a token gets no schema, because it may not
    /// exist.
    pub(super) async fn open_company(
        &self,
        realm_id: &str,
        entities: &[EntitySpec],
        schema: &mut String,
    ) -> Result<(OpenedCompany, Binding)> {
        let in_order = self.place_among_new(realm_id).await?;
        let is_new = in_order.is_some();
        let mut config = self.app.settings.of_company(realm_id)?.qbo_of(realm_id)?;
        // Shorter than for a backfill, because the next sync comes soon.
        config.oauth.retry = impatient(config.oauth.retry);
        let (source, connection) = Company::open_at(&self.backend, &config, &self.app.progress)
            .await?
            .into_parts();
        connection.has_token().await?;
        let sink = self.open_sink(realm_id, entities, schema).await?;
        let binding = Binding::of(&self.postgres, &sink, realm_id, is_new);
        drop(in_order);
        Ok(((source, connection, sink), binding))
    }

    /// Prepares the schema of a company.
    async fn open_sink(
        &self,
        realm_id: &str,
        entities: &[EntitySpec],
        schema: &mut String,
    ) -> Result<PostgresSink> {
        loop {
            let chosen = self.schemas.schema_for(realm_id).await?;
            let is_first_try = *schema != chosen;
            *schema = chosen;
            let (db, postgres) = (self.db.clone(), &self.postgres);
            let sink = PostgresSink::new(db, schema, postgres, RunRecords::Changes)?;
            if !is_first_try {
                // The choice is the same again: the schema that is named after this company holds another one.
                sink.prepare(realm_id, entities).await?;
                return Ok(sink);
            }
            // Another process may have given `raw` to another company since: then this one has its own.
            if sink.prepare_if_free(realm_id, entities).await? {
                return Ok(sink);
            }
        }
    }
}

/// Returns the policy of a sync. It gives up sooner than `policy`, but waits for two throttles, each
/// longer by up to a tenth. A sync that did not wait would keep asking, and stay throttled.
fn impatient(policy: RetryPolicy) -> RetryPolicy {
    let throttles = policy.throttle_wait * 11 / 5 + RETRY_TIMEOUT;
    RetryPolicy {
        max_elapsed: policy.max_elapsed.min(RETRY_TIMEOUT),
        max_throttled: policy.max_throttled.min(throttles),
        ..policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_waits_for_a_throttle_however_long_it_is() {
        for wait in [1, 60, 500] {
            let throttle_wait = Duration::from_secs(wait);
            let policy = impatient(RetryPolicy {
                throttle_wait,
                ..RetryPolicy::default()
            });
            let next = policy.next_wait(1, policy.max_throttled, Some(throttle_wait), 0.99);
            assert!(next.is_some_and(|next| next >= throttle_wait), "{wait}");
        }
        assert_eq!(impatient(RetryPolicy::default()).max_elapsed, RETRY_TIMEOUT);
    }
}
