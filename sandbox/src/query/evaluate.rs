//! The evaluation of a statement over a company's records.

use std::fmt::Write as _;

use super::filter::Filter;
use super::order;
use super::parser::Statement;
use super::property::{QueryContext, sortable};
use crate::answer::ServiceFault;
use crate::assumption::{Assumptions, Topic};
use crate::company::{Company, Row, View};
use crate::entities::{self, Entity};
use crate::facts;
use crate::pacific::Zone;

/// The page size of a statement without MAXRESULTS.
const DEFAULT_PAGE: i64 = 100;
const MAX_PAGE: i64 = 1000;

/// Appends the value of `QueryResponse`, and returns its number of rows.
///
/// # Errors
/// 4001 if QuickBooks does not have, or does not allow, something in the statement. 4002 or 10000
/// if the page holds a corrupt record. Nothing is appended in these cases.
pub(crate) fn answer(
    company: &Company,
    statement: &Statement,
    context: &QueryContext<'_>,
    out: &mut String,
) -> Result<usize, ServiceFault> {
    let entity = queried_entity(company, &statement.entity)?;
    let filters = filters(entity, statement, context.assumptions)?;
    let keys = statement.order.iter().map(|key| {
        Ok(order::Key {
            property: sortable(entity, &key.property, context.assumptions)?,
            is_descending: key.is_descending,
        })
    });
    let keys: Vec<order::Key> = keys.collect::<Result<_, _>>()?;
    let (first, max_rows) = page(statement, context)?;
    if statement.is_count {
        let count = matching(company, entity, &filters).count();
        let _ = write!(out, r#"{{"totalCount":{count}}}"#);
        return Ok(0);
    }
    let page: Vec<Row<'_>> = match &keys[..] {
        // The usual order of extracts. Rows already come in it.
        [key] if key.is_by_change() && entity.name != "TaxAgency" => {
            matching(company, entity, &filters)
                .skip(first - 1)
                .take(max_rows)
                .collect()
        }
        keys => {
            let mut rows: Vec<Row<'_>> = matching(company, entity, &filters).collect();
            order::sort(&mut rows, entity, keys, context);
            let is_unordered = keys.is_empty() || order::is_ignored(keys, context);
            if is_unordered && first > 1 && context.assumptions.is_harder(Topic::DefaultOrder) {
                order::shuffle(&mut rows, context.number);
            }
            rows.into_iter().skip(first - 1).take(max_rows).collect()
        }
    };
    for row in &page {
        if let Some(poison) = company.poison(entity.name, &row.id()) {
            return Err(ServiceFault::poisoned(poison));
        }
    }
    write_page(company, entity, &page, first, context.view, out);
    Ok(page.len())
}

/// Returns the entity of a statement.
///
/// # Errors
/// 4001 if QuickBooks has no such entity, or has no queries of it; another code if the company does
/// not have the entity.
fn queried_entity(company: &Company, name: &str) -> Result<&'static Entity, ServiceFault> {
    let Some(entity) = entities::find(name) else {
        if let Some(name) = facts::name_of(name) {
            return Err(ServiceFault::no_metadata(name));
        }
        let detail = format!("QueryValidationError: invalid context declaration: {name}");
        return Err(ServiceFault::invalid(detail));
    };
    match company.refusal(entity.name) {
        Some(refusal) => Err(ServiceFault::unavailable(refusal, entity.name)),
        None if entity.has_query() => Ok(entity),
        None => Err(ServiceFault::no_metadata(entity.name)),
    }
}

/// Appends a page of rows.
fn write_page(
    company: &Company,
    entity: &Entity,
    page: &[Row<'_>],
    first: usize,
    view: View,
    out: &mut String,
) {
    if page.is_empty() {
        // An empty page has neither rows nor counters (qbo-facts 2.2).
        return out.push_str("{}");
    }
    let _ = write!(out, r#"{{"{}":["#, entity.answer_key);
    for (position, row) in page.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        company.write_row(entity, row, view, out);
    }
    let _ = write!(
        out,
        r#"],"startPosition":{first},"maxResults":{}}}"#,
        page.len()
    );
}

/// Returns the filters of a statement, and the one that hides inactive records.
fn filters<'s>(
    entity: &Entity,
    statement: &'s Statement,
    assumptions: &Assumptions,
) -> Result<Vec<Filter<'s>>, ServiceFault> {
    let zone = if assumptions.is_harder(Topic::FilterZone) {
        Zone::Pacific
    } else {
        Zone::Utc
    };
    let filters = statement
        .conditions
        .iter()
        .map(|condition| Filter::new(entity, condition, zone));
    let mut filters: Vec<_> = filters.collect::<Result<_, _>>()?;
    let asks_for_active = statement
        .conditions
        .iter()
        .any(|c| c.property.eq_ignore_ascii_case("Active"));
    let hides_inactive = entity.name != "TaxCode" || assumptions.is_harder(Topic::InactiveTaxCodes);
    if entity.has_active() && !asks_for_active && hides_inactive {
        filters.push(Filter::active_only());
    }
    Ok(filters)
}

