//! Faults that change the body of a normal answer into one that a client must not trust.

use serde_json::value::RawValue;

use super::kind::FaultKind;
use super::reports;
use super::rule::FaultRule;
use crate::answer::{Answer, ServiceFault};
use crate::company::Fields;
use crate::entities;

/// The members that hold what was asked for, one for each kind of request.
const RESPONSES: [&str; 3] = ["QueryResponse", "CDCResponse", "BatchItemResponse"];
const COUNTERS: [&str; 3] = ["startPosition", "maxResults", "totalCount"];

/// Returns an answer with the fault of a rule. Answers that the fault cannot change stay as they
/// are.
pub(super) fn apply(rule: &FaultRule, mut answer: Answer) -> Answer {
    let body = std::str::from_utf8(&answer.body).ok();
    if let Some(body) = body.and_then(|body| changed(rule, Fields::parse(body)?)) {
        answer.body = body.to_string().into_bytes();
    }
    answer
}

/// Returns an answer with the changes of a `rewrite` rule.
pub(super) fn rewrite(rule: &FaultRule, mut answer: Answer) -> Answer {
    if !rule.find.is_empty() {
        let body = String::from_utf8_lossy(&answer.body);
        answer.body = body.replace(&rule.find, &rule.put).into_bytes();
    }
    answer.status = rule.status.unwrap_or(answer.status);
    if let Some(content_type) = &rule.content_type {
        answer.content_type = content_type.clone().into();
    }
    answer
}

/// Returns an answer with the text of a `flood` rule, many times. An answer without the place stays as it
/// is.
pub(super) fn flood(rule: &FaultRule, mut answer: Answer) -> Answer {
    let body = String::from_utf8_lossy(&answer.body);
    let Some(at) = body.find(&rule.find).map(|at| at + rule.find.len()) else {
        return answer;
    };
    let (before, behind) = body.split_at(at);
    let size = (rule.mb as usize) << 20;
    let mut flooded = String::with_capacity(body.len() + size + rule.put.len());
    flooded.push_str(before);
    for number in 0_u64.. {
        if rule.put.is_empty() || flooded.len() - before.len() >= size {
            break;
        }
        flooded.push_str(&rule.put.replace('#', &number.to_string()));
    }
    flooded.push_str(behind);
    answer.body = flooded.into_bytes();
    answer
}

/// Returns the changed body, or `None` for a fault that changes no bodies.
fn changed(rule: &FaultRule, mut body: Fields) -> Option<Fields> {
    match rule.fault {
        FaultKind::NullResponse => set_response(&mut body, |body, name| body.set(name, "null")),
        FaultKind::NoResponse => set_response(&mut body, Fields::remove),
        FaultKind::EmptyResponse => change_pages(&mut body, &|page| *page = Fields::default()),
        FaultKind::OtherKey => {
            let key = rule.key.as_deref().unwrap_or("Record");
            change_pages(&mut body, &|page| rename_rows(page, key));
        }
        FaultKind::LostRows => change_pages(&mut body, &|page| {
            if let Some((key, _)) = rows_of(page) {
                page.remove(&key);
            }
        }),
        FaultKind::FewerRows => change_pages(&mut body, &drop_last_row),
        FaultKind::MoreRows => change_pages(&mut body, &leave_out_last_row),
        FaultKind::FaultForRows => change_pages(&mut body, &|page| {
            if rows_of(page).is_some_and(|(_, rows)| !rows.is_empty()) {
                *page = Fields::default();
                page.set("Fault", &ServiceFault::application().value());
            }
        }),
        FaultKind::NullRows => change_pages(&mut body, &|page| {
            change_rows(page, |rows| {
                rows.iter().map(|_| "null".to_owned()).collect()
            });
        }),
        FaultKind::RepeatedId => change_pages(&mut body, &|page| change_rows(page, repeat_id)),
        FaultKind::CdcReversed => change_groups(&mut body, |groups| groups.reverse()),
        FaultKind::CdcFault => change_groups(&mut body, |groups| {
            let at = position_of(groups, rule.entity.as_deref());
            if let Some(group) = groups.get_mut(at) {
                let fault = ServiceFault::application().value();
                *group = Fields::default();
                group.set("Fault", &fault);
            }
        }),
        FaultKind::CdcMissing => change_groups(&mut body, |groups| {
            let at = position_of(groups, rule.entity.as_deref());
            if at < groups.len() {
                groups.remove(at);
            }
        }),
        FaultKind::CdcMerged => change_groups(&mut body, |groups| *groups = vec![merged(groups)]),
        FaultKind::ReportCut => reports::cut(&mut body),
        FaultKind::ReportHeader => reports::header(rule, &mut body),
        FaultKind::ReportColumn => reports::column(rule, &mut body),
        FaultKind::ReportEmpty => reports::empty(&mut body),
        FaultKind::Lifetimes => set_lifetimes(&mut body, rule.value.as_ref()),
        _ => return None,
    }
    Some(body)
}

