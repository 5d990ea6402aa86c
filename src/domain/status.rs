//! Statuses that are stored in tables and shown in reports, each a closed set with one text per
//! value.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Result};

/// Declares a status: an enum whose text is the same in tables, in JSON and for people.
macro_rules! status {
    (
        $(#[$about:meta])*
        $name:ident { $($(#[$about_value:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "snake_case")]
        #[cfg_attr(test, derive(utoipa::ToSchema))]
        pub enum $name {
            $($(#[$about_value])* $value,)+
        }

        impl $name {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$value,)+];

            /// Returns the text in tables and reports.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($text => Ok(Self::$value),)+
                    _ => Err(Error::decode(stringify!($name), format!("'{text}' is unknown"))),
                }
            }
        }
    };
}

status! {
    /// Status of a job in the queue.
    JobStatus {
        /// Waiting for a worker.
        Queued = "queued",
        /// Claimed by a worker.
        Running = "running",
        /// Finished; everything it was asked for is in step.
        Done = "done",
        /// Finished with an error.
        Failed = "failed",
        /// Ended on request.
        Cancelled = "cancelled",
    }
}

status! {
    /// Status of the sync of one entity of one company.
    EntitySyncStatus {
        /// Its sync has been started and its turn has not come yet.
        Pending = "pending",
        /// Its changes are being fetched.
        InProgress = "in_progress",
        /// Its last sync succeeded.
        Success = "success",
        /// Its last sync failed.
        Failed = "failed",
        /// The company's plan or country does not have it.
        Unavailable = "unavailable",
    }
}

status! {
    /// State of a company's connection to QuickBooks.
    ConnectionState {
        /// Works.
        Active = "active",
        /// Works, and ends within 30 days.
        ExpiresSoon = "expires_soon",
        /// A person must connect the company again.
        NeedsReauth = "needs_reauth",
    }
}

status! {
    /// Status of a run in `qbo.runs`.
    LedgerRunStatus {
        /// Running now, or its process was killed.
        Running = "running",
        /// No window failed.
        Ok = "ok",
        /// Some windows failed; the others are committed.
        Partial = "partial",
        /// Every window that was tried failed.
        Failed = "failed",
        /// Stopped by a signal or by its caller.
        Interrupted = "interrupted",
    }
}

status! {
    /// Status of a window in `qbo.windows`.
    LedgerWindowStatus {
        /// Running now, or its process was killed.
        Running = "running",
        /// Committed.
        Done = "done",
        /// Its last attempt failed.
        Failed = "failed",
        /// Has crashed its process too often and is skipped.
        Stuck = "stuck",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_one_text_for_tables_and_json() {
        macro_rules! check {
            ($($name:ident)+) => {$(
                for status in $name::ALL {
                    let json = serde_json::to_string(status).unwrap();
                    assert_eq!(json, format!("\"{status}\""));
                    assert_eq!(status.as_str().parse::<$name>().unwrap(), *status);
                }
            )+};
        }
        check!(JobStatus EntitySyncStatus ConnectionState LedgerRunStatus LedgerWindowStatus);
        assert!("gone".parse::<JobStatus>().is_err());
    }
}
