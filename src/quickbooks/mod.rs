//! QuickBooks Online: its API as a source of records, its rate limits and its OAuth. All code that
//! knows Intuit is in this module.

mod admission;
mod bad_records;
mod batch;
mod changes;
mod changes_answer;
mod classify;
mod client;
mod company;
pub(crate) mod conform;
mod crowded_second;
mod deliveries;
mod endpoint;
mod entitlements;
mod envelope;
mod failure_cause;
mod fault;
mod fault_meaning;
mod foreign;
mod halving;
mod horizon;
mod includes;
mod lookup;
mod members;
pub(crate) mod oauth;
mod ordinary;
mod paging;
mod places;
mod prefetch;
mod reader;
mod record_index;
mod reports;
mod rows;
mod scrub;
mod search;
mod sent_rejects;
mod step;
mod strangers;
mod uncaptured;
mod whole;
mod xml;

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use reqwest::Url;
use serde_json::json;
use tokio::sync::mpsc;

#[cfg(feature = "cli")]
pub(crate) use self::admission::Pace;
pub(crate) use self::admission::{AdmissionControl, MonthlyCap};
pub use self::admission::{BreakerStatus, Limits, Traffic};
pub(crate) use self::batch::MAX_ITEMS;
pub(crate) use self::changes::ChangesSource;
pub(crate) use self::changes_answer::EntityChanges;
pub(crate) use self::client::{ApiClient, RetryBehavior};
pub(crate) use self::company::CompanyAnswer;
use self::deliveries::Deliveries;
use self::endpoint::{Endpoints, MINOR_VERSION};
use self::envelope::{Asked, QueryAnswer};
use self::horizon::Horizon;
pub(crate) use self::includes::Includes;
use self::ordinary::read_query_answer;
use self::paging::Cursor;
use self::prefetch::{FirstPages, statement};
use self::reader::SpanReader;
pub(crate) use self::reports::LandedReport;
pub(crate) use self::uncaptured::Uncaptured;
use self::whole::WholeAnswers;
use crate::domain::plan::DEFAULT_CONCURRENCY;
use crate::domain::query::CountQuery;
use crate::domain::{EntitySpec, Held, Mask, Page, Window};
use crate::error::{Error, Result};
use crate::http::{Response, RetryPolicy, TokenCache, TokenIssuer, Transport};
use crate::port::{Meter, Source, Span};

/// Everything that is needed to reach a company's API.
#[derive(Debug)]
pub(crate) struct Access<'a> {
    /// HTTP client.
    pub transport: Transport,
    /// Rate limits and circuit breaker of the company.
    pub admission: Arc<AdmissionControl>,
    /// Issuer of access tokens.
    pub issuer: Arc<dyn TokenIssuer>,
    /// Limits of retries.
    pub retry: RetryPolicy,
    /// Knowledge of its answers to `include`.
    pub includes: Includes,
    /// Knowledge of the entities whose changes it does not report.
    pub uncaptured: Uncaptured,
    /// Properties that are masked in every answer.
    pub mask: Arc<Mask>,
    /// Base URL of the API: scheme, host and optionally a path.
    pub api_url: &'a Url,
    /// Id of the company.
    pub realm_id: &'a str,
}

/// A source that reads one company through the query endpoint.
#[derive(Debug)]
pub(crate) struct QboSource {
    client: ApiClient,
    endpoints: Endpoints,
    realm_id: String,
    /// Distance that reads keep from the server's present.
    lag: TimeDelta,
    horizon: OnceLock<Horizon>,
    /// First pages that were fetched ahead of their readers.
    first_pages: Mutex<FirstPages>,
    /// Whole entities that were fetched ahead of their readers.
    wholes: Mutex<WholeAnswers>,
    deliveries: Deliveries,
    includes: Includes,
    uncaptured: Uncaptured,
    mask: Arc<Mask>,
}

impl QboSource {
    /// Creates a source for a company. It reads changes up to `lag` before the server's present and
    /// sends at most `max_requests` requests; 0 means no limit.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL cannot carry a path.
    pub(crate) fn new(access: Access<'_>, lag: TimeDelta, max_requests: u64) -> Result<Self> {
        let Access {
            transport,
            admission,
            issuer,
            retry,
            includes,
            uncaptured,
            mask,
            api_url,
            realm_id,
        } = access;
        let tokens = TokenCache::new(issuer);
        let client = ApiClient::new(
            transport,
            admission,
            tokens,
            retry,
            endpoint::read_kind,
            max_requests,
            mask.clone(),
        );
        Ok(Self {
            client,
            endpoints: Endpoints::new(api_url, realm_id)?,
            realm_id: realm_id.to_owned(),
            lag,
            horizon: OnceLock::new(),
            first_pages: Mutex::default(),
            wholes: Mutex::default(),
            deliveries: Deliveries::default(),
            includes,
            uncaptured,
            mask,
        })
    }

