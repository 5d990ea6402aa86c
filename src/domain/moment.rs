//! Instants and ranges as people write them: `today`, `-30d`, `2025-Q1`, a day in their own zone.

use chrono::{DateTime, Days, Months, NaiveDate, NaiveTime, SubsecRound, TimeDelta, Utc};

use crate::domain::instant::{parse_instant_in, storable};
use crate::domain::misread::instead_of;
use crate::domain::plan::RangeBound;
use crate::domain::{Window, Zone};
use crate::error::{Error, Result};

/// The present, and the zone in which people mean their dates.
#[derive(Debug, Clone, Copy)]
pub struct Calendar {
    now: DateTime<Utc>,
    zone: Zone,
}

/// The unit of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Month,
    Quarter,
    Year,
}

/// Whole days: from the first to the one before `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Period {
    unit: Unit,
    first: NaiveDate,
    next: NaiveDate,
}

impl Period {
    /// Returns the first and the last day.
    fn days(self) -> (NaiveDate, NaiveDate) {
        (self.first, self.next.pred_opt().unwrap_or(self.first))
    }
}

/// The most days of a range that is counted back from the present.
const MAX_DAYS: u64 = 36_500;

/// Texts that can be written, for errors.
const INSTANTS: &str = "2025-01-31, 2025-01-31T00:00:00Z, 2025-01, 2025-Q1, today or -30d";
const PERIODS: &str = "2024-01-31, 2024-01, 2024-Q1, 2024 or yesterday";

impl Calendar {
    /// Returns the calendar of a zone at an instant.
    pub fn new(now: DateTime<Utc>, zone: Zone) -> Self {
        // QuickBooks filters by whole seconds.
        let now = now.trunc_subsecs(0);
        Self { now, zone }
    }

    /// Reads an instant: what [`parse_instant`](super::instant::parse_instant) reads, with dates and
    /// times without an offset in the zone; `now`, `-12h`; the beginning of `today`, `yesterday`,
    /// `-30d`, `-2w`, `2025-01`, `2025-Q1`, `2025`.
    ///
    /// # Errors
    /// [`Error::Config`] with `setting` and the text.
    pub fn instant(self, setting: &str, text: &str) -> Result<DateTime<Utc>> {
        let word = text.trim().to_lowercase();
        let relative = match word.as_str() {
            "now" | "ahora" => Some(self.now),
            word => word
                .strip_prefix('-')
                .and_then(|back| number_of(back, "h"))
                .and_then(|hours| self.hours_ago(hours)),
        };
        let of_period = || Some(self.midnight(self.period(&word)?.first));
        match relative.map(Some).or_else(of_period) {
            Some(Some(at)) => storable(setting, text, at),
            Some(None) => Err(Error::config(
                setting,
                format!("'{text}' is not in the years 1 to 9999"),
            )),
            None => parse_instant_in(setting, text, INSTANTS, |local| self.zone.instant(local)),
        }
    }

    /// Reads both bounds of a range.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting of the bound that is wrong.
    pub fn range(self, start: RangeBound<'_>, end: RangeBound<'_>) -> Result<Window> {
        let from = self.instant(start.setting, start.text)?;
        let until = self.instant(end.setting, end.text)?;
        between((from, start), (until, end))
    }

    /// Reads a range whose last day, month, quarter or year belongs to it.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting of the bound that is wrong.
    pub fn range_through(self, start: RangeBound<'_>, last: RangeBound<'_>) -> Result<Window> {
        let from = self.instant(start.setting, start.text)?;
        let until = self.midnight_of(last, self.named_period(last)?.next)?;
        between((from, start), (until, last))
    }

    /// Reads one month, such as `2024-01`.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting and the text.
    pub fn month(self, month: RangeBound<'_>) -> Result<Window> {
        self.window_of(month, self.whole(month, Unit::Month)?)
    }

    /// Reads one quarter, such as `2024-Q1`.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting and the text.
    pub fn quarter(self, quarter: RangeBound<'_>) -> Result<Window> {
        self.window_of(quarter, self.whole(quarter, Unit::Quarter)?)
    }

