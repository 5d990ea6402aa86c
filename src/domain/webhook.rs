//! Webhook events: an array of CloudEvents, or the older envelope (qbo-facts 5).

use serde::Deserialize;
use serde_json::Value;

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
    /// The complete event.
    pub event: Value,
}

#[derive(Deserialize)]
struct CloudEvent {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: String,
    intuitentityid: String,
    intuitaccountid: String,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "eventNotifications")]
    notifications: Vec<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "realmId")]
    realm_id: String,
    #[serde(rename = "dataChangeEvent")]
    change: Change,
}

#[derive(Deserialize)]
struct Change {
    entities: Vec<Value>,
}

#[derive(Deserialize)]
struct LegacyEvent {
    name: String,
    id: String,
    operation: String,
    #[serde(rename = "lastUpdated", default)]
    last_updated: String,
}

/// Parses a delivery. One unreadable event fails the whole delivery, since QuickBooks repeats a delivery
/// that is not answered with success.
///
/// # Errors
/// The reason, as text.
pub fn read_webhook(body: &[u8]) -> Result<Vec<WebhookEvent>, String> {
    if memchr::memmem::find(body, br"\u0000").is_some() {
        return Err("it contains a NUL character, which a database cannot store".to_owned());
    }
    let body: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    match body {
        Value::Array(events) => events.into_iter().map(cloud_event).collect(),
        Value::Object(_) => {
            let envelope: Envelope = serde_json::from_value(body).map_err(|e| e.to_string())?;
            let events = envelope.notifications.into_iter().flat_map(|notification| {
                let Notification { realm_id, change } = notification;
                change
                    .entities
                    .into_iter()
                    .map(move |event| legacy_event(&realm_id, event))
            });
            events.collect()
        }
        _ => Err("neither an array of events nor an envelope".to_owned()),
    }
}

fn cloud_event(event: Value) -> Result<WebhookEvent, String> {
    let read: CloudEvent = serde_json::from_value(event.clone()).map_err(|e| e.to_string())?;
    // The type is like `qbo.customer.created.v1`. Events of other types are kept too: refusing one
    // would make QuickBooks repeat the whole delivery.
    let mut parts = read.kind.split('.');
    let (entity, operation) = match (parts.next(), parts.next(), parts.next()) {
        (Some("qbo"), Some(name), Some(operation)) => (entity(name), operation.to_owned()),
        _ => (None, read.kind),
    };
    Ok(WebhookEvent {
        entity,
        operation,
        id: read.id,
        realm_id: read.intuitaccountid,
        entity_id: read.intuitentityid,
        occurred_at: read.time,
        event,
    })
}

fn legacy_event(realm_id: &str, event: Value) -> Result<WebhookEvent, String> {
    let read: LegacyEvent = serde_json::from_value(event.clone()).map_err(|e| e.to_string())?;
    Ok(WebhookEvent {
        // These events have no id, so their content is used instead.
        id: [
            realm_id,
            &read.name,
            &read.id,
            &read.operation,
            &read.last_updated,
        ]
        .join("/"),
        realm_id: realm_id.to_owned(),
        entity: entity(&read.name),
        entity_id: read.id,
        operation: read.operation.to_ascii_lowercase(),
        occurred_at: read.last_updated,
        event,
    })
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
        let events = read_webhook(cloud).unwrap();
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
        assert_eq!(events[1].entity, None);
        let other =
            br#"[{"id":"1","type":"payments.charge","intuitentityid":"1","intuitaccountid":"1"}]"#;
        let [other] = &read_webhook(other).unwrap()[..] else {
            panic!("not one")
        };
        assert_eq!(
            (other.entity, other.operation.as_str()),
            (None, "payments.charge")
        );
        let legacy = br#"{"eventNotifications":[{"realmId":"1185883450","dataChangeEvent":{"entities":[
            {"name":"Customer","id":"1","operation":"Merge","deletedId":"7","lastUpdated":"2015-10-05T14:42:19-0700"}]}}]}"#;
        let events = read_webhook(legacy).unwrap();
        assert_eq!(
            events[0].id,
            "1185883450/Customer/1/Merge/2015-10-05T14:42:19-0700"
        );
        assert_eq!(
            (events[0].entity, events[0].operation.as_str()),
            (Some("customers"), "merge")
        );
        assert_eq!(events[0].event["deletedId"], "7");
    }

    #[test]
    fn unreadable_deliveries_are_refused() {
        for body in [
            "",
            "7",
            "{}",
            r#"[{"id":"1"}]"#,
            r#"[{"id":"\u0000","type":"qbo.item.created.v1","intuitentityid":"1","intuitaccountid":"1"}]"#,
        ] {
            assert!(read_webhook(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(read_webhook(b"[]").unwrap(), []);
    }
}
