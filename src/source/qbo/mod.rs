//! QuickBooks Online as a source of records.

mod batch;
mod census;
mod classify;
mod envelope;
mod fault;
mod oauth;
mod paging;
mod prefetch;
mod reader;
mod trouble;

use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::json;
use tokio::sync::mpsc;

use self::envelope::{QueryAnswer, read_query_answer};
pub use self::oauth::Authorizer;
use self::prefetch::FirstPages;
use self::reader::SpanReader;
use crate::domain::query::CountQuery;
use crate::domain::{EntitySpec, Page};
use crate::error::{Error, Result};
use crate::http::ApiClient;
use crate::http::{Patience, Request};
use crate::port::{Meter, Source, Span, TokenStore};

/// The only minor version still answered; sent for the day that 76 comes (qbo-facts 3.14).
const MINOR_VERSION: u32 = 75;

/// One company, read through its query endpoint.
#[derive(Debug)]
pub struct QboSource<S> {
    client: ApiClient<Authorizer<S>>,
    query_url: Url,
    batch_url: Url,
    realm_id: String,
    /// How far a read stays away from the server's present.
    lag: TimeDelta,
    /// Where all reads of this source end: the server's clock at the first answer, less the lag. One instant for all, so
    /// that what one of them has seen of a moment the others have seen too.
    horizon: OnceLock<DateTime<Utc>>,
    /// What was asked for ahead of its reader.
    first_pages: Mutex<FirstPages>,
}

impl<S: TokenStore> QboSource<S> {
    /// A source for the company `realm_id` at `api_url` (scheme, host and perhaps a path). It reads what was changed up to
    /// `lag` before the server's present.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL cannot carry a path.
    pub fn new(client: ApiClient<Authorizer<S>>, api_url: &Url, realm_id: &str, lag: TimeDelta) -> Result<Self> {
        let endpoint = |name| {
            let mut url = api_url.clone();
            url.path_segments_mut()
                .map_err(|()| Error::config("QBO_API_URL", format!("'{api_url}' cannot carry a path")))?
                .pop_if_empty()
                .extend(["v3", "company", realm_id, name]);
            url.query_pairs_mut().append_pair("minorversion", &MINOR_VERSION.to_string());
            Ok(url)
        };
        let (query_url, batch_url) = (endpoint("query")?, endpoint("batch")?);
        Ok(Self {
            client,
            query_url,
            batch_url,
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
        patience: Patience,
    ) -> Result<QueryAnswer> {
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
        self.client.send(&request, meter, patience, |response| read_query_answer(entity, response)).await
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
        let statement = CountQuery { entity, from, until }.to_string();
        let answer = self.query(entity, &statement, meter, Patience::FULL).await?;
        if let Some(time) = answer.time {
            self.horizon.get_or_init(|| time - self.lag);
        }
        answer.total_count.ok_or_else(|| Error::decode("answer of QuickBooks", "no count came"))
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
        SpanReader::new(self, entity, span, page_size, meter, pages).read().await
    }
}
