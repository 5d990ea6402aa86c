//! The time between two syncs of a company.

use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// The time in which each company is synced once: at least a second, at most a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(Duration);

const MAX: Duration = Duration::from_secs(7 * 86_400);

impl Interval {
    /// Returns the length of the interval.
    pub fn get(self) -> Duration {
        self.0
    }
}

/// Reads `30s`, `5m` or `1h`.
impl FromStr for Interval {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let seconds = |text: &str| -> Option<u64> {
            let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
            let factor = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return None,
            };
            number.parse::<u64>().ok()?.checked_mul(factor)
        };
        seconds(text.trim())
            .map(Duration::from_secs)
            .filter(|interval| *interval > Duration::ZERO && *interval <= MAX)
            .map(Self)
            .ok_or_else(|| {
                Error::config(
                    "every",
                    format!("'{text}' is not an interval; write 30s, 5m or 1h"),
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_and_others_named() {
        for (text, seconds) in [("30s", 30), ("5m", 300), (" 1h ", 3600)] {
            let interval: Interval = text.parse().unwrap();
            assert_eq!(interval.get(), Duration::from_secs(seconds));
        }
        for wrong in ["", "5", "m", "0s", "5 m", "-5m", "9999999h", "5d"] {
            let error = wrong.parse::<Interval>().unwrap_err().to_string();
            assert!(error.starts_with("every: '"), "{wrong}");
        }
    }
}
