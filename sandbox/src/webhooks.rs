//! Webhooks of changes, sent as Intuit sends them (qbo-facts 5): signed, several events at a time,
//! sometimes twice and out of order.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use crate::company::{Event, Operation};
use crate::hash::hash;
use crate::remote;

/// The address of webhooks, and the irregularities of their delivery.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WebhookOptions {
    /// The address that webhooks are sent to. If it is empty, none are sent.
    pub url: String,
    /// The key of the signature.
    pub verifier_token: String,
    /// Whether to use the retired format instead of CloudEvents.
    pub legacy: bool,
    /// Every n-th delivery is sent twice. 0 means none.
    pub duplicate_every: u64,
    /// Whether the events of a delivery, and deliveries themselves, change their order.
    pub shuffle: bool,
    /// Every n-th delivery has a wrong signature. 0 means none.
    pub wrong_signature_every: u64,
    /// A realm id for which each delivery gets an extra event.
    pub mix_realm: Option<String>,
    /// Milliseconds for which events are collected into one delivery.
    pub gather_ms: u64,
    /// Seconds before each retry. The last one is repeated until the receiver answers 200. Empty
    /// means no retry.
    pub retry_s: Vec<f64>,
    /// Whether later deliveries wait until the receiver has answered 200 to the one before.
    pub withhold: bool,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            verifier_token: "sandbox-verifier-token".to_owned(),
            legacy: false,
            duplicate_every: 0,
            shuffle: false,
            wrong_signature_every: 0,
            mix_realm: None,
            gather_ms: 200,
            // Intuit's retry intervals of February 2026 (qbo-facts 5.1).
            retry_s: vec![10.0, 20.0, 30.0, 300.0, 1200.0, 7200.0, 14_400.0, 21_600.0],
            withhold: false,
        }
    }
}

/// The highest number of events in one delivery.
const MAX_EVENTS: usize = 100;
/// The time within which a receiver must answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// One delivery and its attempts.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Delivery {
    number: u64,
    events: usize,
    /// The status of each attempt. 0 means no answer.
    attempts: Vec<u16>,
    /// The body that was signed.
    body: String,
}

/// One event with its company's realm id.
#[derive(Debug, Clone)]
struct CompanyEvent {
    realm_id: String,
    event: Event,
}

/// The sender of webhooks, which runs on the sandbox's runtime. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Webhooks {
    shared: Arc<Shared>,
    queue: UnboundedSender<CompanyEvent>,
    runtime: tokio::runtime::Handle,
}

#[derive(Debug, Default)]
struct Shared {
    options: watch::Sender<WebhookOptions>,
    deliveries: Mutex<Vec<Delivery>>,
}

impl Webhooks {
    /// Starts a sender. It sends nothing until [`Self::configure`] gives it an address.
    pub(crate) fn start(runtime: &tokio::runtime::Handle) -> Self {
        let (queue, arriving) = mpsc::unbounded_channel();
        let shared = Arc::<Shared>::default();
        runtime.spawn(run(shared.clone(), arriving));
        Self {
            shared,
            queue,
            runtime: runtime.clone(),
        }
    }

    /// Returns the channel for the events of one company.
    pub(crate) fn listener(&self, realm_id: &str) -> UnboundedSender<Event> {
        let (listener, mut events) = mpsc::unbounded_channel();
        let (queue, realm_id) = (self.queue.clone(), realm_id.to_owned());
        self.runtime.spawn(async move {
            while let Some(event) = events.recv().await {
                let _ = queue.send(CompanyEvent {
                    realm_id: realm_id.clone(),
                    event,
                });
            }
        });
        listener
    }

