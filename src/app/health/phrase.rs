//! The phrases for findings, in the language of who reads them.

use chrono::{DateTime, Utc};

use crate::domain::{BooksVerdict, Reason};
use crate::language::{Language, number, say};
use crate::store::TieOut;

/// Says in one phrase why something is not in step. `clock` writes instants.
pub(crate) fn phrase(
    reason: &Reason,
    language: Language,
    now: DateTime<Utc>,
    clock: &dyn Fn(DateTime<Utc>) -> String,
) -> String {
    match *reason {
        Reason::NeedsReauth => say!(in language; "must be connected again"),
        Reason::ConnectionEnds { days_left: days } => {
            say!(in language; count days; "ends in {days} day", "ends in {days} days", days)
        }
        Reason::Paused { until } => {
            say!(in language; "QuickBooks asked to slow down: no request until {time}", time = clock(until))
        }
        Reason::BooksDiffer { as_of: day } => {
            say!(in language; "the books of {day} differ from QuickBooks's reports", day)
        }
        Reason::BooksUnverified { as_of: day } => {
            say!(in language; "not all of the books of {day} could be compared with QuickBooks's reports", day)
        }
        Reason::BooksNeedSomebody {
            as_of: day,
            transactions: count,
        } => {
            say!(in language; count count; "in the books of {day}, {n} transaction differs for a cause that needs somebody", "in the books of {day}, {n} transactions differ for causes that need somebody", day, n = number(count))
        }
        Reason::NothingLoaded => say!(in language; "nothing has been loaded yet"),
        Reason::NeverRead => say!(in language; "was never read"),
        Reason::Stuck { windows } => {
            say!(in language; count windows; "{n} window is stuck", "{n} windows are stuck", n = number(windows))
        }
        Reason::Died { silent_min: ..3 } => say!(in language; "died"),
        Reason::Died { silent_min: silent } => {
            say!(in language; "died (silent for {silent} min)", silent)
        }
        Reason::Interrupted { at } => say!(in language; "interrupted {end}", end = clock(at)),
        Reason::WindowsFailed { windows } => {
            say!(in language; count windows; "{n} window failed", "{n} windows failed", n = number(windows))
        }
        Reason::WindowsAbandoned { windows } => {
            say!(in language; count windows; "{n} window has not ended", "{n} windows have not ended", n = number(windows))
        }
        Reason::Differs { found_at, .. } => {
            say!(in language; "differs, verified {ago}", ago = ago(language, found_at, now))
        }
        Reason::ChecksFailed { checks } => {
            say!(in language; count checks; "{n} check is wrong", "{n} checks are wrong", n = number(checks))
        }
        Reason::SyncFailed => say!(in language; "the last sync failed"),
        Reason::SyncEnded => say!(in language; "the last sync ended before it"),
        Reason::Old { synced_at } => {
            say!(in language; "last synced {ago}", ago = ago(language, synced_at, now))
        }
        Reason::SetAside { records } => say!(in language; "{n} set aside", n = number(records)),
        Reason::Missing { days, first } => {
            let first = first.format("%Y-%m-%d");
            match days {
                0 => say!(in language; "missing less than a day, at {first}", first),
                days => {
                    say!(in language; count days; "missing {days} day, {first}", "missing {days} days from {first}",
                        days = number(days), first)
                }
            }
        }
        Reason::Running { since } => {
            say!(in language; "running since {begin}", begin = clock(since))
        }
        Reason::Syncing => say!(in language; "being synced"),
    }
}

/// Says in a word or two what a comparison says about the books.
pub(crate) fn books_word(books: &TieOut, language: Language) -> String {
    match books.verdict {
        BooksVerdict::Fine if books.status == "ok" => say!(in language; "ok"),
        BooksVerdict::Fine => say!(in language; "the reports agree"),
        BooksVerdict::Explained => say!(in language; "explained"),
        BooksVerdict::Unverified => say!(in language; "unverified"),
        BooksVerdict::Different => say!(in language; "different"),
    }
}

/// Says what no cause explains: an amount, and the transactions if their amounts cancel each other out.
pub(crate) fn unexplained(books: &TieOut, language: Language) -> String {
    let amount = &books.unexplained;
    let is_zero = amount.trim_start_matches(['0', '.']).is_empty();
    match books.unexplained_transactions() {
        count @ 1.. if is_zero => {
            say!(in language; count count; "{amount} in {n} transaction", "{amount} in {n} transactions", amount, n = number(count))
        }
        _ => amount.clone(),
    }
}

/// Says how long ago an instant was.
pub(crate) fn ago(language: Language, at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (now - at).num_seconds().max(0) {
        seconds @ 0..60 => say!(in language; "{seconds} s ago", seconds),
        seconds @ 60..7200 => say!(in language; "{minutes} min ago", minutes = seconds / 60),
        seconds @ 7200..172_800 => say!(in language; "{hours} h ago", hours = seconds / 3600),
        seconds => say!(in language; "{days} days ago", days = seconds / 86_400),
    }
}
