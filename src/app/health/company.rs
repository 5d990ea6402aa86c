//! Findings about a company: its connection, and its books.

use chrono::{DateTime, TimeDelta, Utc};

use super::{finding, schema_flag};
use crate::app::CompanyReport;
use crate::domain::{ConnectionState, Finding, Reason};
use crate::store::TieOut;

/// A pause that no request waits for. Shorter ones pass by themselves.
const LONG_PAUSE: TimeDelta = TimeDelta::minutes(10);

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
    let pause = until
        .filter(|until| *until - now > LONG_PAUSE)
        .map(|until| {
            let command = "qbo-rs check --lift-pause".to_owned();
            (Reason::Paused { until }, Some(command))
        });
    let found = state.into_iter().chain(pause);
    found
        .map(|(reason, command)| finding("connection", reason, command, now))
        .collect()
}

/// Returns the findings about the last comparisons of the books.
pub(crate) fn books_findings(books: &[TieOut], now: DateTime<Utc>) -> Vec<Finding> {
    let different = books.iter().filter(|books| books.status != "ok");
    different
        .map(|books| {
            let command = books.command(&schema_flag(&books.schema));
            let reason = Reason::BooksDiffer { as_of: books.as_of };
            finding("books", reason, Some(command), now)
        })
        .collect()
}
