//! Answers in the shapes that were recorded (qbo-facts 2.2, 6.1 and 7.1), as JSON or XML.

use axum::body::Bytes;
use axum::http::{HeaderMap, Response, StatusCode, header};
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::io::Write;

use super::company::Poison;
use super::{pacific, xml};

/// Bodies below this size are sent as they are.
const MIN_GZIP: usize = 1024;

/// A fault of the accounting service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceFault {
    pub status: u16,
    pub message: &'static str,
    pub detail: String,
    pub code: &'static str,
    pub element: Option<&'static str>,
}

impl ServiceFault {
    fn new(message: &'static str, detail: String, code: &'static str) -> Self {
        Self {
            status: 400,
            message,
            detail,
            code,
            element: None,
        }
    }

    pub fn parse(detail: String) -> Self {
        Self::new("Error parsing query", detail, "4000")
    }

    pub fn invalid(detail: String) -> Self {
        Self::new("Invalid query", detail, "4001")
    }

    /// What one corrupt record does to a page (qbo-facts 3.10).
    pub fn poisoned(poison: Poison) -> Self {
        match poison {
            Poison::Processing => {
                let detail = "QueryProcessingError: To email address entered is invalid".to_owned();
                Self::new("Error processing query", detail, "4002")
            }
            Poison::Application => Self::application(),
        }
    }

    pub fn application() -> Self {
        let detail = "Something you're trying to use has been made inactive.".to_owned();
        let message = "An application error has occurred while processing your request";
        Self {
            status: 500,
            ..Self::new(message, detail, "10000")
        }
    }

    pub fn unsupported(operation: &str) -> Self {
        Self::new(
            "Unsupported Operation",
            format!("Operation {operation} is not supported."),
            "500",
        )
    }

    pub fn no_such_path(path: &str) -> Self {
        Self::unsupported(&format!("Could not find resource for relative : {path}"))
    }

    pub fn bad_id(id: &str) -> Self {
        let detail = format!("Id should be a valid number. Supplied value:{id}");
        Self {
            element: Some("Id"),
            ..Self::new("Invalid ID", detail, "2030")
        }
    }

    pub fn not_found() -> Self {
        let detail = "Object Not Found : Something you're trying to use has been made inactive. Check the fields with accounts, customers, items, vendors or employees.";
        Self {
            element: Some(""),
            ..Self::new("Object Not Found", detail.to_owned(), "610")
        }
    }

    pub fn bad_request(detail: &str) -> Self {
        Self::new(
            "Request has invalid or unsupported property",
            detail.to_owned(),
            "2010",
        )
    }

