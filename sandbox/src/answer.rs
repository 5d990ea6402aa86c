//! Answers in the formats that were recorded (qbo-facts 2.2, 6.1 and 7.1), as JSON or XML.

use std::borrow::Cow;
use std::io::Write;

use axum::body::Bytes;
use axum::http::{HeaderMap, Response, StatusCode, header};
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::company::{Closure, Poison, Refusal};
use crate::{pacific, xml};

/// Bodies of fewer bytes are not compressed.
const MIN_GZIP_BYTES: usize = 1024;

/// A fault of the accounting service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceFault {
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

    pub(crate) fn parse(detail: String) -> Self {
        Self::new("Error parsing query", detail, "4000")
    }

    pub(crate) fn invalid(detail: String) -> Self {
        Self::new("Invalid query", detail, "4001")
    }

    /// Returns the fault of a page that holds a corrupt record (qbo-facts 3.10).
    pub(crate) fn poisoned(poison: Poison) -> Self {
        match poison {
            Poison::Processing => {
                let detail = "QueryProcessingError: To email address entered is invalid".to_owned();
                Self::new("Error processing query", detail, "4002")
            }
            Poison::Application => Self::application(),
        }
    }

    /// Returns the fault of an entity that the company does not have (qbo-facts 13.7).
    pub(crate) fn unavailable(refusal: Refusal, entity: &str) -> Self {
        match refusal {
            Refusal::Permission => Self::new(
                "Permission Denied Error",
                "You do not have permission to access this feature.".to_owned(),
                "5020",
            ),
            Refusal::Feature => Self::new(
                "Feature Not Supported Error",
                format!("The feature {entity} is not supported for this company."),
                "5030",
            ),
            Refusal::Operation => Self::unsupported(&format!("query of {entity}")),
            Refusal::Metadata => Self::no_metadata(entity),
        }
    }

    /// Returns the fault of a query for an entity that has no queries (qbo-facts 13.2).
    pub(crate) fn no_metadata(entity: &str) -> Self {
        Self::invalid(format!(
            "QueryValidationError: Metadata not found for Entity: {entity}"
        ))
    }

    pub(crate) fn application() -> Self {
        let detail = "Something you're trying to use has been made inactive.".to_owned();
        let message = "An application error has occurred while processing your request";
        Self {
            status: 500,
            ..Self::new(message, detail, "10000")
        }
    }

    /// Returns a fault whose text Postgres and terminals cannot take as it is.
    pub(crate) fn odd() -> Self {
        let detail = "The name \u{0}Line\u{7} \u{1b}[31mis\u{1b}[0m\r\n not\u{7f} valid\u{2028}.";
        Self::new("Business\u{0} Validation Error", detail.to_owned(), "6000")
    }

    pub(crate) fn unsupported(operation: &str) -> Self {
        Self::new(
            "Unsupported Operation",
            format!("Operation {operation} is not supported."),
            "500",
        )
    }

    pub(crate) fn no_reports(name: &str) -> Self {
        let detail = format!(
            "Operation reports/{name} is not supported: this sandbox has no reports yet; start it with --books 2000."
        );
        Self::new("Unsupported Operation", detail, "500")
    }

    pub(crate) fn no_such_path(path: &str) -> Self {
        Self::unsupported(&format!("Could not find resource for relative : {path}"))
    }

    pub(crate) fn bad_id(id: &str) -> Self {
        let detail = format!("Id should be a valid number. Supplied value:{id}");
        Self {
            element: Some("Id"),
            ..Self::new("Invalid ID", detail, "2030")
        }
    }

    pub(crate) fn not_found() -> Self {
        let detail = "Object Not Found : Something you're trying to use has been made inactive. Check the fields with accounts, customers, items, vendors or employees.";
        Self {
            element: Some(""),
            ..Self::new("Object Not Found", detail.to_owned(), "610")
        }
    }

    pub(crate) fn bad_request(detail: &str) -> Self {
        Self::new(
            "Request has invalid or unsupported property",
            detail.to_owned(),
            "2010",
        )
    }

    /// Returns the JSON of `Fault`, with its members in the recorded order.
    pub(crate) fn value(&self) -> String {
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

    /// Returns the fault as an answer.
    pub(crate) fn answer(&self, time: DateTime<Utc>) -> Answer {
        let time = pacific::format_millis(time);
        Answer::service(
            self.status,
            format!(r#"{{"Fault":{},"time":"{time}"}}"#, self.value()),
        )
    }
}

/// A fault of the gateway, which stands in front of the service.
#[derive(Debug, Clone)]
pub(crate) struct GatewayFault<'a> {
    pub status: u16,
    /// The title of a page with this fault.
    pub title: &'static str,
    name: &'a str,
    code: &'a str,
    detail: Cow<'a, str>,
    kind: &'static str,
}

