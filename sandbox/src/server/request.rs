//! A received request.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};

/// A request with its whole body.
pub(super) struct ReceivedRequest {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl ReceivedRequest {
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the fields of the query string.
    pub(super) fn query(&self) -> HashMap<String, String> {
        form_fields(self.uri.query().unwrap_or_default())
    }

    /// Returns all values of one field of the query string.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = form_pairs(self.uri.query().unwrap_or_default());
        pairs
            .filter(|(found, _)| found == name)
            .map(|(_, value)| value)
            .collect()
    }

    /// Returns the fields of the body, which is a form.
    pub(super) fn form(&self) -> HashMap<String, String> {
        form_fields(&String::from_utf8_lossy(&self.body))
    }

    /// Returns the query string and the body as one text, for faults that look for a text.
    pub(super) fn text(&self) -> String {
        let query = self
            .uri
            .query()
            .map(|query| percent_encoding::percent_decode_str(query).decode_utf8_lossy());
        format!(
            "{} {}",
            query.unwrap_or_default(),
            String::from_utf8_lossy(&self.body)
        )
    }
}

fn form_fields(text: &str) -> HashMap<String, String> {
    form_pairs(text).collect()
}

/// Parses the fields of a form or a query string. A `+` is a space, as at Intuit (qbo-facts 2.4).
fn form_pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(move |(name, value)| (decode(name), decode(value)))
}
