//! Whether a run or a sync that stands in a table still goes on, by its pulse: one rule for those who wait
//! for it, and for those who tell what is under way.

/// A run, by its row of `qbo.runs` under this name. It counts as dead after four beats without one. A
/// ledger that was not upgraded yet has no pulse, so that it is read by way of JSON.
macro_rules! run_is_alive {
    ($run:literal) => {
        concat!(
            "(",
            $run,
            ".status = 'running' AND coalesce((to_jsonb(",
            $run,
            ") ->> 'alive_at_utc')::timestamptz, ",
            $run,
            ".started_at_utc) > clock_timestamp() - interval '1 minute')"
        )
    };
}

/// A sync, by its row of `qbo.sync_turns`. It counts as dead after four beats, too.
macro_rules! turn_is_alive {
    () => {
        "(alive_at_utc > clock_timestamp() - interval '30 seconds')"
    };
}

pub(crate) use {run_is_alive, turn_is_alive};
