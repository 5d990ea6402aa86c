//! The errors of the crate, and what a caller can do about each.
//!
//! A variant says *what happened*; [`Error::recovery`] says *what to do*. Texts are one line, whatever they quote, and
//! never hold a secret: token material is scrubbed where answers are parsed (`quickbooks::scrub`), and
//! the secrets of this process wherever data that cannot be understood is quoted.
//! They name settings by their variables; the command and the Python package add their own names
//! for them.

mod kind;
mod panics;
mod recovery;
mod trace;

use std::time::Duration;

pub(crate) use self::panics::without_panics;
pub use self::recovery::Recovery;
pub use self::trace::Trace;
use self::trace::trace_text;
use crate::held_secrets::hide;
use crate::terminal::one_line;

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a library behind one of ours.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong. Cheap to move: the rare large parts are boxed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting, flag or argument is missing or unusable. Found before any data request.
    #[error("{setting}: {reason}")]
    Config {
        /// The setting, flag or argument as the user wrote it.
        setting: String,
        /// The problem, and the value if it is not secret.
        reason: String,
    },

    /// The token endpoint or the API refused the credentials.
    #[error("credentials refused: {reason}{trace}")]
    Unauthenticated {
        /// Intuit's words, and the step to take.
        reason: String,
        /// The answer that said so.
        trace: Trace,
    },

    /// The token is valid but not for this company or host (QBO fault 3100).
    #[error("access denied: {reason}{trace}")]
    PermissionDenied {
        /// Intuit's words, and the usual cause.
        reason: String,
        /// The answer that said so.
        trace: Trace,
    },

    /// The company's plan or country does not have this entity (qbo-facts 13.7). It says
    /// nothing about other entities, and may change with the plan.
    #[error("not available in this company: {reason}{trace}")]
    Unavailable {
        /// Intuit's words.
        reason: String,
        /// The answer that said so.
        trace: Trace,
    },

    /// The company must have this entity, and yet QuickBooks refuses it: the user who connected the
    /// company may not read it (qbo-facts 13.7). It says nothing about other entities.
    #[error("access denied: {reason}{trace}")]
    EntityDenied {
        /// Intuit's words, and the step to take.
        reason: String,
        /// The answer that said so.
        trace: Trace,
    },

    /// The company answers no request: its subscription has ended, or it was deleted or suspended
    /// (QBO fault 6190).
    #[error("the company cannot be read: {reason}{trace}")]
    CompanyClosed {
        /// Intuit's words, and the step to take.
        reason: String,
        /// The answer that said so.
        trace: Trace,
    },

    /// Still throttled when tries or time ran out.
    #[error("rate limited by QuickBooks{trace}")]
    RateLimited {
        /// How long the server asked to wait, if it said so.
        retry_after: Option<Duration>,
        /// The answer that said so.
        trace: Trace,
    },

    /// QuickBooks asks for a longer wait than the call waits. No request is sent before its end.
    #[error("{reason}{trace}")]
    AskedToWait {
        /// The length of the wait and its end, as a sentence.
        reason: String,
        /// The length of the wait.
        wait: Duration,
        /// The answer that said so; empty if another process has seen it.
        trace: Trace,
    },

    /// The circuit breaker is open: the API has not answered for so long that nothing more is sent.
    #[error("{reason}")]
    CircuitOpen {
        /// Since when, and when the next probe may go.
        reason: String,
    },

    /// Another run or sync reads the same, or has taken over.
    #[error("{reason}")]
    Busy {
        /// Which one, and what stays.
        reason: String,
    },

    /// The caller's own cap on requests has been reached.
    #[error(
        "stopped at the maximum of requests, {max}, which QBO_MAX_REQUESTS sets; committed windows stay, and a \
         resumed run or the next sync continues after them"
    )]
    RequestCap {
        /// The cap.
        max: u64,
    },

    /// The caller's own cap on the reads of a month has been reached, by all companies and processes together.
    #[error(
        "the {max} reads of this month that QBO_MAX_MONTHLY_READS allows for all companies are used; nothing more is sent \
         before the next month (UTC), and committed windows stay"
    )]
    ReadCap {
        /// The cap.
        max: u64,
    },

    /// No usable answer: connection, time-out, cut body.
    #[error("{reason}")]
    Transport {
        /// The step that failed.
        reason: String,
        /// The request had been sent: it may have asked for too much.
        was_sent: bool,
        /// The error of the HTTP library, if there was one.
        source: Option<Cause>,
    },

    /// An answer is larger than its limit. It would be the next time, too.
    #[error("{reason}")]
    TooLarge {
        /// Whose answer, and the limit.
        reason: String,
    },

    /// The API answered with a fault.
    #[error(
        "QuickBooks answered HTTP {status}{}: {message}{}",
        .code.as_ref().map(|code| format!(", code {code}")).unwrap_or_default(),
        trace_text(None, .intuit_tid.as_deref())
    )]
    Api {
        /// HTTP status.
        status: u16,
        /// Intuit's fault code, if the answer had one.
        code: Option<String>,
        /// Intuit's message and detail, scrubbed.
        message: String,
        /// Intuit's id of the request.
        intuit_tid: Option<String>,
    },

    /// Data that cannot be understood: an answer, a landing line, a record without an `Id`.
    #[error("{what}: {reason}")]
    Decode {
        /// The thing that was being read.
        what: String,
        /// Why it could not be.
        reason: String,
    },

    /// The search for records that fail has cost as much as it may. What arrived before it ended can
    /// be stored.
    #[error("records: {reason}")]
    SearchEnded {
        /// Its cost, and the last failure.
        reason: String,
    },

    /// More records cannot be read or stored than may be set aside. What arrived before can be stored.
    #[error("window: {reason}")]
    TooManyRejects {
        /// How many, and the first reason.
        reason: String,
    },

    /// The retry loop gave up, at once or later; `last` is the final failure.
    #[error("{last}{}", tries(*.attempts, *.elapsed))]
    AfterAttempts {
        /// Number of times that the request was sent.
        attempts: u32,
        /// Time from the first attempt to giving up.
        elapsed: Duration,
        /// The failure of the last attempt.
        #[source]
        last: Box<Error>,
    },

    /// Postgres refused or went away.
    #[error("Postgres: {reason}{}", .sqlstate.as_ref().map(|s| format!(" (SQLSTATE {s})")).unwrap_or_default())]
    Database {
        /// The server's own words.
        reason: String,
        /// The five-character SQLSTATE, when the server sent one.
        sqlstate: Option<String>,
        /// The error of the database library, if there was one.
        source: Option<Cause>,
    },

    /// A window has ended its process so often that it is not tried again.
    #[error(
        "this window was begun {attempts} times and never ended, probably because it crashed the \
         process; it is skipped. Read it in smaller windows, or once more with QBO_MAX_ATTEMPTS=0"
    )]
    Stuck {
        /// Number of times that the window was begun.
        attempts: u32,
    },

    /// A landing file could not be read or written.
    #[error("{path}: {reason}")]
    Landing {
        /// The file or directory.
        path: String,
        /// The operating system's words.
        reason: String,
        /// Whether no other file could be written there either: the disk is full, say.
        is_of_place: bool,
    },

    /// The run was stopped from outside.
    #[error("stopped before it was done; committed windows stay")]
    Cancelled,

    /// A defect of ours: a panic or a broken invariant.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

