//! Probes of change data capture.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::reply::Reply;
use super::{COUNTED, LISTS, LOOK_BACK, ProbeResult, Prober};
use crate::domain::instant::format_instant;
use crate::error::Result;

/// Most objects in an answer (qbo-facts 4).
const MAX_OBJECTS: usize = 1000;
/// Changed list records among which a false deletion would have shown itself.
const ENOUGH_RECORDS: usize = 100;
/// Most ids that are looked up.
const MAX_IDS: usize = 30;

impl Prober<'_> {
    pub(super) async fn probe_changes(&self, found: &mut Vec<ProbeResult>) -> Result<()> {
        let unknown = self.cdc_unknown_entity().await;
        let unknown = Self::finding("cdc-unknown-entity", unknown)?;
        let activity = self.cdc_time_activity(unknown.answer == "fault").await;
        found.push(unknown);
        found.push(Self::finding("cdc-time-activity", activity)?);
        found.extend(self.order_and_cap().await?);
        let unavailable = self.cdc_unavailable().await;
        found.push(Self::finding("cdc-unavailable", unavailable)?);
        let deletes = self.cdc_false_deletes().await;
        found.push(Self::finding("cdc-false-deletes", deletes)?);
        Ok(())
    }

    /// Asks for the changes of an entity that is documented to have none (qbo-facts 4).
    async fn cdc_unknown_entity(&self) -> Result<ProbeResult> {
        const NAME: &str = "cdc-unknown-entity";
        let since = self.now - LOOK_BACK;
        let reply = self.changes(&["TaxCode"], since).await?;
        Ok(match (&reply, reply.groups().concat().is_empty()) {
            (Reply::Refused { .. }, _) => ProbeResult::shown(NAME, "fault", &reply),
            (_, true) => ProbeResult::shown(NAME, "empty", &reply),
            (_, false) => ProbeResult::unknown(NAME, "TaxCode has change data capture here"),
        })
    }

    async fn cdc_time_activity(&self, unknown_is_refused: bool) -> Result<ProbeResult> {
        const NAME: &str = "cdc-time-activity";
        let since = self.now - LOOK_BACK;
        let reply = self.changes(&["TimeActivity"], since).await?;
        if reply.is_refused() {
            return Ok(ProbeResult::shown(NAME, "unsupported", &reply));
        }
        if unknown_is_refused || !reply.groups().concat().is_empty() {
            return Ok(ProbeResult::shown(NAME, "supported", &reply));
        }
        // Nothing was reported. It may be that nothing has changed.
        let changed = self.query(&count_since("TimeActivity", since)).await?;
        Ok(match changed.count() {
            Some(1..) => ProbeResult::shown(NAME, "unsupported", &reply),
            _ => ProbeResult::unknown(NAME, "no time activity changed in the last 29 days"),
        })
    }

    /// Asks for the changes of many entities at once.
    async fn order_and_cap(&self) -> Result<[ProbeResult; 2]> {
        const ORDER: &str = "cdc-order";
        const CAP: &str = "cdc-cap";
        let names: Vec<&str> = COUNTED
            .into_iter()
            .filter(|name| self.counts.contains_key(name))
            .collect();
        if names.len() < 2 {
            return Ok([ORDER, CAP]
                .map(|name| ProbeResult::unknown(name, "fewer than two entities can be read")));
        }
        let since = self.now - LOOK_BACK;
        match self.changes(&names, since).await {
            Ok(reply) if reply.is_refused() => {
                Ok([ORDER, CAP].map(|name| ProbeResult::refused(name, &reply)))
            }
            Ok(reply) => {
                let cap = self.cdc_cap(&names, since, &reply).await;
                let order = self.cdc_order(names, since, &reply).await;
                Ok([Self::finding(ORDER, order)?, Self::finding(CAP, cap)?])
            }
            Err(error) => {
                let order = Self::finding(ORDER, Err(error))?;
                let cap = ProbeResult {
                    name: CAP,
                    ..order.clone()
                };
                Ok([order, cap])
            }
        }
    }

    /// Judges the order of an answer. If it is the one that was asked for, the entities are asked for
    /// in the other direction too: an order of the service's own may look like it once.
    async fn cdc_order(
        &self,
        mut names: Vec<&str>,
        since: DateTime<Utc>,
        reply: &Reply,
    ) -> Result<ProbeResult> {
        let first = cdc_order(&names, reply);
        if first.answer != "asked" {
            return Ok(first);
        }
        names.reverse();
        let reply = self.changes(&names, since).await?;
        let second = cdc_order(&names, &reply);
        Ok(match (second.answer, reply.is_refused()) {
            ("asked", _) => second.because("in two answers"),
            (_, true) => ProbeResult::refused(first.name, &reply),
            _ => second,
        })
    }

    async fn cdc_cap(
        &self,
        names: &[&str],
        since: DateTime<Utc>,
        reply: &Reply,
    ) -> Result<ProbeResult> {
        const NAME: &str = "cdc-cap";
        let sizes: Vec<usize> = reply.groups().iter().map(Vec::len).collect();
        let total: usize = sizes.iter().sum();
        if total > MAX_OBJECTS {
            return Ok(ProbeResult::shown(NAME, "entity", reply));
        }
        let too_few = ProbeResult::unknown(
            NAME,
            "too few records changed in the last 29 days for the cap to show",
        );
        if total < MAX_OBJECTS {
            return Ok(too_few);
        }
        if sizes.iter().filter(|size| **size > 0).count() > 1 {
            return Ok(ProbeResult::shown(NAME, "answer", reply));
        }
        // One entity filled the answer. Others may have had no changes.
        let statements: Vec<String> = names.iter().map(|name| count_since(name, since)).collect();
        let counts = self.batch(&statements).await?;
        let counts = counts.items(statements.len());
        let changed = counts
            .iter()
            .flatten()
            .filter(|item| item.count().is_some_and(|count| count > 0));
        Ok(if changed.count() > 1 {
            ProbeResult::shown(NAME, "answer", reply)
        } else {
            too_few
        })
    }

    /// Asks for the changes of an entity that the company does not have, beside one that it has.
    async fn cdc_unavailable(&self) -> Result<ProbeResult> {
        const NAME: &str = "cdc-unavailable";
        let (Some(lacking), Some((other, _))) = (self.lacking, self.largest(&COUNTED)) else {
            return Ok(ProbeResult::unknown(
                NAME,
                "the company has every entity that was tried",
            ));
        };
        let since = self.now - LOOK_BACK;
        let reply = self.changes(&[lacking, other], since).await?;
        if reply.is_refused() {
            return Ok(ProbeResult::shown(NAME, "fails", &reply));
        }
        let groups = reply
            .body()
            .map(|body| &body["CDCResponse"][0]["QueryResponse"]);
        let groups = groups.and_then(Value::as_array).into_iter().flatten();
        let has_fault = groups.into_iter().any(|group| group["Fault"].is_object());
        Ok(match has_fault {
            true => ProbeResult::shown(NAME, "group", &reply),
            false => ProbeResult::unknown(NAME, "the entity was answered like one without changes"),
        })
    }

    /// Looks up the list records that are reported as deleted.
    async fn cdc_false_deletes(&self) -> Result<ProbeResult> {
        const NAME: &str = "cdc-false-deletes";
        let names: Vec<&str> = LISTS
            .into_iter()
            .filter(|name| self.counts.contains_key(name))
            .collect();
        if names.is_empty() {
            return Ok(ProbeResult::unknown(NAME, "no list can be read"));
        }
        let reply = self.changes(&names, self.now - LOOK_BACK).await?;
        if reply.is_refused() {
            return Ok(ProbeResult::refused(NAME, &reply));
        }
        let mut statements = Vec::new();
        for (name, stubs) in deleted_ids(&reply) {
            let ids = stubs.join("','");
            statements.push(format!(
                "SELECT * FROM {name} WHERE Id IN ('{ids}') AND Active IN (true, false)"
            ));
        }
        if !statements.is_empty() {
            let found = self.batch(&statements).await?;
            let found = found.items(statements.len());
            // A record that was made inactive can be reported as deleted, so it proves nothing.
            let is_live = |row: &&Value| row["Active"].as_bool() == Some(true);
            if found
                .iter()
                .flatten()
                .any(|item| item.rows().iter().any(is_live))
            {
                return Ok(ProbeResult::shown(NAME, "sometimes", &reply));
            }
        }
        Ok(if reply.groups().concat().len() >= ENOUGH_RECORDS {
            ProbeResult::shown(NAME, "never", &reply)
                .because("among at least 100 list records that changed in the last 29 days")
        } else {
            ProbeResult::unknown(
                NAME,
                "fewer than 100 list records changed in the last 29 days",
            )
        })
    }
}

