//! The connected companies, and their requests beside the limits.

use maud::{Markup, html};

use super::form;
use super::view::{View, rich};
use crate::app::CompanyReport;
use crate::domain::{ConnectionState, EntitySyncStatus, is_read_daily};
use crate::language::say;
use crate::quickbooks::Limits;

/// Renders the companies: connected ones, and those that are only in the database.
pub(super) fn companies(view: &View<'_>) -> Markup {
    let language = view.language;
    let headers = [
        say!(in language; "Company"),
        say!(in language; "State"),
        say!(in language; "In step until"),
        say!(in language; "Days left"),
        say!(in language; "Next sync"),
    ];
    let is_connected = |realm_id: &str| {
        let mut accounts = view.accounts.iter();
        accounts.any(|account| account.account.realm_id == realm_id)
    };
    let mut others: Vec<&str> = view
        .overview
        .companies
        .iter()
        .map(|company| company.realm_id.as_str())
        .filter(|realm_id| !is_connected(realm_id))
        .collect();
    others.dedup();
    html! {
        h2 { (say!(in language; "Companies")) }
        (choice(view))
        @if view.accounts.is_empty() && others.is_empty() && !view.wanted.is_empty() {
            p { (say!(in language; "No company has this in its name or id.")) }
        } @else if view.accounts.is_empty() && others.is_empty() {
            p { (rich(&say!(in language; "No company is connected yet. Connect one with `qbo-rs auth login` or `POST /api/qbo/authorize/`."))) }
        } @else {
            table.stack {
                caption { (say!(in language; "Connections")) }
                thead { tr { @for header in &headers { th scope="col" { (header) } } td { } } }
                tbody {
                    @for account in view.accounts { (connected(view, account, &headers)) }
                    @for realm_id in others {
                        tr {
                            th scope="row" { (view.company(realm_id)) }
                            td data-label=(headers[1]) { (say!(in language; "not connected here")) }
                            td data-label=(headers[2]) { (in_step(view, realm_id)) }
                            td { } td { } td { }
                        }
                    }
                }
            }
        }
    }
}

/// Renders the choice of companies, where the page has no room for all.
fn choice(view: &View<'_>) -> Markup {
    let language = view.language;
    let (shown, all) = (
        view.shown.realm_ids.len(),
        view.shown.realm_ids.len() + view.shown.others,
    );
    html! {
        @if view.shown.others > 0 {
            p { (say!(in language; "{shown} of {all} companies: first those that need somebody, then those whose records are oldest.", shown, all = view.number(all as u64))) }
        }
        @if view.shown.others > 0 || !view.wanted.is_empty() {
            form method="get" action="/" role="search" {
                @if view.is_chosen { input type="hidden" name="lang" value=(language.code()); }
                label for="company" { (say!(in language; "Name or id of a company")) } " "
                input id="company" name="company" type="search" value=(view.wanted);
                " " button id="choose" { (say!(in language; "Show")) }
            }
            @if !view.wanted.is_empty() { p { a href=(view.address("")) { (say!(in language; "All companies")) } } }
        }
    }
}

fn connected(view: &View<'_>, account: &CompanyReport, headers: &[String; 5]) -> Markup {
    let language = view.language;
    let realm_id = &account.account.realm_id;
    let mut schedule = view.overview.schedule.iter();
    let next = schedule.find(|next| next.realm_id == *realm_id);
    let state = match account.state {
        ConnectionState::Active => say!(in language; "active"),
        ConnectionState::ExpiresSoon => say!(in language; "expires soon"),
        ConnectionState::NeedsReauth => say!(in language; "needs to be connected again"),
    };
    html! {
        tr {
            th scope="row" { (view.company(realm_id)) }
            td data-label=(headers[1]) { span class=(format!("mark {}", account.state)) { (state) } }
            td data-label=(headers[2]) { (in_step(view, realm_id)) }
            td data-label=(headers[3]) {
                @match account.days_left { Some(days) => (days), None => (say!(in language; "unknown")) }
            }
            td data-label=(headers[4]) {
                @match next {
                    Some(next) if next.next_at <= view.now => (say!(in language; "now")),
                    Some(next) => (say!(in language; "in {time}", time = view.span(next.next_at - view.now))),
                    None => (say!(in language; "on request")),
                }
            }
            td { (form::button(view, realm_id)) }
        }
    }
}

