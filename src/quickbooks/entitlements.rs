//! Entitlements: what the plan of a company holds (qbo-facts 13.6). QuickBooks answers about them in XML
//! only, below a path of their own. The raw table holds them as JSON.

use roxmltree::Node;
use serde_json::{Map, Value};

use super::classify::classify_failure;
use super::envelope::{misunderstood, unreadable_body};
use super::fault::Fault;
use super::xml;
use crate::domain::{EntitySpec, Payload};
use crate::http::Response;
use crate::quickbooks::client::Verdict;

const ROOT: &str = "EntitlementsResponse";

/// Elements that can stand several times (facts: `[0..n]`). They are arrays also where there is one.
const REPEATED: [&str; 2] = ["Entitlement", "Thresholds"];

/// Largest answer that is read. Intuit's has a few KB: about a hundred entitlements of 100 bytes.
const MAX_BYTES: usize = 256 << 10;

/// The deepest element that is read. Intuit's answer has three levels.
const MAX_DEPTH: usize = 64;

/// Reads an answer as one record.
pub(super) fn read_entitlements(entity: &EntitySpec, response: &Response) -> Verdict<Payload> {
    let text = match std::str::from_utf8(&response.body) {
        Ok(text) => text,
        Err(error) => return misunderstood(error),
    };
    let document = match xml::parse(text, MAX_BYTES) {
        Ok(document) => document,
        Err(error) => return unreadable_body(response, error, Some(entity)),
    };
    if let Some(fault) = Fault::parse(&response.body) {
        return classify_failure(response, Some(fault), Some(entity));
    }
    let is_root = |node: &Node<'_, '_>| node.tag_name().name() == ROOT;
    let Some(root) = document.descendants().find(is_root) else {
        return misunderstood(format!("it holds no {ROOT}"));
    };
    let members = match object_of(root, 0) {
        Some(members) if !members.is_empty() => members,
        Some(_) => return misunderstood(format!("its {ROOT} is empty")),
        None => return misunderstood("its elements are too deep"),
    };
    let body = Value::Object(members).to_string();
    Verdict::Done(Payload::from_valid_json(body.into()))
}

/// Returns an element as JSON: its text if it has nothing else, or an object. Texts stay texts, so that
/// no number is rounded and no word is read as another. `None` if it is too deep.
fn value_of(node: Node<'_, '_>, depth: usize) -> Option<Value> {
    let has_parts = node.attributes().len() > 0 || node.children().any(|child| child.is_element());
    match has_parts {
        true => object_of(node, depth).map(Value::Object),
        false => Some(Value::String(text_of(node))),
    }
}

/// Returns the attributes of an element, each with `@` before its name, its elements by their names, and
/// its own text as `#text`. The namespace is left out.
fn object_of(node: Node<'_, '_>, depth: usize) -> Option<Map<String, Value>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut members = Map::new();
    for attribute in node.attributes() {
        members.insert(format!("@{}", attribute.name()), attribute.value().into());
    }
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        let value = value_of(child, depth + 1)?;
        match members.get_mut(name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None if REPEATED.contains(&name) => {
                members.insert(name.to_owned(), Value::Array(vec![value]));
            }
            None => {
                members.insert(name.to_owned(), value);
            }
        }
    }
    let text = text_of(node);
    if !text.is_empty() {
        members.insert("#text".to_owned(), text.into());
    }
    Some(members)
}

/// Returns the text of an element without that of its elements.
fn text_of(node: Node<'_, '_>) -> String {
    let texts = node.children().filter(Node::is_text);
    let text: String = texts.filter_map(|text| text.text()).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::find_entity;
    use reqwest::header::HeaderMap;
    use serde_json::json;

    fn read(body: &str) -> Result<Value, String> {
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            held: crate::port::Held::default(),
        };
        match read_entitlements(find_entity("entitlements").unwrap(), &response) {
            Verdict::Done(found) => Ok(serde_json::from_slice(found.as_bytes()).unwrap()),
            Verdict::Retry(error) | Verdict::Fatal(error) => Err(error.to_string()),
            _ => Err(String::new()),
        }
    }

    #[test]
    fn entitlements_become_json_of_one_shape() {
        let xml = r#"<?xml version="1.0"?><EntitlementsResponse xmlns="http://schema.intuit.com/finance/v3">
            <QboCompany>true</QboCompany><PlanName>Garden &amp; co</PlanName><MaxUsers>05</MaxUsers>
            <Entitlement id="3"><name>Projects</name><term>On</term></Entitlement>
            <Thresholds><Threshold>a</Threshold><Threshold>b</Threshold></Thresholds><Email/>
            <Odd unit="kg">7</Odd></EntitlementsResponse>"#;
        let expected = json!({
            "QboCompany": "true", "PlanName": "Garden & co", "MaxUsers": "05",
            "Entitlement": [{"@id": "3", "name": "Projects", "term": "On"}],
            "Thresholds": [{"Threshold": ["a", "b"]}],
            "Email": "", "Odd": {"@unit": "kg", "#text": "7"},
        });
        assert_eq!(read(xml), Ok(expected));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let deep = format!(
            "<EntitlementsResponse>{}{}</EntitlementsResponse>",
            "<a>".repeat(100),
            "</a>".repeat(100)
        );
        for body in [
            "",
            "{}",
            "<html><body>Sign in</body></html>",
            "<EntitlementsResponse/>",
            "<EntitlementsResponse><PlanName>Plus",
            "<IntuitResponse><Fault type=\"SERVICE\"><Error code=\"4001\"><Message>x</Message></Error></Fault></IntuitResponse>",
            &deep,
        ] {
            assert!(read(body).is_err(), "{body:.60}");
        }
    }
}
