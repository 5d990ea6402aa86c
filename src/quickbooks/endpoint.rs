//! The endpoints of a company that this crate may call. All of them read, and this module is the only
//! place where requests to the API are made.

use std::borrow::Cow;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::json;

use crate::domain::entity::{ALL_CUSTOM_FIELDS, INVOICE_LINK};
use crate::domain::instant::format_instant;
use crate::domain::reports::{REPORTS, ReportRequest, ReportSpec};
use crate::domain::{ENTITIES, EntitySpec};
use crate::error::{Error, Result};
use crate::http::Request;
use crate::quickbooks::admission::RequestKind;
use crate::quickbooks::includes::PARAMETER;

/// The only minor version that is still answered. Sent explicitly, so that a future version 76 does not
/// change answers (qbo-facts 3.14).
pub(super) const MINOR_VERSION: u32 = 75;

/// The entity with an API of its own, in XML.
pub(super) const ENTITLEMENTS: &str = "Entitlements";

/// The path below which reports are.
const REPORTS_PATH: &str = "reports";

/// URLs of one company's endpoints.
#[derive(Debug)]
pub(super) struct Endpoints {
    query: Url,
    batch: Url,
    changes: Url,
    tax_classifications: Url,
    entitlements: Url,
    /// URL without a path below the company, for reads of single records.
    company: Url,
}

impl Endpoints {
    /// Creates the endpoints of the company `realm_id` at `api_url` (scheme, host and optionally a
    /// path).
    ///
    /// # Errors
    /// [`Error::Config`] if the URL cannot carry a path.
    pub(super) fn new(api_url: &Url, realm_id: &str) -> Result<Self> {
        let mut company = api_url.clone();
        extend(&mut company, &["v3", "company", realm_id])?;
        let mut entitlements = api_url.clone();
        extend(
            &mut entitlements,
            &["manage", "entitlements", "v3", realm_id],
        )?;
        let endpoint = |name| {
            let mut url = company.clone();
            extend(&mut url, &[name])?;
            url.query_pairs_mut()
                .append_pair("minorversion", &MINOR_VERSION.to_string());
            Ok(url)
        };
        Ok(Self {
            query: endpoint("query")?,
            batch: endpoint("batch")?,
            changes: endpoint("cdc")?,
            tax_classifications: endpoint("taxclassification")?,
            entitlements,
            company,
        })
    }

    /// Makes the request for one statement. It uses POST because a body needs no URL encoding and
    /// has no length limit (qbo-facts 2.1).
    /// `include` names parts of records that are answered only if asked for.
    pub(super) fn query(&self, statement: &str, include: Option<&str>) -> Request {
        post(
            with_include(&self.query, include),
            "application/text",
            Bytes::copy_from_slice(statement.as_bytes()),
        )
    }

    /// Returns the path of change data capture, for `request_payload`.
    pub(super) fn changes_path(&self) -> &str {
        self.changes.path()
    }

    /// Makes the request for one record (qbo-facts 13.6).
    ///
    /// # Errors
    /// [`Error::Config`] if the URL cannot carry a path.
    pub(super) fn read(&self, entity: &EntitySpec, id: &str) -> Result<Request> {
        let mut url = self.company.clone();
        extend(&mut url, &[&entity.qbo_name.to_ascii_lowercase(), id])?;
        url.query_pairs_mut()
            .append_pair("minorversion", &MINOR_VERSION.to_string());
        Ok(get(url))
    }

    /// Returns the path of the query endpoint, for `request_payload`.
    pub(super) fn query_path(&self) -> &str {
        self.query.path()
    }

