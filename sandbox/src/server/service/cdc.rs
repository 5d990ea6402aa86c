//! Change data capture (qbo-facts 4).

use std::collections::HashMap;
use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};

use crate::answer::ServiceFault;
use crate::assumption::{Assumptions, Topic};
use crate::company::{Company, Row, View};
use crate::entities::{self, Entity, Kind};
use crate::hash::{hash, hash_id};
use crate::pacific::{self, Zone};

const LOOK_BACK: TimeDelta = TimeDelta::days(30);
const MAX_OBJECTS: usize = 1000;
/// One in this many list records is reported as deleted although it was only updated.
const FALSE_DELETE_EVERY: u64 = 16;

/// Returns the body of an answer: one element for each requested entity, in the assumed order.
///
/// # Errors
/// A fault if a parameter is missing or wrong, an entity has no change data capture, or the date is
/// too old.
pub(super) fn answer(
    company: &Company,
    parameters: &HashMap<String, String>,
    view: View,
    assumptions: &Assumptions,
    time: DateTime<Utc>,
) -> Result<String, ServiceFault> {
    let parameter = |name: &str| {
        parameters
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    };
    let names = parameter("entities")
        .ok_or_else(|| ServiceFault::bad_request("The parameter entities is required"))?;
    let since = parameter("changedSince")
        .ok_or_else(|| ServiceFault::bad_request("The parameter changedSince is required"))?;
    let zone = if assumptions.is_harder(Topic::FilterZone) {
        Zone::Pacific
    } else {
        Zone::Utc
    };
    let Some(instant) = pacific::parse(since, zone) else {
        return Err(ServiceFault::bad_request(&format!(
            "changedSince is not a date: {since}"
        )));
    };
    if instant < time - LOOK_BACK {
        let operation =
            format!("cdc with changedSince date {since} which is older than fixed days");
        return Err(ServiceFault::unsupported(&operation));
    }
    let entities = names
        .split(',')
        .map(|name| find_captured(name.trim(), assumptions));
    let entities: Vec<Option<&Entity>> = entities.collect::<Result<_, _>>()?;
    let mut remaining = MAX_OBJECTS;
    let mut groups = Vec::with_capacity(entities.len());
    for entity in entities {
        let max_objects = if assumptions.is_harder(Topic::CdcCap) {
            remaining
        } else {
            MAX_OBJECTS
        };
        let mut group = String::new();
        let refusal = entity.and_then(|entity| Some((company.refusal(entity.name)?, entity.name)));
        let refused = refusal.map(|(refusal, name)| ServiceFault::unavailable(refusal, name));
        if let Some(fault) = &refused
            && assumptions.is_harder(Topic::CdcUnavailable)
        {
            return Err(fault.clone());
        }
        let available = entity.filter(|_| refused.is_none());
        let written = available.map(|entity| {
            changes(
                company,
                entity,
                instant.timestamp(),
                (max_objects, view),
                assumptions,
                &mut group,
            )
        });
        match (written.transpose()?, refused) {
            (Some(written), _) => remaining -= written.min(remaining),
            (None, Some(fault)) => _ = write!(group, r#"{{"Fault":{}}}"#, fault.value()),
            (None, None) => group.push_str("{}"),
        }
        groups.push(group);
    }
    if assumptions.answer(Topic::CdcOrder) == "any" {
        groups = shuffled(groups, hash_id(names));
    }
    let (groups, time) = (groups.join(","), pacific::format_millis(time));
    Ok(format!(
        r#"{{"CDCResponse":[{{"QueryResponse":[{groups}]}}],"time":"{time}"}}"#
    ))
}

/// Returns groups in another order, which depends on the seed alone.
fn shuffled(groups: Vec<String>, seed: u32) -> Vec<String> {
    let mut places: Vec<usize> = (0..groups.len()).collect();
    places.sort_by_key(|place| hash(u64::from(seed) ^ (*place as u64) << 32));
    if places.is_sorted() && !places.is_empty() {
        places.rotate_left(1);
    }
    places
        .into_iter()
        .map(|place| groups[place].clone())
        .collect()
}

/// Finds an entity that has change data capture. Returns `None` for an entity that is answered as
/// if nothing had changed.
fn find_captured(
    name: &str,
    assumptions: &Assumptions,
) -> Result<Option<&'static Entity>, ServiceFault> {
    let entity = entities::find(name).filter(|entity| match entity.name {
        "TimeActivity" => !assumptions.is_harder(Topic::CdcTimeActivity),
        _ => entity.has_cdc(),
    });
    match entity {
        None if assumptions.is_harder(Topic::CdcUnknownEntity) => Err(ServiceFault::unsupported(
            &format!("cdc with entity {name}"),
        )),
        found => Ok(found),
    }
}