    /// Sets the horizon from the server's clock, unless an earlier answer has set it.
    fn set_horizon(&self, server: Option<DateTime<Utc>>) {
        let horizon = || Horizon::of(server, crate::clock::now(), self.lag);
        self.horizon.get_or_init(horizon);
    }

    async fn query(
        &self,
        entity: &EntitySpec,
        statement: &str,
        meter: &Meter,
        behavior: RetryBehavior,
    ) -> Result<QueryAnswer> {
        let answer = self.query_and_hold(entity, statement, meter, behavior);
        Ok(QueryAnswer {
            held: Held::default(),
            ..answer.await?
        })
    }

    /// Like [`query`](Self::query), with the memory of the answer.
    async fn query_and_hold(
        &self,
        entity: &EntitySpec,
        statement: &str,
        meter: &Meter,
        behavior: RetryBehavior,
    ) -> Result<QueryAnswer> {
        let asked = Asked::by(entity, statement);
        let read = |response: &Response| read_query_answer(asked, response);
        let with_records = Some(entity).filter(|_| !asked.is_count);
        let mut asking = self.includes.ask(with_records.into_iter());
        loop {
            let request = self.endpoints.query(statement, asking.include());
            let sent = self.client.send_and_hold(&request, meter, behavior, read);
            let sent = sent
                .await
                .map(|(answer, held)| QueryAnswer { held, ..answer });
            if let Ok(answer) = &sent {
                asking.note_proof(answer.has_rows());
            }
            if let Some(outcome) = self.includes.judge(sent, &mut asking).await {
                return outcome;
            }
        }
    }

    /// Returns the number of records that a query counts.
    ///
    /// # Errors
    /// Errors of the API; [`Error::Decode`] if the answer has no count.
    pub(crate) async fn count(&self, query: &CountQuery<'_>, meter: &Meter) -> Result<u64> {
        let answer = self
            .query(query.entity, &query.to_string(), meter, RetryBehavior::FULL)
            .await?;
        self.set_horizon(answer.time);
        answer
            .total_count
            .ok_or_else(|| Error::decode("answer of QuickBooks", "it has no count"))
    }

    /// Describes the request of a window, for its rows.
    fn describe(
        &self,
        entity: &EntitySpec,
        window: Window,
        page_size: u32,
    ) -> Option<serde_json::Value> {
        if entity.is_read_whole {
            let url = self.endpoints.whole_url(entity).ok()?;
            return Some(json!({"method": "GET", "path": url.path()}));
        }
        if !entity.has_query {
            return Some(json!({
                "method": "GET",
                "path": self.endpoints.changes_path(),
                "minorversion": MINOR_VERSION,
                "entities": entity.qbo_name,
            }));
        }
        let step = Cursor::new(window.start, page_size, entity).next_step(window.end)?;
        let mut request = json!({
            "method": "POST",
            "path": self.endpoints.query_path(),
            "minorversion": MINOR_VERSION,
            "query": statement(entity, &step),
        });
        if let Some(include) = self.includes.value(entity) {
            request["include"] = include.into();
        }
        Some(request)
    }
}

impl Source for QboSource {
    fn realm_id(&self) -> &str {
        &self.realm_id
    }

    /// Storing takes time too, so that fewer requests under way are no reason for fewer spans.
    fn enough_spans(&self, most: usize) -> usize {
        let enough = self.client.enough_requests();
        most.min(enough.max(DEFAULT_CONCURRENCY))
    }

    async fn prepare(&self) -> Result<()> {
        self.includes.load().await;
        self.uncaptured.load().await;
        self.client.authorise().await
    }

    const SHARES_REQUESTS: bool = true;

    fn request(&self, entity: &EntitySpec, window: Window, page_size: u32) -> Option<Arc<str>> {
        let mut request = self.describe(entity, window, page_size)?;
        if let Some(mark) = self.mask.mark(entity) {
            request["masked"] = mark.clone();
        }
        Some(request.to_string().into())
    }

    async fn read_span(
        &self,
        entity: &EntitySpec,
        span: &Span,
        page_size: u32,
        meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> Result<Option<DateTime<Utc>>> {
        if entity.is_read_whole {
            return self.read_whole(entity, span, page_size, meter, pages).await;
        }
        SpanReader::new(self, entity, span, page_size, meter, pages)
            .read()
            .await
    }
}
