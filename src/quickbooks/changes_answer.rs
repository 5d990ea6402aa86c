//! Parses answers of change data capture (qbo-facts 4).
//!
//! Entities are found by their key, wherever it stands. An entity without changes is an empty object
//! that names nothing, so the empty objects are counted: as many as there are entities without a
//! key. If that does not add up, or something else is not understood, the changes of these entities
//! are not known.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::classify::classify_failure;
use super::envelope::{Stub, misunderstood, rows_in, unreadable_body};
use super::fault::Fault;
use super::members::{Members, is_counter};
use crate::domain::{Deletion, EntitySpec, Payload, Record};
use crate::error::{Error, Result};
use crate::http::Response;
use crate::quickbooks::client::Verdict;

/// Maximum number of objects in one answer. An answer that holds this many may have been cut short,
/// deletions first.
const MAX_OBJECTS: usize = 1000;

/// Changes of one entity's records.
#[derive(Debug, Clone)]
pub(crate) struct EntityChanges {
    /// The record type.
    pub entity: EntitySpec,
    /// The changed records, complete.
    pub records: Vec<Record>,
    /// Records reported as deleted. For an entity of kind list this does not prove a deletion.
    pub deletions: Vec<Deletion>,
}

impl EntityChanges {
    /// Returns true if nothing has changed, and nothing was deleted.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.deletions.is_empty()
    }
}

/// An answer, entity by entity.
#[derive(Debug, Default)]
pub(super) struct ChangesAnswer {
    /// Entities whose changes are completely known.
    pub complete: Vec<EntityChanges>,
    /// Entities that the answer does not account for.
    pub incomplete: Vec<EntitySpec>,
    /// The answer holds as many objects as it may, so that others can be missing.
    pub is_full: bool,
    /// `time` of the answer.
    pub time: Option<DateTime<Utc>>,
}

/// Rows of one entity in the answer.
struct Group<'a> {
    rows: Vec<&'a RawValue>,
    is_complete: bool,
}

/// Everything in an answer that was found, before it is compared with what was asked for.
struct Findings<'a> {
    /// One for each entity that was asked for.
    groups: Vec<Option<Group<'a>>>,
    /// Number of objects, empty or not.
    objects: usize,
    /// Number of empty objects.
    empty: usize,
    /// Something belongs to no entity that was asked for, so it may belong to any.
    has_unknown: bool,
    /// The fault of an object without a key.
    fault: Option<&'a RawValue>,
}

/// Reads the answer to a request for these entities.
pub(super) fn read_changes(entities: &[EntitySpec], response: &Response) -> Verdict<ChangesAnswer> {
    if !(200..300).contains(&response.status) {
        return classify_failure(response, Fault::parse(&response.body), None);
    }
    let members = match Members::parse(&response.body) {
        Ok(members) => members,
        Err(error) => return unreadable_body(response, error, None),
    };
    if let Some(fault) = members.fault() {
        return classify_failure(response, Fault::parse(fault.get().as_bytes()), None);
    }
    let Ok(Some(body)) = members.only("CDCResponse") else {
        return misunderstood("it does not hold one CDCResponse");
    };
    let mut findings = Findings {
        groups: entities.iter().map(|_| None).collect(),
        objects: 0,
        empty: 0,
        has_unknown: false,
        fault: None,
    };
    findings.add_responses(entities, body);
    if let Some(fault) = findings.fault
        && findings.groups.iter().all(Option::is_none)
    {
        return classify_failure(response, Fault::parse(fault.get().as_bytes()), None);
    }
    Verdict::Done(findings.judge(entities, members.time(), response))
}

impl<'a> Findings<'a> {
    fn add_responses(&mut self, entities: &[EntitySpec], body: &'a RawValue) {
        let Some(responses) = rows_in(body) else {
            self.has_unknown = true;
            return;
        };
        for response in responses {
            let Ok(members) = Members::parse(response.get().as_bytes()) else {
                self.has_unknown = true;
                continue;
            };
            if let Some(fault) = members.fault() {
                self.fault = Some(fault);
                self.has_unknown = true;
            }
            let groups = members.only("QueryResponse").ok().flatten();
            match groups.and_then(rows_in) {
                Some(groups) => groups
                    .into_iter()
                    .for_each(|group| self.add_object(entities, group)),
                None => self.has_unknown = true,
            }
        }
    }

