
use super::*;
use crate::domain::query::Comparison;
use crate::domain::{Payload, find_entity};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Simulated books: records as (id, second, version), edited between pages.
#[derive(Debug, Clone)]
struct Books {
    rows: BTreeMap<u32, (i64, u32)>,
    now: i64,
}

fn take(cursor: &mut Cursor, step: &Step, rows: Vec<Record>) -> Result<Vec<Record>> {
    let count = rows.len();
    cursor.accept(step, rows, count)
}

const SPAN: i64 = 50;

fn customers() -> &'static EntitySpec {
    find_entity("customers").unwrap()
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

/// Returns the value of a property. Some records share their time of creation, some lack a
/// display name, and all have a full name of their own.
fn value(id: u32, property: &str) -> Option<String> {
    match property {
        "MetaData.CreateTime" => Some(format_instant(at(i64::from(id % 3) - 1000))),
        "DisplayName" => (!id.is_multiple_of(4)).then(|| format!("name {}", id % 7)),
        "FullyQualifiedName" => Some(id.to_string()),
        _ => None,
    }
}

fn record(id: u32, second: i64, version: u32) -> Record {
    let text = |property| value(id, property).unwrap_or_default();
    let name = match value(id, "DisplayName") {
        Some(name) => format!(r#""DisplayName":"{name}","#),
        None => String::new(),
    };
    let (full_name, created) = (text("FullyQualifiedName"), text("MetaData.CreateTime"));
    let payload = format!(
        r#"{{"v":{version},{name}"FullyQualifiedName":"{full_name}","MetaData":{{"CreateTime":"{created}"}}}}"#
    );
    Record {
        id: id.to_string(),
        updated_at: at(second),
        sync_token: 0,
        payload: Payload::from_valid_json(Bytes::from(payload)),
    }
}

fn meets(id: u32, condition: &Condition) -> bool {
    value(id, condition.property).is_some_and(|value| match condition.comparison {
        Comparison::Below => value < condition.value,
        Comparison::Equal => value == condition.value,
        Comparison::Above => value > condition.value,
    })
}

impl Books {
    fn edit(&mut self, id: u32) {
        self.now += 1;
        let now = self.now;
        if let Some(row) = self.rows.get_mut(&id) {
            *row = (now, row.1 + 1);
        }
    }

    fn matching(&self, step: &Step) -> Vec<(u32, i64, u32)> {
        self.rows
            .iter()
            .map(|(&id, &(second, version))| (id, second, version))
            .filter(|row| at(row.1) >= step.from && at(row.1) < step.until)
            .filter(|row| {
                step.conditions
                    .iter()
                    .all(|condition| meets(row.0, condition))
            })
            .collect()
    }

    fn answer(&self, step: &Step) -> Vec<Record> {
        let mut rows = self.matching(step);
        // Ties in an order of their own, unlike that of ids.
        rows.sort_by_key(|(id, second, version)| (*second, (id + version) * 7919 % 101, *id));
        let rows = rows.into_iter().take(step.max_results as usize);
        rows.map(|(id, second, version)| record(id, second, version))
            .collect()
    }

    /// Answers a step; returns the rows that are new to the cursor.
    fn serve(&self, cursor: &mut Cursor, step: &Step) -> Result<Vec<Record>> {
        match step.is_count {
            true => {
                let count = self.matching(step).len() as u64;
                cursor.accept_count(count).map(|()| Vec::new())
            }
            false => take(cursor, step, self.answer(step)),
        }
    }
}

fn cursor(page_size: u32, max_page_size: u32) -> Cursor {
    Cursor {
        max_page_size,
        crowded_page_size: max_page_size,
        ..Cursor::new(at(0), page_size, customers())
    }
}

/// Reads the window while `edits` happen, one batch before each request; returns the newest
/// version read of each id.
fn read(
    books: &mut Books,
    end: i64,
    page_size: u32,
    edits: &[Vec<u32>],
) -> (BTreeMap<u32, u32>, usize) {
    #[derive(serde::Deserialize)]
    struct Version {
        v: u32,
    }
    let mut cursor = cursor(page_size, page_size + 1);
    let mut edits = edits.iter();
    let (mut read, mut handed_on) = (BTreeMap::new(), 0);
    while let Some(step) = cursor.next_step(at(end)) {
        for row in books.serve(&mut cursor, &step).unwrap() {
            handed_on += 1;
            let Version { v } = serde_json::from_slice(row.payload.as_bytes()).unwrap();
            read.insert(row.id.parse().unwrap(), v);
        }
        // What is edited after the last answer belongs to a later read.
        if cursor.next_step(at(end)).is_some() {
            edits
                .next()
                .into_iter()
                .flatten()
                .for_each(|&id| books.edit(id));
        }
    }
    (read, handed_on)
}

proptest! {
    #![proptest_config(crate::testing::cases(500))]

    #[test]
    fn no_record_is_lost_or_stale_whatever_is_edited_between_pages(
        seconds in prop::collection::vec(0..SPAN, 1..120), crowded in any::<bool>(), page_size in 1u32..9,
        edits in prop::collection::vec(prop::collection::vec(0u32..120, 0..4), 0..40),
    ) {
        let squeeze = if crowded { 12 } else { 1 };
        let rows = seconds.iter().enumerate().map(|(id, s)| (id as u32, (s / squeeze, 0))).collect();
        let mut books = Books { rows, now: SPAN };
        // The window's end lies beyond every edit, so all records stay inside it.
        let (read, _) = read(&mut books, 10_000, page_size, &edits);
        let truth: BTreeMap<_, _> = books.rows.iter().map(|(&id, &(_, version))| (id, version)).collect();
        prop_assert_eq!(read, truth);
    }

    #[test]
    fn records_that_stay_in_a_closed_window_are_read_and_nothing_twice_when_nothing_changes(
        seconds in prop::collection::vec(0..SPAN, 1..120), page_size in 1u32..9,
        edits in prop::collection::vec(prop::collection::vec(0u32..120, 0..4), 0..40),
    ) {
        let rows = seconds.iter().enumerate().map(|(id, s)| (id as u32, (s / 10, 0))).collect();
        let mut books = Books { rows, now: SPAN };
        let (_, handed_on) = read(&mut books.clone(), SPAN, page_size, &[]);
        prop_assert_eq!(handed_on, seconds.len());
        // Edits move records out of this window; those never edited must all be there.
        let (read, _) = read(&mut books, SPAN, page_size, &edits);
        let stayed = books.rows.iter().filter(|(_, row)| row.1 == 0);
        for (id, _) in stayed {
            prop_assert!(read.contains_key(id), "lost {}", id);
        }
    }
}

#[test]
fn a_quiet_window_costs_one_request_a_page() {
    let rows = (0..1000).map(|id| (id, (i64::from(id / 20), 0))).collect();
    let books = Books { rows, now: SPAN };
    let mut cursor = Cursor::new(at(0), 100, customers());
    let mut requests = 0;
    while let Some(step) = cursor.next_step(at(SPAN)) {
        requests += 1;
        take(&mut cursor, &step, books.answer(&step)).unwrap();
    }
    // 1000 rows, and at most one second's 20 read again on each page.
    assert_eq!(requests, 13);
}

#[test]
fn fractions_of_a_second_hide_no_records() {
    let page = |rows: &[(u32, i64)]| -> Vec<Record> {
        let rows = rows.iter().map(|(id, millis)| {
            let mut row = record(*id, 0, 0);
            row.updated_at = at(0) + TimeDelta::milliseconds(*millis);
            row
        });
        rows.collect()
    };
    let mut cursor = Cursor::new(at(0), 2, customers());
    let mut read = |rows: &[(u32, i64)]| -> Vec<String> {
        let step = cursor.next_step(at(10)).unwrap();
        let taken = take(&mut cursor, &step, page(rows)).unwrap();
        taken.into_iter().map(|row| row.id).collect()
    };
    // The second page begins within the second that the first one ended in, and a row without a
    // fraction follows one with a fraction.
    assert_eq!(read(&[(1, 900), (2, 1500)]), ["1"]);
    assert_eq!(read(&[(2, 1500), (3, 1000)]), ["2", "3"]);
}

/// Returns the number of requests for a second of `count` records, and how many arrived.
fn read_crowd(count: u32, page_size: u32) -> (u32, usize) {
    let books = Books {
        rows: (0..count).map(|id| (id, (3, 0))).collect(),
        now: SPAN,
    };
    let mut cursor = cursor(page_size, 1000);
    let (mut requests, mut read) = (0, 0);
    while let Some(step) = cursor.next_step(at(SPAN)) {
        requests += 1;
        read += books.serve(&mut cursor, &step).unwrap().len();
    }
    (requests, read)
}

#[test]
fn a_crowded_second_costs_a_larger_page_or_a_few_parts() {
    // A full page, the same second from its start, one page of the whole second, and the rest.
    assert_eq!(read_crowd(900, 200), (4, 900));
    let (requests, read) = read_crowd(5_000, 200);
    assert!(requests < 75 && read == 5_000, "{requests} {read}");
}

/// Reads a second whose records differ in nothing that queries can filter by.
#[test]
fn a_second_that_cannot_be_divided_is_a_failure_that_says_so() {
    let mut cursor = Cursor::new(at(0), 2, find_entity("transfers").unwrap());
    let rows = |count: u32| (0..count).map(|id| record(3 * id, 0, 0)).collect();
    let mut outcome = Ok(Vec::new());
    while let (Ok(_), Some(step)) = (&outcome, cursor.next_step(at(10))) {
        let is_equal = |condition: &Condition| condition.comparison == Comparison::Equal;
        outcome = match step.is_count {
            true if step.conditions.iter().all(is_equal) => {
                cursor.accept_count(1500).map(|()| Vec::new())
            }
            true => cursor.accept_count(0).map(|()| Vec::new()),
            false => take(&mut cursor, &step, rows(step.max_results)),
        };
    }
    let text = outcome.unwrap_err().to_string();
    for part in [
        "transfers",
        "2023-11-14T22:13:20Z",
        "1500",
        "MetaData.CreateTime, TxnDate",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

/// Reads a second whose counts and rows never agree.
#[test]
fn a_service_that_contradicts_itself_about_a_second_is_asked_a_few_times() {
    for (counted, delivered) in [(900, 899), (900, 1), (5, 0)] {
        let mut cursor = cursor(1, 900);
        let (mut requests, mut outcome) = (0, Ok(Vec::new()));
        while let (Ok(_), Some(step)) = (&outcome, cursor.next_step(at(10))) {
            requests += 1;
            let full = requests <= 3;
            let rows = if full { step.max_results } else { delivered };
            outcome = match step.is_count {
                true => cursor.accept_count(counted).map(|()| Vec::new()),
                false => {
                    let rows = (0..rows).map(|id| record(id, 0, 0)).collect();
                    take(&mut cursor, &step, rows)
                }
            };
        }
        assert!(requests < 20, "{requests} requests");
        assert!(outcome.unwrap_err().to_string().contains("counted"));
    }
}

#[test]
fn rows_out_of_order_or_range_are_taken_at_their_places() {
    let accept = |seconds: &[i64]| {
        let mut cursor = Cursor::new(at(0), 100, customers());
        let step = cursor.next_step(at(10)).unwrap();
        let rows = seconds
            .iter()
            .zip(0..)
            .map(|(second, id)| record(id, *second, 0));
        let taken = take(&mut cursor, &step, rows.collect())?;
        let places = taken
            .iter()
            .map(|row| (row.updated_at - at(0)).num_seconds());
        Ok::<_, Error>(places.collect::<Vec<_>>())
    };
    assert_eq!(accept(&[1, 2, 9, 3, 4]).unwrap(), [1, 2, 2, 3, 4]);
    assert_eq!(accept(&[5, 6, 1, 7]).unwrap(), [5, 6, 6, 7]);
    assert_eq!(accept(&[-400, 5, 10]).unwrap(), [0, 5, 5]);
    // A few such records are taken; more of them mean that the order is not that of the request.
    assert!(accept(&[20; 10]).is_ok());
    let error = accept(&[20; 11]).unwrap_err().to_string();
    assert!(error.contains("11 of 11"), "{error}");
}

/// Records by id, the second at which the service holds them, and the second that they say.
fn read_misplaced(records: &[(u32, i64, i64)], page_size: u32, end: i64) -> BTreeMap<u32, i64> {
    let mut cursor = cursor(page_size, 1000);
    let mut read = BTreeMap::new();
    let mut requests = 0;
    while let Some(step) = cursor.next_step(at(end)) {
        requests += 1;
        assert!(requests < 20 * (records.len() + 2), "no end");
        let matching = records
            .iter()
            .filter(|row| at(row.1) >= step.from && at(row.1) < step.until)
            .filter(|row| {
                step.conditions
                    .iter()
                    .all(|condition| meets(row.0, condition))
            });
        let mut rows: Vec<_> = matching.collect();
        rows.sort_by_key(|row| (row.1, row.0));
        if step.is_count {
            cursor.accept_count(rows.len() as u64).unwrap();
            continue;
        }
        let rows = rows.into_iter().take(step.max_results as usize);
        let rows = rows.map(|row| record(row.0, row.2, 0)).collect();
        for row in take(&mut cursor, &step, rows).unwrap() {
            let place = (row.updated_at - at(0)).num_seconds();
            // A page that is read again can bring a row twice; the sink keeps one.
            read.insert(row.id.parse().unwrap(), place);
        }
    }
    read
}

proptest! {
    #![proptest_config(crate::testing::cases(500))]

    #[test]
    fn a_record_that_says_another_time_hides_no_neighbour(
        seconds in prop::collection::vec(0..SPAN, 1..60), page_size in 2u32..9,
        odd in 0u32..60, says in -100i64..200,
    ) {
        let records: Vec<_> = seconds.iter().zip(0..).map(|(&second, id)| {
            (id, second, if id == odd { says } else { second })
        }).collect();
        let read = read_misplaced(&records, page_size, SPAN);
        prop_assert_eq!(read.len(), records.len());
    }
}

/// Shows why a page must begin with the row that the page before ended with.
#[test]
fn a_later_time_at_the_end_of_a_page_skips_nothing() {
    let records: Vec<_> = (0..12)
        .map(|id| (id, i64::from(id), if id == 3 { 40 } else { i64::from(id) }))
        .collect();
    let read = read_misplaced(&records, 4, SPAN);
    assert_eq!((read.len(), read[&3]), (12, 2));
    // The same where the span ends before that time.
    assert_eq!(read_misplaced(&records, 4, 12).len(), 12);
}

#[test]
fn rows_in_no_order_are_read_by_halving_until_pages_are_not_full() {
    let rows = (0..200)
        .map(|id| (id, (i64::from(id * 7 % 50), 0)))
        .collect();
    let books = Books { rows, now: SPAN };
    let mut cursor = Cursor::new(at(0), 13, find_entity("tax_agencies").unwrap());
    let mut read = std::collections::BTreeSet::new();
    while let Some(step) = cursor.next_step(at(SPAN)) {
        let mut rows = books.answer(&step);
        rows.reverse();
        read.extend(
            take(&mut cursor, &step, rows)
                .unwrap()
                .into_iter()
                .map(|row| row.id),
        );
    }
    assert_eq!(read.len(), 200);
    let crowded = |count: u32| {
        let books = Books {
            rows: (0..count).map(|id| (id, (3, 0))).collect(),
            now: SPAN,
        };
        let mut cursor = Cursor::new(at(0), 13, find_entity("tax_agencies").unwrap());
        let mut read = 0;
        while let Some(step) = cursor.next_step(at(SPAN)) {
            read += take(&mut cursor, &step, books.answer(&step))?.len();
        }
        Ok::<_, Error>(read)
    };
    assert_eq!(crowded(999).unwrap(), 999);
    assert!(
        crowded(1000)
            .unwrap_err()
            .to_string()
            .contains("cannot be relied on")
    );
}

#[test]
fn a_span_that_is_shortened_during_the_read_ends_there() {
    let rows = (0..100).map(|id| (id, (i64::from(id / 2), 0))).collect();
    let books = Books { rows, now: SPAN };
    let mut cursor = Cursor::new(at(0), 10, customers());
    let (mut end, mut read) = (at(SPAN), 0);
    while let Some(step) = cursor.next_step(end) {
        read += take(&mut cursor, &step, books.answer(&step))
            .unwrap()
            .iter()
            .filter(|row| row.updated_at < at(20))
            .count();
        end = at(20);
    }
    assert!(read == 40 && cursor.covered_until() >= at(20));
}
