//! Runs a statement over the books.

use std::cmp::Ordering;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use super::parser::{Condition, Operator, OrderKey, Statement, Value};
use crate::sandbox::answer::ServiceFault;
use crate::sandbox::company::{Collection, Company, Row};
use crate::sandbox::entities::{self, Kind};
use crate::sandbox::pacific;

const DEFAULT_PAGE: i64 = 100;
const LARGEST_PAGE: i64 = 1000;
const UPDATED: &str = "MetaData.LastUpdatedTime";
const CREATED: &str = "MetaData.CreateTime";

/// The body of a successful answer. `time` is when the request came in.
///
/// # Errors
/// 4001 if the statement asks for something that QBO does not have or does not allow.
pub(in crate::sandbox) fn run(
    company: &Company,
    statement: &Statement,
    time: DateTime<Utc>,
) -> Result<String, ServiceFault> {
    let (entity, kind) = entities::find(&statement.entity).ok_or_else(|| {
        ServiceFault::invalid(format!("QueryValidationError: invalid context declaration: {}", statement.entity))
    })?;
    let mut filters = Vec::with_capacity(statement.conditions.len() + 1);
    for condition in &statement.conditions {
        filters.push(Filter::new(entity, condition)?);
    }
    let asks_for_active = statement.conditions.iter().any(|c| c.property.eq_ignore_ascii_case("Active"));
    if kind == Kind::List && !asks_for_active {
        filters.push(Filter::active_only());
    }
    let order = resolve_order(entity, &statement.order)?;
    let (first, most) = page(statement)?;
    let time = pacific::format_millis(time);
    let collection = company.collection(entity);
    let rows = collection.map(|rows| select(rows, &filters, &order, kind)).unwrap_or_default();
    if statement.is_count {
        return Ok(format!(r#"{{"QueryResponse":{{"totalCount":{}}},"time":"{time}"}}"#, rows.len()));
    }
    let page: Vec<&Row> = rows.into_iter().skip(first as usize - 1).take(most as usize).collect();
    Ok(match (collection, page.is_empty()) {
        (Some(collection), false) => body(entity, collection, &page, first, &time),
        _ => format!(r#"{{"QueryResponse":{{}},"time":"{time}"}}"#),
    })
}

fn body(entity: &str, collection: &Collection, page: &[&Row], first: i64, time: &str) -> String {
    let mut body = String::with_capacity(page.len() * 1600);
    let _ = write!(body, r#"{{"QueryResponse":{{"{entity}":["#);
    for (index, row) in page.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        collection.write_payload(row, &mut body);
    }
    let _ = write!(body, r#"],"startPosition":{first},"maxResults":{}}},"time":"{time}"}}"#, page.len());
    body
}

/// First position and most rows. Position 0 is taken as 1, as two clients in production show; more than the cap is cut
/// to it.
fn page(statement: &Statement) -> Result<(i64, i64), ServiceFault> {
    let too_small = |value| {
        let detail = format!("QueryValidationError: value {value} is too small. Min allowed value is 1");
        Err(ServiceFault::invalid(detail))
    };
    match (statement.start_position.unwrap_or(1), statement.max_results.unwrap_or(DEFAULT_PAGE)) {
        (first, _) if first < 0 => too_small(first),
        (_, most) if most < 1 => too_small(most),
        (first, most) => Ok((first.max(1), most.min(LARGEST_PAGE))),
    }
}

fn resolve_order(entity: &str, keys: &[OrderKey]) -> Result<Vec<(&'static str, bool)>, ServiceFault> {
    keys.iter().map(|key| Ok((resolve(entity, &key.property)?, key.is_descending))).collect()
}

fn resolve(entity: &str, property: &str) -> Result<&'static str, ServiceFault> {
    entities::filterable(entity, property)
        .ok_or_else(|| ServiceFault::invalid(format!("QueryValidationError: property '{property}' is not queryable")))
}

struct Filter<'a> {
    property: &'static str,
    operator: Operator,
    values: Vec<Comparable<'a>>,
}

/// A value, read once a statement.
enum Comparable<'a> {
    Instant(i64),
    Text(&'a str),
    Boolean(bool),
}

impl<'a> Filter<'a> {
    fn new(entity: &str, condition: &'a Condition) -> Result<Self, ServiceFault> {
        let property = resolve(entity, &condition.property)?;
        let operator = condition.operator;
        if property == "Id" && !matches!(operator, Operator::Equal | Operator::In) {
            let detail = "QueryValidationError: Property Id supports only the operators = and IN".to_owned();
            return Err(ServiceFault::invalid(detail));
        }
        let is_time = matches!(property, UPDATED | CREATED);
        let values = condition.values.iter().map(|value| match value {
            Value::Text(text) if is_time => pacific::parse(text)
                .map(|instant| Comparable::Instant(instant.timestamp()))
                .ok_or_else(|| ServiceFault::invalid(format!("QueryValidationError: Invalid date: '{text}'"))),
            Value::Text(text) | Value::Number(text) => Ok(Comparable::Text(text)),
            Value::Boolean(flag) => Ok(Comparable::Boolean(*flag)),
        });
        Ok(Self { property, operator, values: values.collect::<Result<_, _>>()? })
    }

    fn active_only() -> Self {
        Self { property: "Active", operator: Operator::Equal, values: vec![Comparable::Boolean(true)] }
    }

    fn accepts(&self, collection: &Collection, row: &Row) -> bool {
        self.values.iter().any(|value| match (self.property, value) {
            (UPDATED, Comparable::Instant(instant)) => self.compares(row.updated.cmp(instant)),
            (CREATED, Comparable::Instant(instant)) => self.compares(row.created.cmp(instant)),
            ("Active", Comparable::Boolean(flag)) => self.compares(row.is_active.cmp(flag)),
            ("Id", Comparable::Text(id)) => *row.id == **id,
            (property, value) => self.accepts_text(&text_of(&collection.payload(row), property), value),
        })
    }

    fn accepts_text(&self, found: &Option<String>, value: &Comparable<'_>) -> bool {
        let Some(found) = found else { return false };
        match value {
            Comparable::Boolean(flag) => self.compares(found.as_str().cmp(if *flag { "true" } else { "false" })),
            Comparable::Text(pattern) if self.operator == Operator::Like => is_like(found, pattern),
            Comparable::Text(wanted) => self.compares(compare(found, wanted)),
            Comparable::Instant(_) => false,
        }
    }

    fn compares(&self, ordering: Ordering) -> bool {
        match self.operator {
            Operator::Equal | Operator::In | Operator::Like => ordering.is_eq(),
            Operator::Less => ordering.is_lt(),
            Operator::Greater => ordering.is_gt(),
            Operator::LessOrEqual => ordering.is_le(),
            Operator::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// A property of a record as text. A reference is its `value`.
fn text_of(payload: &str, property: &str) -> Option<String> {
    let record: Json = serde_json::from_str(payload).ok()?;
    let mut found = &record;
    for name in property.split('.') {
        found = found.get(name)?;
    }
    match found.get("value").unwrap_or(found) {
        Json::String(text) => Some(text.clone()),
        Json::Null => None,
        other => Some(other.to_string()),
    }
}

/// Numbers as numbers, all else as text in any case.
fn compare(found: &str, wanted: &str) -> Ordering {
    match (found.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(found), Ok(wanted)) => found.total_cmp(&wanted),
        _ => found.to_lowercase().cmp(&wanted.to_lowercase()),
    }
}

/// `%` stands for any text.
fn is_like(found: &str, pattern: &str) -> bool {
    let (found, pattern) = (found.to_lowercase(), pattern.to_lowercase());
    let parts: Vec<&str> = pattern.split('%').collect();
    let [first, middle @ .., last] = &parts[..] else { return found == pattern };
    let Some(mut rest) = found.strip_prefix(first) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The rows that pass, in order.
fn select<'c>(
    collection: &'c Collection,
    filters: &[Filter<'_>],
    order: &[(&'static str, bool)],
    kind: Kind,
) -> Vec<&'c Row> {
    let passes = |row: &&Row| filters.iter().all(|filter| filter.accepts(collection, row));
    if let [(UPDATED, false)] = order {
        // What extractors ask for: the books keep this order.
        let (from, until) = updated_range(filters);
        return collection.updated_between(from, until).filter(passes).collect();
    }
    let mut rows: Vec<&Row> = collection.rows().filter(passes).collect();
    match order {
        [] => default_order(collection, &mut rows, kind),
        keys => rows.sort_by(|a, b| compare_by(collection, keys, a, b).then_with(|| a.tie.cmp(&b.tie))),
    }
    rows
}

/// The seconds that the filters leave, for a quick start; they are applied all the same.
fn updated_range(filters: &[Filter<'_>]) -> (i64, i64) {
    let (mut from, mut until) = (i64::MIN, i64::MAX);
    for filter in filters.iter().filter(|filter| filter.property == UPDATED) {
        if let [Comparable::Instant(instant)] = filter.values[..] {
            match filter.operator {
                Operator::Greater | Operator::GreaterOrEqual => from = from.max(instant),
                Operator::Less => until = until.min(instant),
                Operator::LessOrEqual => until = until.min(instant.saturating_add(1)),
                _ => {}
            }
        }
    }
    (from, until)
}

/// Without ORDERBY: lists by name in byte order, transactions by change, newest first (qbo-facts 3.7). Never by Id, so
/// that a client which relies on that is caught out.
fn default_order(collection: &Collection, rows: &mut [&Row], kind: Kind) {
    match kind {
        Kind::List => rows.sort_by_cached_key(|row| {
            let payload = collection.payload(row);
            text_of(&payload, "FullyQualifiedName")
                .or_else(|| text_of(&payload, "DisplayName"))
                .or_else(|| text_of(&payload, "Name"))
        }),
        Kind::Transaction | Kind::Other => rows.sort_by_key(|row| (std::cmp::Reverse(row.updated), row.tie)),
    }
}

fn compare_by(collection: &Collection, keys: &[(&'static str, bool)], a: &Row, b: &Row) -> Ordering {
    for (property, is_descending) in keys {
        let ordering = match *property {
            UPDATED => a.updated.cmp(&b.updated),
            CREATED => a.created.cmp(&b.created),
            "Active" => a.is_active.cmp(&b.is_active),
            // As text: whether Intuit orders ids as numbers is not established.
            "Id" => a.id.cmp(&b.id),
            other => {
                let text = |row| text_of(&collection.payload(row), other).unwrap_or_default();
                compare(&text(a), &text(b))
            }
        };
        if ordering.is_ne() {
            return if *is_descending { ordering.reverse() } else { ordering };
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::company::CompanySize;
    use crate::sandbox::query::parse;

    fn company() -> Company {
        Company::generate(7, CompanySize { customers: 60, items: 30, invoices: 300 })
    }

    fn rows(company: &Company, statement: &str) -> Vec<Json> {
        let body = run(company, &parse(statement).unwrap(), Utc::now()).unwrap();
        let answer: Json = serde_json::from_str(&body).unwrap();
        let response = answer["QueryResponse"].as_object().unwrap();
        response.values().find_map(|v| v.as_array().cloned()).unwrap_or_default()
    }

    fn count(company: &Company, statement: &str) -> i64 {
        let body = run(company, &parse(statement).unwrap(), Utc::now()).unwrap();
        serde_json::from_str::<Json>(&body).unwrap()["QueryResponse"]["totalCount"].as_i64().unwrap()
    }

    fn fault(statement: &str) -> ServiceFault {
        run(&company(), &parse(statement).unwrap(), Utc::now()).unwrap_err()
    }

    #[test]
    fn inactive_records_are_hidden_unless_asked_for() {
        let company = company();
        assert_eq!(count(&company, "SELECT COUNT(*) FROM Customer"), 54);
        assert_eq!(count(&company, "SELECT COUNT(*) FROM Customer WHERE Active IN (true, false)"), 60);
        assert_eq!(count(&company, "SELECT COUNT(*) FROM Customer WHERE Active = false"), 6);
    }

    #[test]
    fn pages_default_to_100_and_are_capped_at_1000() {
        let company = Company::generate(7, CompanySize { customers: 0, items: 0, invoices: 1100 });
        assert_eq!(rows(&company, "SELECT * FROM Invoice").len(), 100);
        assert_eq!(rows(&company, "SELECT * FROM Invoice MAXRESULTS 5000").len(), 1000);
        assert_eq!(rows(&company, "SELECT * FROM Invoice STARTPOSITION 1001 MAXRESULTS 1000").len(), 100);
        let zero = rows(&company, "SELECT * FROM Invoice STARTPOSITION 0 MAXRESULTS 1");
        assert_eq!(zero, rows(&company, "SELECT * FROM Invoice STARTPOSITION 1 MAXRESULTS 1"));
    }

    #[test]
    fn the_empty_shape_has_neither_rows_nor_counters() {
        let statement = parse("SELECT * FROM Customer WHERE Id = 'none'").unwrap();
        let body = run(&company(), &statement, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(body, r#"{"QueryResponse":{},"time":"1969-12-31T16:00:00.000-08:00"}"#);
    }

    #[test]
    fn the_default_order_is_not_id_order() {
        let company = company();
        let names: Vec<_> =
            rows(&company, "SELECT * FROM Customer").iter().map(|r| r["FullyQualifiedName"].to_string()).collect();
        assert!(names.is_sorted());
        let ids: Vec<_> = rows(&company, "SELECT * FROM Invoice").iter().map(|r| r["Id"].to_string()).collect();
        assert!(!ids.is_sorted());
    }

    #[test]
    fn what_qbo_does_not_allow_is_4001() {
        for (statement, words) in [
            ("SELECT * FROM Custmoer", "invalid context declaration: Custmoer"),
            ("SELECT * FROM Customer WHERE PrimaryEmailAddr = 'x'", "property 'PrimaryEmailAddr' is not queryable"),
            ("SELECT * FROM Invoice WHERE Active IN (true, false)", "property 'Active' is not queryable"),
            ("SELECT * FROM Invoice WHERE Id > '5'", "only the operators = and IN"),
            ("SELECT * FROM Invoice MAXRESULTS 0", "value 0 is too small"),
            ("SELECT * FROM Invoice WHERE MetaData.LastUpdatedTime > 'soon'", "Invalid date"),
        ] {
            let fault = fault(statement);
            assert_eq!(fault.code, "4001");
            assert!(fault.detail.contains(words), "{}", fault.detail);
        }
    }

    #[test]
    fn filters_compare_numbers_text_and_references() {
        let company = company();
        let all = count(&company, "SELECT COUNT(*) FROM Invoice");
        let dear = count(&company, "SELECT COUNT(*) FROM Invoice WHERE TotalAmt > '1000'");
        let cheap = count(&company, "SELECT COUNT(*) FROM Invoice WHERE TotalAmt <= 1000");
        assert!(dear > 0 && cheap > 0);
        assert_eq!(dear + cheap, all);
        assert!(is_like("Amy's Bird Sanctuary", "%bird%") && is_like("abc", "a%c") && !is_like("abc", "b%"));
        let customer = rows(&company, "SELECT * FROM Invoice MAXRESULTS 1")[0]["CustomerRef"]["value"].to_string();
        let of_customer = format!("SELECT COUNT(*) FROM Invoice WHERE CustomerRef = {}", customer.replace('"', "'"));
        assert!(count(&company, &of_customer) > 0);
    }
}