    /// Adds an object: the changes of one entity or several, or nothing.
    fn add_object(&mut self, entities: &[EntitySpec], object: &'a RawValue) {
        self.objects += 1;
        let Ok(members) = Members::parse(object.get().as_bytes()) else {
            self.has_unknown = true;
            return;
        };
        let fault = members.fault();
        let announced = ["maxResults", "totalCount"]
            .into_iter()
            .try_fold(0, |most, name| {
                Ok::<_, String>(members.sum(name)?.max(most))
            });
        let (mut positions, mut received) = (Vec::new(), 0);
        for (key, value) in &members.0 {
            let position = entities
                .iter()
                .position(|entity| [entity.answer_key, entity.qbo_name].contains(&&**key));
            match (position, rows_in(value)) {
                (Some(position), rows) => {
                    let group = self.groups[position].get_or_insert(Group {
                        rows: Vec::new(),
                        is_complete: true,
                    });
                    group.is_complete &= rows.is_some();
                    let rows = rows.unwrap_or_default();
                    received += rows.len() as u64;
                    group.rows.extend(rows);
                    positions.push(position);
                }
                (None, _) if is_counter(key) => {}
                (None, _) if fault.is_some() => {}
                (None, _) => self.has_unknown = true,
            }
        }
        let is_complete = fault.is_none() && announced.is_ok_and(|announced| announced <= received);
        let is_complete = is_complete && !members.says_nothing_of_rows();
        match (positions.is_empty(), is_complete) {
            (true, true) => self.empty += 1,
            (true, false) => {
                self.fault = self.fault.or(fault);
                self.has_unknown = true;
            }
            (false, _) => {
                for position in positions {
                    if let Some(group) = &mut self.groups[position] {
                        group.is_complete &= is_complete;
                    }
                }
            }
        }
    }

    /// Divides the entities into those that are accounted for and the others.
    fn judge(
        self,
        entities: &[EntitySpec],
        time: Option<DateTime<Utc>>,
        response: &Response,
    ) -> ChangesAnswer {
        let unnamed = self.groups.iter().filter(|group| group.is_none()).count();
        // If nothing has changed at all, one empty object stands for all entities.
        let is_one_for_all = (self.objects, self.empty) == (1, 1);
        let is_empty_known = !self.has_unknown && (self.empty >= unnamed || is_one_for_all);
        let mut answer = ChangesAnswer {
            time,
            ..ChangesAnswer::default()
        };
        let mut objects = 0;
        for (entity, group) in entities.iter().zip(self.groups) {
            let (rows, is_complete) = match group {
                Some(group) => (group.rows, group.is_complete),
                None => (Vec::new(), is_empty_known),
            };
            objects += rows.len();
            match read_rows(entity, rows, response) {
                Ok(changes) if is_complete => answer.complete.push(changes),
                _ => answer.incomplete.push(*entity),
            }
        }
        answer.is_full = objects >= MAX_OBJECTS;
        answer
    }
}

