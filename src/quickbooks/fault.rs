//! Parses faults from any body that they arrive in: JSON of the service or of the gateway, XML, or an
//! empty body (qbo-facts 7.1).

use serde_json::Value;

use crate::quickbooks::scrub::scrub;

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
                .unwrap_or_default()
                .to_owned(),
            code: scrub(&text("code")),
            message: scrub(&text("message")),
            detail: scrub(&text("detail")),
        })
    }

    fn from_xml(text: &str) -> Option<Self> {
        let document = roxmltree::Document::parse(text).ok()?;
        let find = |name| {
            document
                .descendants()
                .find(|node| node.tag_name().name() == name)
        };
        let text = |name| find(name).and_then(|node| node.text()).unwrap_or_default();
        let fault = find("Fault")?;
        Some(Self {
            kind: fault.attribute("type").unwrap_or_default().to_owned(),
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
