//! QuickBooks Online: its API as a source of records, its limits, its OAuth. All that knows Intuit
//! is here.

mod admission;
mod batch;
mod changes;
mod classify;
mod client;
mod endpoint;
mod envelope;
mod failure_cause;
mod fault;
pub mod oauth;
mod paging;
mod prefetch;
mod reader;
mod record_index;
mod scrub;

use std::sync::{Arc, Mutex, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use serde_json::json;
use tokio::sync::mpsc;

pub use self::admission::{AdmissionControl, BreakerStatus, Limits, Pace, Traffic};
pub use self::changes::{Changes, ChangesSource, EntityChanges};
pub use self::client::{ApiClient, RequestKind, RetryBehavior, Verdict, retry_after};
use self::endpoint::{Endpoints, MINOR_VERSION};
use self::envelope::{QueryAnswer, read_query_answer};
use self::paging::Cursor;
use self::prefetch::{FirstPages, statement};
use self::reader::SpanReader;
pub use self::scrub::scrub;
use crate::domain::query::CountQuery;
use crate::domain::{EntitySpec, Page, Window};
use crate::error::{Error, Result};
use crate::http::{RetryPolicy, TokenCache, TokenIssuer, Transport};
use crate::port::{Meter, Source, Span};

/// What reaching a company takes.
#[derive(Debug)]
pub struct Access<'a> {
    /// How requests travel.
    pub transport: Transport,
    /// When they may.
    pub admission: Arc<AdmissionControl>,
    /// Who they are made for.
    pub issuer: Arc<dyn TokenIssuer>,
    /// How failures are met.
    pub retry: RetryPolicy,
    /// Base URL: scheme, host and perhaps a path.
    pub api_url: &'a Url,
    /// The company.
    pub realm_id: &'a str,
}

/// One company, read through its query endpoint.
#[derive(Debug)]
pub struct QboSource {
    client: ApiClient,
    endpoints: Endpoints,
    realm_id: String,
    /// How far a read stays away from the server's present.
    lag: TimeDelta,
    /// Where all reads of this source end: the server's clock at the first answer, less the lag.
    /// One instant for all, so that what one of them has seen of a moment the others have seen too.
    horizon: OnceLock<DateTime<Utc>>,
    /// What was asked for ahead of its reader.
    first_pages: Mutex<FirstPages>,
}

impl QboSource {
    /// A source for a company. It reads what was changed up to `lag` before the server's present,
    /// and sends at most `most_requests`, unless that is 0.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL cannot carry a path.
    pub fn new(access: Access<'_>, lag: TimeDelta, max_requests: u64) -> Result<Self> {
        let Access {
            transport,
            admission,
            issuer,
            retry,
            api_url,
            realm_id,
        } = access;
        let tokens = TokenCache::new(issuer);
        let client = ApiClient::new(
            transport,
            admission,
            tokens,
            retry,
            endpoint::reads_as,
            max_requests,
        );
        Ok(Self {
            client,
            endpoints: Endpoints::new(api_url, realm_id)?,
            realm_id: realm_id.to_owned(),
            lag,
            horizon: OnceLock::new(),
            first_pages: Mutex::default(),
        })
    }

    async fn query(
        &self,
        entity: &EntitySpec,
        statement: &str,
        meter: &Meter,
        patience: RetryBehavior,
    ) -> Result<QueryAnswer> {
        let request = self.endpoints.query(statement);
        self.client
            .send(&request, meter, patience, |response| {
                read_query_answer(entity, response)
            })
            .await
    }

    /// How many records were changed in `[from, until)`.
    ///
    /// # Errors
    /// Those of the API; [`Error::Decode`] if the answer is no count.
    pub async fn count(
        &self,
        entity: &EntitySpec,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        meter: &Meter,
    ) -> Result<u64> {
        let statement = CountQuery {
            entity,
            from,
            until,
        }
        .to_string();
        let answer = self
            .query(entity, &statement, meter, RetryBehavior::FULL)
            .await?;
        if let Some(time) = answer.time {
            self.horizon.get_or_init(|| time - self.lag);
        }
        answer
            .total_count
            .ok_or_else(|| Error::decode("answer of QuickBooks", "no count came"))
    }
}

impl Source for QboSource {
    fn realm_id(&self) -> &str {
        &self.realm_id
    }

    async fn prepare(&self) -> Result<()> {
        self.client.authorise().await
    }

    const SHARES_REQUESTS: bool = true;

    fn request(&self, entity: &EntitySpec, window: Window, page_size: u32) -> Option<Arc<str>> {
        let step = Cursor::new(window.start, page_size, entity.ordering).next_step(window.end)?;
        let request = json!({
            "method": "POST",
            "path": self.endpoints.query_path(),
            "minorversion": MINOR_VERSION,
            "query": statement(entity, &step),
        });
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
        SpanReader::new(self, entity, span, page_size, meter, pages)
            .read()
            .await
    }
}
