//! The requests of the probes, and their answers. A refusal is an answer here, not an error.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Prober;
use crate::error::{Error, Result};
use crate::http::{Request, Response};
use crate::quickbooks::classify::classify_failure;
use crate::quickbooks::client::{RetryBehavior, Verdict};
use crate::quickbooks::fault::Fault;

/// An answer to a probe.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// A success.
    Answer {
        /// HTTP status.
        status: u16,
        /// The answer, or one item of a batch.
        body: Value,
    },
    /// The service refused the request.
    Refused {
        /// HTTP status.
        status: u16,
        /// Intuit's fault code, if there was one.
        code: Option<String>,
    },
}

impl Reply {
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Answer { status, .. } | Self::Refused { status, .. } => *status,
        }
    }

    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Answer { .. } => None,
            Self::Refused { code, .. } => code.as_deref(),
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    pub(super) fn body(&self) -> Option<&Value> {
        match self {
            Self::Answer { body, .. } => Some(body),
            Self::Refused { .. } => None,
        }
    }

    /// Returns the count of a `SELECT COUNT(*)`.
    pub(super) fn count(&self) -> Option<u64> {
        self.body()?["QueryResponse"]["totalCount"].as_u64()
    }

    /// Returns the rows of a query. Empty if there are none.
    pub(super) fn rows(&self) -> Vec<&Value> {
        self.body()
            .map(|body| rows_of(&body["QueryResponse"]))
            .unwrap_or_default()
    }

    /// Returns the ids of a query's rows, in order.
    pub(super) fn ids(&self) -> Vec<&str> {
        let rows = self.rows().into_iter();
        rows.filter_map(|row| row["Id"].as_str()).collect()
    }

    /// Returns the rows of every group of a change data capture answer.
    pub(super) fn groups(&self) -> Vec<Vec<&Value>> {
        let groups = self
            .body()
            .and_then(|body| body["CDCResponse"][0]["QueryResponse"].as_array());
        groups
            .map(|groups| groups.iter().map(rows_of).collect())
            .unwrap_or_default()
    }

    /// Returns the answers to the items of a batch, found by their numbers. `None` stands for an
    /// item without an answer.
    pub(super) fn items(&self, count: usize) -> Vec<Option<Self>> {
        let mut items = vec![None; count];
        let answers = self
            .body()
            .and_then(|body| body["BatchItemResponse"].as_array());
        for answer in answers.into_iter().flatten() {
            let number = answer["bId"]
                .as_str()
                .and_then(|id| id.parse::<usize>().ok());
            let Some(place) = number.and_then(|number| items.get_mut(number)) else {
                continue;
            };
            *place = Some(match Fault::from_json(answer) {
                Some(fault) => Self::Refused {
                    status: self.status(),
                    code: Some(fault.code).filter(|code| !code.is_empty()),
                },
                None => Self::Answer {
                    status: self.status(),
                    body: answer.clone(),
                },
            });
        }
        items
    }
}

/// Returns the rows of a `QueryResponse`, whose key depends on the entity.
fn rows_of(response: &Value) -> Vec<&Value> {
    let members = response.as_object().into_iter().flatten();
    members
        .filter_map(|(_, member)| member.as_array())
        .flatten()
        .collect()
}

