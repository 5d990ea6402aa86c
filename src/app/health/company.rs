//! Findings about a company: its connection, and its books.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{finding, schema_flag};
use crate::app::CompanyReport;
use crate::domain::{BooksVerdict, ConnectionState, Finding, Reason};
use crate::store::TieOut;

/// A pause that no request waits for. Shorter ones pass by themselves.
const LONG_PAUSE: Duration = Duration::from_secs(600);

/// Returns true for a pause that does not pass by itself while somebody waits.
pub(crate) fn is_long_pause(wait: Duration) -> bool {
    wait > LONG_PAUSE
}

/// Returns the findings about a connection.
pub(crate) fn connection_findings(account: &CompanyReport, now: DateTime<Utc>) -> Vec<Finding> {
    let login = || Some("qbo-rs auth login".to_owned());
    let state = match account.state {
        ConnectionState::Active => None,
        ConnectionState::NeedsReauth => Some((Reason::NeedsReauth, login())),
        ConnectionState::ExpiresSoon => {
            let days_left = account.days_left.unwrap_or_default();
            Some((Reason::ConnectionEnds { days_left }, login()))
        }
    };
    let until = account.traffic.paused_until;
    let is_long = |until: &DateTime<Utc>| (*until - now).to_std().is_ok_and(is_long_pause);
    let pause = until.filter(is_long).map(|until| {
        let realm_id = &account.account.realm_id;
        let command = format!("qbo-rs check --lift-pause --realm-id {realm_id}");
        (Reason::Paused { until }, Some(command))
    });
    let found = state.into_iter().chain(pause);
    found
        .map(|(reason, command)| finding("connection", reason, command, now))
        .collect()
}

/// Returns the findings about the last comparisons of the books.
pub(crate) fn books_findings(books: &[TieOut], now: DateTime<Utc>) -> Vec<Finding> {
    let found = books.iter().filter_map(|books| {
        let command = books.command(&schema_flag(&books.schema));
        Some(finding("books", books_reason(books)?, Some(command), now))
    });
    found.collect()
}

/// Returns the reason why the books of a comparison are not in step, if they are not.
pub(crate) fn books_reason(books: &TieOut) -> Option<Reason> {
    let as_of = books.as_of;
    match books.verdict {
        BooksVerdict::Fine => None,
        BooksVerdict::Explained => Some(Reason::BooksNeedSomebody {
            as_of,
            transactions: books.needing(),
        }),
        BooksVerdict::Unverified => Some(Reason::BooksUnverified { as_of }),
        BooksVerdict::Different => Some(Reason::BooksDiffer { as_of }),
    }
}

/// Returns true if no sync of a company can succeed before somebody has done something about its connection.
pub(crate) fn is_held_up<'a>(
    mut accounts: impl Iterator<Item = &'a CompanyReport>,
    now: DateTime<Utc>,
) -> bool {
    accounts.any(|account| {
        let findings = connection_findings(account, now);
        let holds_up = |finding: &Finding| {
            matches!(finding.reason, Reason::NeedsReauth | Reason::Paused { .. })
        };
        findings.iter().any(holds_up)
    })
}