    /// Returns the first and the last day of a month.
    ///
    /// # Errors
    /// As for [`month`](Self::month).
    pub fn month_days(self, month: RangeBound<'_>) -> Result<(NaiveDate, NaiveDate)> {
        Ok(self.whole(month, Unit::Month)?.days())
    }

    /// Returns the first and the last day of a quarter.
    ///
    /// # Errors
    /// As for [`quarter`](Self::quarter).
    pub fn quarter_days(self, quarter: RangeBound<'_>) -> Result<(NaiveDate, NaiveDate)> {
        Ok(self.whole(quarter, Unit::Quarter)?.days())
    }

    fn whole(self, bound: RangeBound<'_>, unit: Unit) -> Result<Period> {
        let found = self.period(&bound.text.trim().to_lowercase());
        found.filter(|period| period.unit == unit).ok_or_else(|| {
            let example = match unit {
                Unit::Quarter => "2024-Q1",
                _ => "2024-01",
            };
            let text = bound.text;
            // What is found is a day or a year, and a month or a quarter is asked for.
            let reason = match instead_of(text).filter(|_| found.is_none()) {
                Some(meant) => format!("cannot read '{text}'; {meant}"),
                None => format!("cannot read '{text}'; write {example}"),
            };
            Error::config(bound.setting, reason)
        })
    }

    fn window_of(self, bound: RangeBound<'_>, period: Period) -> Result<Window> {
        let start = self.midnight_of(bound, period.first)?;
        Window::new(start, self.midnight_of(bound, period.next)?)
    }

    /// Reads the time up to the present: `90d` and `4w` begin with a day, `12h` with an hour.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting and the text.
    pub fn last(self, last: RangeBound<'_>) -> Result<Window> {
        let text = last.text.trim().to_lowercase();
        let days_ago = |days: u64| self.midnight(self.today().checked_sub_days(Days::new(days))?);
        let start = match number_of(&text, "h") {
            Some(hours) => self.hours_ago(hours),
            None => days(&text).and_then(days_ago),
        };
        match start {
            Some(start) if start < self.now => Window::new(start, self.now),
            _ => {
                let reason = format!("cannot read '{}'; write 90d, 4w or 12h", last.text);
                Err(Error::config(last.setting, reason))
            }
        }
    }

    /// Reads the days up to today, which is the last of them: `30d` are thirty. Of hours, such as `12h`, those
    /// that they lie in.
    ///
    /// # Errors
    /// As for [`last`](Self::last).
    pub fn last_days(self, last: RangeBound<'_>) -> Result<(NaiveDate, NaiveDate)> {
        let window = self.last(last)?;
        let today = self.today();
        let before = days(&last.text.trim().to_lowercase()).map(|count| count.saturating_sub(1));
        let first = before.and_then(|before| today.checked_sub_days(Days::new(before)));
        let begins = || self.zone.local(window.start).date();
        Ok((first.unwrap_or_else(begins), today))
    }

    /// Reads a day, or the first day of a period.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting and the text.
    pub fn first_day(self, day: RangeBound<'_>) -> Result<NaiveDate> {
        Ok(self.named_period(day)?.first)
    }

    /// Reads a day, or the last day of a period.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting and the text.
    pub fn last_day(self, day: RangeBound<'_>) -> Result<NaiveDate> {
        Ok(self.named_period(day)?.days().1)
    }

    fn named_period(self, bound: RangeBound<'_>) -> Result<Period> {
        let found = self.period(&bound.text.trim().to_lowercase());
        found.ok_or_else(|| {
            let text = bound.text;
            let reason = match instead_of(text) {
                Some(meant) => format!("cannot read '{text}' as a day; {meant}"),
                None => format!("cannot read '{text}' as a day; write {PERIODS}"),
            };
            Error::config(bound.setting, reason)
        })
    }