/// Returns whether the groups that were found stand in the order in which their entities were asked
/// for. Entities without a group do not matter.
fn cdc_order(names: &[&str], reply: &Reply) -> ProbeResult {
    const NAME: &str = "cdc-order";
    let groups = reply
        .body()
        .and_then(|body| body["CDCResponse"][0]["QueryResponse"].as_array());
    let places_of = |group: &Value| -> Vec<usize> {
        let names = names.iter().enumerate();
        names
            .filter(|(_, name)| group[**name].is_array())
            .map(|(place, _)| place)
            .collect()
    };
    let places: Vec<Vec<usize>> = groups.into_iter().flatten().map(places_of).collect();
    if places.iter().any(|places| places.len() > 1) {
        return ProbeResult::unknown(NAME, "several entities stand in one group");
    }
    let places = places.concat();
    match places.is_sorted() {
        _ if places.len() < 2 => {
            ProbeResult::unknown(NAME, "fewer than two entities changed in the last 29 days")
        }
        true => ProbeResult::shown(NAME, "asked", reply),
        false => ProbeResult::shown(NAME, "any", reply),
    }
}

fn count_since(entity: &str, since: DateTime<Utc>) -> String {
    let since = format_instant(since);
    format!("SELECT COUNT(*) FROM {entity} WHERE MetaData.LastUpdatedTime >= '{since}'")
}

/// Returns the ids that an answer reports as deleted, by the entity of their group. Ids that do not
/// look like ids are left out.
fn deleted_ids(reply: &Reply) -> Vec<(&'static str, Vec<&str>)> {
    let groups = reply
        .body()
        .and_then(|body| body["CDCResponse"][0]["QueryResponse"].as_array());
    let is_id = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let of_list = |name: &'static str| {
        let rows = groups.into_iter().flatten();
        let rows = rows.filter_map(|group| group[name].as_array()).flatten();
        let stubs = rows.filter(|row| row["status"].as_str() == Some("Deleted"));
        let ids = stubs.filter_map(|row: &Value| row["Id"].as_str());
        (name, ids.filter(is_id).take(MAX_IDS).collect::<Vec<_>>())
    };
    let lists = LISTS.into_iter().map(of_list);
    lists.filter(|(_, ids)| !ids.is_empty()).collect()
}
