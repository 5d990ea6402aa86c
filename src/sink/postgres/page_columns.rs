//! The pages of a window and their requests, each kept once: rows are staged with the place of their page.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::de::IgnoredAny;

use crate::domain::Page;
use crate::error::{Error, Result};

/// Bytes of the different requests of a window, which are in memory until it ends. Those of an
/// archive may all differ; one has a few hundred bytes.
const MAX_REQUESTS: usize = 4 << 20;

/// Values that the rows of a page share, as arrays for `unnest`.
#[derive(Debug, Default)]
pub(super) struct PageColumns {
    /// Place of each page in the arrays, from 1, by number, size, time of arrival and request.
    pub places: HashMap<(u32, u32, DateTime<Utc>, Arc<str>), i64>,
    pub numbers: Vec<i32>,
    pub sizes: Vec<i32>,
    pub ingested_at: Vec<DateTime<Utc>>,
    /// Place of each page's request in `requests`, from 1.
    pub request_places: Vec<i64>,
    /// The different requests. Few differ: a page of a backfill has the request of its window.
    pub requests: Vec<Arc<str>>,
    /// Place of each request.
    pub known_requests: HashMap<Arc<str>, i64>,
    /// Bytes of the requests.
    pub request_bytes: usize,
}

impl PageColumns {
    /// Returns the place of a page, from 1. Parts of the same page have the same place.
    pub(super) fn place(&mut self, page: &Page) -> Result<i64> {
        let Page {
            number,
            size,
            ingested_at,
            ref request,
            ..
        } = *page;
        let known = self
            .places
            .get(&(number, size, ingested_at, request.clone()));
        if let Some(place) = known {
            return Ok(*place);
        }
        let place = self.numbers.len() as i64 + 1;
        let (request, request_place) = self.shared_request(request)?;
        self.places
            .insert((number, size, ingested_at, request), place);
        self.numbers.push(page.number as i32);
        self.sizes.push(page.size as i32);
        self.ingested_at.push(page.ingested_at);
        self.request_places.push(request_place);
        Ok(place)
    }

    /// Returns a request of a page and its place. Pages with equal requests share one.
    fn shared_request(&mut self, request: &Arc<str>) -> Result<(Arc<str>, i64)> {
        if let Some((shared, place)) = self.known_requests.get_key_value(request) {
            return Ok((shared.clone(), *place));
        }
        let failed = |reason: &str| Error::decode("request payload", reason);
        serde_json::from_str::<IgnoredAny>(request).map_err(|e| failed(&e.to_string()))?;
        self.request_bytes += request.len();
        if self.request_bytes > MAX_REQUESTS {
            let limit = MAX_REQUESTS >> 20;
            let reason = format!("the different requests of the window are longer than {limit} MB");
            return Err(failed(&reason));
        }
        let place = self.requests.len() as i64 + 1;
        self.requests.push(request.clone());
        self.known_requests.insert(request.clone(), place);
        Ok((request.clone(), place))
    }
}