/// Returns a text of others as one line: its lines are joined, and what would change a terminal is escaped.
fn quoted(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    one_line(&lines.collect::<Vec<_>>().join(" ")).into_owned()
}

/// An error and its causes, in one line. Libraries differ in whether a text repeats its cause's.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn tries(attempts: u32, elapsed: Duration) -> String {
    match attempts {
        0 | 1 => String::new(),
        attempts => {
            let seconds = format!("{:.1}", elapsed.as_secs_f64());
            let tries = format!("{attempts} attempts in {seconds} s");
            format!(" ({tries})")
        }
    }
}

impl Error {
    /// The failure behind a retry loop that gave up, or this one.
    pub fn last(&self) -> &Self {
        match self {
            Self::AfterAttempts { last, .. } => last.last(),
            other => other,
        }
    }

    /// A [`Error::Config`] about `setting`.
    pub fn config(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config {
            setting: quoted(&setting.into()),
            reason: quoted(&reason.into()),
        }
    }

    /// A [`Error::Decode`] about `what`.
    pub fn decode(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Decode {
            what: quoted(&what.into()),
            reason: quoted(&hide(&reason.to_string())),
        }
    }

    /// An [`Error::Database`] in the words of the server.
    pub(crate) fn database(reason: &str, sqlstate: Option<String>, source: Option<Cause>) -> Self {
        Self::Database {
            reason: quoted(&hide(reason)),
            sqlstate,
            source,
        }
    }