    /// Reads a text in lower case as a day, a month, a quarter or a year.
    fn period(self, text: &str) -> Option<Period> {
        let today = self.today();
        let day = match text {
            "today" | "hoy" => Some(today),
            "yesterday" | "ayer" => today.pred_opt(),
            "tomorrow" | "mañana" => today.succ_opt(),
            text => match text.strip_prefix('-').and_then(days) {
                Some(back) => today.checked_sub_days(Days::new(back)),
                None => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok(),
            },
        };
        if let Some(first) = day {
            let next = first.succ_opt()?;
            let unit = Unit::Day;
            return Some(Period { unit, first, next });
        }
        let (year, rest) = text.split_once('-').unwrap_or((text, ""));
        let (unit, month, months) = match rest.strip_prefix('q') {
            None if !text.contains('-') => (Unit::Year, 1, 12),
            None => (Unit::Month, digits(rest, 2)?, 1),
            Some(quarter) => (
                Unit::Quarter,
                1 + 3 * digits(quarter, 1)?.checked_sub(1)?,
                3,
            ),
        };
        let year = i32::try_from(digits(year, 4)?).ok()?;
        let first = NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()?, 1)?;
        let next = first.checked_add_months(Months::new(months))?;
        Some(Period { unit, first, next })
    }

    fn today(self) -> NaiveDate {
        self.zone.local(self.now).date()
    }

    fn hours_ago(self, hours: u64) -> Option<DateTime<Utc>> {
        let hours = Some(hours).filter(|hours| *hours <= 24 * MAX_DAYS)?;
        let hours = i64::try_from(hours).ok()?;
        self.now.checked_sub_signed(TimeDelta::hours(hours))
    }

    fn midnight(self, day: NaiveDate) -> Option<DateTime<Utc>> {
        self.zone.instant(day.and_time(NaiveTime::MIN))
    }

    fn midnight_of(self, bound: RangeBound<'_>, day: NaiveDate) -> Result<DateTime<Utc>> {
        let beyond = || {
            let reason = format!("'{}' is not in the years 1 to 9999", bound.text);
            Error::config(bound.setting, reason)
        };
        let at = self.midnight(day).ok_or_else(beyond)?;
        storable(bound.setting, bound.text, at)
    }
}

