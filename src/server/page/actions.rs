//! The problems that a person must solve, each with its remedy.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::view::{View, rich};
use crate::app::{CompanyReport, EntityState, WindowTrouble};
use crate::domain::{
    AlertKind, ConnectionState, EntitySyncStatus, LedgerWindowStatus, is_near_quota,
};
use crate::language::{Language, number_in, say};

/// The most problems that the box lists.
const MAX_ITEMS: usize = 30;

/// Renders the box; nothing if nobody has to act.
pub(super) fn actions(view: &View<'_>) -> Markup {
    let mut items: Vec<Markup> = [
        connections(view),
        failed_syncs(view),
        windows(view),
        set_aside(view),
        quota(view),
        books(view),
        others(view),
    ]
    .concat();
    let more = items.len().saturating_sub(MAX_ITEMS);
    items.truncate(MAX_ITEMS);
    html! {
        @if !items.is_empty() {
            section aria-labelledby="actions" {
                h2 #actions { (say!(in view.language; "Action required")) }
                ul { @for item in &items { li { (item) } } }
                @if more > 0 { p { (rich(&say!(in view.language; count more; "{more} more problem: `qbo-rs status` lists all.", "{more} more problems: `qbo-rs status` lists all.", more))) } }
            }
        }
    }
}

/// Renders an item: its subject, and sentences about it.
fn item(subject: &str, sentences: &[String]) -> Markup {
    html! { strong { (subject) } ": " (rich(&sentences.join(" "))) }
}

fn connections(view: &View<'_>) -> Vec<Markup> {
    let language = view.language;
    let of = |account: &CompanyReport| {
        let subject = view.subject(&account.account.realm_id);
        let login = say!(in language; "`qbo-rs auth login` or `qbo-rs auth import` connects it.");
        match account.state {
            ConnectionState::Active => None,
            ConnectionState::ExpiresSoon => {
                let days = account.days_left.unwrap_or_default();
                let ends = say!(in language; count days; "its connection ends in {days} day.", "its connection ends in {days} days.", days);
                Some(item(&subject, &[ends, login]))
            }
            ConnectionState::NeedsReauth => {
                let ended = say!(in language; "it must be connected again.");
                let reason = account.account.needs_reauth.as_deref().unwrap_or_default();
                Some(item(
                    &subject,
                    &[ended, login, sentence(&view.translated(reason))],
                ))
            }
        }
    };
    view.accounts.iter().filter_map(of).collect()
}

/// Returns a clause as a sentence of its own.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    letters.next().map_or_else(String::new, |first| {
        let end = if clause.ends_with('.') { "" } else { "." };
        first.to_uppercase().chain(letters).collect::<String>() + end
    })
}

/// Entities that failed with the same message share one item.
fn failed_syncs(view: &View<'_>) -> Vec<Markup> {
    let language = view.language;
    let is_dead = |realm_id: &str| {
        let mut accounts = view.accounts.iter();
        accounts.any(|account| {
            account.account.realm_id == realm_id && account.state == ConnectionState::NeedsReauth
        })
    };
    let mut failed: BTreeMap<(&str, &str), Vec<&EntityState>> = BTreeMap::new();
    for state in view.coverage.iter().filter_map(|of| of.state.as_ref()) {
        if state.status == EntitySyncStatus::Failed && !is_dead(&state.realm_id) {
            let message = state.message.as_deref().unwrap_or("failed");
            let same = failed.entry((&state.realm_id, message)).or_default();
            same.push(state);
        }
    }
    let items = failed.into_iter().map(|((realm_id, message), states)| {
        let failures = states.iter().map(|state| state.consecutive_failures).max();
        let subject = say!(in language; "{entities} of {company}", entities = names(view, &states), company = view.name(realm_id));
        let failures = say!(in language; "Failures in a row: {failures}.", failures = failures.unwrap_or_default());
        let remedy = say!(in language; "The next sync tries again; `qbo-rs verify` compares QuickBooks with Postgres.");
        item(&subject, &[format!("{}.", view.translated(message)), failures, remedy])
    });
    items.collect()
}

/// Lists the names of the entities, shortened beyond four.
fn names(view: &View<'_>, states: &[&EntityState]) -> String {
    match states {
        [first, .., _] if states.len() > 4 => {
            say!(in view.language; "{entity} and {more} more", entity = first.entity, more = states.len() - 1)
        }
        _ => {
            let names: Vec<&str> = states.iter().map(|state| state.entity.as_str()).collect();
            names.join(", ")
        }
    }
}

/// Returns the flag for a schema, unless it is the default.
fn schema_flag(schema: &str) -> String {
    match schema {
        "raw" => String::new(),
        other => format!(" --schema {other}"),
    }
}

