//! The clock of a sandbox: the real time, moved by an offset. A sandbox without a server may have
//! another time in place of the real one.
//!
//! Every instant that a sandbox writes or compares comes from here: times of records and answers,
//! lifetimes of tokens, the 30 days of change data capture, the month of the quota, times of
//! webhooks. Waits stay real: rate limits, delays of faults and retries of webhooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// First second of the year 2000, before any record of QuickBooks Online.
const FIRST: i64 = 946_684_800;
/// First second of the year 2200.
const END: i64 = 7_258_118_400;

/// The clock of one sandbox. Clones show the same time.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// Returns the real time, or the time that a simulation has in its place.
    real_time: fn() -> DateTime<Utc>,
    /// Milliseconds between the real time and the time that the clock shows.
    offset: Arc<AtomicI64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::over(Utc::now)
    }
}

impl Clock {
    /// Returns a clock that shows `real_time` until it is moved.
    pub(crate) fn over(real_time: fn() -> DateTime<Utc>) -> Self {
        Self {
            real_time,
            offset: Arc::default(),
        }
    }

    /// Returns the time that the clock shows.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        shifted((self.real_time)(), self.offset_ms())
    }

    /// Returns the time that the clock shows, in seconds since 1970.
    pub(crate) fn second(&self) -> i64 {
        self.now().timestamp()
    }

    /// Returns the milliseconds by which the clock is ahead of the real time.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Sets the milliseconds by which the clock is ahead of the real time.
    ///
    /// # Errors
    /// The reason, if the clock would leave the years 2000 to 2199.
    pub(crate) fn set_offset_ms(&self, offset: i64) -> Result<(), String> {
        let now = TimeDelta::try_milliseconds(offset)
            .and_then(|offset| (self.real_time)().checked_add_signed(offset));
        match now {
            Some(now) if (FIRST..END).contains(&now.timestamp()) => {
                self.offset.store(offset, Ordering::Relaxed);
                Ok(())
            }
            _ => Err("the clock can only show the years 2000 to 2199".to_owned()),
        }
    }

    /// Moves the clock forward.
    ///
    /// # Errors
    /// The reason, if the clock would leave the years 2000 to 2199.
    pub(crate) fn advance(&self, by: Duration) -> Result<(), String> {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.set_offset_ms(self.offset_ms().saturating_add(by))
    }

    /// Sets the clock to an instant. Moves it back only if `backwards` says so, because the time of
    /// a real company never moves back.
    ///
    /// # Errors
    /// The reason, if the instant has passed, or is not in the years 2000 to 2199.
    pub(crate) fn set(&self, to: DateTime<Utc>, backwards: bool) -> Result<(), String> {
        let now = self.now();
        if to < now && !backwards {
            return Err(format!(
                "{} lies before {}, the present of this clock; backwards=true moves it back",
                format(to),
                format(now)
            ));
        }
        // Rounded up, so that the clock never shows an instant before `to`.
        let offset = to - (self.real_time)() + TimeDelta::microseconds(999);
        self.set_offset_ms(offset.num_milliseconds())
    }
}

/// Formats an instant as the clock shows it, in UTC.
pub(crate) fn format(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns the instant at which a lifetime ends that began at `start`. A lifetime without a
/// practical end ends at the last instant.
pub(crate) fn end_of(start: DateTime<Utc>, lifetime: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(lifetime)
        .ok()
        .and_then(|lifetime| start.checked_add_signed(lifetime))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Parses a duration: whole numbers with the units d, h, m or s, as in `31d` or `1d12h`.
///
/// # Errors
/// The reason, if the text is not a duration.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || {
        let text = text.trim();
        format!("'{text}' is not a duration such as 31d, 90m or 1d12h")
    };
    let (mut seconds, mut number) = (0u64, None::<u64>);
    for character in text.trim().chars() {
        let unit = match (character, character.to_digit(10)) {
            (_, Some(digit)) => {
                let known = number.unwrap_or(0).checked_mul(10);
                let next = known.and_then(|known| known.checked_add(u64::from(digit)));
                number = Some(next.ok_or_else(refused)?);
                continue;
            }
            ('d', _) => 86_400,
            ('h', _) => 3600,
            ('m', _) => 60,
            ('s', _) => 1,
            _ => return Err(refused()),
        };
        let part = number.take().and_then(|number| number.checked_mul(unit));
        seconds = part
            .and_then(|part| seconds.checked_add(part))
            .ok_or_else(refused)?;
    }
    // A number without a unit, or nothing at all.
    if number.is_some() || text.trim().is_empty() {
        return Err(refused());
    }
    Ok(Duration::from_secs(seconds))
}

fn shifted(instant: DateTime<Utc>, offset_ms: i64) -> DateTime<Utc> {
    TimeDelta::try_milliseconds(offset_ms)
        .and_then(|offset| instant.checked_add_signed(offset))
        .unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn is_near(clock: &Clock, instant: DateTime<Utc>) -> bool {
        (clock.now() - instant).abs() < TimeDelta::seconds(20)
    }

    #[test]
    fn a_clock_shows_the_real_time_until_it_is_moved_and_clones_move_with_it() {
        let clock = Clock::default();
        let clone = clock.clone();
        assert!(is_near(&clock, Utc::now()) && clock.offset_ms() == 0);
        clock.advance(Duration::from_secs(31 * 86_400)).unwrap();
        assert!(is_near(&clone, Utc::now() + TimeDelta::days(31)));
        clone.set(at("2150-03-01T08:00:00Z"), false).unwrap();
        assert!(is_near(&clock, at("2150-03-01T08:00:00Z")));
    }

    #[test]
    fn a_clock_moves_back_only_if_asked() {
        let clock = Clock::default();
        let refusal = clock.set(at("2020-01-01T00:00:00Z"), false).unwrap_err();
        assert!(
            refusal.starts_with("2020-01-01T00:00:00.000Z lies before 2"),
            "{refusal}"
        );
        assert!(clock.offset_ms() == 0);
        clock.set(at("2020-01-01T00:00:00Z"), true).unwrap();
        assert!(is_near(&clock, at("2020-01-01T00:00:00Z")));
    }

    #[test]
    fn a_clock_stays_within_two_centuries() {
        let clock = Clock::default();
        for refused in ["1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z"] {
            assert!(clock.set(at(refused), true).is_err(), "{refused}");
        }
        assert!(clock.advance(Duration::MAX).is_err());
        assert!(clock.set_offset_ms(i64::MIN).is_err());
        assert!(clock.offset_ms() == 0);
    }

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [
            ("31d", 31 * 86_400),
            ("90m", 5400),
            (" 1d12h ", 129_600),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "31", "d", "-1d", "1.5d", "1w", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_lifetime_without_end_ends_at_the_last_instant() {
        let start = at("2026-03-01T08:00:00Z");
        assert_eq!(
            end_of(start, Duration::from_secs(60)),
            at("2026-03-01T08:01:00Z")
        );
        assert_eq!(end_of(start, Duration::MAX), DateTime::<Utc>::MAX_UTC);
    }
}