impl GatewayFault<'_> {
    fn message(&self) -> String {
        format!(
            "message={}; errorCode=00{}; statusCode={}",
            self.name, self.code, self.status
        )
    }

    /// Returns the fault as JSON. Unlike that of the service it has lower-case keys, and times in
    /// milliseconds since 1970.
    pub(crate) fn json(&self, time: DateTime<Utc>) -> Answer {
        let (message, detail) = (Value::from(self.message()), Value::from(&*self.detail));
        let body = format!(
            concat!(
                r#"{{"warnings":null,"intuitObject":null,"fault":{{"error":[{{"message":{},"detail":{},"code":"{}","element":null}}],"#,
                r#""type":"{}"}},"report":null,"queryResponse":null,"batchItemResponse":[],"attachableResponse":[],"#,
                r#""syncErrorResponse":null,"requestId":null,"time":{},"status":null,"cdcresponse":[]}}"#
            ),
            message,
            detail,
            self.code,
            self.kind,
            time.timestamp_millis()
        );
        Answer::json_text(self.status, body)
    }

    /// Returns the fault as XML, which Intuit sends even to a client that asked for JSON.
    pub(crate) fn xml(&self, time: DateTime<Utc>) -> Answer {
        let body = format!(
            "<IntuitResponse time=\"{}\" xmlns=\"http://schema.intuit.com/finance/v3\"><Fault type=\"{}\">\
             <Error code=\"{}\"><Message>{}</Message><Detail>{}</Detail></Error></Fault></IntuitResponse>",
            pacific::format_millis(time),
            self.kind,
            xml::escaped(self.code),
            xml::escaped(&self.message()),
            xml::escaped(&self.detail)
        );
        Answer::xml(self.status, body)
    }
}

/// Returns the gateway's fault for an access token that is not valid.
pub(crate) fn unauthorized(detail: &str) -> GatewayFault<'_> {
    GatewayFault {
        status: 401,
        title: "Unauthorized",
        name: "AuthenticationFailed",
        code: "3200",
        detail: detail.into(),
        kind: "AUTHENTICATION",
    }
}

/// Returns the gateway's fault for a token of another company, or for the keys of one environment at
/// the host of the other.
pub(crate) fn forbidden() -> GatewayFault<'static> {
    const NAME: &str = "ApplicationAuthorizationFailed";
    GatewayFault {
        status: 403,
        title: "Forbidden",
        name: NAME,
        code: "3100",
        detail: NAME.into(),
        kind: "AUTHORIZATION",
    }
}

/// Returns the gateway's fault for a token that was granted without the scope of the request
/// (qbo-facts 13.9).
pub(crate) fn out_of_scope() -> GatewayFault<'static> {
    GatewayFault {
        name: "AuthorizationFailed",
        detail: "The access token does not have sufficient scope".into(),
        kind: "SERVICE",
        ..forbidden()
    }
}

/// Returns the throttle's fault. It was recorded in XML only.
pub(crate) fn throttled(status: u16) -> GatewayFault<'static> {
    GatewayFault {
        status,
        title: "Too Many Requests",
        name: "ThrottleExceeded",
        code: "3001",
        detail: "The request limit was reached.  Try again later".into(),
        kind: "SERVICE",
    }
}

