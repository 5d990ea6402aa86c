//! Webhook events: an array of CloudEvents, or the older envelope (qbo-facts 5).
//!
//! QuickBooks repeats a delivery that is refused without end, and withholds later events meanwhile
//! (qbo-facts 5). So nothing in a delivery is an error: what can be read are events, what
//! cannot is kept as text.

use std::borrow::Cow;

use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::ENTITIES;

/// A webhook event about one record.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookEvent {
    /// Id of the event, the same for every delivery of it.
    pub id: String,
    /// Id of the company.
    pub realm_id: String,
    /// Name of the entity; `None` if it is not one of [`ENTITIES`].
    pub entity: Option<&'static str>,
    /// Id of the record.
    pub entity_id: String,
    /// `created`, `updated`, `deleted`, `merged`, `void` or `emailed`. For an event that is not about
    /// a record, the complete type.
    pub operation: String,
    /// Time of the event, as received.
    pub occurred_at: String,
    /// The complete event, as JSON. A tree would take many times the memory.
    pub event: Box<str>,
}

/// A part of a delivery that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableEvent {
    /// The problem, for people.
    pub reason: String,
    /// Its text, at most [`MAX_TEXT`] bytes of it.
    pub text: String,
    /// SHA-256 of the whole part, if the text is only its beginning; else empty. It tells such parts
    /// apart.
    pub digest: String,
}

/// A delivery: what could be read, and what could not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delivery {
    /// The events.
    pub events: Vec<WebhookEvent>,
    /// The first [`MAX_UNREADABLE`] parts that are no events.
    pub unreadable: Vec<UnreadableEvent>,
    /// Number of all parts that are no events.
    pub unreadable_count: usize,
}

/// Bytes that are kept of a part that is no event.
pub const MAX_TEXT: usize = 16 * 1024;
/// Parts of one delivery that are kept, though they are no events.
pub const MAX_UNREADABLE: usize = 100;
/// Bytes of an id. A database must be able to index it.
const MAX_ID: usize = 1000;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "eventNotifications", borrow)]
    notifications: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(rename = "realmId", default)]
    realm_id: Value,
    #[serde(rename = "dataChangeEvent", borrow)]
    change: Change<'a>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    entities: Vec<&'a RawValue>,
}

/// Reads a delivery. Characters that a database cannot store are replaced by U+FFFD.
pub fn read_webhook(body: &[u8]) -> Delivery {
    let mut delivery = Delivery::default();
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    match text.strip_prefix('[') {
        Some(rest) => delivery.read_array(rest),
        None => delivery.read_item(text),
    }
    delivery
}

impl Delivery {
    /// Reads the items of an array up to the first place that is no JSON; the rest is set aside.
    fn read_array(&mut self, text: &str) {
        let mut rest = text.trim_start();
        let mut is_first = true;
        loop {
            if let Some(after) = rest.strip_prefix(']') {
                let after = after.trim();
                if !after.is_empty() {
                    self.set_aside(after, "it follows the end of the array");
                }
                return;
            }
            let item = match (is_first, rest.strip_prefix(',')) {
                (true, _) => rest,
                (false, Some(item)) => item,
                (false, None) => return self.set_aside(rest, "the array has no end here"),
            };
            is_first = false;
            let mut items = serde_json::Deserializer::from_str(item).into_iter::<&RawValue>();
            match items.next() {
                Some(Ok(event)) => self.read_item(event.get()),
                Some(Err(error)) => return self.set_aside(item, &error.to_string()),
                None => return self.set_aside(item, "the array has no end here"),
            }
            rest = item[items.byte_offset()..].trim_start();
        }
    }