fn set_response(body: &mut Fields, change: impl Fn(&mut Fields, &str)) {
    for name in RESPONSES {
        if body.get(name).is_some() {
            change(body, name);
        }
    }
}

/// Changes every page of an answer: the one of a query, those of a batch, or the groups of change
/// data capture.
fn change_pages(body: &mut Fields, change: &dyn Fn(&mut Fields)) {
    if let Some(mut page) = body.object("QueryResponse") {
        change(&mut page);
        body.set("QueryResponse", &page.to_string());
    }
    if let Some(mut items) = body.get("BatchItemResponse").and_then(list) {
        for item in &mut items {
            change_pages(item, change);
        }
        body.set("BatchItemResponse", &array(&items));
    }
    change_groups(body, |groups| groups.iter_mut().for_each(change));
}

/// Changes the groups of an answer of change data capture.
fn change_groups(body: &mut Fields, change: impl FnOnce(&mut Vec<Fields>)) {
    let Some(mut outer) = body.get("CDCResponse").and_then(list) else {
        return;
    };
    let first = outer.first_mut();
    let groups = first.as_ref().and_then(|o| o.get("QueryResponse"));
    if let (Some(mut groups), Some(first)) = (groups.and_then(list), first) {
        change(&mut groups);
        first.set("QueryResponse", &array(&groups));
    }
    body.set("CDCResponse", &array(&outer));
}

/// Returns the key of a page's rows and the rows.
fn rows_of(page: &Fields) -> Option<(String, Vec<Box<RawValue>>)> {
    page.iter().find_map(|(key, value)| {
        let rows = serde_json::from_str(value).ok()?;
        Some((key.to_owned(), rows))
    })
}

fn rename_rows(page: &mut Fields, key: &str) {
    let mut renamed = Fields::default();
    for (name, value) in page.iter() {
        let is_counter = COUNTERS.contains(&name);
        renamed.set(if is_counter { name } else { key }, value);
    }
    *page = renamed;
}

/// Puts other rows in the place of a page's rows.
fn change_rows(page: &mut Fields, change: impl FnOnce(Vec<&str>) -> Vec<String>) {
    if let Some((key, rows)) = rows_of(page) {
        let rows = change(rows.iter().map(|row| row.get()).collect());
        page.set(&key, &format!("[{}]", rows.join(",")));
    }
}

fn drop_last_row(page: &mut Fields) {
    change_rows(page, |mut rows| {
        rows.pop();
        rows.into_iter().map(str::to_owned).collect()
    });
}

/// Gives every row the id of the first.
fn repeat_id(rows: Vec<&str>) -> Vec<String> {
    let mut first = None;
    let mut with_id = |row: &str| {
        let mut fields = Fields::parse(row)?;
        let id = first.get_or_insert(fields.get("Id")?.to_owned());
        fields.set("Id", id);
        Some(fields.to_string())
    };
    rows.into_iter()
        .map(|row| with_id(row).unwrap_or_else(|| row.to_owned()))
        .collect()
}