fn between(
    (from, start): (DateTime<Utc>, RangeBound<'_>),
    (until, end): (DateTime<Utc>, RangeBound<'_>),
) -> Result<Window> {
    Window::new(from, until).map_err(|_| {
        let reason = format!(
            "'{}' is not after {} '{}'",
            end.text.trim(),
            start.setting,
            start.text.trim()
        );
        Error::config(end.setting, reason)
    })
}

/// Reads days or weeks: `30d`, `4w`.
fn days(text: &str) -> Option<u64> {
    let weeks = || number_of(text, "w")?.checked_mul(7);
    let days = number_of(text, "d").or_else(weeks)?;
    (days <= MAX_DAYS).then_some(days)
}

/// Reads a number before a unit.
fn number_of(text: &str, unit: &str) -> Option<u64> {
    let number = text.strip_suffix(unit)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.parse().ok())?
}

/// Reads a number of so many digits.
fn digits(text: &str, count: usize) -> Option<u64> {
    (text.len() == count).then(|| number_of(text, ""))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::{format_instant, parse_instant};
    use crate::domain::{Chunk, chunk_range_in};

    /// Half past three in the night of New Year in UTC, and still the last day of the year in Ecuador.
    fn at_new_year(zone: &str) -> Calendar {
        let now = "2025-01-01T03:30:00.75Z".parse().unwrap();
        Calendar::new(now, zone.parse().unwrap())
    }

    fn bound(text: &str) -> RangeBound<'_> {
        RangeBound::new("x", text)
    }

    #[test]
    fn words_and_periods_are_instants_of_the_zone() {
        for (zone, text, at) in [
            ("UTC", "now", "2025-01-01T03:30:00Z"),
            ("UTC", "-12h", "2024-12-31T15:30:00Z"),
            ("UTC", "today", "2025-01-01T00:00:00Z"),
            ("UTC", "YESTERDAY", "2024-12-31T00:00:00Z"),
            ("UTC", "-30d", "2024-12-02T00:00:00Z"),
            ("UTC", "-2w", "2024-12-18T00:00:00Z"),
            ("UTC", "-0d", "2025-01-01T00:00:00Z"),
            ("UTC", "2025-Q1", "2025-01-01T00:00:00Z"),
            ("UTC", "2024-q4", "2024-10-01T00:00:00Z"),
            ("UTC", "2025-02", "2025-02-01T00:00:00Z"),
            ("UTC", "2024", "2024-01-01T00:00:00Z"),
            ("UTC", "2024-01-31", "2024-01-31T00:00:00Z"),
            ("America/Guayaquil", "now", "2025-01-01T03:30:00Z"),
            ("America/Guayaquil", "today", "2024-12-31T05:00:00Z"),
            ("America/Guayaquil", "ayer", "2024-12-30T05:00:00Z"),
            ("America/Guayaquil", "-1d", "2024-12-30T05:00:00Z"),
            ("America/Guayaquil", "2024-01-31", "2024-01-31T05:00:00Z"),
            (
                "America/Guayaquil",
                "2024-01-31T10:00",
                "2024-01-31T15:00:00Z",
            ),
            (
                "America/Guayaquil",
                "2024-01-31T10:00:00Z",
                "2024-01-31T10:00:00Z",
            ),
            ("America/Guayaquil", "2024-Q1", "2024-01-01T05:00:00Z"),
            ("Europe/Madrid", "2024-07", "2024-06-30T22:00:00Z"),
        ] {
            let found = at_new_year(zone).instant("start", text).unwrap();
            assert_eq!(format_instant(found), at, "{zone} {text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_setting() {
        for text in [
            "",
            "-",
            "-d",
            "-30",
            "30d",
            "-30m",
            "-1.5d",
            "-99999999999999999999d",
            "2025-Q5",
            "2025-Q0",
            "2025-13",
            "2025-1",
            "25",
            "20255",
            "2025-02-30",
            "soon",
            "--end",
            "2025-01-01T00:00:00.5Z",
            "0000",
            "-40000d",
        ] {
            let error = at_new_year("UTC").instant("start", text).unwrap_err();
            assert!(error.to_string().starts_with("start: "), "{error}");
        }
    }

    #[test]
    fn a_range_through_a_period_ends_after_it() {
        for (start, through, window) in [
            (
                "2024-01-01",
                "2024-01-31",
                "[2024-01-01T00:00:00Z, 2024-02-01T00:00:00Z)",
            ),
            (
                "2024-02-29",
                "2024-02-29",
                "[2024-02-29T00:00:00Z, 2024-03-01T00:00:00Z)",
            ),
            (
                "2024",
                "2024-02",
                "[2024-01-01T00:00:00Z, 2024-03-01T00:00:00Z)",
            ),
            (
                "2024-Q1",
                "2024-Q4",
                "[2024-01-01T00:00:00Z, 2025-01-01T00:00:00Z)",
            ),
            (
                "2023",
                "2024",
                "[2023-01-01T00:00:00Z, 2025-01-01T00:00:00Z)",
            ),
            (
                "yesterday",
                "today",
                "[2024-12-31T00:00:00Z, 2025-01-02T00:00:00Z)",
            ),
        ] {
            let found = at_new_year("UTC").range_through(bound(start), bound(through));
            assert_eq!(found.unwrap().to_string(), window, "{start} {through}");
        }
        let calendar = at_new_year("UTC");
        assert!(
            calendar
                .range_through(bound("2024-02-01"), bound("2024-01-31"))
                .is_err()
        );
        assert!(
            calendar
                .range_through(bound("2024"), bound("2024-01-31T10:00:00Z"))
                .is_err()
        );
        assert!(
            calendar
                .range(bound("2024-01-31"), bound("2024-01"))
                .is_err()
        );
    }

    #[test]
    fn months_quarters_and_the_last_days_are_ranges() {
        let calendar = at_new_year("America/Guayaquil");
        for (found, window) in [
            (
                calendar.month(bound("2024-02")),
                "[2024-02-01T05:00:00Z, 2024-03-01T05:00:00Z)",
            ),
            (
                calendar.quarter(bound("2024-Q4")),
                "[2024-10-01T05:00:00Z, 2025-01-01T05:00:00Z)",
            ),
            (
                calendar.last(bound("90d")),
                "[2024-10-02T05:00:00Z, 2025-01-01T03:30:00Z)",
            ),
            (
                calendar.last(bound("1w")),
                "[2024-12-24T05:00:00Z, 2025-01-01T03:30:00Z)",
            ),
            (
                calendar.last(bound("12h")),
                "[2024-12-31T15:30:00Z, 2025-01-01T03:30:00Z)",
            ),
        ] {
            assert_eq!(found.unwrap().to_string(), window);
        }
        for text in ["", "90", "-90d", "d", "0h", "3m"] {
            assert!(calendar.last(bound(text)).is_err(), "{text}");
        }
        // At that instant it is still 2024 in Ecuador.
        for (found, days) in [
            (calendar.last_days(bound("30d")), "2024-12-02 2024-12-31"),
            (calendar.last_days(bound("1w")), "2024-12-25 2024-12-31"),
            (calendar.last_days(bound("1d")), "2024-12-31 2024-12-31"),
            (calendar.last_days(bound("23h")), "2024-12-30 2024-12-31"),
            (
                calendar.month_days(bound("2024-02")),
                "2024-02-01 2024-02-29",
            ),
            (
                calendar.quarter_days(bound("2024-Q4")),
                "2024-10-01 2024-12-31",
            ),
        ] {
            let (first, last) = found.unwrap();
            assert_eq!(format!("{first} {last}"), days);
        }
        assert!(calendar.last_days(bound("90")).is_err());
        assert!(calendar.month(bound("2024-Q1")).is_err());
        assert!(calendar.quarter(bound("2024-01")).is_err());
        assert_eq!(
            calendar.last_day(bound("2024-02")).unwrap().to_string(),
            "2024-02-29"
        );
        assert_eq!(
            calendar.first_day(bound("today")).unwrap().to_string(),
            "2024-12-31"
        );
    }

    #[test]
    fn days_of_23_and_25_hours_are_one_window_each() {
        for (zone, month, long, hours) in [
            ("America/New_York", "2025-03", "2025-03-09", 23),
            ("America/New_York", "2025-11", "2025-11-02", 25),
            ("Europe/Madrid", "2025-03", "2025-03-30", 23),
            ("Europe/Madrid", "2025-10", "2025-10-26", 25),
        ] {
            let calendar = at_new_year(zone);
            let range = calendar.month(bound(month)).unwrap();
            let windows = chunk_range_in(range, Chunk::Days(1), calendar.zone);
            let odd: Vec<_> = windows
                .iter()
                .filter(|window| (window.end - window.start).num_hours() != 24)
                .collect();
            assert_eq!(odd.len(), 1, "{zone} {month}");
            assert_eq!((odd[0].end - odd[0].start).num_hours(), hours);
            assert_eq!(odd[0].start, calendar.instant("x", long).unwrap());
            let local = |at| calendar.zone.local(at).time();
            assert!(
                windows
                    .iter()
                    .all(|window| local(window.start) == NaiveTime::MIN)
            );
        }
    }

    #[test]
    fn without_a_zone_what_was_read_before_is_read_the_same() {
        for text in [
            "2025-01-01",
            "2024-12-31T19:00:00-05:00",
            "2025-01-01 10:20:30",
            "2025-01-01T10:20",
        ] {
            let before = parse_instant("x", text).unwrap();
            assert_eq!(
                at_new_year("UTC").instant("x", text).unwrap(),
                before,
                "{text}"
            );
        }
    }
}