/// Appends the changes of one entity and returns their number. Live records come first, oldest
/// change first, then the stubs of deleted records. Above `max_objects` they are cut, deletions
/// first.
fn changes(
    company: &Company,
    entity: &'static Entity,
    since: i64,
    (max_objects, view): (usize, View),
    assumptions: &Assumptions,
    body: &mut String,
) -> Result<usize, ServiceFault> {
    let collection = company.collection(entity.name);
    let live: Vec<Row<'_>> = collection
        .map(|rows| {
            rows.updated_between(since, i64::MAX)
                .take(max_objects)
                .collect()
        })
        .unwrap_or_default();
    if let Some(poison) = live
        .iter()
        .find_map(|row| company.poison(entity.name, &row.id()))
    {
        return Err(ServiceFault::poisoned(poison));
    }
    let has_false_deletes =
        entity.kind == Kind::List && assumptions.is_harder(Topic::CdcFalseDeletes);
    let is_false_delete = |row: &Row<'_>| {
        has_false_deletes && hash(u64::from(row.tie_breaker())).is_multiple_of(FALSE_DELETE_EVERY)
    };
    let (false_deletes, live): (Vec<_>, Vec<_>) = live.into_iter().partition(is_false_delete);
    let false_deletes = false_deletes
        .iter()
        .map(|row| (row.id().into_owned(), row.updated()));
    let deleted = collection.map(|rows| rows.deleted()).unwrap_or_default();
    let deleted = deleted
        .iter()
        .filter(|stub| stub.deleted_at >= since)
        .map(|stub| (stub.id.clone(), stub.deleted_at));
    let mut stubs: Vec<(String, i64)> = false_deletes.chain(deleted).collect();
    stubs.sort_by_key(|(_, at)| *at);
    stubs.truncate(max_objects - live.len());
    let count = live.len() + stubs.len();
    if count == 0 {
        body.push_str("{}");
        return Ok(0);
    }
    let _ = write!(body, r#"{{"{}":["#, entity.answer_key);
    for (position, row) in live.iter().enumerate() {
        body.push_str(if position > 0 { "," } else { "" });
        company.write_row(entity, row, view, body);
    }
    for (position, (id, at)) in stubs.iter().enumerate() {
        let comma = if position + live.len() > 0 { "," } else { "" };
        let at = pacific::format(*at);
        let _ = write!(
            body,
            r#"{comma}{{"domain":"QBO","status":"Deleted","Id":"{id}","MetaData":{{"LastUpdatedTime":"{at}"}}}}"#
        );
    }
    // QuickBooks leaves out the position if there are only deletions, and adds the total if
    // anything was deleted.
    let start = if live.is_empty() {
        ""
    } else {
        r#""startPosition":1,"#
    };
    let total = if stubs.is_empty() {
        String::new()
    } else {
        format!(r#","totalCount":{count}"#)
    };
    let _ = write!(body, r#"],{start}"maxResults":{count}{total}}}"#);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::company::{CompanySize, Refusal};
    use serde_json::{Value, json};

    const NOW: i64 = 1_800_000_000;

    fn company() -> Company {
        Company::generate(
            5,
            CompanySize {
                customers: 40,
                items: 20,
                invoices: 1500,
                others: Some(30),
            },
        )
    }

    fn ask(
        company: &Company,
        entities: &str,
        since: i64,
        choices: &[(&str, &str)],
    ) -> Result<Value, ServiceFault> {
        let since = DateTime::from_timestamp(since, 0)
            .unwrap()
            .format("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let parameters = [("entities", entities.to_owned()), ("changedSince", since)]
            .map(|(k, v)| (k.to_owned(), v));
        let mut assumptions = Assumptions::default();
        for (name, value) in choices {
            assumptions.set(name, value).unwrap();
        }
        let body = answer(
            company,
            &parameters.into(),
            View::default(),
            &assumptions,
            DateTime::from_timestamp(NOW, 0).unwrap(),
        )?;
        let body: Value = serde_json::from_str(&body).unwrap();
        Ok(body["CDCResponse"][0]["QueryResponse"].clone())
    }

    const HONEST: (&str, &str) = ("cdc-false-deletes", "never");
    const ASKED: (&str, &str) = ("cdc-order", "asked");

    #[test]
    fn groups_stand_in_the_order_asked_for_and_stubs_come_last() {
        let mut company = company();
        company.edit("Estimate", "5", NOW - 60).unwrap();
        company.delete("Estimate", "6", NOW - 90).unwrap();
        company.delete("Transfer", "7", NOW - 90).unwrap();
        let choices = [HONEST, ASKED];
        let groups = ask(&company, "Bill,Estimate,Transfer", NOW - 3600, &choices).unwrap();
        assert_eq!(groups[0], json!({}));
        let estimates = groups[1]["Estimate"].as_array().unwrap();
        assert_eq!(
            (
                estimates.len(),
                &estimates[0]["Id"],
                &groups[1]["startPosition"]
            ),
            (2, &json!("5"), &json!(1))
        );
        let at = pacific::format(NOW - 90);
        let stub = json!({"domain": "QBO", "status": "Deleted", "Id": "6", "MetaData": {"LastUpdatedTime": at}});
        assert_eq!(estimates[1], stub);
        assert_eq!(
            (&groups[2]["startPosition"], &groups[2]["maxResults"]),
            (&Value::Null, &json!(1))
        );
    }

    #[test]
    fn groups_can_stand_in_another_order_than_the_one_asked_for() {
        let mut company = company();
        let asked = ["Bill", "Estimate", "Transfer"];
        for entity in asked {
            company.edit(entity, "5", NOW - 60).unwrap();
        }
        let choices = [HONEST, ("cdc-order", "any")];
        let groups = ask(&company, &asked.join(","), NOW - 3600, &choices).unwrap();
        let place = |entity: &str| (0..3).find(|place| groups[*place].get(entity).is_some());
        let mut places = asked.map(|entity| place(entity).unwrap());
        assert_ne!(places, [0, 1, 2]);
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2]);
    }

    #[test]
    fn an_entity_that_the_company_lacks_fails_the_call_or_its_group() {
        let mut company = company();
        company.edit("Estimate", "5", NOW - 60).unwrap();
        company.set_refusal("Bill", Some(Refusal::Feature)).unwrap();
        let ask_for = |entities: &str, answer: &'static str| {
            let choices = [HONEST, ASKED, ("cdc-unavailable", answer)];
            ask(&company, entities, NOW - 3600, &choices)
        };
        assert_eq!(ask_for("Bill,Estimate", "fails").unwrap_err().code, "5030");
        assert!(ask_for("Estimate", "fails").is_ok());
        let groups = ask_for("Bill,Estimate", "group").unwrap();
        assert_eq!(groups[0]["Fault"]["Error"][0]["code"], "5030");
        assert_eq!(groups[1]["Estimate"][0]["Id"], "5");
    }

    #[test]
    fn thirty_days_are_the_limit_and_the_date_is_named() {
        assert!(ask(&company(), "Invoice", NOW - 29 * 86_400, &[]).is_ok());
        let fault = ask(&company(), "Invoice", NOW - 31 * 86_400, &[]).unwrap_err();
        assert_eq!((fault.status, fault.code), (400, "500"));
        assert!(
            fault
                .detail
                .starts_with("Operation cdc with changedSince date 2026-"),
            "{}",
            fault.detail
        );
        assert!(
            fault
                .detail
                .ends_with("which is older than fixed days is not supported."),
            "{}",
            fault.detail
        );
    }

    #[test]
    fn more_than_a_thousand_objects_are_cut_and_deletions_go_first() {
        let mut company = company();
        let ids: Vec<String> = company
            .truth("Invoice", i64::MIN, i64::MAX)
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        for id in &ids[..1000] {
            company.edit("Invoice", id, NOW - 60).unwrap();
        }
        company.delete("Invoice", &ids[1200], NOW - 30).unwrap();
        company.edit("Estimate", "5", NOW - 60).unwrap();
        let counts = |choices: &[(&str, &str)]| {
            let choices = [choices, &[ASKED]].concat();
            let groups = ask(&company, "Invoice,Estimate", NOW - 3600, &choices).unwrap();
            let count =
                |position: usize, name: &str| groups[position][name].as_array().map_or(0, Vec::len);
            let has_stub = groups[0].to_string().contains("Deleted");
            (count(0, "Invoice"), count(1, "Estimate"), has_stub)
        };
        assert_eq!(counts(&[]), (1000, 0, false));
        assert_eq!(counts(&[("cdc-cap", "entity")]), (1000, 1, false));
    }

    #[test]
    fn an_entity_without_it_fails_the_whole_call() {
        let code = |entities: &str, choices: &[(&str, &str)]| {
            ask(&company(), entities, NOW - 60, choices).map_err(|f| f.code)
        };
        for entity in ["TaxCode", "TimeActivity", "Nonsense"] {
            assert_eq!(code(&format!("Invoice,{entity}"), &[]), Err("500"));
        }
        assert_eq!(
            code("TaxCode", &[("cdc-unknown-entity", "empty")]),
            Ok(json!([{}]))
        );
        assert_eq!(
            code("TimeActivity", &[("cdc-time-activity", "supported")]),
            Ok(json!([{}]))
        );
        assert_eq!(code("", &[]), Err("2010"));
    }

    #[test]
    fn a_live_customer_is_called_deleted_now_and_then() {
        let mut company = company();
        for (id, _) in company.truth("Customer", i64::MIN, i64::MAX) {
            company.touch("Customer", &id, NOW - 60).unwrap();
        }
        let stubs = |choices: &[(&str, &str)]| {
            let groups = ask(&company, "Customer", NOW - 3600, choices).unwrap();
            groups[0]["Customer"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|record| record["status"] == "Deleted")
                .count()
        };
        assert!((1..10).contains(&stubs(&[])), "{}", stubs(&[]));
        assert_eq!(stubs(&[HONEST]), 0);
    }
}