fn read_rows(
    entity: &EntitySpec,
    rows: Vec<&RawValue>,
    response: &Response,
) -> Result<EntityChanges> {
    let mut changes = EntityChanges {
        entity: *entity,
        records: Vec::new(),
        deletions: Vec::new(),
    };
    let failed = |e| Error::decode(format!("changes of {}", entity.name), e);
    for row in rows {
        let payload = Payload::from_valid_json(response.body.slice_ref(row.get().as_bytes()));
        let record = Record::read(entity.identity, payload)?;
        if Stub::read(row.get()).map_err(failed)?.is_deleted() {
            changes.deletions.push(Deletion {
                id: record.id,
                at: record.updated_at,
                stub: Some(row.get().to_owned()),
            });
        } else {
            changes.records.push(record);
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::find_entity;
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    fn row(id: u32) -> String {
        format!(r#"{{"Id":"{id}","MetaData":{{"LastUpdatedTime":"2024-05-06T07:08:09-07:00"}}}}"#)
    }

    fn group(key: &str, id: u32) -> String {
        format!(
            r#"{{"{key}":[{}],"startPosition":1,"maxResults":1}}"#,
            row(id)
        )
    }

    /// Asks for bills, items and vendors. Returns the ids of each entity, or `None` if its changes
    /// are not known.
    fn read(groups: &str) -> [Option<Vec<String>>; 3] {
        let body = format!(r#"{{"CDCResponse":[{{"QueryResponse":[{groups}]}}],"time":"x"}}"#);
        read_body(&body).unwrap()
    }

    fn read_body(body: &str) -> Option<[Option<Vec<String>>; 3]> {
        let names = ["bills", "items", "vendors"];
        let entities = names.map(|name| *find_entity(name).unwrap());
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            held: crate::port::Held::default(),
        };
        let Verdict::Done(answer) = read_changes(&entities, &response) else {
            return None;
        };
        assert_eq!(answer.complete.len() + answer.incomplete.len(), 3, "{body}");
        Some(names.map(|name| {
            let mut found = answer.complete.iter();
            let changes = found.find(|changes| changes.entity.name == name)?;
            let deleted = changes.deletions.iter().map(|deletion| deletion.id.clone());
            let records = changes.records.iter().map(|record| record.id.clone());
            Some(records.chain(deleted).collect())
        }))
    }

    fn known(ids: &[u32]) -> Option<Vec<String>> {
        Some(ids.iter().map(u32::to_string).collect())
    }

    #[test]
    fn groups_are_found_by_their_key_in_any_order_and_in_any_object() {
        let (bill, item, vendor) = (group("Bill", 1), group("Item", 2), group("Vendor", 3));
        let all = [known(&[1]), known(&[2]), known(&[3])];
        assert_eq!(read(&format!("{bill},{item},{vendor}")), all);
        assert_eq!(read(&format!("{vendor},{bill},{item}")), all);
        let (one, two) = (row(1), row(2));
        let shared = format!(r#"{{"Item":[{two}],"maxResults":2,"Bill":[{one}]}},{vendor}"#);
        assert_eq!(read(&shared), all);
        // Two groups of one entity, and one in a response of its own.
        let again = group("Bill", 9);
        assert_eq!(
            read(&format!("{bill},{item},{vendor},{again}"))[0],
            known(&[1, 9])
        );
        let apart = format!(
            r#"{{"CDCResponse":[{{"QueryResponse":[{item}]}},{{"QueryResponse":[{vendor},{bill}]}}]}}"#
        );
        assert_eq!(read_body(&apart), Some(all));
    }

    #[test]
    fn as_many_empty_objects_as_entities_without_a_key_mean_no_changes() {
        let bill = group("Bill", 1);
        let only_bill = [known(&[1]), known(&[]), known(&[])];
        assert_eq!(read(&format!("{{}},{{}},{bill}")), only_bill);
        assert_eq!(
            read(&format!(r#"{bill},{{"maxResults":0}},{{}}"#)),
            only_bill
        );
        let nothing = [known(&[]), known(&[]), known(&[])];
        assert_eq!(read("{}"), nothing);
        assert_eq!(read("{},{},{}"), nothing);
    }

    #[test]
    fn what_is_not_accounted_for_is_incomplete_and_the_others_are_not() {
        let bill = group("Bill", 1);
        let only_bill = [known(&[1]), None, None];
        for others in [
            "".to_owned(),
            ",{}".to_owned(),
            // Something else stands where an empty object is expected.
            ",{},{\"Surprise\":[]}".to_owned(),
            format!(",{{}},{}", group("Invoice", 5)),
            ",{},null".to_owned(),
            ",{},{\"maxResults\":4}".to_owned(),
            ",{},{\"totalCount\":0}".to_owned(),
            ",{},{\"startPosition\":1}".to_owned(),
            ",{},{\"startPosition\":1,\"totalCount\":\"two\"}".to_owned(),
            ",{},{\"Fault\":{\"Error\":[{\"Message\":\"m\",\"code\":\"5020\"}]}}".to_owned(),
        ] {
            let found = read_body(&format!(
                r#"{{"CDCResponse":[{{"QueryResponse":[{bill}{others}]}}]}}"#
            ));
            assert_eq!(found, Some(only_bill.clone()), "{others}");
        }
        assert_eq!(read(""), [None, None, None]);
        assert_eq!(read("{},{}"), [None, None, None]);
    }

    #[test]
    fn a_group_that_says_more_than_it_holds_is_incomplete() {
        let rest = format!("{},{}", group("Item", 2), group("Vendor", 3));
        let row = row(1);
        for bill in [
            format!(r#"{{"Bill":[{row}],"maxResults":2}}"#),
            format!(r#"{{"Bill":[{row}],"maxResults":1,"totalCount":5}}"#),
            format!(r#"{{"Bill":[{row}],"maxResults":-1}}"#),
            r#"{"Bill":null}"#.to_owned(),
            r#"{"Bill":"none"}"#.to_owned(),
            r#"{"Bill":[{"Id":"1"}]}"#.to_owned(),
            r#"{"Bill":[{"status":"Deleted","Id":"1"}]}"#.to_owned(),
            format!(r#"{{"Bill":[{row}],"Fault":{{"Error":[{{"code":"10000"}}]}}}}"#),
        ] {
            assert_eq!(
                read(&format!("{bill},{rest}")),
                [None, known(&[2]), known(&[3])],
                "{bill}"
            );
        }
    }

    #[test]
    fn a_body_without_groups_is_no_answer() {
        for body in [
            "",
            "  ",
            "{}",
            "[]",
            r#"{"time":"x"}"#,
            r#"{"CDCResponse":null}"#,
            r#"{"Fault":{"Error":[{"Message":"m","code":"4000"}]}}"#,
            r#"{"CDCResponse":[{"Fault":{"Error":[{"Message":"m","code":"4000"}]}}]}"#,
            "<IntuitResponse><Fault type=\"x\"><Error code=\"500\"/></Fault></IntuitResponse>",
        ] {
            assert_eq!(read_body(body), None, "{body}");
        }
        for body in [
            r#"{"CDCResponse":[]}"#,
            r#"{"CDCResponse":[{}]}"#,
            r#"{"CDCResponse":[{"QueryResponse":null}]}"#,
            r#"{"CDCResponse":"none"}"#,
        ] {
            assert_eq!(read_body(body), Some([None, None, None]), "{body}");
        }
    }
}