    /// An [`Error::Internal`] with the text of a panic, as `catch_unwind` returns it.
    pub(crate) fn from_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        // A panic may quote what it was about.
        let text = text.map(|text| quoted(&hide(&text)));
        Self::Internal(text.unwrap_or_else(|| "panic".to_owned()))
    }

    /// An [`Error::TooManyRejects`], which quotes the reason of a record: a landing file may hold any.
    pub(crate) fn too_many_rejects(reason: &str) -> Self {
        Self::TooManyRejects {
            reason: quoted(&hide(reason)),
        }
    }

    /// A [`Error::Landing`] about `path`.
    pub fn landing(path: &std::path::Path, reason: impl std::fmt::Display) -> Self {
        Self::Landing {
            path: quoted(&path.display().to_string()),
            reason: quoted(&reason.to_string()),
            is_of_place: false,
        }
    }

    /// A [`Error::Landing`] about `path`, which could not be written.
    pub(crate) fn unwritten(path: &std::path::Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{
            PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        // tempfile adds the path of a hidden file to the system's words, and hides its own type.
        let told = error.to_string();
        let reason = told
            .split_once(" at path ")
            .map_or(&*told, |(said, _)| said);
        let of_places = [
            PermissionDenied,
            QuotaExceeded,
            ReadOnlyFilesystem,
            StorageFull,
        ];
        Self::Landing {
            path: quoted(&path.display().to_string()),
            reason: quoted(reason),
            is_of_place: of_places.contains(&error.kind()),
        }
    }

    /// Adds a clause to the text. A failure that has no text of its own stays as it is.
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        match &mut self {
            Self::Config { reason, .. }
            | Self::Unauthenticated { reason, .. }
            | Self::PermissionDenied { reason, .. }
            | Self::Unavailable { reason, .. }
            | Self::EntityDenied { reason, .. }
            | Self::CompanyClosed { reason, .. }
            | Self::AskedToWait { reason, .. }
            | Self::CircuitOpen { reason }
            | Self::Busy { reason }
            | Self::Transport { reason, .. }
            | Self::TooLarge { reason }
            | Self::Api {
                message: reason, ..
            }
            | Self::Decode { reason, .. }
            | Self::SearchEnded { reason }
            | Self::TooManyRejects { reason }
            | Self::Database { reason, .. }
            | Self::Landing { reason, .. }
            | Self::Internal(reason) => *reason = format!("{reason}; {note}"),
            Self::AfterAttempts { last, .. } => {
                let inner = std::mem::replace(&mut **last, Self::Cancelled);
                **last = inner.with_note(note);
            }
            Self::RateLimited { .. }
            | Self::RequestCap { .. }
            | Self::ReadCap { .. }
            | Self::Stuck { .. }
            | Self::Cancelled => {}
        }
        self
    }

    /// Intuit's id of the request that failed, where there was an answer.
    pub fn trace_id(&self) -> Option<&str> {
        match self {
            Self::Unauthenticated { trace, .. }
            | Self::PermissionDenied { trace, .. }
            | Self::Unavailable { trace, .. }
            | Self::EntityDenied { trace, .. }
            | Self::CompanyClosed { trace, .. }
            | Self::RateLimited { trace, .. }
            | Self::AskedToWait { trace, .. } => trace.intuit_tid.as_deref(),
            Self::Api { intuit_tid, .. } => intuit_tid.as_deref(),
            Self::AfterAttempts { last, .. } => last.trace_id(),
            _ => None,
        }
    }

    /// The fault's code, where there was an answer that had one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Unauthenticated { trace, .. }
            | Self::PermissionDenied { trace, .. }
            | Self::Unavailable { trace, .. }
            | Self::EntityDenied { trace, .. }
            | Self::CompanyClosed { trace, .. }
            | Self::RateLimited { trace, .. }
            | Self::AskedToWait { trace, .. } => trace.code.as_deref(),
            Self::Api { code, .. } => code.as_deref(),
            Self::AfterAttempts { last, .. } => last.code(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn no_text_that_an_error_quotes_begins_a_line_or_changes_a_terminal() {
        let forged = "9\nERROR forged \u{1b}[31m\u{202e}";
        let path = Path::new(forged);
        let io = std::io::Error::other(forged);
        for error in [
            Error::config(forged, forged),
            Error::decode(forged, forged),
            Error::landing(path, forged),
            Error::unwritten(path, &io),
            Error::database(forged, None, None),
            Error::too_many_rejects(forged),
            Error::from_panic(&forged),
            Error::from_panic(&forged.to_owned()),
        ] {
            let text = error.to_string();
            assert_eq!(one_line(&text), text);
            assert!(
                text.contains(r"9 ERROR forged \u{1b}[31m\u{202e}"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_panic_or_the_reason_of_a_record_shows_no_secret() {
        let token = "hush-what-a-panic-has-quoted";
        let _held = crate::held_secrets::hold(token.to_owned());
        let said = format!("cannot read '{token}'");
        for error in [Error::too_many_rejects(&said), Error::from_panic(&said)] {
            let text = error.to_string();
            assert!(text.contains("cannot read '***'"), "{text}");
        }
    }
}