    /// Reads an event, or an envelope of the retired shape.
    fn read_item(&mut self, text: &str) {
        if let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) {
            for notification in envelope.notifications {
                self.read_notification(notification.get());
            }
            return;
        }
        match parse(text).and_then(cloud_event) {
            Ok(event) => self.events.push(event),
            Err(reason) => self.set_aside(text, &reason),
        }
    }

    fn read_notification(&mut self, text: &str) {
        let mut notification = match serde_json::from_str::<Notification<'_>>(text) {
            Ok(notification) => notification,
            Err(error) => return self.set_aside(text, &error.to_string()),
        };
        clean(&mut notification.realm_id);
        let realm_id = match required(&notification.realm_id, "realmId") {
            Ok(realm_id) => realm_id,
            Err(reason) => return self.set_aside(text, &reason),
        };
        for event in notification.change.entities {
            let read = parse(event.get()).and_then(|event| legacy_event(&realm_id, event));
            match read {
                Ok(event) => self.events.push(event),
                Err(reason) => self.set_aside(event.get(), &reason),
            }
        }
    }

    fn set_aside(&mut self, text: &str, reason: &str) {
        self.unreadable_count += 1;
        if self.unreadable.len() >= MAX_UNREADABLE {
            return;
        }
        let mut end = text.len().min(MAX_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let digest = match end < text.len() {
            true => hex(digest(&SHA256, text.as_bytes()).as_ref()),
            false => String::new(),
        };
        self.unreadable.push(UnreadableEvent {
            reason: storable(reason).into_owned(),
            text: storable(&text[..end]).into_owned(),
            digest,
        });
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Parses JSON into a value that a database can store.
fn parse(text: &str) -> Result<Value, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    clean(&mut value);
    Ok(value)
}

fn clean(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(clean) = storable(text) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(members) => {
            if members.keys().any(|key| key.contains('\0')) {
                let old = std::mem::take(members).into_iter();
                *members = old
                    .map(|(key, value)| (storable(&key).into_owned(), value))
                    .collect();
            }
            members.values_mut().for_each(clean);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn storable(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

/// Returns an id or a name. Numbers are accepted, since nothing is lost by it.
fn required(value: &Value, name: &str) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null => String::new(),
        _ => return Err(format!("{name} is neither text nor a number")),
    };
    match text.len() {
        0 => Err(format!("{name} is missing")),
        1..=MAX_ID => Ok(text),
        _ => Err(format!("{name} is longer than {MAX_ID} bytes")),
    }
}

/// Returns a value that is only kept for people, as text.
fn optional(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn cloud_event(event: Value) -> Result<WebhookEvent, String> {
    let kind = required(&event["type"], "type")?;
    let entity_id = required(&event["intuitentityid"], "intuitentityid")?;
    let realm_id = required(&event["intuitaccountid"], "intuitaccountid")?;
    let occurred_at = optional(&event["time"]);
    // An event without an id is known by its content, like those of the retired shape.
    let id = match &event["id"] {
        id if optional(id).trim().is_empty() => {
            identity(&[&realm_id, &kind, &entity_id, &occurred_at])
        }
        id => required(id, "id"),
    }?;
    // The type is like `qbo.customer.created.v1`. Events of other types are kept too.
    let mut parts = kind.split('.');
    let (entity, operation) = match (parts.next(), parts.next(), parts.next()) {
        (Some("qbo"), Some(name), Some(operation)) => (entity(name), operation.to_owned()),
        _ => (None, kind),
    };
    Ok(WebhookEvent {
        entity,
        operation,
        id,
        realm_id,
        entity_id,
        occurred_at,
        event: event.to_string().into(),
    })
}

fn legacy_event(realm_id: &str, event: Value) -> Result<WebhookEvent, String> {
    let name = required(&event["name"], "name")?;
    let entity_id = required(&event["id"], "id")?;
    let operation = required(&event["operation"], "operation")?;
    let occurred_at = optional(&event["lastUpdated"]);
    Ok(WebhookEvent {
        // These events have no id, so their content is used instead.
        id: identity(&[realm_id, &name, &entity_id, &operation, &occurred_at])?,
        realm_id: realm_id.to_owned(),
        entity: entity(&name),
        entity_id,
        operation: operation.to_ascii_lowercase(),
        occurred_at,
        event: event.to_string().into(),
    })
}

fn identity(parts: &[&str]) -> Result<String, String> {
    required(
        &Value::String(parts.join("/")),
        "its content, taken as its id,",
    )
}

fn entity(name: &str) -> Option<&'static str> {
    ENTITIES
        .iter()
        .find(|entity| entity.qbo_name.eq_ignore_ascii_case(name))
        .map(|entity| entity.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_parsed() {
        let cloud = br#"[{"specversion":"1.0","id":"88cd","source":"intuit.x","type":"qbo.billpayment.void.v1",
            "time":"2025-09-10T21:31:25.179851517Z","intuitentityid":"1234","intuitaccountid":"310687","data":{}},
            {"id":"2","type":"qbo.changeorder.created.v1","intuitentityid":"1","intuitaccountid":"9"}]"#;
        let events = read_webhook(cloud).events;
        let summary = |event: &WebhookEvent| {
            (
                event.id.clone(),
                event.realm_id.clone(),
                event.entity,
                event.operation.clone(),
            )
        };
        assert_eq!(
            summary(&events[0]),
            (
                "88cd".into(),
                "310687".into(),
                Some("bill_payments"),
                "void".into()
            )
        );
        assert_eq!(events[1].entity, Some("change_orders"));
        let other =
            br#"[{"id":"1","type":"payments.charge","intuitentityid":"1","intuitaccountid":"1"}]"#;
        let [other] = &read_webhook(other).events[..] else {
            panic!("not one")
        };
        assert_eq!(
            (other.entity, other.operation.as_str()),
            (None, "payments.charge")
        );
        let legacy = br#"{"eventNotifications":[{"realmId":"1185883450","dataChangeEvent":{"entities":[
            {"name":"Customer","id":"1","operation":"Merge","deletedId":"7","lastUpdated":"2015-10-05T14:42:19-0700"}]}}]}"#;
        let events = read_webhook(legacy).events;
        assert_eq!(
            events[0].id,
            "1185883450/Customer/1/Merge/2015-10-05T14:42:19-0700"
        );
        assert_eq!(
            (events[0].entity, events[0].operation.as_str()),
            (Some("customers"), "merge")
        );
        assert!(events[0].event.contains(r#""deletedId":"7""#));
    }

    fn good(id: &str) -> String {
        format!(
            r#"{{"id":"{id}","type":"qbo.item.updated.v1","time":"2026-11-01T00:00:00Z","intuitentityid":"5","intuitaccountid":"77"}}"#
        )
    }

    fn ids(delivery: &Delivery) -> Vec<&str> {
        delivery
            .events
            .iter()
            .map(|event| event.id.as_str())
            .collect()
    }

    #[test]
    fn a_part_that_is_no_event_leaves_its_neighbours_alone() {
        let bad_parts = [
            "7",
            "null",
            "\"text\"",
            "{}",
            "[]",
            r#"{"id":"1"}"#,
            r#"{"id":"b","type":"qbo.item.updated.v1","intuitaccountid":"77"}"#,
            r#"{"id":"b","type":"qbo.item.updated.v1","intuitentityid":"5"}"#,
            r#"{"id":"b","type":"qbo.item.updated.v1","intuitentityid":"","intuitaccountid":"77"}"#,
            r#"{"id":"b","type":"qbo.item.updated.v1","intuitentityid":{},"intuitaccountid":"77"}"#,
            r#"{"id":true,"type":"qbo.item.updated.v1","intuitentityid":"5","intuitaccountid":"77"}"#,
            r#"{"id":"b","type":null,"intuitentityid":"5","intuitaccountid":"77"}"#,
            r#"{"id":"b","type":"\ud800","intuitentityid":"5","intuitaccountid":"77"}"#,
            r#"{"eventNotifications":[{"realmId":"77"}]}"#,
            r#"{"eventNotifications":[{"dataChangeEvent":{"entities":[{"name":"Item"}]}}]}"#,
            &format!(
                r#"{{"id":"{}","type":"a","intuitentityid":"5","intuitaccountid":"77"}}"#,
                "9".repeat(1001)
            ),
            &format!("{}{}", "[".repeat(200), "]".repeat(200)),
        ];
        for bad in bad_parts {
            let body = format!(" [{},{bad} , {}]\n", good("a"), good("c"));
            let delivery = read_webhook(body.as_bytes());
            assert_eq!(ids(&delivery), ["a", "c"], "{bad}");
            assert_eq!(delivery.unreadable_count, 1, "{bad}");
            assert!(!delivery.unreadable[0].reason.is_empty(), "{bad}");
            assert!(bad.contains(&delivery.unreadable[0].text), "{bad}");
        }
    }

    #[test]
    fn the_reason_names_the_part_and_tells_one_that_is_too_long_from_one_that_is_missing() {
        let cloud = |name: &str, value: &str| {
            let mut event = serde_json::json!({"id": "b", "type": "qbo.item.updated.v1", "intuitentityid": "5", "intuitaccountid": "77"});
            event[name] = value.into();
            serde_json::json!([event]).to_string()
        };
        let retired = |name: &str, value: &str| {
            let mut entity = serde_json::json!({"name": "Item", "id": "5", "operation": "Update"});
            let mut realm_id = "77";
            match name {
                "realmId" => realm_id = value,
                name => entity[name] = value.into(),
            }
            let change = serde_json::json!({"entities": [entity]});
            serde_json::json!({"eventNotifications": [{"realmId": realm_id, "dataChangeEvent": change}]}).to_string()
        };
        let of_cloud = ["id", "type", "intuitentityid", "intuitaccountid"];
        let of_retired = ["realmId", "name", "id", "operation"];
        let all = of_cloud.map(|name| (name, &cloud as &dyn Fn(&str, &str) -> String));
        let all = all
            .into_iter()
            .chain(of_retired.map(|name| (name, &retired as _)));
        for (name, delivery) in all {
            let reason = |value: &str| {
                let read = read_webhook(delivery(name, value).as_bytes());
                read.unreadable.first().map(|part| part.reason.clone())
            };
            let too_long = format!("{name} is longer than {MAX_ID} bytes");
            assert_eq!(reason(&"9".repeat(10_000)), Some(too_long));
            // An event without an id is known by its content.
            let missing = (name != "id" || delivery("id", "").contains("Item"))
                .then(|| format!("{name} is missing"));
            assert_eq!(reason(" "), missing);
            assert_eq!(reason("7"), None);
        }
    }

    #[test]
    fn odd_but_usable_events_are_events() {
        for (odd, id, entity_id, time) in [
            (r#""id":3,"intuitentityid":17,"time":null"#, "3", "17", ""),
            (
                r#""id":"x","intuitentityid":"17","time":1730000000"#,
                "x",
                "17",
                "1730000000",
            ),
            (
                r#""intuitentityid":" 17 ","time":"soon""#,
                "77/qbo.gadget.made.v9/17/soon",
                "17",
                "soon",
            ),
            (
                r#""id":"a\u0000b","intuitentityid":"17","d\u0000":["\u0000"]"#,
                "a\u{fffd}b",
                "17",
                "",
            ),
        ] {
            // One event without an array around it.
            let body = format!(r#"{{"type":"qbo.gadget.made.v9","intuitaccountid":77,{odd}}}"#);
            let delivery = read_webhook(body.as_bytes());
            let [event] = &delivery.events[..] else {
                panic!("{delivery:?}")
            };
            assert_eq!(
                (event.id.as_str(), event.entity_id.as_str()),
                (id, entity_id)
            );
            assert_eq!(
                (event.realm_id.as_str(), event.occurred_at.as_str()),
                ("77", time)
            );
            assert_eq!((event.entity, event.operation.as_str()), (None, "made"));
            assert!(!event.event.contains("\\u0000"));
            assert_eq!(delivery.unreadable, []);
        }
    }

    #[test]
    fn the_retired_shape_keeps_its_good_events() {
        let body = br#"{"eventNotifications":[
            {"realmId":77,"dataChangeEvent":{"entities":[
                {"name":"Item","id":4,"operation":"Update","lastUpdated":null},
                {"name":"Item","operation":"Update"}, 9,
                {"name":"Gizmo","id":"5","operation":"Create","lastUpdated":"2026-01-01T00:00:00Z"}]}},
            {"realmId":null,"dataChangeEvent":{"entities":[]}}, {"realmId":"78"}, "x",
            {"realmId":"79","dataChangeEvent":{"entities":[{"name":"Bill","id":"6","operation":"Delete"}]}}]}"#;
        let delivery = read_webhook(body);
        assert_eq!(
            ids(&delivery),
            [
                "77/Item/4/Update/",
                "77/Gizmo/5/Create/2026-01-01T00:00:00Z",
                "79/Bill/6/Delete/"
            ]
        );
        assert_eq!(delivery.events[1].entity, None);
        assert_eq!(delivery.unreadable_count, 5);
    }

    #[test]
    fn what_precedes_broken_json_is_kept() {
        let whole = format!("[{},{}]", good("a"), good("b"));
        let first = whole.find("},{").unwrap() + 1;
        for cut in 0..whole.len() {
            let delivery = read_webhook(&whole.as_bytes()[..cut]);
            let expected: &[&str] = match cut {
                _ if cut < first => &[],
                _ if cut < whole.len() - 1 => &["a"],
                _ => &["a", "b"],
            };
            assert_eq!(ids(&delivery), expected, "{cut}");
            assert_eq!(delivery.unreadable_count, 1, "{cut}");
        }
        for (body, events, unreadable) in [
            (&b"[]"[..], 0, 0),
            (b"\xef\xbb\xbf [ ] ", 0, 0),
            (b"", 0, 1),
            (b"[] []", 0, 1),
            (b"\xff\xfe[", 0, 1),
            (br#"{"eventNotifications":[]}"#, 0, 0),
        ] {
            let delivery = read_webhook(body);
            assert_eq!(
                (delivery.events.len(), delivery.unreadable_count),
                (events, unreadable)
            );
        }
        let mut broken = whole.replace("2026", "20\u{0}6").into_bytes();
        broken[20] = 0xff;
        assert_eq!(
            read_webhook(&broken).unreadable_count,
            1,
            "raw NULs are no JSON"
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let many = format!("[{}]", vec!["0"; 5000].join(","));
        let delivery = read_webhook(many.as_bytes());
        assert_eq!(
            (delivery.unreadable.len(), delivery.unreadable_count),
            (MAX_UNREADABLE, 5000)
        );
        let long = read_webhook("é".repeat(MAX_TEXT).as_bytes());
        assert_eq!(long.unreadable[0].text.len(), MAX_TEXT);
        let longer = read_webhook("é".repeat(MAX_TEXT + 1).as_bytes());
        assert_eq!(long.unreadable[0].text, longer.unreadable[0].text);
        assert_ne!(long.unreadable[0].digest, longer.unreadable[0].digest);
        assert_eq!(read_webhook(b"short").unreadable[0].digest, "");
    }

    mod any_body {
        use proptest::prelude::*;

        use super::*;

        /// Any JSON, with the names that matter.
        fn json() -> impl Strategy<Value = Value> {
            let name = prop_oneof![
                Just("id".to_owned()),
                Just("type".to_owned()),
                Just("intuitentityid".to_owned()),
                Just("intuitaccountid".to_owned()),
                Just("time".to_owned()),
                Just("realmId".to_owned()),
                Just("eventNotifications".to_owned()),
                Just("dataChangeEvent".to_owned()),
                Just("entities".to_owned()),
                Just("name".to_owned()),
                any::<String>(),
            ];
            let leaf = prop_oneof![
                Just(Value::Null),
                any::<bool>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from),
                any::<String>().prop_map(Value::from),
                Just(Value::from("qbo.item.updated.v1")),
                Just(Value::from("\0")),
            ];
            leaf.prop_recursive(5, 40, 8, move |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                    prop::collection::vec((name.clone(), inner), 0..8)
                        .prop_map(|members| Value::Object(members.into_iter().collect())),
                ]
            })
        }

        fn is_storable(delivery: &Delivery) -> bool {
            delivery.unreadable.len() <= MAX_UNREADABLE
                && delivery
                    .unreadable
                    .iter()
                    .all(|part| part.text.len() <= MAX_TEXT && !part.text.contains('\0'))
                && delivery.events.iter().all(|event| {
                    let texts = [
                        &event.id,
                        &event.realm_id,
                        &event.entity_id,
                        &event.operation,
                        &event.occurred_at,
                    ];
                    texts.iter().all(|text| !text.contains('\0'))
                        && [&event.id, &event.realm_id, &event.entity_id]
                            .iter()
                            .all(|id| (1..=MAX_ID).contains(&id.len()))
                        && !event.event.contains("\\u0000")
                })
        }

        const DELIVERIES: &[&str] = &[
            r#"[{"specversion":"1.0","id":"88cd52aa-33b6-4351-9aa4-47572edbd068","source":"intuit.x=","type":"qbo.invoice.created.v1","time":"2025-09-10T21:31:25.179Z","intuitentityid":"1234","intuitaccountid":"310687","data":{}}]"#,
            r#"{"eventNotifications":[{"realmId":"310687","dataChangeEvent":{"entities":[{"name":"Customer","id":"1","operation":"Merge","deletedId":"2","lastUpdated":"2015-10-05T14:42:19-0700"}]}}]}"#,
        ];

        proptest! {
            #[test]
            fn json_gives_a_delivery_that_can_be_stored(body in json(), before in any::<bool>()) {
                let event = good("mine");
                let delivery = read_webhook(body.to_string().as_bytes());
                prop_assert!(is_storable(&delivery));
                let both = if before { format!("[{event},{body}]") } else { format!("[{body},{event}]") };
                let delivery = read_webhook(both.as_bytes());
                prop_assert!(is_storable(&delivery));
                prop_assert!(ids(&delivery).contains(&"mine"));
            }

            #[test]
            fn any_company_gives_a_delivery_that_can_be_stored(name in any::<String>()) {
                for name in [name.as_str(), &format!("{name}\0")] {
                    for delivery in DELIVERIES {
                        let company = serde_json::to_string(name).unwrap();
                        let body = delivery.replace("\"310687\"", &company);
                        prop_assert!(is_storable(&read_webhook(body.as_bytes())));
                    }
                }
            }

            #[test]
            fn changed_deliveries_can_be_stored(body in crate::testing::documents(DELIVERIES)) {
                prop_assert!(is_storable(&read_webhook(&body)));
            }

            #[test]
            fn bytes_give_a_delivery_that_can_be_stored(body in prop::collection::vec(any::<u8>(), 0..400)) {
                let delivery = read_webhook(&body);
                prop_assert!(is_storable(&delivery));
                prop_assert!(delivery.events.is_empty());
            }
        }
    }
}
