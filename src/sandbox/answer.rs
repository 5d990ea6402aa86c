//! Bodies of answers, in the shapes that were recorded (qbo-facts 2.2, 6.1 and 7.1).

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;

use super::pacific;

/// Bodies below this size are sent as they are.
const SMALLEST_GZIP: usize = 1024;

/// A fault of the accounting service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceFault {
    pub message: &'static str,
    pub detail: String,
    pub code: &'static str,
}

impl ServiceFault {
    pub fn parse(detail: String) -> Self {
        Self { message: "Error parsing query", detail, code: "4000" }
    }

    pub fn invalid(detail: String) -> Self {
        Self { message: "Invalid query", detail, code: "4001" }
    }

    pub fn unsupported(path: &str) -> Self {
        let detail = format!("Operation Could not find resource for relative : {path} is not supported.");
        Self { message: "Unsupported Operation", detail, code: "500" }
    }

    pub fn body(&self, time: DateTime<Utc>) -> Value {
        json!({
            "Fault": {
                "Error": [{"Message": self.message, "Detail": self.detail, "code": self.code}],
                "type": "ValidationFault",
            },
            "time": pacific::format_millis(time),
        })
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
) -> Value {
    json!({
        "warnings": null, "intuitObject": null,
        "fault": {
            "error": [{
                "message": format!("message={name}; errorCode=00{code}; statusCode={status}"),
                "detail": detail, "code": code, "element": null,
            }],
            "type": kind,
        },
        "report": null, "queryResponse": null, "batchItemResponse": [], "attachableResponse": [],
        "syncErrorResponse": null, "requestId": null, "time": time.timestamp_millis(), "status": null,
        "cdcresponse": [],
    })
}

/// The throttle's answer: XML even where JSON was asked for.
pub(super) fn throttled(time: DateTime<Utc>) -> String {
    format!(
        "<IntuitResponse time=\"{}\" xmlns=\"http://schema.intuit.com/finance/v3\"><Fault type=\"SERVICE\">\
         <Error code=\"3001\"><Message>message=ThrottleExceeded; errorCode=003001; statusCode=429</Message>\
         <Detail>The request limit was reached.  Try again later</Detail></Error></Fault></IntuitResponse>",
        pacific::format_millis(time)
    )
}

/// The part of an answer that differs.
pub(super) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::json_text(status, body.to_string())
    }

    pub fn json_text(status: u16, body: String) -> Self {
        Self { status, content_type: "application/json;charset=utf-8", body: body.into_bytes() }
    }

    pub fn xml(status: u16, body: String) -> Self {
        Self { status, content_type: "application/xml;charset=utf-8", body: body.into_bytes() }
    }

    /// With Intuit's headers, compressed where the client takes it. There are no rate-limit headers.
    pub fn into_response(self, request: &HeaderMap, serial: u64) -> Response<Body> {
        let tid = format!("1-{:08x}-{:024x}", serial, u128::from(serial).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut builder = Response::builder()
            .status(StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .header(header::CONTENT_TYPE, self.content_type)
            .header(header::CACHE_CONTROL, "max-age=0, no-cache, no-store, must-revalidate, private")
            .header(header::SERVER, "nginx")
            .header("intuit_tid", &tid)
            .header("qbo-version", "sandbox");
        if self.status == 401 {
            builder = builder.header(header::WWW_AUTHENTICATE, "Bearer realm=\"Intuit\", error=\"invalid_token\"");
        }
        let takes_gzip = request
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.split(',').any(|coding| coding.trim().starts_with("gzip")));
        let body = match takes_gzip && self.body.len() >= SMALLEST_GZIP {
            true => {
                builder = builder.header(header::CONTENT_ENCODING, "gzip");
                gzip(&self.body)
            }
            false => self.body,
        };
        builder.body(Body::from(body)).unwrap_or_default()
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