fn windows(view: &View<'_>) -> Vec<Markup> {
    let language = view.language;
    let of = |trouble: &WindowTrouble| {
        let count = trouble.windows;
        let first = trouble.first.format("%Y-%m-%d");
        let what = match trouble.status {
            LedgerWindowStatus::Stuck => {
                say!(in language; count count; "{count} window is stuck, from {first}.", "{count} windows are stuck, the first from {first}.", count, first)
            }
            LedgerWindowStatus::Running => {
                say!(in language; count count; "{count} window has begun and not ended, from {first}; its process has probably died.", "{count} windows have begun and not ended, the first from {first}; their process has probably died.", count, first)
            }
            _ => {
                say!(in language; count count; "{count} window failed, from {first}.", "{count} windows failed, the first from {first}.", count, first)
            }
        };
        let (entity, flag) = (&trouble.entity, schema_flag(&trouble.schema));
        let reason = trouble
            .error
            .as_deref()
            .map(|error| format!("{}.", view.translated(error)));
        let remedy = say!(in language; "`qbo-rs status {entity}{flag}` shows the ranges, and `qbo-rs backfill {entity}{flag} --resume` with such a range reads them again.", entity, flag);
        let subject = say!(in language; "{entities} of {company}", entities = entity, company = view.name(&trouble.realm_id));
        let sentences: Vec<String> = [Some(what), reason, Some(remedy)]
            .into_iter()
            .flatten()
            .collect();
        item(&subject, &sentences)
    };
    view.overview.troubles.iter().map(of).collect()
}

fn set_aside(view: &View<'_>) -> Vec<Markup> {
    let language = view.language;
    let items = view.overview.set_aside.iter().map(|of| {
        let (records, entity, flag) = (of.records, &of.entity, schema_flag(&of.schema));
        let subject = say!(in language; "{entities} of {company}", entities = entity, company = view.name(&of.realm_id));
        let what = say!(in language; count records; "{records} record was set aside.", "{records} records were set aside.", records);
        let remedy = say!(in language; "`qbo-rs rejects {entity}{flag}` says why.", entity, flag);
        item(&subject, &[what, remedy])
    });
    items.collect()
}

/// Reports companies that have used four fifths of the month's reads.
fn quota(view: &View<'_>) -> Vec<Markup> {
    let language = view.language;
    let is_near =
        |account: &&CompanyReport| is_near_quota(account.traffic.monthly_reads, view.quota);
    let items = view.accounts.iter().filter(is_near).map(|account| {
        let what = used(language, account.traffic.monthly_reads, view.quota);
        item(&view.subject(&account.account.realm_id), &[what])
    });
    items.collect()
}

/// Says how many of the month's reads are used. QuickBooks refuses none before all are.
fn used(language: Language, reads: u64, quota: u64) -> String {
    let is_used_up = reads >= quota;
    let (reads, quota) = (number_in(language, reads), number_in(language, quota));
    match is_used_up {
        true => {
            say!(in language; "{reads} of {quota} reads of this month are used; QuickBooks refuses further ones.", reads, quota)
        }
        false => {
            say!(in language; "{reads} of {quota} reads of this month are used; QuickBooks refuses any beyond.", reads, quota)
        }
    }
}

/// Renders the alerts of which no other part has the facts, in the words that messages have.
fn others(view: &View<'_>) -> Vec<Markup> {
    let alerts = view.overview.alerts.iter();
    let others = alerts.filter(|alert| match alert.kind {
        AlertKind::Stale | AlertKind::Verify => true,
        AlertKind::NeedsReauth
        | AlertKind::EndsIn30Days
        | AlertKind::EndsIn7Days
        | AlertKind::Quota
        | AlertKind::Books => false,
    });
    others
        .map(|alert| {
            item(
                &view.subject(&alert.realm_id),
                &[view.translated(&alert.text)],
            )
        })
        .collect()
}

fn books(view: &View<'_>) -> Vec<Markup> {
    let language = view.language;
    let different = view.books.iter().filter(|one| one.status != "ok");
    let items = different.map(|one| {
        let (day, amount) = (one.as_of, &one.unexplained);
        let what = say!(in language; "its books of {day} differ from QuickBooks's reports by {amount} without a known cause.", day, amount);
        let command = one.command(&schema_flag(&one.schema));
        let remedy = say!(in language; "`{command}` shows each account.", command);
        item(&view.subject(&one.realm_id), &[what, remedy])
    });
    items.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_refused_only_once_all_are_used() {
        let english = |reads| used(Language::En, reads, 5000);
        assert!(english(4000).ends_with("QuickBooks refuses any beyond."));
        assert!(english(5000).ends_with("QuickBooks refuses further ones."));
        let spanish = used(Language::Es, 4000, 5000);
        assert!(spanish.ends_with("QuickBooks rechaza las que pasen de ahí."));
    }

    #[test]
    fn a_reason_is_a_sentence_of_its_own() {
        assert_eq!(sentence("the token is expired"), "The token is expired.");
        assert_eq!(sentence("It is."), "It is.");
        assert_eq!(sentence(""), "");
    }
}
