//! The steps that help against each error, and how far it reaches.

use super::Error;

/// SQLSTATEs, or their classes, of failures that pass by themselves in a moment: a lost connection,
/// a transaction that was rolled back, as in a deadlock, or ended because this process was stopped in
/// it, too many connections, a lock that others hold, a server that restarts.
const PASSING_SOON: &[&str] = &[
    "08", "40", "25P03", "53300", "55P03", "57P01", "57P02", "57P03", "57P05",
];

/// SQLSTATEs of failures that pass without a change of ours, but not soon: a lack of resources.
const PASSING_LATER: &[&str] = &["53", "57P"];

/// The step that helps against an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Recovery {
    /// The same call may succeed later, unchanged.
    Retry,
    /// A person must authorise the connection again.
    Reauthorise,
    /// Only a change of input, settings or data helps.
    Abort,
}

impl Recovery {
    /// The name that Python users see in `QboError.recovery`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reauthorise => "reauthorise",
            Self::Abort => "abort",
        }
    }
}

impl Error {
    /// Returns the step that helps.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::RateLimited { .. }
            | Self::AskedToWait { .. }
            | Self::CircuitOpen { .. }
            | Self::Busy { .. }
            | Self::RequestCap { .. }
            | Self::ReadCap { .. }
            | Self::Transport { .. }
            | Self::Cancelled => Recovery::Retry,
            Self::Unauthenticated { .. } => Recovery::Reauthorise,
            Self::AfterAttempts { last, .. } => last.recovery(),
            Self::Database { .. } if self.is_in_state(&[PASSING_SOON, PASSING_LATER]) => {
                Recovery::Retry
            }
            Self::Database { .. } => Recovery::Abort,
            Self::Config { .. }
            | Self::PermissionDenied { .. }
            | Self::Unavailable { .. }
            | Self::EntityDenied { .. }
            | Self::CompanyClosed { .. }
            | Self::Api { .. }
            | Self::TooLarge { .. }
            | Self::Decode { .. }
            | Self::SearchEnded { .. }
            | Self::TooManyRejects { .. }
            | Self::Landing { .. }
            | Self::Stuck { .. }
            | Self::Internal(_) => Recovery::Abort,
        }
    }

    /// Returns true if the database is likely to accept the same window soon: it is restarting, or
    /// another transaction was in the way. False for a full disk, and for a statement timeout,
    /// which would recur.
    pub fn is_transient_in_database(&self) -> bool {
        self.is_in_state(&[PASSING_SOON])
    }

    /// Returns true if Postgres has ended the transaction because it and another one waited for each other.
    pub(crate) fn is_deadlock(&self) -> bool {
        matches!(self, Self::Database { sqlstate: Some(state), .. } if state == "40P01")
    }

    /// Returns true if the database has answered with one of these states, or has not answered.
    fn is_in_state(&self, states: &[&[&str]]) -> bool {
        let Self::Database { sqlstate, .. } = self else {
            return false;
        };
        let is_one = |state: &String| {
            let mut listed = states.iter().copied().flatten();
            listed.any(|listed| state.starts_with(listed))
        };
        sqlstate.as_ref().is_none_or(is_one)
    }

    /// Returns true if the cause is in the records: what arrived before can be stored, and smaller
    /// windows have fewer of them.
    pub fn is_of_records(&self) -> bool {
        matches!(self, Self::SearchEnded { .. } | Self::TooManyRejects { .. })
    }

    /// Returns true if the company does not have the entity that was asked for. Every other window
    /// of this entity would fail in the same way, and no window of another entity.
    pub fn is_unavailable(&self) -> bool {
        matches!(self.last(), Self::Unavailable { .. })
    }

    /// Returns true if every other window of this entity would fail in the same way, although the
    /// company has the entity.
    pub fn denies_entity(&self) -> bool {
        matches!(self.last(), Self::EntityDenied { .. })
    }

    /// Returns true if every other request to the company would fail in the same way, so that no
    /// other entity should be tried either.
    pub fn ends_company(&self) -> bool {
        matches!(
            self.last(),
            Self::Unauthenticated { .. }
                | Self::PermissionDenied { .. }
                | Self::CompanyClosed { .. }
                | Self::AskedToWait { .. }
                | Self::RequestCap { .. }
                | Self::ReadCap { .. }
                | Self::Cancelled
        )
    }

    /// Returns true if every other window would fail in the same way, whatever its entity, so that
    /// the run should stop. False for [`Error::Unavailable`] and
    /// [`Error::EntityDenied`], which end the run of one entity only.
    pub fn ends_run(&self) -> bool {
        match self {
            Self::AfterAttempts { last, .. } => last.ends_run(),
            Self::Landing { is_of_place, .. } => *is_of_place,
            Self::Config { .. }
            | Self::Unauthenticated { .. }
            | Self::PermissionDenied { .. }
            | Self::CompanyClosed { .. }
            | Self::AskedToWait { .. }
            | Self::CircuitOpen { .. }
            | Self::Busy { .. }
            | Self::RequestCap { .. }
            | Self::ReadCap { .. }
            | Self::Cancelled
            | Self::Internal(_) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_again_for_a_window_can_be_tried_again_by_the_caller() {
        let refused = |state: Option<&str>| Error::Database {
            reason: String::new(),
            sqlstate: state.map(str::to_owned),
            source: None,
        };
        for state in PASSING_SOON.iter().copied().chain(["08006", "40P01"]) {
            let error = refused(Some(state));
            assert!(error.is_transient_in_database(), "{state}");
            assert_eq!(error.recovery(), Recovery::Retry, "{state}");
        }
        for (state, recovery) in [("53100", Recovery::Retry), ("42501", Recovery::Abort)] {
            let error = refused(Some(state));
            assert!(!error.is_transient_in_database(), "{state}");
            assert_eq!(error.recovery(), recovery, "{state}");
        }
        assert!(refused(None).is_transient_in_database());
        assert!(!Error::Cancelled.is_transient_in_database());
    }
}
