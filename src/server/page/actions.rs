//! The problems that a person must solve, each with its remedy.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::view::{View, rich};
use crate::app::CompanyReport;
use crate::app::health::{
    CompanyFinding, books_reason, connection_findings, phrase, schema_flag, unexplained,
};
use crate::domain::instant::format_instant;
use crate::domain::{AlertKind, ConnectionState, Level, Reason, is_near_quota};
use crate::language::{Language, number_in, say};

/// The most problems that the box lists.
const MAX_ITEMS: usize = 30;

/// Renders the box; nothing if nobody has to act.
pub(super) fn actions(view: &View<'_>) -> Markup {
    let mut items: Vec<Markup> = [
        connections(view),
        pauses(view),
        entities(view),
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
                @if more > 0 { p { (say!(in view.language; count more; "{more} more problem; choose a company to see its own.", "{more} more problems; choose a company to see its own.", more)) } }
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

/// Reports pauses that no request waits for.
fn pauses(view: &View<'_>) -> Vec<Markup> {
    let items = view.accounts.iter().flat_map(|account| {
        let found = connection_findings(account, view.now).into_iter();
        let found = found.filter(|found| matches!(found.reason, Reason::Paused { .. }));
        found.map(|found| {
            let what = sentence(&phrase_of(view, &found.reason));
            let command = found.command.unwrap_or_default();
            let remedy = say!(in view.language; "`{command}` lifts the pause.", command);
            item(&view.subject(&account.account.realm_id), &[what, remedy])
        })
    });
    items.collect()
}

/// Returns a clause as a sentence of its own.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    letters.next().map_or_else(String::new, |first| {
        let end = if clause.ends_with('.') { "" } else { "." };
        first.to_uppercase().chain(letters).collect::<String>() + end
    })
}

/// Entities of a company that need the same for the same reason share one item.
fn entities(view: &View<'_>) -> Vec<Markup> {
    let mut groups: Vec<(Vec<&str>, &CompanyFinding)> = Vec::new();
    for found in &view.overview.findings {
        // What is under way needs nobody, and what is held up is told with the connection.
        if found.finding.level <= Level::UnderWay || found.finding.command.is_none() {
            continue;
        }
        let is_same = |(_, known): &&mut (Vec<&str>, &CompanyFinding)| {
            known.realm_id == found.realm_id
                && known.finding.reason == found.finding.reason
                && known.finding.command == found.finding.command
                && known.error == found.error
        };
        match groups.iter_mut().find(is_same) {
            Some((names, _)) => names.push(&found.finding.about),
            None => groups.push((vec![&found.finding.about], found)),
        }
    }
    let items = groups.into_iter().map(|(names, found)| {
        let language = view.language;
        let subject = say!(in language; "{entities} of {company}", entities = listed(view, &names), company = view.name(&found.realm_id));
        let reason = found.error.as_deref().map(|error| sentence(&view.translated(error)));
        let sentences = [Some(what(view, found)), reason, Some(remedy(view, found))];
        let sentences: Vec<String> = sentences.into_iter().flatten().collect();
        item(&subject, &sentences)
    });
    items.collect()
}

/// Lists the names of the entities, shortened beyond four.
fn listed(view: &View<'_>, names: &[&str]) -> String {
    match names {
        [first, .., _] if names.len() > 4 => {
            say!(in view.language; "{entity} and {more} more", entity = first, more = names.len() - 1)
        }
        _ => names.join(", "),
    }
}

/// Says in a sentence what is wrong.
fn what(view: &View<'_>, found: &CompanyFinding) -> String {
    let language = view.language;
    let first = found
        .first
        .map(|first| first.format("%Y-%m-%d").to_string());
    match (&found.finding.reason, first) {
        (&Reason::Stuck { windows: count }, Some(first)) => {
            say!(in language; count count; "{count} window is stuck, from {first}.", "{count} windows are stuck, the first from {first}.", count, first)
        }
        (&Reason::WindowsAbandoned { windows: count }, Some(first)) => {
            say!(in language; count count; "{count} window has begun and not ended, from {first}; its process has probably died.", "{count} windows have begun and not ended, the first from {first}; their process has probably died.", count, first)
        }
        (&Reason::WindowsFailed { windows: count }, Some(first)) => {
            say!(in language; count count; "{count} window failed, from {first}.", "{count} windows failed, the first from {first}.", count, first)
        }
        (&Reason::SetAside { records }, _) => {
            say!(in language; count records; "{records} record was set aside.", "{records} records were set aside.", records)
        }
        (Reason::Differs { start, end, .. }, _) => {
            let phrase = sentence(&phrase_of(view, &found.finding.reason));
            let between = say!(in language; "The differences are between {start} and {end}.", start = format_instant(*start), end = format_instant(*end));
            format!("{phrase} {between}")
        }
        (reason, _) => sentence(&phrase_of(view, reason)),
    }
}

/// Says what helps.
fn remedy(view: &View<'_>, found: &CompanyFinding) -> String {
    let language = view.language;
    let command = found.finding.command.as_deref().unwrap_or_default();
    match found.finding.reason {
        Reason::SetAside { .. } => say!(in language; "`{command}` says why.", command),
        Reason::Stuck { .. } | Reason::WindowsAbandoned { .. } => {
            say!(in language; "`{command}` shows the ranges, and `qbo-rs backfill` with such a range and `--resume` reads them again.", command)
        }
        Reason::SyncFailed | Reason::NeverRead => {
            say!(in language; "The next sync tries again; `qbo-rs verify` compares QuickBooks with Postgres.")
        }
        _ => say!(in language; "Next: `{command}`.", command),
    }
}

fn phrase_of(view: &View<'_>, reason: &Reason) -> String {
    let clock = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
    phrase(reason, view.language, view.now, &clock)
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
        AlertKind::Stale => true,
        AlertKind::NeedsReauth
        | AlertKind::EndsIn30Days
        | AlertKind::EndsIn7Days
        | AlertKind::Quota
        | AlertKind::Books
        | AlertKind::BooksOpen
        | AlertKind::Verify => false,
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
    let items = view.books.iter().filter_map(|one| {
        let (day, amount) = (one.as_of, unexplained(one, language));
        let what = match books_reason(one)? {
            Reason::BooksDiffer { .. } => {
                say!(in language; "its books of {day} differ from QuickBooks's reports by {amount} without a known cause.", day, amount)
            }
            reason => sentence(&phrase_of(view, &reason)),
        };
        let company = view.overview.companies_known.flag(&one.realm_id);
        let command = one.command(&(schema_flag(&one.schema) + &company));
        let remedy = say!(in language; "`{command}` shows each account.", command);
        Some(item(&view.subject(&one.realm_id), &[what, remedy]))
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