    /// Makes the request for changes and deletions of several entities since an instant (qbo-facts
    /// 4).
    pub(super) fn changes<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        since: DateTime<Utc>,
    ) -> Request {
        let mut url = self.changes.clone();
        let names = names.collect::<Vec<_>>().join(",");
        url.query_pairs_mut()
            .append_pair("entities", &names)
            .append_pair("changedSince", &format_instant(since));
        get(url)
    }

    /// Makes the request for all tax classifications, which have no queries (qbo-facts 13.6).
    pub(super) fn tax_classifications(&self) -> Request {
        get(self.tax_classifications.clone())
    }

    /// Makes the request for all records of an entity that is read as a whole. Entitlements are
    /// refused to a client that does not accept XML.
    ///
    /// # Errors
    /// See [`whole_url`](Self::whole_url).
    pub(super) fn whole(&self, entity: &EntitySpec) -> Result<Request> {
        let mut request = get(self.whole_url(entity)?.clone());
        if entity.qbo_name == ENTITLEMENTS {
            let xml = HeaderValue::from_static("application/xml");
            request.headers = HeaderMap::from_iter([(ACCEPT, xml)]);
        }
        Ok(request)
    }

    /// Returns the URL of that request. Each such entity has one of its own.
    ///
    /// # Errors
    /// [`Error::Internal`] for an entity whose URL is not known.
    pub(super) fn whole_url(&self, entity: &EntitySpec) -> Result<&Url> {
        match entity.qbo_name {
            ENTITLEMENTS => Ok(&self.entitlements),
            "TaxClassification" => Ok(&self.tax_classifications),
            other => Err(Error::Internal(format!("{other} is not read as a whole"))),
        }
    }

    /// Makes the request for a report.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL cannot carry a path.
    pub(super) fn report(&self, request: &ReportRequest) -> Result<Request> {
        let mut url = self.company.clone();
        extend(&mut url, &[REPORTS_PATH, request.report.route])?;
        url.query_pairs_mut()
            .append_pair("minorversion", &MINOR_VERSION.to_string())
            .extend_pairs(request.query());
        Ok(get(url))
    }

    /// Makes the request for several statements; each answer carries its statement's number
    /// (qbo-facts 6.3).
    pub(super) fn batch<'s>(
        &self,
        statements: impl Iterator<Item = &'s str>,
        include: Option<&str>,
    ) -> Request {
        let items: Vec<_> = statements
            .enumerate()
            .map(|(number, statement)| json!({"bId": number.to_string(), "Query": statement}))
            .collect();
        post(
            with_include(&self.batch, include),
            "application/json",
            Bytes::from(json!({"BatchItemRequest": items}).to_string()),
        )
    }
}

/// Appends segments to the path of a URL.
fn extend(url: &mut Url, segments: &[&str]) -> Result<()> {
    let text = url.to_string();
    url.path_segments_mut()
        .map_err(|()| Error::config("QBO_API_URL", format!("'{text}' cannot carry a path")))?
        .pop_if_empty()
        .extend(segments);
    Ok(())
}

fn get(url: Url) -> Request {
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    Request {
        method: Method::GET,
        url,
        headers,
        body: Bytes::new(),
    }
}

fn with_include(url: &Url, include: Option<&str>) -> Url {
    let mut url = url.clone();
    for value in include.into_iter().flat_map(|all| all.split(PARAMETER)) {
        url.query_pairs_mut().append_pair("include", value);
    }
    url
}

fn post(url: Url, content_type: &'static str, body: Bytes) -> Request {
    Request {
        method: Method::POST,
        url,
        headers: HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json")),
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        ]),
        body,
    }
}

/// Returns the kind of a request that only reads, and `None` for any other request. This is the last
/// check before a request is sent. A batch may hold writes, so each of its items is checked.
pub(super) fn read_kind(request: &Request) -> Option<RequestKind> {
    let mut segments = request.url.path_segments()?.rev();
    let (endpoint, before) = (segments.next()?, segments.next()?);
    let report = report_at(before, endpoint);
    let is_known = |pair: (Cow<'_, str>, Cow<'_, str>)| {
        report.is_some_and(|report| is_parameter_of(report, &pair.0)) || is_parameter_of_read(pair)
    };
    if !request.url.query_pairs().all(is_known) {
        return None;
    }
    let is_select = |statement: &str| {
        statement
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("select "))
    };
    match (&request.method, endpoint) {
        (&Method::GET, "cdc" | "taxclassification") => {
            request.body.is_empty().then_some(RequestKind::Single)
        }
        (&Method::POST, "query") => {
            is_select(std::str::from_utf8(&request.body).ok()?).then_some(RequestKind::Single)
        }
        (&Method::POST, "batch") => {
            let body: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
            let reads = |item: &serde_json::Value| {
                let item = item.as_object()?;
                (item.len() == 2 && item.contains_key("bId"))
                    .then_some(is_select(item.get("Query")?.as_str()?))
            };
            let is_read = body["BatchItemRequest"]
                .as_array()?
                .iter()
                .all(|item| reads(item) == Some(true));
            (is_read && body.as_object()?.len() == 1).then_some(RequestKind::Batch)
        }
        (&Method::GET, _) if report.is_some() => {
            request.body.is_empty().then_some(RequestKind::Report)
        }
        // One record of an entity that cannot be queried. Other paths of this shape are no reads of
        // records, or are not needed.
        (&Method::GET, _) if is_read_by_id(before) || is_of_entitlements(&request.url) => {
            request.body.is_empty().then_some(RequestKind::Single)
        }
        _ => None,
    }
}