    /// Sets the options of all deliveries from now on. Those that wait for another attempt are sent
    /// at once with the new options, unless they go to another address.
    ///
    /// # Errors
    /// The reason, if an option is not valid.
    pub(crate) fn configure(&self, options: WebhookOptions) -> Result<(), String> {
        let is_address = options.url.starts_with("http://") || options.url.starts_with("https://");
        if !options.url.is_empty() && !is_address {
            return Err(format!("'{}' is not an http or https URL", options.url));
        }
        if !options
            .retry_s
            .iter()
            .all(|seconds| (0.0..1e6).contains(seconds))
        {
            return Err("retry_s must be seconds, at least 0".to_owned());
        }
        self.shared.options.send_replace(options);
        Ok(())
    }

    /// Returns all deliveries so far.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.shared.deliveries.lock().clone()
    }
}

/// Collects events into deliveries and sends them, until the sandbox is stopped.
async fn run(shared: Arc<Shared>, mut arriving: UnboundedReceiver<CompanyEvent>) {
    // Made for the first delivery: it reads the system's certificates, and most sandboxes send none.
    let mut first_client = None;
    let mut number = 0;
    while let Some(first) = arriving.recv().await {
        let options = shared.options.borrow().clone();
        if options.url.is_empty() {
            continue;
        }
        if first_client.is_none() {
            first_client = remote::client(ANSWER_TIMEOUT).ok();
        }
        let Some(client) = &first_client else {
            return;
        };
        tokio::time::sleep(Duration::from_millis(options.gather_ms)).await;
        let mut events = vec![first];
        while events.len() < MAX_EVENTS
            && let Ok(event) = arriving.try_recv()
        {
            events.push(event);
        }
        number += 1;
        let body = body(&mut events, number, &options);
        shared.deliveries.lock().push(Delivery {
            number,
            events: events.len(),
            attempts: Vec::new(),
            body: body.clone(),
        });
        let is_twice =
            options.duplicate_every > 0 && number.is_multiple_of(options.duplicate_every);
        for copy in 0..=u64::from(is_twice) {
            let delivery = deliver(
                shared.clone(),
                client.clone(),
                options.clone(),
                number,
                body.clone(),
                copy,
            );
            // Deliveries do not wait for each other, so a slow one can be overtaken.
            let delivery = tokio::spawn(delivery);
            let mut current = shared.options.subscribe();
            tokio::select! {
                _ = delivery => {}
                // Fails only without a sender, and `shared` is one.
                _ = current.wait_for(|options| !options.withhold) => {}
            }
        }
    }
}

/// Returns the wait before an attempt; `None` if there is no such attempt.
fn wait_before(attempt: usize, retry_s: &[f64]) -> Option<Duration> {
    if attempt == 0 {
        return Some(Duration::ZERO);
    }
    let seconds = retry_s.get(attempt - 1).or(retry_s.last())?;
    Some(Duration::from_secs_f64(*seconds))
}

/// Sends one delivery, and retries until the receiver answers 200, or webhooks go to another address.
/// Each attempt is signed with the key of its time.
async fn deliver(
    shared: Arc<Shared>,
    client: reqwest::Client,
    options: WebhookOptions,
    number: u64,
    body: String,
    copy: u64,
) {
    if options.shuffle {
        tokio::time::sleep(Duration::from_millis(hash(number + copy) % 300)).await;
    }
    let mut current = shared.options.subscribe();
    for attempt in 0.. {
        // Options that came during the attempt before end this wait at once.
        let Some(wait) = wait_before(attempt, &current.borrow().retry_s) else {
            return;
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = current.changed() => {}
        }
        let now = current.borrow_and_update().clone();
        if now.url != options.url {
            return;
        }
        let signature = signature(key_of(number, &now), body.as_bytes());
        let request = client
            .post(&now.url)
            .header("content-type", "application/json; charset=utf-8")
            .header("intuit-signature", signature)
            .header(
                "intuit-notification-schema-version",
                if options.legacy { "0.1" } else { "1.0" },
            )
            .header("user-agent", "intuit_notification_server/0.1")
            .body(body.clone());
        let status = request
            .send()
            .await
            .map_or(0, |response| response.status().as_u16());
        if let Some(delivery) = shared
            .deliveries
            .lock()
            .iter_mut()
            .find(|delivery| delivery.number == number)
        {
            delivery.attempts.push(status);
        }
        if status == 200 {
            return;
        }
    }
}

