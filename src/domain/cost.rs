//! The cost of a run before it is started: windows, requests, time, share of the month's quota.

use serde::Serialize;

/// The windows of one entity's run, and its requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RunCost {
    /// Windows of the range.
    pub windows: u64,
    /// Windows that earlier runs have committed; 0 unless the run resumes them.
    pub committed: u64,
    /// Windows that begin in the future, so that there is nothing to read yet.
    pub future: u64,
    /// Windows that would be read.
    pub to_read: u64,
    /// Records in the windows that would be read, if QuickBooks was asked.
    pub rows: Option<u64>,
    /// Requests: about as many if `rows` is known, else the least.
    pub requests: u64,
}

impl RunCost {
    /// Sets the requests of a run. `reads` is the number of reads that begin with a request of their
    /// own: stretches of adjacent windows, or windows.
    #[must_use]
    pub fn with_requests(self, reads: u64, page_size: u32) -> Self {
        let pages = self.rows.unwrap_or(0) / u64::from(page_size.max(1));
        let requests = match self.to_read {
            0 => 0,
            _ => reads.max(1) + pages,
        };
        Self { requests, ..self }
    }
}

/// The cost of all runs of a call.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CallCost {
    /// Requests: about as many if the records were counted, else the least.
    pub requests: u64,
    /// Whether QuickBooks was asked for the number of records.
    pub counted: bool,
    /// The least time that the limits allow for these requests, in seconds.
    pub seconds: u64,
    /// Requests a minute that the limits allow; 0: no limit.
    pub requests_per_minute: u32,
    /// Reads a month that the company's app is granted; 0: not metered.
    pub monthly_quota: u64,
    /// Share of the quota, in percent.
    pub quota_percent: Option<f64>,
}

impl CallCost {
    /// Returns the cost of `requests` under limits of requests a second and a minute; 0 is no limit.
    pub fn new(
        requests: u64,
        counted: bool,
        (per_second, per_minute): (u32, u32),
        monthly_quota: u64,
    ) -> Self {
        let by_second = match per_second {
            0 => 0,
            limit => requests.div_ceil(u64::from(limit)),
        };
        // The first minute's requests need not be spread over a minute.
        let by_minute = match per_minute {
            0 => 0,
            limit => (requests.saturating_sub(u64::from(limit)) * 60).div_ceil(u64::from(limit)),
        };
        Self {
            requests,
            counted,
            seconds: by_second.max(by_minute),
            requests_per_minute: per_minute,
            monthly_quota,
            quota_percent: (monthly_quota > 0)
                .then(|| requests as f64 * 100.0 / monthly_quota as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_costs_a_request_for_each_read_and_each_further_page() {
        let cost = RunCost {
            to_read: 24,
            ..RunCost::default()
        };
        assert_eq!(cost.with_requests(1, 1000).requests, 1);
        assert_eq!(cost.with_requests(24, 1000).requests, 24);
        let counted = RunCost {
            rows: Some(5000),
            ..cost
        };
        assert_eq!(counted.with_requests(1, 1000).requests, 6);
        assert_eq!(RunCost::default().with_requests(0, 1000).requests, 0);
    }

    #[test]
    fn the_time_of_a_call_follows_the_tighter_limit() {
        let seconds = |requests, limits| CallCost::new(requests, true, limits, 0).seconds;
        assert_eq!(seconds(500, (10, 500)), 50);
        assert_eq!(seconds(60_000, (10, 500)), 7140);
        assert_eq!(seconds(60_000, (0, 0)), 0);
        let cost = CallCost::new(5000, true, (10, 500), 500_000);
        assert_eq!(cost.quota_percent, Some(1.0));
        assert_eq!(CallCost::new(1, true, (10, 500), 0).quota_percent, None);
    }
}