/// Returns the report at the end of a path.
fn report_at(before: &str, endpoint: &str) -> Option<&'static ReportSpec> {
    let is_it = |report: &&ReportSpec| before == REPORTS_PATH && report.route == endpoint;
    REPORTS.iter().find(is_it)
}

fn is_parameter_of(report: &ReportSpec, name: &str) -> bool {
    const COMMON: [&str; 5] = [
        "start_date",
        "end_date",
        "report_date",
        "accounting_method",
        "columns",
    ];
    COMMON.contains(&name) || report.parameters().any(|known| known == name)
}

/// Returns true for a parameter that asks for a form or a part of what is read. Others, such as
/// `operation=void`, change records.
fn is_parameter_of_read((name, value): (Cow<'_, str>, Cow<'_, str>)) -> bool {
    match &*name {
        "minorversion" | "entities" | "changedSince" => true,
        "include" => value
            .split(',')
            .all(|part| [ALL_CUSTOM_FIELDS, INVOICE_LINK].contains(&part)),
        _ => false,
    }
}

fn is_read_by_id(path: &str) -> bool {
    ENTITIES.iter().any(|entity| {
        !entity.has_query && !entity.is_read_whole && entity.qbo_name.to_ascii_lowercase() == path
    })
}

/// Returns true for a path that ends with `manage/entitlements/v3/` and the id of a company.
fn is_of_entitlements(url: &Url) -> bool {
    let segments = url.path_segments().into_iter().flatten();
    let before: Vec<&str> = segments.rev().skip(1).take(3).collect();
    before == ["v3", "entitlements", "manage"]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reports::{Basis, find_report};

    fn report_request() -> ReportRequest {
        let days = ("2025-01-01".parse().unwrap(), "2025-03-31".parse().unwrap());
        let customers = [("customer".to_owned(), "1,2".to_owned())];
        let report = find_report("profit_and_loss").unwrap();
        ReportRequest::new(report, Basis::Cash, days, &[], &customers).unwrap()
    }

    #[test]
    fn only_reads_pass() {
        let endpoints =
            Endpoints::new(&Url::parse("https://example.test/base/").unwrap(), "9").unwrap();
        let query = endpoints.query("SELECT * FROM Customer", None);
        assert_eq!(
            query.url.as_str(),
            "https://example.test/base/v3/company/9/query?minorversion=75"
        );
        assert_eq!(read_kind(&query), Some(RequestKind::Single));
        let both = Some("enhancedAllCustomFields,invoiceLink");
        let fuller = endpoints.query("SELECT * FROM Invoice", both);
        assert!(
            fuller
                .url
                .as_str()
                .ends_with("minorversion=75&include=enhancedAllCustomFields%2CinvoiceLink")
        );
        assert_eq!(read_kind(&fuller), Some(RequestKind::Single));
        let twice = endpoints.query(
            "SELECT * FROM Invoice",
            Some("enhancedAllCustomFields&invoiceLink"),
        );
        assert!(
            twice
                .url
                .as_str()
                .ends_with("minorversion=75&include=enhancedAllCustomFields&include=invoiceLink")
        );
        assert_eq!(read_kind(&twice), Some(RequestKind::Single));
        let batch = endpoints.batch(
            ["SELECT COUNT(*) FROM Bill", "SELECT * FROM Bill"].into_iter(),
            Some("invoiceLink"),
        );
        assert_eq!(read_kind(&batch), Some(RequestKind::Batch));
        let changes = endpoints.changes(["Bill", "Item"].into_iter(), DateTime::UNIX_EPOCH);
        let expected =
            "cdc?minorversion=75&entities=Bill%2CItem&changedSince=1970-01-01T00%3A00%3A00Z";
        assert!(changes.url.as_str().ends_with(expected), "{}", changes.url);
        assert_eq!(read_kind(&changes), Some(RequestKind::Single));
        let order = crate::domain::find_entity("change_orders").unwrap();
        let read = endpoints.read(order, "7/../8").unwrap();
        assert_eq!(
            read.url.as_str(),
            "https://example.test/base/v3/company/9/changeorder/7%2F..%2F8?minorversion=75"
        );
        assert_eq!(read_kind(&read), Some(RequestKind::Single));
        // Each entity that is read as a whole has an endpoint, and no other entity has one.
        for entity in ENTITIES {
            let found = endpoints.whole(entity);
            assert_eq!(found.is_ok(), entity.is_read_whole, "{}", entity.name);
        }
        let entitlements = endpoints.whole(crate::domain::find_entity("entitlements").unwrap());
        let entitlements = entitlements.unwrap();
        assert_eq!(
            entitlements.url.as_str(),
            "https://example.test/base/manage/entitlements/v3/9"
        );
        assert_eq!(read_kind(&entitlements), Some(RequestKind::Single));
        let report = endpoints.report(&report_request()).unwrap();
        assert_eq!(
            report.url.as_str(),
            "https://example.test/base/v3/company/9/reports/ProfitAndLoss?minorversion=75&\
             start_date=2025-01-01&end_date=2025-03-31&accounting_method=Cash&customer=1%2C2"
        );
        assert_eq!(read_kind(&report), Some(RequestKind::Report));
        let with_body = |request: &Request, body: &'static str| Request {
            body: Bytes::from(body),
            ..request.clone()
        };
        let at = |path: &str| Request {
            url: Url::parse(path).unwrap(),
            ..query.clone()
        };
        for refused in [
            with_body(&query, "DELETE FROM Customer"),
            with_body(&query, ""),
            Request {
                method: Method::POST,
                ..changes.clone()
            },
            with_body(
                &batch,
                r#"{"BatchItemRequest":[{"bId":"0","operation":"create","Customer":{}}]}"#,
            ),
            with_body(
                &batch,
                r#"{"BatchItemRequest":[{"bId":"0","Query":"SELECT * FROM Bill","operation":"delete"}]}"#,
            ),
            with_body(
                &batch,
                r#"{"BatchItemRequest":[{"bId":"0","Query":"select * from Bill"}],"Invoice":{}}"#,
            ),
            with_body(&batch, "{}"),
            at("https://example.test/v3/company/9/invoice"),
            at("https://example.test/v3/company/9/invoice?operation=void"),
            at("https://example.test/v3/company/9/upload"),
            at("https://example.test/v3/company/9/query?include=void"),
            at("https://example.test/v3/company/9/query?include=invoiceLink,allocation"),
            at("https://example.test/v3/company/9/query?operation=update"),
            at("https://example.test/v3/company/9/changeorder/7"),
            Request {
                url: Url::parse("https://example.test/v3/company/9/download/7").unwrap(),
                ..read.clone()
            },
            Request {
                url: Url::parse("https://example.test/v3/company/9/changeorder").unwrap(),
                ..read.clone()
            },
            with_body(&read, "{}"),
            with_body(&report, "{}"),
            Request {
                method: Method::POST,
                ..report.clone()
            },
            Request {
                url: Url::parse("https://example.test/v3/company/9/reports/Invoice").unwrap(),
                ..report.clone()
            },
            Request {
                url: Url::parse(
                    "https://example.test/v3/company/9/reports/ProfitAndLoss?operation=void",
                )
                .unwrap(),
                ..report.clone()
            },
            with_body(&entitlements, "<a/>"),
            Request {
                method: Method::POST,
                ..entitlements.clone()
            },
            Request {
                url: Url::parse("https://example.test/manage/users/v3/9").unwrap(),
                ..entitlements.clone()
            },
            Request {
                url: Url::parse("https://example.test/v3/company/9/taxclassification/4").unwrap(),
                ..entitlements.clone()
            },
            Request {
                method: Method::DELETE,
                ..query.clone()
            },
            Request {
                method: Method::PUT,
                ..query.clone()
            },
        ] {
            assert_eq!(read_kind(&refused), None, "{refused:?}");
        }
    }
}
