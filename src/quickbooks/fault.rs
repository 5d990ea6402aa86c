//! Parses faults from any body that they arrive in: JSON of the service or of the gateway, XML, or an
//! empty body (qbo-facts 7.1).

use serde_json::Value;

use super::xml;
use crate::quickbooks::scrub::scrub;

/// Longest body that is searched for a fault; the HTTP client reads no more of one that is no success.
const MAX_BYTES: usize = 256 << 10;
/// The same for XML. Intuit's faults have less than 1 KB.
const MAX_XML_BYTES: usize = 32 << 10;

/// A fault, its texts scrubbed of token material.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fault {
    /// `ValidationFault`, `AUTHENTICATION`, ...; not reliable enough to decide anything alone.
    pub kind: String,
    /// `4001`, `3200`, ...; empty if absent.
    pub code: String,
    /// The message.
    pub message: String,
    /// The detail.
    pub detail: String,
}

impl Fault {
    /// Finds the fault in a body. Returns `None` if no fault can be recognised.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_BYTES {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?.trim_start();
        if text.starts_with('<') {
            Self::from_xml(text)
        } else {
            Self::from_json(&serde_json::from_str(text).ok()?)
        }
    }

    /// Finds the fault in parsed JSON: `{"Fault": ...}`, `{"fault": ...}`, or the object below that key.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let fault = get(value, "fault").unwrap_or(value);
        let error = get(fault, "error")?.get(0)?;
        let text = |key| match get(error, key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        Some(Self {
            kind: get(fault, "type")
                .and_then(Value::as_str)
                .map(scrub)
                .unwrap_or_default(),
            code: scrub(&text("code")),
            message: scrub(&text("message")),
            detail: scrub(&text("detail")),
        })
    }

    fn from_xml(text: &str) -> Option<Self> {
        let document = xml::parse(text, MAX_XML_BYTES).ok()?;
        let find = |name| {
            document
                .descendants()
                .find(|node| node.tag_name().name() == name)
        };
        let text = |name| find(name).and_then(|node| node.text()).unwrap_or_default();
        let fault = find("Fault")?;
        Some(Self {
            kind: scrub(fault.attribute("type").unwrap_or_default()),
            code: scrub(find("Error")?.attribute("code").unwrap_or_default()),
            message: scrub(text("Message")),
            detail: scrub(text("Detail")),
        })
    }

    /// Returns message and detail as one line.
    pub(super) fn text(&self) -> String {
        let joined = match (self.message.is_empty(), self.detail.is_empty()) {
            (_, true) => self.message.clone(),
            (true, _) => self.detail.clone(),
            _ => format!("{}: {}", self.message, self.detail),
        };
        joined.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Returns a member by its lower-case name: the service writes `Fault`, the gateway `fault`.
fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value
        .as_object()?
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, member)| member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_in_json_and_xml_are_parsed() {
        let service = br#"{"Fault":{"Error":[{"Message":"Invalid query","Detail":"QueryValidationError: x","code":"4001"}],"type":"ValidationFault"},"time":"2020-09-29T06:52:56.527-07:00"}"#;
        let gateway = br#"{"warnings":null,"fault":{"error":[{"message":"message=AuthenticationFailed; errorCode=003200; statusCode=401","detail":"Token expired","code":"3200","element":null}],"type":"AUTHENTICATION"},"time":1601391072830}"#;
        let xml = br#"<IntuitResponse time="2016-12-07T15:27:09.527-08:00" xmlns="http://schema.intuit.com/finance/v3"><Fault type="SERVICE"><Error code="3001"><Message>message=ThrottleExceeded</Message><Detail>Try again later</Detail></Error></Fault></IntuitResponse>"#;
        let codes = [&service[..], gateway, xml].map(|body| Fault::parse(body).unwrap().code);
        assert_eq!(codes, ["4001", "3200", "3001"]);
        assert_eq!(
            Fault::parse(service).unwrap().text(),
            "Invalid query: QueryValidationError: x"
        );
    }

    #[test]
    fn a_body_that_is_costly_to_parse_is_not_parsed() {
        let fault = |attributes: usize| {
            let attributes: String = (0..attributes).map(|at| format!(" a{at}=\"\"")).collect();
            format!(r#"<R{attributes}><Fault type="SERVICE"><Error code="3001"/></Fault></R>"#)
        };
        assert!(Fault::parse(fault(1000).as_bytes()).is_some());
        let started_at = std::time::Instant::now();
        assert_eq!(Fault::parse(fault(200_000).as_bytes()), None);
        let deep = format!("{}{}", "<a>".repeat(300_000), "</a>".repeat(300_000));
        let deep_and_short = format!("{}{}", "<a>".repeat(4000), "</a>".repeat(4000));
        let entities = r#"<!DOCTYPE a [<!ENTITY b "&c;&c;&c;&c;"><!ENTITY c "&d;&d;&d;&d;"><!ENTITY d "dddd">]><a>&b;</a>"#;
        let deep_json = "[".repeat(200_000);
        for body in [&deep, &deep_and_short, entities, &deep_json] {
            assert_eq!(Fault::parse(body.as_bytes()), None);
        }
        // The first of these took minutes.
        assert!(started_at.elapsed().as_secs() < 10);
    }

    #[test]
    fn no_text_of_a_fault_has_a_token_or_a_second_line() {
        let token = "AB01601390262kxzxQWERTYUIOPasdf";
        let odd = r"x\u000d\u000aerror: y\u001b[2K\u2028z\u202e".to_owned() + " " + token;
        let json = format!(
            r#"{{"Fault":{{"Error":[{{"Message":"{odd}","Detail":"{odd}","code":"{odd}"}}],"type":"{odd}"}}}}"#
        );
        let odd = format!("x&#13;&#10;error: y&#133;&#x2028;z&#x202e; {token}");
        let xml = format!(
            r#"<R><Fault type="{odd}"><Error code="{odd}"><Message>{odd}</Message><Detail>{odd}</Detail></Error></Fault></R>"#
        );
        for body in [json, xml] {
            let Fault {
                kind,
                code,
                message,
                detail,
            } = Fault::parse(body.as_bytes()).unwrap();
            for text in [kind, code, message, detail] {
                assert!(text.ends_with(" ***"), "{text:?}");
                assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
                assert!(!text.contains(['\u{2028}', '\u{202e}']), "{text:?}");
            }
        }
    }

    #[test]
    fn bodies_without_a_fault_return_none() {
        for body in [
            &b""[..],
            b"<html><h1>502</h1></html>",
            b"{}",
            b"not json",
            b"\xff\xfe",
            b"[1]",
            b"{\"Fault\":{}}",
        ] {
            assert_eq!(Fault::parse(body), None, "{body:?}");
        }
    }
}