/// Returns the rows that meet all conditions, oldest change first.
fn matching<'c>(
    company: &'c Company,
    entity: &'static Entity,
    filters: &'c [Filter<'_>],
) -> Box<dyn Iterator<Item = Row<'c>> + 'c> {
    let Some(collection) = company.collection(entity.name) else {
        return Box::new(std::iter::empty());
    };
    let passes = move |row: &Row<'_>| filters.iter().all(|filter| filter.accepts(row));
    if let Some(ids) = filters.iter().find_map(Filter::ids) {
        let mut rows: Vec<_> = ids
            .into_iter()
            .filter_map(|id| collection.get(id))
            .filter(passes)
            .collect();
        rows.sort_by_key(|row| (row.updated(), row.tie_breaker()));
        rows.dedup_by(|a, b| a.id() == b.id());
        return Box::new(rows.into_iter());
    }
    let (from, until) = filters
        .iter()
        .fold((i64::MIN, i64::MAX), |range, filter| filter.narrow(range));
    let rows = collection.updated_between(from, until);
    if filters.iter().all(Filter::is_range) {
        Box::new(rows)
    } else {
        Box::new(rows.filter(passes))
    }
}

/// Returns the position of the first row, counted from 1, and the highest number of rows.
fn page(statement: &Statement, context: &QueryContext<'_>) -> Result<(usize, usize), ServiceFault> {
    let outside = |value: i64, reason: &str| {
        let detail = format!("QueryValidationError: value {value} is too {reason}");
        Err(ServiceFault::invalid(detail))
    };
    let min_position = i64::from(context.assumptions.is_harder(Topic::PositionZero));
    let max_results = match context.assumptions.is_harder(Topic::TooManyResults) {
        true => i64::MAX,
        false => MAX_PAGE,
    };
    match (
        statement.start_position.unwrap_or(1),
        statement.max_results.unwrap_or(DEFAULT_PAGE),
    ) {
        (first, _) if first < min_position => outside(first, "small. Min allowed value is 1"),
        (_, max) if max < 1 => outside(max, "small. Min allowed value is 1"),
        (_, max) if max > max_results => outside(max, "large. Max allowed value is 1000"),
        (first, max) => {
            let max = usize::try_from(max.min(MAX_PAGE)).unwrap_or(0);
            Ok((
                usize::try_from(first.max(1)).unwrap_or(usize::MAX),
                max.min(context.max_rows),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::company::{Blemish, CompanySize};
    use crate::query::parse;
    use proptest::prelude::*;
    use serde_json::Value as Json;

    fn company() -> Company {
        Company::generate(
            7,
            CompanySize {
                customers: 60,
                items: 30,
                invoices: 300,
                others: Some(40),
            },
        )
    }

    fn ask_as(
        company: &Company,
        statement: &str,
        assumptions: &Assumptions,
    ) -> Result<Json, ServiceFault> {
        let context = QueryContext {
            assumptions,
            number: 3,
            view: View::default(),
            max_rows: usize::MAX,
        };
        let mut out = String::new();
        answer(company, &parse(statement)?, &context, &mut out)?;
        Ok(serde_json::from_str(&out).unwrap())
    }

    fn ask(company: &Company, statement: &str) -> Result<Json, ServiceFault> {
        ask_as(company, statement, &Assumptions::default())
    }

    fn milder(name: &str, value: &str) -> Assumptions {
        let mut assumptions = Assumptions::default();
        assumptions.set(name, value).unwrap();
        assumptions
    }

    fn rows_in(response: &Json) -> Vec<Json> {
        response
            .as_object()
            .unwrap()
            .values()
            .find_map(|v| v.as_array().cloned())
            .unwrap_or_default()
    }

    fn rows(company: &Company, statement: &str) -> Vec<Json> {
        rows_in(&ask(company, statement).unwrap())
    }

    fn ids(rows: &[Json]) -> Vec<String> {
        rows.iter()
            .map(|row| row["Id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn count(company: &Company, statement: &str) -> i64 {
        ask(company, statement).unwrap()["totalCount"]
            .as_i64()
            .unwrap()
    }

    fn fault(statement: &str) -> ServiceFault {
        ask(&company(), statement).unwrap_err()
    }

    #[test]
    fn inactive_records_are_hidden_unless_asked_for() {
        let company = company();
        assert_eq!(count(&company, "SELECT COUNT(*) FROM Customer"), 54);
        assert_eq!(
            count(
                &company,
                "SELECT COUNT(*) FROM Customer WHERE Active IN (true, false)"
            ),
            60
        );
        assert_eq!(
            count(
                &company,
                "SELECT COUNT(*) FROM Customer WHERE Active = false"
            ),
            6
        );
    }

    #[test]
    fn pages_default_to_100_and_are_capped_at_1000() {
        let company = Company::generate(
            7,
            CompanySize {
                customers: 0,
                items: 0,
                invoices: 1100,
                others: Some(0),
            },
        );
        assert_eq!(rows(&company, "SELECT * FROM Invoice").len(), 100);
        assert_eq!(
            rows(&company, "SELECT * FROM Invoice MAXRESULTS 5000").len(),
            1000
        );
        assert_eq!(
            rows(
                &company,
                "SELECT * FROM Invoice STARTPOSITION 1001 MAXRESULTS 1000"
            )
            .len(),
            100
        );
        let cut = milder("results-above-1000", "error");
        assert!(
            ask_as(&company, "SELECT * FROM Invoice MAXRESULTS 1001", &cut)
                .unwrap_err()
                .detail
                .contains("1000")
        );
    }

    #[test]
    fn position_zero_is_an_error_unless_it_is_taken_as_the_first() {
        assert!(
            fault("SELECT * FROM Invoice STARTPOSITION 0")
                .detail
                .contains("value 0 is too small")
        );
        let zero = ask_as(
            &company(),
            "SELECT * FROM Invoice STARTPOSITION 0 MAXRESULTS 1",
            &milder("position-zero", "first"),
        );
        assert_eq!(
            zero.unwrap(),
            ask(
                &company(),
                "SELECT * FROM Invoice STARTPOSITION 1 MAXRESULTS 1"
            )
            .unwrap()
        );
    }

    #[test]
    fn the_empty_shape_has_neither_rows_nor_counters() {
        assert_eq!(
            ask(&company(), "SELECT * FROM Customer WHERE Id = 'none'").unwrap(),
            serde_json::json!({})
        );
        assert_eq!(
            ask(&company(), "SELECT * FROM Customer STARTPOSITION 1001").unwrap(),
            serde_json::json!({})
        );
    }

    #[test]
    fn the_default_order_is_not_id_order() {
        let company = company();
        let names: Vec<_> = rows(&company, "SELECT * FROM Customer")
            .iter()
            .map(|r| r["FullyQualifiedName"].to_string())
            .collect();
        assert!(names.is_sorted());
        let times: Vec<_> = rows(&company, "SELECT * FROM Invoice")
            .iter()
            .map(|r| r["MetaData"]["LastUpdatedTime"].to_string())
            .collect();
        assert!(
            times.is_sorted_by(|a, b| a[..11] >= b[..11])
                && !ids(&rows(&company, "SELECT * FROM Invoice")).is_sorted()
        );
    }

    #[test]
    fn pages_without_an_order_overlap_and_miss_and_pages_with_one_do_not() {
        let company = company();
        let all = |order: &str| {
            let page = |first| {
                ids(&rows(
                    &company,
                    &format!("SELECT * FROM Invoice {order} STARTPOSITION {first} MAXRESULTS 100"),
                ))
            };
            [1, 101, 201]
                .into_iter()
                .flat_map(page)
                .collect::<std::collections::HashSet<_>>()
                .len()
        };
        assert!(all("") < 300);
        assert_eq!(all("ORDERBY MetaData.CreateTime"), 300);
        assert_eq!(all("ORDERBY MetaData.LastUpdatedTime DESC"), 300);
    }

    #[test]
    fn an_order_by_id_is_refused_ignored_or_kept_as_assumed() {
        let company = company();
        let by_id = |answer: &str| {
            let statement = "SELECT * FROM Invoice ORDERBY Id MAXRESULTS 3";
            ask_as(&company, statement, &milder("id-order", answer))
        };
        let refused = by_id("refused").unwrap_err();
        assert_eq!((refused.status, refused.code), (400, "4001"));
        let words = "QueryValidationError: property 'Id' is not sortable";
        assert_eq!(refused.detail, words);
        let found = |answer: &str| ids(&rows_in(&by_id(answer).unwrap()));
        assert_eq!(found("text"), ["1", "10", "100"]);
        assert_eq!(found("number"), ["1", "2", "3"]);
        let unordered = ids(&rows(&company, "SELECT * FROM Invoice MAXRESULTS 3"));
        assert_eq!(found("ignored"), unordered);
    }

    #[test]
    fn pages_by_an_ignored_order_overlap_and_miss() {
        let company = company();
        let page = |first| {
            let statement = format!("SELECT * FROM Invoice ORDERBY Id STARTPOSITION {first}");
            ids(&rows_in(
                &ask_as(&company, &statement, &milder("id-order", "ignored")).unwrap(),
            ))
        };
        let pages = [1, 101, 201].into_iter().flat_map(page);
        assert!(pages.collect::<std::collections::HashSet<_>>().len() < 300);
    }

    #[test]
    fn a_second_key_counts_for_nothing_unless_told_otherwise() {
        let company = company();
        let two = "SELECT * FROM Item ORDERBY Type, Name DESC MAXRESULTS 40";
        let used = rows_in(&ask_as(&company, two, &milder("second-order-key", "used")).unwrap());
        assert_ne!(ids(&used), ids(&rows(&company, two)));
    }

    #[test]
    fn a_poisoned_record_fails_every_page_that_holds_it_and_no_other() {
        let mut company = company();
        company
            .corrupt("Customer", "7", Blemish::Processing)
            .unwrap();
        company
            .corrupt("Invoice", "7", Blemish::Application)
            .unwrap();
        let code = |statement: &str| {
            ask(&company, statement)
                .map(|_| ())
                .map_err(|fault| (fault.status, fault.code))
        };
        assert_eq!(code("SELECT * FROM Customer"), Err((400, "4002")));
        assert_eq!(
            code("SELECT * FROM Invoice WHERE Id IN ('6', '7')"),
            Err((500, "10000"))
        );
        assert_eq!(code("SELECT * FROM Invoice WHERE Id IN ('6', '8')"), Ok(()));
        assert_eq!(code("SELECT COUNT(*) FROM Customer"), Ok(()));
        company.corrupt("Customer", "7", Blemish::Healed).unwrap();
        assert!(ask(&company, "SELECT * FROM Customer").is_ok());
    }

    #[test]
    fn every_entity_answers_under_its_key() {
        let company = company();
        for entity in entities::all().filter(|entity| entity.has_query()) {
            let response = ask(
                &company,
                &format!("select * from {} maxresults 2", entity.name.to_lowercase()),
            )
            .unwrap();
            assert!(
                response[entity.answer_key].is_array(),
                "{}: {response}",
                entity.name
            );
            let by_time = format!(
                "SELECT * FROM {} WHERE MetaData.LastUpdatedTime >= '2024-01-01T00:00:00Z' ORDERBY MetaData.LastUpdatedTime",
                entity.name
            );
            assert!(
                ask(&company, &by_time).unwrap()[entity.answer_key].is_array(),
                "{}",
                entity.name
            );
        }
        assert_eq!(
            fault("SELECT * FROM ExchangeRate WHERE Id = '1'").code,
            "4001"
        );
        let recurring = rows(&company, "SELECT * FROM RecurringTransaction MAXRESULTS 1");
        assert!(recurring[0]["Invoice"]["MetaData"].is_object());
    }

    #[test]
    fn filters_without_a_zone_are_read_in_the_assumed_one() {
        let company = company();
        let id = &rows(&company, "SELECT * FROM Invoice WHERE Id = '9'")[0]["MetaData"]["LastUpdatedTime"];
        let local = &id.as_str().unwrap()[..19];
        let by_time =
            format!("SELECT COUNT(*) FROM Invoice WHERE MetaData.LastUpdatedTime = '{local}'");
        assert!(count(&company, &by_time) > 0);
        let utc = ask_as(&company, &by_time, &milder("filter-zone", "utc")).unwrap();
        assert_eq!(utc["totalCount"], 0);
    }

    #[test]
    fn what_qbo_does_not_allow_is_4001() {
        for (statement, words) in [
            (
                "SELECT * FROM Custmoer",
                "invalid context declaration: Custmoer",
            ),
            (
                "SELECT * FROM ChangeOrder",
                "Metadata not found for Entity: ChangeOrder",
            ),
            (
                "SELECT COUNT(*) FROM taxclassification",
                "Metadata not found for Entity: TaxClassification",
            ),
            (
                "SELECT * FROM Customer WHERE Notes = 'x'",
                "property 'Notes' is not queryable",
            ),
            (
                "SELECT * FROM Invoice WHERE TotalAmt > '5'",
                "property 'TotalAmt' is not queryable",
            ),
            (
                "SELECT * FROM Invoice WHERE Line.Amount > '5'",
                "property 'Line.Amount' is not queryable",
            ),
            (
                "SELECT * FROM Class WHERE Name = 'x'",
                "property 'Name' is not queryable",
            ),
            (
                "SELECT * FROM Customer WHERE BalanceWithJobs > '5'",
                "property 'BalanceWithJobs' is not queryable",
            ),
            (
                "SELECT * FROM Customer ORDERBY PrimaryEmailAddr",
                "property 'PrimaryEmailAddr' is not sortable",
            ),
            (
                "SELECT * FROM Invoice ORDERBY CustomerRef",
                "property 'CustomerRef' is not sortable",
            ),
            (
                "SELECT * FROM Invoice WHERE Active IN (true, false)",
                "property 'Active' is not queryable",
            ),
            (
                "SELECT * FROM Invoice WHERE Id > '5'",
                "only the operators = and IN",
            ),
            ("SELECT * FROM Invoice MAXRESULTS 0", "value 0 is too small"),
            (
                "SELECT * FROM Invoice WHERE MetaData.LastUpdatedTime > 'soon'",
                "Invalid date",
            ),
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
        let dear = count(
            &company,
            "SELECT COUNT(*) FROM Invoice WHERE Balance > '1000'",
        );
        let cheap = count(
            &company,
            "SELECT COUNT(*) FROM Invoice WHERE Balance <= 1000",
        );
        assert!(dear > 0 && cheap > 0);
        assert_eq!(dear + cheap, all);
        let customer =
            rows(&company, "SELECT * FROM Invoice MAXRESULTS 1")[0]["CustomerRef"]["value"]
                .to_string();
        let of_customer = format!(
            "SELECT COUNT(*) FROM Invoice WHERE CustomerRef = {}",
            customer.replace('"', "'")
        );
        assert!(count(&company, &of_customer) > 0);
        assert!(
            count(
                &company,
                "SELECT COUNT(*) FROM Invoice WHERE ProjectRef = ' '"
            ) == all
        );
    }

    proptest! {
        #![proptest_config(crate::testing::cases(5000))]

        #[test]
        fn no_statement_makes_an_answer_panic(
            entity in prop::sample::select(entities::all().map(|entity| entity.name).collect::<Vec<_>>()),
            property in prop::sample::select(vec!["Id", "Active", "Name", "MetaData.LastUpdatedTime", "TotalAmt", "X.Y", "AsOfDate"]),
            operator in prop::sample::select(vec!["=", "<", ">=", "LIKE", "IN"]),
            value in prop::sample::select(vec!["'1'", "''", "'%'", "'2024-13-01'", "'2024-02-01T00:00:00Z'", "true", "-1", "9e9", "'é\\'"]),
            order in prop::sample::select(vec!["", "ORDERBY Id", "ORDER BY Name DESC, Id", "ORDERBY MetaData.CreateTime"]),
            (first, most) in (-2i64..500, -2i64..2000),
        ) {
            let value = if operator == "IN" { format!("({value}, {value})") } else { value.to_owned() };
            let statement = format!(
                "SELECT * FROM {entity} WHERE {property} {operator} {value} {order} STARTPOSITION {first} MAXRESULTS {most}"
            );
            let _ = ask(&FUZZED, &statement);
        }
    }

    static FUZZED: std::sync::LazyLock<Company> = std::sync::LazyLock::new(company);
}
