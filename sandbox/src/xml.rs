//! The service's answers as XML, for clients that do not ask for JSON (qbo-facts 2.1 and 7.1).

use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::company::Fields;

/// The members that become attributes in XML.
const ATTRIBUTES: [&str; 11] = [
    "domain",
    "sparse",
    "status",
    "startPosition",
    "maxResults",
    "totalCount",
    "time",
    "type",
    "code",
    "element",
    "bId",
];

/// Converts an answer to XML. Numbers stay as they are written. Returns `None` if the text is not a
/// JSON object.
pub(crate) fn from_json(json: &str) -> Option<String> {
    let answer = Fields::parse(json)?;
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>".to_owned();
    out.push_str("<IntuitResponse xmlns=\"http://schema.intuit.com/finance/v3\"");
    content(&answer, &mut out);
    out.push_str("</IntuitResponse>");
    Some(out)
}

/// Writes an object: its attributes, the end of its start tag, and its content.
fn content(object: &Fields, out: &mut String) {
    let is_attribute =
        |name: &str, json: &str| ATTRIBUTES.contains(&name) && !json.starts_with(['{', '[']);
    for (name, json) in object
        .iter()
        .filter(|(name, json)| is_attribute(name, json) && *json != "null")
    {
        let _ = write!(out, " {name}=\"{}\"", escaped(&scalar(json)));
    }
    out.push('>');
    for (name, json) in object
        .iter()
        .filter(|(name, json)| !is_attribute(name, json))
    {
        elements(name, json, out);
    }
}

/// Writes a member as an element, or as one element for each item of an array.
fn elements(name: &str, json: &str, out: &mut String) {
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) {
        return items
            .iter()
            .for_each(|item| elements(name, item.get(), out));
    }
    let Some(object) = Fields::parse(json) else {
        if json != "null" {
            let _ = write!(out, "<{name}>{}</{name}>", escaped(&scalar(json)));
        }
        return;
    };
    let _ = write!(out, "<{name}");
    let is_reference = object.get("value").is_some()
        && object
            .iter()
            .all(|(name, _)| matches!(name, "value" | "name" | "type"));
    if is_reference {
        // The id is the text of the element, and the name an attribute.
        for attribute in ["type", "name"] {
            if let Some(text) = object.text(attribute) {
                let _ = write!(out, " {attribute}=\"{}\"", escaped(&text));
            }
        }
        let _ = write!(
            out,
            ">{}</{name}>",
            escaped(&scalar(object.get("value").unwrap_or_default()))
        );
    } else {
        content(&object, out);
        let _ = write!(out, "</{name}>");
    }
}

/// Returns the text of a JSON string, number or boolean.
fn scalar(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

/// Escapes a text for XML. XML cannot express most control characters, so these are replaced.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => _ = write!(out, "&#{};", u32::from(c)),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_become_elements_attributes_and_references() {
        let json = r#"{"QueryResponse":{"Customer":[{"domain":"QBO","sparse":false,"Id":"1","Name":"A & <B>",
            "Balance":10.00,"CurrencyRef":{"value":"USD","name":"US \"D\""},"Line":[{"Id":"1"},{"Id":"2"}],"X":null}],
            "startPosition":1,"maxResults":1},"time":"t"}"#;
        assert_eq!(
            from_json(json).unwrap().split_once("?>").unwrap().1,
            "<IntuitResponse xmlns=\"http://schema.intuit.com/finance/v3\" time=\"t\"><QueryResponse startPosition=\"1\" \
             maxResults=\"1\"><Customer domain=\"QBO\" sparse=\"false\"><Id>1</Id><Name>A &amp; &lt;B&gt;</Name>\
             <Balance>10.00</Balance><CurrencyRef name=\"US &quot;D&quot;\">USD</CurrencyRef><Line><Id>1</Id></Line>\
             <Line><Id>2</Id></Line></Customer></QueryResponse></IntuitResponse>"
        );
    }

    #[test]
    fn every_sample_record_is_well_formed() {
        use crate::company::{Company, CompanySize};
        let company = Company::generate(
            3,
            CompanySize {
                customers: 300,
                items: 300,
                invoices: 300,
                others: None,
            },
        );
        for (entity, _) in company.counts() {
            for (_, payload) in company.truth(entity, i64::MIN, i64::MAX) {
                let xml = from_json(&format!(r#"{{"{entity}":{payload}}}"#)).unwrap();
                let parsed =
                    roxmltree::Document::parse(&xml).unwrap_or_else(|e| panic!("{e}: {xml}"));
                assert!(parsed.root_element().has_children());
            }
        }
    }
}
