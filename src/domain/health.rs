//! Whether an entity or a company needs somebody, and why: the words in which `status`, the status page,
//! Python and `/healthz?deep` say it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

/// The degree to which something needs somebody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It needs nobody.
    #[default]
    InStep,
    /// It is being read: nobody knows yet.
    UnderWay,
    /// Something is missing that may be meant so, or will need somebody.
    Attention,
    /// Something has failed, or is wrong.
    Failed,
}

/// The reason why something is not in step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// A person must connect the company again.
    NeedsReauth,
    /// The connection ends soon.
    ConnectionEnds {
        /// Whole days until then.
        days_left: i64,
    },
    /// QuickBooks has asked to send nothing for long.
    Paused {
        /// The end of the pause.
        until: DateTime<Utc>,
    },
    /// The books do not agree with QuickBooks's reports.
    BooksDiffer {
        /// The day of the balances.
        as_of: NaiveDate,
    },
    /// Not everything could be compared with QuickBooks's reports. Of the rest, nothing is unexplained or needs somebody.
    BooksUnverified {
        /// The day of the balances.
        as_of: NaiveDate,
    },
    /// The books differ for known causes, about which somebody has to do something.
    BooksNeedSomebody {
        /// The day of the balances.
        as_of: NaiveDate,
        /// Number of transactions.
        transactions: u64,
    },
    /// The schema is empty: no entity was ever loaded.
    NothingLoaded,
    /// A sync has begun with the entity, and none has read it.
    NeverRead,
    /// Windows crash their process, and are not tried again.
    Stuck {
        /// Number of windows.
        windows: u64,
    },
    /// The last run should go on, and its process has ended or says nothing.
    Died {
        /// Minutes since its last sign of life.
        silent_min: i64,
    },
    /// The last run was stopped.
    Interrupted {
        /// When it ended.
        at: DateTime<Utc>,
    },
    /// Windows have failed.
    WindowsFailed {
        /// Number of windows.
        windows: u64,
    },
    /// Windows were begun and have not ended, and nobody is at it any more.
    WindowsAbandoned {
        /// Number of windows.
        windows: u64,
    },
    /// `verify` has found differences that none has taken back since.
    Differs {
        /// Number of ranges.
        ranges: u64,
        /// First instant of the first one.
        start: DateTime<Utc>,
        /// First instant after the last one.
        end: DateTime<Utc>,
        /// When the last one was found.
        found_at: DateTime<Utc>,
    },
    /// Checks of the table have found something.
    ChecksFailed {
        /// Number of checks.
        checks: u64,
    },
    /// The last sync has failed.
    SyncFailed,
    /// The last sync ended before it had read the entity.
    SyncEnded,
    /// The last sync is long ago.
    Old {
        /// When it succeeded.
        synced_at: DateTime<Utc>,
    },
    /// Records are set aside.
    SetAside {
        /// Number of records.
        records: u64,
    },
    /// Time is missing between what is committed.
    Missing {
        /// Whole days.
        days: u64,
        /// Its first instant.
        first: DateTime<Utc>,
    },
    /// A run reads it.
    Running {
        /// When the run began.
        since: DateTime<Utc>,
    },
    /// A sync reads it.
    Syncing,
}

impl Reason {
    /// Returns the degree to which it needs somebody.
    pub fn level(&self) -> Level {
        match self {
            Self::Running { .. } | Self::Syncing => Level::UnderWay,
            Self::ConnectionEnds { .. }
            | Self::Paused { .. }
            | Self::BooksUnverified { .. }
            | Self::BooksNeedSomebody { .. }
            | Self::NothingLoaded
            | Self::Old { .. }
            | Self::SetAside { .. }
            | Self::Missing { .. } => Level::Attention,
            Self::NeedsReauth
            | Self::BooksDiffer { .. }
            | Self::NeverRead
            | Self::Stuck { .. }
            | Self::Died { .. }
            | Self::Interrupted { .. }
            | Self::WindowsFailed { .. }
            | Self::WindowsAbandoned { .. }
            | Self::Differs { .. }
            | Self::ChecksFailed { .. }
            | Self::SyncFailed
            | Self::SyncEnded => Level::Failed,
        }
    }
}

/// A reason why something is not in step, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The entity, `connection` or `books`.
    pub about: String,
    /// The degree to which it needs somebody.
    pub level: Level,
    /// The reason.
    #[serde(flatten)]
    pub reason: Reason,
    /// The reason in an English phrase.
    pub text: String,
    /// The command that helps.
    pub command: Option<String>,
}

/// Returns the level of all findings together: the worst of them.
pub fn level_of(findings: &[Finding]) -> Level {
    let levels = findings.iter().map(|finding| finding.level);
    levels.max().unwrap_or_default()
}