impl Prober<'_> {
    /// Sends one statement.
    pub(super) async fn query(&self, statement: &str) -> Result<Reply> {
        self.send(self.source.endpoints.query(statement, None))
            .await
    }

    /// Sends several statements in one batch.
    pub(super) async fn batch(&self, statements: &[String]) -> Result<Reply> {
        let statements = statements.iter().map(String::as_str);
        self.send(self.source.endpoints.batch(statements, None))
            .await
    }

    /// Asks for the changes of entities since an instant.
    pub(super) async fn changes(&self, names: &[&str], since: DateTime<Utc>) -> Result<Reply> {
        let names = names.iter().copied();
        self.send(self.source.endpoints.changes(names, since)).await
    }

    /// Sends one statement, and asks for more than is answered unasked.
    pub(super) async fn query_with(&self, statement: &str, includes: &[&str]) -> Result<Reply> {
        let request = self.source.endpoints.query(statement, None);
        self.send(including(request, includes)).await
    }

    /// Asks for the changes of one entity, with more than is answered unasked.
    pub(super) async fn changes_with(
        &self,
        name: &str,
        since: DateTime<Utc>,
        include: &str,
    ) -> Result<Reply> {
        let names = std::iter::once(name);
        let request = self.source.endpoints.changes(names, since);
        self.send(including(request, &[include])).await
    }

    /// Asks for all tax classifications.
    pub(super) async fn tax_classifications(&self) -> Result<Reply> {
        self.send(self.source.endpoints.tax_classifications()).await
    }

    async fn send(&self, request: Request) -> Result<Reply> {
        // A fault of the service itself that comes twice is taken as its answer.
        let behavior = RetryBehavior {
            returns_early: |error, attempt| attempt >= 2 && is_refusal(error),
            is_retry: false,
        };
        let sent = self
            .source
            .client
            .send(&request, &self.meter, behavior, read);
        match sent.await {
            Ok(reply) => Ok(reply),
            Err(error) => match error.last() {
                Error::Api { status, code, .. } if is_refusal(&error) => Ok(Reply::Refused {
                    status: *status,
                    code: code.clone(),
                }),
                _ => Err(error),
            },
        }
    }
}

/// Returns a request with a parameter `include` for each value.
fn including(mut request: Request, includes: &[&str]) -> Request {
    for include in includes {
        let mut parameters = request.url.query_pairs_mut();
        parameters.append_pair("include", include);
    }
    request
}

/// Returns whether a failure with a status of the server is nevertheless an answer to the request.
/// Code 10000 says that the service itself failed (qbo-facts 7.2).
fn is_refusal(error: &Error) -> bool {
    error.code().is_some_and(|code| code != "10000")
}

/// Reads an answer. What the service refuses for good is an answer; other failures are classified as
/// for any request.
fn read(response: &Response) -> Verdict<Reply> {
    let status = response.status;
    let fault = Fault::parse(&response.body);
    if (200..300).contains(&status) && fault.is_none() {
        return match serde_json::from_slice(&response.body) {
            Ok(body) => Verdict::Done(Reply::Answer { status, body }),
            Err(error) => Verdict::Retry(Error::decode("answer of QuickBooks", error)),
        };
    }
    match classify_failure(response, fault, None) {
        Verdict::Fatal(error @ (Error::Api { .. } | Error::Unavailable { .. })) => {
            Verdict::Done(Reply::Refused {
                status,
                code: error.code().map(str::to_owned),
            })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    fn reply(status: u16, body: &'static str) -> Verdict<Reply> {
        read(&Response {
            status,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            held: crate::port::Held::default(),
        })
    }

    #[test]
    fn refusals_are_answers_and_other_failures_are_not() {
        let refused = reply(
            400,
            r#"{"Fault":{"Error":[{"code":"4001","Message":"m"}]}}"#,
        );
        assert!(
            matches!(&refused, Verdict::Done(reply) if reply.code() == Some("4001") && reply.status() == 400)
        );
        assert!(matches!(reply(502, "<html>"), Verdict::Retry(_)));
        assert!(matches!(reply(429, ""), Verdict::Throttled(_)));
        assert!(matches!(reply(401, ""), Verdict::RefreshToken(_)));
        assert!(matches!(reply(403, ""), Verdict::Fatal(_)));
        assert!(matches!(reply(200, "<html>"), Verdict::Retry(_)));
    }

    #[test]
    fn items_of_a_batch_are_found_by_their_numbers() {
        let body = r#"{"BatchItemResponse":[
            {"bId":"2","QueryResponse":{"totalCount":7}},
            {"bId":"0","Fault":{"Error":[{"code":"4001"}]}}]}"#;
        let Verdict::Done(whole) = reply(200, body) else {
            panic!("not done")
        };
        let items = whole.items(3);
        assert_eq!(items[0].as_ref().and_then(Reply::code), Some("4001"));
        assert!(items[1].is_none());
        assert_eq!(items[2].as_ref().and_then(Reply::count), Some(7));
    }
}
