//! QuickBooks Online as a source of records.

mod classify;
mod envelope;
mod fault;
mod oauth;
mod paging;

use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::json;
use tokio::sync::mpsc;

use self::envelope::{QueryAnswer, read_query_answer};
pub use self::oauth::Authorizer;
use self::paging::Cursor;
use crate::domain::query::PageQuery;
use crate::domain::{EntitySpec, Page, Window};
use crate::error::{Error, Result};
use crate::http::ApiClient;
use crate::http::Request;
use crate::port::{Meter, Source, TokenStore};

/// The only minor version still answered; sent for the day that 76 comes (qbo-facts 3.14).
const MINOR_VERSION: u32 = 75;

/// One company, read through its query endpoint.
#[derive(Debug)]
pub struct QboSource<S> {
    client: ApiClient<Authorizer<S>>,
    query_url: Url,
    realm_id: String,
}

impl<S: TokenStore> QboSource<S> {
    /// A source for the company `realm_id` at `api_url` (scheme, host and perhaps a path).
    ///
    /// # Errors
    /// [`Error::Config`] if the URL cannot carry a path.
    pub fn new(client: ApiClient<Authorizer<S>>, api_url: &Url, realm_id: &str) -> Result<Self> {
        let mut query_url = api_url.clone();
        query_url
            .path_segments_mut()
            .map_err(|()| Error::config("QBO_API_URL", format!("'{api_url}' cannot carry a path")))?
            .pop_if_empty()
            .extend(["v3", "company", realm_id, "query"]);
        query_url.query_pairs_mut().append_pair("minorversion", &MINOR_VERSION.to_string());
        Ok(Self { client, query_url, realm_id: realm_id.to_owned() })
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

    async fn read_window(
        &self,
        entity: &EntitySpec,
        window: Window,
        page_size: u32,
        meter: &Meter,
        pages: mpsc::Sender<Page>,
    ) -> Result<()> {
        let mut cursor = Cursor::new(window, page_size, entity.ordering);
        for number in 1.. {
            let Some(step) = cursor.next_step() else { break };
            let statement = PageQuery {
                entity,
                from: step.from,
                until: step.until,
                order: step.order,
                start_position: step.start_position,
                max_results: step.max_results,
            }
            .to_string();
            let answer = self.query(entity, &statement, meter).await?;
            let records = cursor.accept(answer.records)?;
            let page = Page {
                number,
                size: step.max_results,
                request: self.request_payload(&statement),
                ingested_at: Utc::now(),
                read_at: answer.time,
                records,
            };
            // The receiver goes away only when the sink has failed; its error is the one to report.
            pages.send(page).await.map_err(|_| Error::Cancelled)?;
        }
        Ok(())
    }
}