/// Returns the key that a delivery is signed with.
fn key_of(number: u64, options: &WebhookOptions) -> &str {
    let every = options.wrong_signature_every;
    match every > 0 && number.is_multiple_of(every) {
        true => "another token",
        false => &options.verifier_token,
    }
}

/// Returns the signature: HMAC-SHA256 over the raw body, in base64.
fn signature(verifier_token: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, verifier_token.as_bytes());
    STANDARD.encode(hmac::sign(&key, body))
}

/// Returns the body of a delivery.
fn body(events: &mut Vec<CompanyEvent>, number: u64, options: &WebhookOptions) -> String {
    if let Some(other) = &options.mix_realm
        && let Some(first) = events.first()
    {
        let other_company = CompanyEvent {
            realm_id: other.clone(),
            event: first.event.clone(),
        };
        events.push(other_company);
    }
    if options.shuffle {
        events.sort_by_key(|sent| hash(number ^ sent.event.id.bytes().map(u64::from).sum::<u64>()));
    }
    match options.legacy {
        true => legacy(events).to_string(),
        false => events
            .iter()
            .enumerate()
            .map(|(n, sent)| cloud_event(sent, number, n as u64))
            .collect::<Value>()
            .to_string(),
    }
}

/// Returns an event in the CloudEvents format.
fn cloud_event(sent: &CompanyEvent, delivery: u64, position: u64) -> Value {
    let CompanyEvent { realm_id, event } = sent;
    let operation = match event.operation {
        Operation::Created => "created",
        Operation::Updated => "updated",
        Operation::Deleted => "deleted",
        Operation::Merged => "merged",
        // Intuit's word for it, although the others are past participles.
        Operation::Void => "void",
    };
    let id = (hash(delivery), hash(position ^ delivery << 32));
    let data = event
        .deleted_id
        .as_ref()
        .map_or(json!({}), |id| json!({"deletedId": id}));
    json!({
        "specversion": "1.0",
        "id": uuid::Uuid::from_u64_pair(id.0, id.1).to_string(),
        "source": "intuit.c2FuZGJveA==",
        "type": format!("qbo.{}.{operation}.v1", event.entity.name.to_lowercase()),
        "datacontenttype": "application/json",
        "time": nine_digits(event.at),
        "intuitentityid": event.id,
        "intuitaccountid": realm_id,
        "data": data,
    })
}

