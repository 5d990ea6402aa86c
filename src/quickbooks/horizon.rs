//! The end of what a source reads, and of what it says that it has read.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tracing::warn;

use crate::domain::LOOK_BACK;

/// The lead over this machine's clock that is believed of QuickBooks' clock: as far as a sync looks back. Everything is
/// read up to QuickBooks' present, but no later time counts as read: if its clock was wrong for one answer, or is set
/// back, changes to come would lie in that time.
const MAX_AHEAD: TimeDelta = LOOK_BACK;

/// A difference of two clocks that people should know of.
const MAX_DIFFERENCE: TimeDelta = TimeDelta::days(1);

/// Ends of all reads of a source. All its reads share them, so that they all end at the same state of the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Horizon {
    /// End of what is read: the server's clock at the first answer, less the lag.
    pub reads_until: DateTime<Utc>,
    /// End of what counts as read.
    pub claims_until: DateTime<Utc>,
}

impl Horizon {
    /// Returns the horizon of an answer. One that does not say when it was made is as old as its arrival.
    pub(super) fn of(server: Option<DateTime<Utc>>, now: DateTime<Utc>, lag: TimeDelta) -> Self {
        let present = server.unwrap_or(now);
        if (present - now).abs() > MAX_DIFFERENCE {
            let minutes = MAX_AHEAD.num_minutes();
            warn!(
                phase = "extract",
                event = "clocks_differ",
                "QuickBooks says that it is {present}, and this machine says {now}: what counts as read is what the \
                 clock of QuickBooks has reached, and this machine's within {minutes} minutes"
            );
        }
        // QuickBooks filters by whole seconds: nobody could ask for a range that ends within one.
        Self {
            reads_until: (present - lag).trunc_subsecs(0),
            claims_until: (present.min(now + MAX_AHEAD) - lag).trunc_subsecs(0),
        }
    }

    /// Returns the end of what is read of a range.
    pub(super) fn end_of(horizon: Option<Self>, end: DateTime<Utc>) -> DateTime<Utc> {
        horizon.map_or(end, |horizon| end.min(horizon.reads_until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_read_is_what_the_clock_of_quickbooks_has_reached_and_this_one_nearly() {
        let now: DateTime<Utc> = "2026-11-29T12:00:00Z".parse().unwrap();
        let (lag, day) = (TimeDelta::seconds(30), TimeDelta::days(1));
        let of = |server| Horizon::of(server, now, lag);
        for behind in [TimeDelta::zero(), TimeDelta::minutes(4), day * -400] {
            let horizon = of(Some(now + behind));
            assert_eq!(horizon.reads_until, now + behind - lag);
            assert_eq!(horizon.claims_until, horizon.reads_until);
        }
        for ahead in [TimeDelta::minutes(6), day * 60] {
            let horizon = of(Some(now + ahead));
            assert_eq!(horizon.reads_until, now + ahead - lag);
            assert_eq!(horizon.claims_until, now + MAX_AHEAD - lag);
        }
        assert_eq!(of(None), of(Some(now)));
    }

    #[test]
    fn what_is_read_ends_with_a_whole_second() {
        let now: DateTime<Utc> = "2026-11-29T12:00:00.9Z".parse().unwrap();
        let (lag, read): (_, DateTime<Utc>) = (
            TimeDelta::milliseconds(30_500),
            "2026-11-29T11:59:30Z".parse().unwrap(),
        );
        for server in [None, Some(now), Some(now - TimeDelta::milliseconds(300))] {
            let horizon = Horizon::of(server, now, lag);
            assert_eq!(horizon.reads_until, read, "{server:?}");
            assert_eq!(horizon.claims_until, read, "{server:?}");
        }
    }
}