/// Renders the time up to which the entities of a company are complete that each sync reads, and apart from it that of
/// those that are read once a day: of each the oldest.
fn in_step(view: &View<'_>, realm_id: &str) -> Markup {
    let language = view.language;
    let oldest = |is_daily: bool| {
        let states = view.coverage.iter().filter(|of| of.realm_id == realm_id);
        states
            .filter(|of| is_read_daily(&of.entity) == is_daily)
            .filter_map(|of| of.state.as_ref())
            .filter(|state| state.status != EntitySyncStatus::Unavailable)
            .filter_map(|state| state.checkpoint)
            .min()
    };
    let ago = |at| say!(in language; "{time} ago", time = view.span(view.now - at));
    html! {
        @match (oldest(false), oldest(true)) {
            (None, None) => (say!(in language; "never synced")),
            (Some(at), None) | (None, Some(at)) => (ago(at)),
            (Some(at), Some(daily)) => {
                (ago(at)) " "
                small { (say!(in language; "what is read once a day: {time} ago", time = view.span(view.now - daily))) }
            }
        }
    }
}

/// Renders the requests to QuickBooks next to their limits.
pub(super) fn traffic(view: &View<'_>, limits: Limits) -> Markup {
    let language = view.language;
    let headers = [
        say!(in language; "Company"),
        say!(in language; "Last minute"),
        say!(in language; "In flight"),
        say!(in language; "Reads this month"),
        say!(in language; "Paused"),
    ];
    html! {
        @if !view.accounts.is_empty() {
            table.stack {
                caption { (say!(in language; "Requests to QuickBooks by all processes")) }
                thead { tr { @for header in &headers { th scope="col" { (header) } } } }
                tbody {
                    @for account in view.accounts {
                        @let traffic = &account.traffic;
                        tr {
                            th scope="row" { (view.company(&account.account.realm_id)) }
                            td data-label=(headers[1]) { (usage(view, traffic.requests_last_minute.into(), limits.per_minute.into(),
                                &say!(in language; "Requests of the last minute and their limit"))) }
                            td data-label=(headers[2]) { (usage(view, traffic.in_flight as u64, limits.in_flight.into(),
                                &say!(in language; "Requests in flight and their limit"))) }
                            td data-label=(headers[3]) { (usage(view, traffic.monthly_reads, view.quota,
                                &say!(in language; "Reads of this month and the quota"))) }
                            td data-label=(headers[4]) {
                                @if traffic.breaker.is_open() { span class="mark failed" { (say!(in language; "the API does not answer")) } }
                                @else if let Some(until) = traffic.paused_until {
                                    span class="mark running" { (say!(in language; "throttled until")) " " (view.when(until)) }
                                }
                                @else { (say!(in language; "no")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders `used of max`; a `max` of 0 means unlimited.
fn usage(view: &View<'_>, used: u64, max: u64, label: &str) -> Markup {
    html! {
        @if max > 0 {
            (say!(in view.language; "{used} of {max}", used = view.number(used), max = view.number(max))) " "
            meter aria-label=(label) min="0" max=(max) value=(used) high=(max.saturating_mul(8) / 10) { }
        } @else { (view.number(used)) }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::app::{Coverage, EntityState, Overview, ShownCompanies};
    use crate::language::Language;

    #[test]
    fn what_is_read_once_a_day_does_not_make_a_company_look_old() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(30);
        let of = |entity: &str, minutes: i64| Coverage {
            schema: "raw".to_owned(),
            realm_id: "9".to_owned(),
            entity: entity.to_owned(),
            state: Some(EntityState {
                realm_id: "9".to_owned(),
                schema: "raw".to_owned(),
                entity: entity.to_owned(),
                status: EntitySyncStatus::Success,
                last_attempt_at: None,
                last_success_at: None,
                checkpoint: Some(now - TimeDelta::minutes(minutes)),
                consecutive_failures: 0,
                message: None,
            }),
            committed: Vec::new(),
        };
        let shown = |coverage: &[Coverage]| {
            let view = View {
                language: Language::En,
                is_chosen: false,
                now,
                quota: 0,
                token: "",
                wanted: "",
                shown: &ShownCompanies::default(),
                overview: &Overview::default(),
                accounts: &[],
                coverage,
                books: &[],
            };
            in_step(&view, "9").into_string()
        };
        let (daily, often) = (of("entitlements", 20 * 60), of("invoices", 3));
        let both = [of("customers", 2), often, daily];
        assert_eq!(
            shown(&both),
            "3 min ago <small>what is read once a day: 20 h ago</small>"
        );
        assert_eq!(shown(&both[..2]), "3 min ago");
        assert_eq!(shown(&both[2..]), "20 h ago");
        assert_eq!(shown(&[]), "never synced");
    }
}