fn leave_out_last_row(page: &mut Fields) {
    if let Some((_, rows)) = rows_of(page) {
        page.set("maxResults", &rows.len().saturating_sub(1).to_string());
    }
}

/// Returns the position of an entity's group. A group without changes has no key, so the first
/// such group stands for an entity that has none with its key.
fn position_of(groups: &[Fields], entity: Option<&str>) -> usize {
    let Some(entity) = entity.and_then(entities::find) else {
        return 0;
    };
    let has_key = |group: &Fields| group.get(entity.answer_key).is_some();
    let is_empty = |group: &Fields| group.iter().next().is_none();
    let position = groups.iter().position(has_key);
    position
        .or_else(|| groups.iter().position(is_empty))
        .unwrap_or(groups.len())
}

/// Returns one object with the rows of all groups.
fn merged(groups: &[Fields]) -> Fields {
    let mut merged = Fields::default();
    let mut count = 0;
    for group in groups {
        if let Some((key, rows)) = rows_of(group) {
            count += rows.len();
            merged.set(&key, group.get(&key).unwrap_or("[]"));
        }
    }
    if count > 0 {
        merged.set("startPosition", "1");
        merged.set("maxResults", &count.to_string());
    }
    merged
}

/// Gives every lifetime of a token answer another value, or removes it.
fn set_lifetimes(body: &mut Fields, value: Option<&serde_json::Value>) {
    let is_lifetime = |(name, _): &(&str, &str)| name.ends_with("expires_in");
    let names = body.iter().filter(is_lifetime);
    let names: Vec<String> = names.map(|(name, _)| name.to_owned()).collect();
    for name in names {
        match value {
            Some(value) => body.set(&name, &value.to_string()),
            None => body.remove(&name),
        }
    }
}

fn list(json: &str) -> Option<Vec<Fields>> {
    serde_json::from_str(json).ok()
}