/// Returns the answer of a closed company.
pub(crate) fn closed(closure: &Closure, time: DateTime<Utc>) -> Answer {
    let Closure {
        status,
        code,
        message,
        detail,
    } = closure;
    if closure.is_of_gateway() {
        let fault = GatewayFault {
            status: *status,
            name: message,
            code,
            detail: detail.into(),
            ..forbidden()
        };
        return fault.json(time);
    }
    let body = serde_json::json!({
        "Fault": {
            "Error": [{"Message": message, "Detail": detail, "code": code, "element": ""}],
            "type": if code == "120" { "AuthorizationFault" } else { "ValidationFault" },
        },
        "time": pacific::format_millis(time),
    });
    Answer::service(*status, body.to_string())
}

/// Returns a fault of the service in XML, with the status of a success.
pub(crate) fn fault_in_xml(time: DateTime<Utc>) -> Answer {
    let body = format!(
        "<IntuitResponse time=\"{}\" xmlns=\"http://schema.intuit.com/finance/v3\"><Fault type=\"SystemFault\">\
         <Error code=\"10000\"><Message>An application error has occurred while processing your request</Message>\
         <Detail>System Failure Error</Detail></Error></Fault></IntuitResponse>",
        pacific::format_millis(time)
    );
    Answer::xml(200, body)
}

const JSON: &str = "application/json;charset=utf-8";
const XML: &str = "application/xml;charset=utf-8";

/// An answer before its format is negotiated.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub content_type: Cow<'static, str>,
    pub body: Vec<u8>,
    pub headers: Vec<(&'static str, String)>,
    /// Whether the accounting service answers. It sends XML unless JSON was asked for.
    is_service: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::json_text(status, body.to_string())
    }

    pub(crate) fn json_text(status: u16, body: String) -> Self {
        Self {
            status,
            content_type: JSON.into(),
            body: body.into_bytes(),
            headers: Vec::new(),
            is_service: false,
        }
    }

    /// Returns an answer of the accounting service, whose body is given as JSON.
    pub(crate) fn service(status: u16, body: String) -> Self {
        Self {
            is_service: true,
            ..Self::json_text(status, body)
        }
    }

    /// Returns an answer that is XML whatever the client accepts.
    pub(crate) fn xml(status: u16, body: String) -> Self {
        Self {
            content_type: XML.into(),
            ..Self::json_text(status, body)
        }
    }

    /// Returns an HTML page like that of a proxy.
    pub(crate) fn html(status: u16, title: &str) -> Self {
        let body = format!(
            "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Self {
            content_type: "text/html".into(),
            ..Self::json_text(status, body)
        }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::json_text(status, String::new())
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Converts an answer of the service to XML unless the client accepts `application/json`
    /// (qbo-facts 2.1).
    pub(crate) fn negotiated(mut self, request: &HeaderMap) -> Self {
        let accepts = request
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let accepts_json = accepts
            .into_iter()
            .any(|value| value.to_ascii_lowercase().contains("application/json"));
        if self.is_service
            && !accepts_json
            && let Some(body) = std::str::from_utf8(&self.body)
                .ok()
                .and_then(xml::from_json)
        {
            self.body = body.into_bytes();
            self.content_type = XML.into();
        }
        self
    }

    /// Compresses a large body if the client accepts gzip.
    pub(crate) fn encoded(mut self, request: &HeaderMap) -> Self {
        let accepts_gzip = request
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                value
                    .split(',')
                    .any(|coding| coding.trim().starts_with("gzip"))
            });
        if accepts_gzip && self.body.len() >= MIN_GZIP_BYTES {
            self.body = gzip(&self.body);
            self.headers.push(("content-encoding", "gzip".to_owned()));
        }
        self
    }

    /// Returns the head with Intuit's headers, and the body. They are apart because a fault may
    /// change the delivery of the body. As at Intuit, there are no rate-limit headers.
    pub(crate) fn into_parts(self, serial: u64, now: DateTime<Utc>) -> (Response<()>, Bytes) {
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
            // RFC 9110, 5.6.7. The web server would write the real time.
            .header(
                header::DATE,
                now.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
            )
            .header(header::SERVER, "nginx")
            .header("intuit_tid", &tid)
            .header("x-amzn-trace-id", format!("Root={tid}"))
            .header("qbo-version", "sandbox");
        if !self.body.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, self.content_type.as_ref());
        }
        if self.status == 401 && [JSON, XML].contains(&self.content_type.as_ref()) {
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
    // Writing to memory never fails.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