/// Formats a time with nanoseconds.
fn nine_digits(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// Returns the events in the retired format, grouped by company.
fn legacy(events: &[CompanyEvent]) -> Value {
    let mut realms: Vec<&str> = events.iter().map(|sent| sent.realm_id.as_str()).collect();
    realms.sort_unstable();
    realms.dedup();
    let notifications = realms.into_iter().map(|realm_id| {
        let entities = events.iter().filter(|sent| sent.realm_id == realm_id).map(|CompanyEvent { event, .. }| {
            let operation = match event.operation {
                Operation::Created => "Create",
                Operation::Updated => "Update",
                Operation::Deleted => "Delete",
                Operation::Merged => "Merge",
                Operation::Void => "Void",
            };
            let at = event.at.to_rfc3339_opts(SecondsFormat::Millis, true);
            let mut entity =
                json!({"name": event.entity.name, "id": event.id, "operation": operation, "lastUpdated": at});
            if let Some(deleted) = &event.deleted_id {
                entity["deletedId"] = deleted.as_str().into();
            }
            entity
        });
        json!({"realmId": realm_id, "dataChangeEvent": {"entities": entities.collect::<Value>()}})
    });
    json!({"eventNotifications": notifications.collect::<Value>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities;

    fn event(operation: Operation) -> CompanyEvent {
        let (entity, at) = (
            entities::find("Customer").unwrap(),
            DateTime::from_timestamp(1_800_000_000, 179_851_517).unwrap(),
        );
        let deleted_id = (operation == Operation::Merged).then(|| "8".to_owned());
        CompanyEvent {
            realm_id: "9".to_owned(),
            event: Event {
                entity,
                id: "7".to_owned(),
                operation,
                at,
                deleted_id,
            },
        }
    }

    #[test]
    fn a_delivery_is_an_array_of_cloud_events() {
        let mut events = vec![event(Operation::Merged), event(Operation::Void)];
        let options = WebhookOptions {
            mix_realm: Some("10".to_owned()),
            ..WebhookOptions::default()
        };
        let body: Value = serde_json::from_str(&body(&mut events, 1, &options)).unwrap();
        assert_eq!(body[0]["type"], "qbo.customer.merged.v1");
        assert_eq!(body[0]["data"], json!({"deletedId": "8"}));
        assert_eq!(
            (&body[1]["type"], &body[1]["data"]),
            (&json!("qbo.customer.void.v1"), &json!({}))
        );
        assert_eq!(body[0]["time"], "2027-01-15T08:00:00.179851517Z");
        assert_eq!(
            (&body[0]["intuitaccountid"], &body[2]["intuitaccountid"]),
            (&json!("9"), &json!("10"))
        );
        assert_ne!(body[0]["id"], body[1]["id"]);
    }

    #[test]
    fn events_of_a_delivery_can_change_places() {
        let events = || -> Vec<CompanyEvent> {
            let numbered = |id: u32| {
                let mut sent = event(Operation::Updated);
                sent.event.id = id.to_string();
                sent
            };
            (0..20).map(numbered).collect()
        };
        let ids = |shuffle| -> Vec<String> {
            let options = WebhookOptions {
                shuffle,
                ..WebhookOptions::default()
            };
            let body: Value = serde_json::from_str(&body(&mut events(), 3, &options)).unwrap();
            body.as_array()
                .unwrap()
                .iter()
                .map(|event| event["intuitentityid"].as_str().unwrap().to_owned())
                .collect()
        };
        let (as_they_came, mut shuffled) = (ids(false), ids(true));
        assert_ne!(as_they_came, shuffled);
        shuffled.sort_by_key(|id| id.parse::<u32>().unwrap());
        assert_eq!(as_they_came, shuffled);
    }

    #[test]
    fn the_retired_shape_groups_by_company() {
        let mut events = vec![event(Operation::Merged)];
        let options = WebhookOptions {
            legacy: true,
            ..WebhookOptions::default()
        };
        let body: Value = serde_json::from_str(&body(&mut events, 1, &options)).unwrap();
        let notification = &body["eventNotifications"][0];
        assert_eq!(notification["realmId"], "9");
        let entity = &notification["dataChangeEvent"]["entities"][0];
        assert_eq!(
            (&entity["operation"], &entity["deletedId"]),
            (&json!("Merge"), &json!("8"))
        );
    }

    #[test]
    fn the_last_interval_is_repeated_without_end() {
        let intervals = WebhookOptions::default().retry_s;
        let wait = |attempt| wait_before(attempt, &intervals).map(|wait| wait.as_secs());
        assert_eq!(
            [0, 1, 8, 9, 500].map(wait),
            [0, 10, 21_600, 21_600, 21_600].map(Some)
        );
        assert_eq!(wait_before(1, &[]), None);
        assert_eq!(wait_before(0, &[]), Some(Duration::ZERO));
    }

    #[test]
    fn the_signature_is_that_of_rfc_4231() {
        // Its test case 2.
        let expected = STANDARD.encode([
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95,
            0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9,
            0x64, 0xec, 0x38, 0x43,
        ]);
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), expected);
    }
}