    /// The value of `Fault`, its members in the recorded order.
    pub fn value(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let element = self
            .element
            .map(|element| format!(r#","element":{}"#, text(element)))
            .unwrap_or_default();
        let kind = if self.code == "10000" {
            "SystemFault"
        } else {
            "ValidationFault"
        };
        let (message, detail, code) = (text(self.message), text(&self.detail), self.code);
        format!(
            r#"{{"Error":[{{"Message":{message},"Detail":{detail},"code":"{code}"{element}}}],"type":"{kind}"}}"#
        )
    }

    pub fn answer(&self, time: DateTime<Utc>) -> Answer {
        let time = pacific::format_millis(time);
        Answer::service(
            self.status,
            format!(r#"{{"Fault":{},"time":"{time}"}}"#, self.value()),
        )
    }
}

/// What the gateway says before the service is reached: lower case, epoch milliseconds.
pub(super) fn gateway_fault(
    status: u16,
    name: &str,
    code: &str,
    detail: &str,
    kind: &str,
    time: DateTime<Utc>,
) -> Answer {
    let message = format!("message={name}; errorCode=00{code}; statusCode={status}");
    let (message, detail) = (Value::from(message), Value::from(detail));
    let body = format!(
        concat!(
            r#"{{"warnings":null,"intuitObject":null,"fault":{{"error":[{{"message":{},"detail":{},"code":"{}","element":null}}],"#,
            r#""type":"{}"}},"report":null,"queryResponse":null,"batchItemResponse":[],"attachableResponse":[],"#,
            r#""syncErrorResponse":null,"requestId":null,"time":{},"status":null,"cdcresponse":[]}}"#
        ),
        message,
        detail,
        code,
        kind,
        time.timestamp_millis()
    );
    Answer::json_text(status, body)
}

/// The throttle's answer in XML, which it is even where JSON was asked for.
pub(super) fn throttled_xml(status: u16, time: DateTime<Utc>) -> Answer {
    let body = format!(
        "<IntuitResponse time=\"{}\" xmlns=\"http://schema.intuit.com/finance/v3\"><Fault type=\"SERVICE\">\
         <Error code=\"3001\"><Message>message=ThrottleExceeded; errorCode=003001; statusCode={status}</Message>\
         <Detail>The request limit was reached.  Try again later</Detail></Error></Fault></IntuitResponse>",
        pacific::format_millis(time)
    );
    Answer {
        content_type: XML,
        ..Answer::json_text(status, body)
    }
}

/// The throttle's answer in JSON. None was recorded; the gateway's shape is expected.
pub(super) fn throttled_json(status: u16, time: DateTime<Utc>) -> Answer {
    let detail = "The request limit was reached.  Try again later";
    gateway_fault(status, "ThrottleExceeded", "3001", detail, "SERVICE", time)
}

const JSON: &str = "application/json;charset=utf-8";
const XML: &str = "application/xml;charset=utf-8";

/// The part of an answer that differs.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    pub headers: Vec<(&'static str, String)>,
    /// Written by the service, which answers in XML where JSON was not asked for.
    is_service: bool,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::json_text(status, body.to_string())
    }

    pub fn json_text(status: u16, body: String) -> Self {
        Self {
            status,
            content_type: JSON,
            body: body.into_bytes(),
            headers: Vec::new(),
            is_service: false,
        }
    }

    /// An answer of the accounting service, given as JSON.
    pub fn service(status: u16, body: String) -> Self {
        Self {
            is_service: true,
            ..Self::json_text(status, body)
        }
    }

    /// A page of some proxy.
    pub fn html(status: u16, title: &str) -> Self {
        let body = format!(
            "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Self {
            content_type: "text/html",
            ..Self::json_text(status, body)
        }
    }

    pub fn empty(status: u16) -> Self {
        Self::json_text(status, String::new())
    }

    pub fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The service's answer in the format that the client takes: without `application/json` it is
    /// XML (qbo-facts 2.1).
    pub fn negotiated(mut self, request: &HeaderMap) -> Self {
        let accepts = request
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let takes_json = accepts
            .into_iter()
            .any(|value| value.to_ascii_lowercase().contains("application/json"));
        if self.is_service
            && !takes_json
            && let Some(body) = std::str::from_utf8(&self.body)
                .ok()
                .and_then(xml::from_json)
        {
            self.body = body.into_bytes();
            self.content_type = XML;
        }
        self
    }

    /// Compressed where the client takes it.
    pub fn encoded(mut self, request: &HeaderMap) -> Self {
        let takes_gzip = request
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                value
                    .split(',')
                    .any(|coding| coding.trim().starts_with("gzip"))
            });
        if takes_gzip && self.body.len() >= MIN_GZIP {
            self.body = gzip(&self.body);
            self.headers.push(("content-encoding", "gzip".to_owned()));
        }
        self
    }

    /// With Intuit's headers. There are no rate-limit headers. The body comes apart, for faults to
    /// play with.
    pub fn into_parts(self, serial: u64) -> (Response<()>, Bytes) {
        let tid = format!(
            "1-{:08x}-{:024x}",
            serial,
            u128::from(serial).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        );
        let mut builder = Response::builder()
            .status(StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .header(
                header::CACHE_CONTROL,
                "max-age=0, no-cache, no-store, must-revalidate, private",
            )
            .header(header::SERVER, "nginx")
            .header("intuit_tid", &tid)
            .header("x-amzn-trace-id", format!("Root={tid}"))
            .header("qbo-version", "sandbox");
        if !self.body.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, self.content_type);
        }
        if self.status == 401 && self.content_type == JSON {
            builder = builder.header(
                header::WWW_AUTHENTICATE,
                "Bearer realm=\"Intuit\", error=\"invalid_token\"",
            );
        }
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        (builder.body(()).unwrap_or_default(), self.body.into())
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