fn array(elements: &[Fields]) -> String {
    let elements: Vec<String> = elements.iter().map(Fields::to_string).collect();
    format!("[{}]", elements.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = r#"{"QueryResponse":{"Bill":[{"Id":"1","A":1.00},{"Id":"2"}],"startPosition":1,"maxResults":2},"time":"t"}"#;
    const CDC: &str = r#"{"CDCResponse":[{"QueryResponse":[{},{"Bill":[{"Id":"1"}],"startPosition":1,"maxResults":1},{"Item":[{"Id":"2"}],"startPosition":1,"maxResults":1}]}],"time":"t"}"#;
    const TOKEN: &str =
        r#"{"expires_in":3600,"access_token":"a","x_refresh_token_expires_in":8726400}"#;

    fn body(rule: &str, body: &str) -> String {
        let rule = FaultRule::parse(rule).unwrap();
        let answer = apply(&rule, Answer::json_text(200, body.to_owned()));
        String::from_utf8(answer.body).unwrap()
    }

    #[test]
    fn pages_lose_their_key_rows_or_counters() {
        for (rule, page) in [
            ("null-response", r#"{"QueryResponse":null,"time":"t"}"#),
            ("no-response", r#"{"time":"t"}"#),
            ("empty-response", r#"{"QueryResponse":{},"time":"t"}"#),
            (
                "other-key,key=Bills",
                r#"{"QueryResponse":{"Bills":[{"Id":"1","A":1.00},{"Id":"2"}],"startPosition":1,"maxResults":2},"time":"t"}"#,
            ),
            (
                "lost-rows",
                r#"{"QueryResponse":{"startPosition":1,"maxResults":2},"time":"t"}"#,
            ),
            (
                "fewer-rows",
                r#"{"QueryResponse":{"Bill":[{"Id":"1","A":1.00}],"startPosition":1,"maxResults":2},"time":"t"}"#,
            ),
            (
                "more-rows",
                r#"{"QueryResponse":{"Bill":[{"Id":"1","A":1.00},{"Id":"2"}],"startPosition":1,"maxResults":1},"time":"t"}"#,
            ),
        ] {
            assert_eq!(body(rule, QUERY), page, "{rule}");
        }
        let count = r#"{"QueryResponse":{"totalCount":41},"time":"t"}"#;
        assert_eq!(body("lost-rows", count), count);
        assert_eq!(
            body("empty-response", count),
            r#"{"QueryResponse":{},"time":"t"}"#
        );
        assert!(body("fault-for-rows", QUERY).contains(r#"{"QueryResponse":{"Fault":{"#));
        let empty = r#"{"QueryResponse":{},"time":"t"}"#;
        for without_rows in [count, empty] {
            assert_eq!(body("fault-for-rows", without_rows), without_rows);
        }
        let batch = format!(r#"{{"BatchItemResponse":[{{"bId":"b",{}]}}"#, &QUERY[1..]);
        assert!(body("other-key", &batch).contains(r#""Record":[{"Id":"1","A":1.00}"#));
    }

    #[test]
    fn groups_of_change_data_capture_change_places_fail_vanish_or_become_one() {
        let groups = |rule: &str| -> Vec<String> {
            let body: serde_json::Value = serde_json::from_str(&body(rule, CDC)).unwrap();
            let groups = body["CDCResponse"][0]["QueryResponse"].as_array().unwrap();
            let keys = groups.iter().map(|group| {
                let group = group.as_object().unwrap();
                group.keys().cloned().collect::<Vec<_>>().join(" ")
            });
            keys.collect()
        };
        let (bill, item) = (
            "Bill maxResults startPosition",
            "Item maxResults startPosition",
        );
        assert_eq!(groups("cdc-reversed"), [item, bill, ""]);
        assert_eq!(groups("cdc-fault"), ["Fault", bill, item]);
        assert_eq!(groups("cdc-fault,entity=Item"), ["", bill, "Fault"]);
        assert_eq!(groups("cdc-missing,entity=Bill"), ["", item]);
        assert_eq!(groups("cdc-missing,entity=Vendor"), [bill, item]);
        assert_eq!(groups("cdc-merged"), ["Bill Item maxResults startPosition"]);
        assert!(body("cdc-merged", CDC).contains(r#""maxResults":2"#));
    }

    #[test]
    fn a_flood_stands_at_its_place() {
        let rule = r##"{"fault":"flood","find":"Bill\":[","put":"{\"N\":#},","mb":1}"##;
        let flooded = flood(
            &FaultRule::parse(rule).unwrap(),
            Answer::json_text(200, QUERY.to_owned()),
        );
        let flooded = String::from_utf8(flooded.body).unwrap();
        assert!(flooded.starts_with(r#"{"QueryResponse":{"Bill":[{"N":0},{"N":1},{"N":2},"#));
        assert!(flooded.ends_with(
            r#"},{"Id":"1","A":1.00},{"Id":"2"}],"startPosition":1,"maxResults":2},"time":"t"}"#
        ));
        assert!((1 << 20..(1 << 20) + 300).contains(&flooded.len()));
        let elsewhere = FaultRule::parse("flood,find=Item,put=x,mb=1").unwrap();
        let answer = flood(&elsewhere, Answer::json_text(200, QUERY.to_owned()));
        assert_eq!(answer.body, QUERY.as_bytes());
    }

    #[test]
    fn lifetimes_have_any_form_or_none() {
        for (rule, lifetime) in [
            (
                r#"{"fault":"lifetimes","value":"3600"}"#,
                r#""expires_in":"3600","#,
            ),
            ("lifetimes,value=-1", r#""expires_in":-1,"#),
            ("lifetimes,value=0.5", r#""x_refresh_token_expires_in":0.5"#),
            ("lifetimes", r#"{"access_token":"a"}"#),
        ] {
            let answer = body(rule, TOKEN);
            assert!(answer.contains(lifetime), "{rule}: {answer}");
        }
        let rule = FaultRule::parse("lifetimes").unwrap();
        assert_eq!(rule.fault.only_on(), Some("token"));
    }
}
