//! The calendar: which months of each entity are committed.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Duration, NaiveDate, Utc};
use maud::{Markup, html};

use super::view::View;
use crate::app::Coverage;
use crate::domain::{EntitySyncStatus, Window};
use crate::language::say;

/// Calendars start open if there are at most this many companies.
const OPEN_CALENDARS: usize = 3;
/// With more companies than these, the page has no calendars: one company must be chosen.
const CALENDARS: usize = 10;
/// The months in a calendar.
const MONTHS: u32 = 24;

/// Renders one calendar per schema of a company, closed if there are many.
pub(super) fn coverage(view: &View<'_>) -> Markup {
    let language = view.language;
    let mut schemas: BTreeMap<(&str, &str), Vec<&Coverage>> = BTreeMap::new();
    for of in view.coverage {
        let entities = schemas.entry((&of.realm_id, &of.schema)).or_default();
        entities.push(of);
    }
    let is_open = schemas.len() <= OPEN_CALENDARS;
    html! {
        h2 { (say!(in language; "Coverage")) }
        @if schemas.is_empty() { p { (say!(in language; "No entity has been synced yet.")) } }
        @else if schemas.len() > CALENDARS { (choice(view, schemas.keys().copied())) }
        @else {
            p { (say!(in language; "The last {months} months. A filled square is a month whose records are all in Postgres.", months = MONTHS)) }
            @for ((realm_id, schema), entities) in &schemas {
                @let is_only = schemas.keys().filter(|(of, _)| of == realm_id).count() == 1;
                @let title = match is_only {
                    true => view.subject(realm_id),
                    false => say!(in language; "{company}, schema {schema}", company = view.subject(realm_id), schema),
                };
                details id=(format!("calendar-{realm_id}-{schema}")) open[is_open] {
                    summary id=(format!("summary-{realm_id}-{schema}")) { (title) }
                    (calendar(view, &title, entities))
                    (unavailable(view, entities))
                    (archives(view, realm_id, schema))
                }
            }
        }
    }
}

/// Renders a link to the calendar of each company.
fn choice<'s>(view: &View<'_>, schemas: impl Iterator<Item = (&'s str, &'s str)>) -> Markup {
    let mut realm_ids: Vec<&str> = schemas.map(|(realm_id, _)| realm_id).collect();
    realm_ids.dedup();
    html! {
        p { (say!(in view.language; "Choose a company to see which months of its records are in Postgres.")) }
        ul.companies {
            @for realm_id in realm_ids { li { a href=(view.address(realm_id)) { (view.subject(realm_id)) } } }
        }
    }
}

fn is_unavailable(of: &Coverage) -> bool {
    of.state
        .as_ref()
        .is_some_and(|state| state.status == EntitySyncStatus::Unavailable)
}

/// Names the entities that the company does not have.
fn unavailable(view: &View<'_>, entities: &[&Coverage]) -> Markup {
    let names: Vec<&str> = entities
        .iter()
        .filter(|of| is_unavailable(of))
        .map(|of| of.entity.as_str())
        .collect();
    html! {
        @if !names.is_empty() {
            p { (say!(in view.language; "Not available in this company: {names}. QuickBooks is asked again once a day.", names = names.join(", "))) }
        }
    }
}

/// Names the files into which records of a schema were moved.
fn archives(view: &View<'_>, realm_id: &str, schema: &str) -> Markup {
    let all = view.overview.archives.iter();
    let of = all.filter(|one| one.realm_id == realm_id && one.schema == schema);
    html! {
        @for one in of {
            p {
                (one.entity) ": "
                (say!(in view.language; "{records} archived before", records = view.number(one.records)))
                " " (view.when(one.before)) ", " code { (one.file) }
            }
        }
    }
}

fn calendar(view: &View<'_>, title: &str, entities: &[&Coverage]) -> Markup {
    let language = view.language;
    let months = months(view.now);
    let words = [
        say!(in language; "complete"),
        say!(in language; "partly"),
        say!(in language; "nothing"),
    ];
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) {
            table.calendar {
                thead { tr {
                    th scope="col" { (say!(in language; "Entity")) }
                    th scope="col" { (say!(in language; "Rows")) }
                    @for month in &months { th scope="col" { span.month { (month.start.format("%Y-%m")) } } }
                } }
                tbody {
                    @for of in entities.iter().filter(|of| !is_unavailable(of)) {
                        tr {
                            th scope="row" { (of.entity) }
                            td.number { @if let Some(rows) = rows(view, of) { (view.number(rows)) } }
                            @for month in &months {
                                @let extent = extent(*month, &of.committed, view.now);
                                td { i class=(CLASSES[extent as usize]) role="img" title=(words[extent as usize]) { } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns about how many rows an entity has.
fn rows(view: &View<'_>, of: &Coverage) -> Option<u64> {
    let mut counts = view.overview.row_counts.iter();
    let count = counts.find(|count| count.schema == of.schema && count.entity == of.entity)?;
    u64::try_from(count.rows).ok()
}

/// Returns the last [`MONTHS`] months, oldest first.
pub(super) fn months(now: DateTime<Utc>) -> Vec<Window> {
    let number = now.year() * 12 + now.month0() as i32;
    let first = |number: i32| {
        let date =
            NaiveDate::from_ymd_opt(number.div_euclid(12), number.rem_euclid(12) as u32 + 1, 1);
        date.unwrap_or_default()
            .and_time(chrono::NaiveTime::MIN)
            .and_utc()
    };
    (number - MONTHS as i32 + 1..=number)
        .map(|number| Window {
            start: first(number),
            end: first(number + 1),
        })
        .collect()
}

/// Committed parts of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole = 0,
    Partial = 1,
    Nothing = 2,
}

/// The CSS classes of the extents.
const CLASSES: [&str; 3] = ["cell whole", "cell partial", "cell none"];

/// Returns how much of the elapsed part of a month is committed.
fn extent(month: Window, committed: &[Window], now: DateTime<Utc>) -> Extent {
    // Syncs stay up to an hour behind the present.
    let end = month
        .end
        .min(now - Duration::hours(1))
        .max(month.start + Duration::seconds(1));
    let elapsed = Window {
        start: month.start,
        end,
    };
    match &elapsed.minus(committed)[..] {
        [] => Extent::Whole,
        [one] if *one == elapsed => Extent::Nothing,
        _ => Extent::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_whole_partly_or_not_covered() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = at("2026-03-10T12:00:00Z");
        let all = months(now);
        assert_eq!(
            (all.len(), all[0].start, all[23].end),
            (24, at("2024-04-01T00:00:00Z"), at("2026-04-01T00:00:00Z"))
        );
        let committed = [
            Window {
                start: at("2026-01-01T00:00:00Z"),
                end: at("2026-01-20T00:00:00Z"),
            },
            Window {
                start: at("2026-02-01T00:00:00Z"),
                end: at("2026-03-10T11:30:00Z"),
            },
        ];
        let extents: Vec<Extent> = all[20..]
            .iter()
            .map(|month| extent(*month, &committed, now))
            .collect();
        let expected = [
            Extent::Nothing,
            Extent::Partial,
            Extent::Whole,
            Extent::Whole,
        ];
        assert_eq!(extents, expected);
    }
}
