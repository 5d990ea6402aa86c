//! QuickBooks Online as a source of records.

mod classify;
mod envelope;
mod fault;
mod oauth;
mod paging;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::json;
use tokio::sync::mpsc;

use self::envelope::{QueryAnswer, read_query_answer};
pub use self::oauth::Authorizer;
use self::paging::{Cursor, Step};
use crate::domain::query::PageQuery;
use crate::domain::{EntitySpec, Page};
use crate::error::{Error, Result};
use crate::http::ApiClient;
use crate::http::Request;
use crate::port::{Meter, Source, Span, TokenStore};

/// The only minor version still answered; sent for the day that 76 comes (qbo-facts 3.14).
const MINOR_VERSION: u32 = 75;

/// One company, read through its query endpoint.
#[derive(Debug)]
pub struct QboSource<S> {
    client: ApiClient<Authorizer<S>>,
    query_url: Url,
    realm_id: String,
    /// How far a read stays away from the server's present.
    lag: TimeDelta,
    /// Where all reads of this source end: the server's clock at the first answer, less the lag. One instant for all, so
    /// that what one of them has seen of a moment the others have seen too.
    horizon: OnceLock<DateTime<Utc>>,
}

impl<S: TokenStore> QboSource<S> {
    /// A source for the company `realm_id` at `api_url` (scheme, host and perhaps a path). It reads what was changed up to
    /// `lag` before the server's present.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL cannot carry a path.
    pub fn new(client: ApiClient<Authorizer<S>>, api_url: &Url, realm_id: &str, lag: TimeDelta) -> Result<Self> {
        let mut query_url = api_url.clone();
        query_url
            .path_segments_mut()
            .map_err(|()| Error::config("QBO_API_URL", format!("'{api_url}' cannot carry a path")))?
            .pop_if_empty()
            .extend(["v3", "company", realm_id, "query"]);
        query_url.query_pairs_mut().append_pair("minorversion", &MINOR_VERSION.to_string());
        Ok(Self { client, query_url, realm_id: realm_id.to_owned(), lag, horizon: OnceLock::new() })
    }

    async fn query(&self, entity: &EntitySpec, statement: &str, meter: &Meter) -> Result<QueryAnswer> {
        // By POST: a statement in the body needs no URL encoding and has no length limit (qbo-facts 2.1).
        let request = Request {
            method: Method::POST,
            url: self.query_url.clone(),
            headers: HeaderMap::from_iter([
                (ACCEPT, HeaderValue::from_static("application/json")),
                (CONTENT_TYPE, HeaderValue::from_static("application/text")),
            ]),
            body: Bytes::copy_from_slice(statement.as_bytes()),
        };
        self.client.send(&request, meter, |response| read_query_answer(entity, response)).await
    }

    fn request_payload(&self, statement: &str) -> Arc<str> {
        json!({
            "method": "POST",
            "path": self.query_url.path(),
            "minorversion": MINOR_VERSION,
            "query": statement,
        })
        .to_string()
        .into()
    }
}

impl<S: TokenStore> Source for QboSource<S> {
    fn realm_id(&self) -> &str {
        &self.realm_id
    }

    async fn prepare(&self) -> Result<()> {
        self.client.authorise().await
    }

    const SHARES_REQUESTS: bool = true;

    async fn read_span(
        &self,
        entity: &EntitySpec,
        span: &Span,
        page_size: u32,
        meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> Result<Option<DateTime<Utc>>> {
        let mut cursor = Cursor::new(span.start, page_size, entity.ordering);
        let mut numbers = 1..;
        loop {
            let horizon = self.horizon.get().copied();
            let end = horizon.map_or(span.end(), |horizon| span.end().min(horizon));
            let (Some(step), Some(number)) = (cursor.next_step(end), numbers.next()) else {
                return Ok(horizon.filter(|horizon| *horizon < span.end()));
            };
            let statement = statement(entity, &step);
            let answer = self.query(entity, &statement, meter).await?;
            let horizon = answer.time.map(|time| *self.horizon.get_or_init(|| time - self.lag));
            let mut records = cursor.accept(&step, answer.records)?;
            // What was changed a moment ago may have neighbours that cannot be seen yet (qbo-facts 3.9).
            records.retain(|record| horizon.is_none_or(|horizon| record.updated_at < horizon));
            let page = Page {
                number,
                size: step.max_results,
                request: self.request_payload(&statement),
                ingested_at: Utc::now(),
                covered_until: horizon.map_or(cursor.covered_until(), |horizon| cursor.covered_until().min(horizon)),
                horizon,
                records,
            };
            // The receiver goes away only when the sink has failed; its error is the one to report.
            pages.send(page).await.map_err(|_| Error::Cancelled)?;
        }
    }
}

fn statement(entity: &EntitySpec, step: &Step) -> String {
    let Step { from, until, order, start_position, max_results } = *step;
    PageQuery { entity, from, until, order, start_position, max_results }.to_string()
}
