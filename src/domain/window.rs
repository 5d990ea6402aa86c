//! Half-open windows of time, and the division of a range into windows.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, Months, NaiveDateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::guess::{closest, unaccented};
use crate::domain::instant::format_instant;
use crate::domain::plan::{RangeBound, parse_range};
use crate::domain::zone::Zone;
use crate::error::{Error, Result};

/// A half-open interval of UTC time: `start` is inside, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Bounds")]
pub struct Window {
    /// First instant of the window.
    pub start: DateTime<Utc>,
    /// First instant after the window.
    pub end: DateTime<Utc>,
}

/// The bounds of a window as text, in any form that [`parse_range`] reads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    start: String,
    end: String,
}

impl TryFrom<Bounds> for Window {
    type Error = Error;

    fn try_from(bounds: Bounds) -> Result<Self> {
        Self::parse(&bounds.start, &bounds.end)
    }
}

impl Window {
    /// Reads both bounds, in any form that [`parse_instant`](super::instant::parse_instant) reads.
    ///
    /// ```
    /// let year = qbo_rs::domain::Window::parse("2025-01-01", "2026-01-01")?;
    /// # Ok::<(), qbo_rs::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] about `start` or `end`, if it cannot be read or the end is not after the
    /// start.
    pub fn parse(start: &str, end: &str) -> Result<Self> {
        parse_range(RangeBound::new("start", start), RangeBound::new("end", end))
    }

    /// Creates a window.
    ///
    /// # Errors
    /// [`Error::Config`] with both bounds, if the end is not after the start.
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self> {
        if end <= start {
            let (start, end) = (format_instant(start), format_instant(end));
            return Err(Error::config(
                "end",
                format!("{end} is not after start {start}; exchange them, or name a later end"),
            ));
        }
        Ok(Self { start, end })
    }

    /// Returns the whole seconds that the window lies in: the range that can be asked for, and holds all of it.
    #[must_use]
    pub(crate) fn in_whole_seconds(self) -> Self {
        let (start, end) = (self.start.trunc_subsecs(0), self.end.trunc_subsecs(0));
        Self {
            start,
            end: match end < self.end {
                true => end + TimeDelta::seconds(1),
                false => end,
            },
        }
    }

    /// Returns true if the two have time in common.
    pub fn overlaps(self, other: Window) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Returns the parts of `self` that `windows` do not cover, oldest first. The windows may overlap
    /// and be in any order.
    #[must_use]
    pub fn minus(&self, windows: &[Window]) -> Vec<Window> {
        let mut sorted: Vec<_> = windows
            .iter()
            .filter(|w| w.end > self.start && w.start < self.end)
            .collect();
        sorted.sort();
        let (mut uncovered, mut covered_to) = (Vec::new(), self.start);
        for window in sorted {
            if window.start > covered_to {
                uncovered.push(Window {
                    start: covered_to,
                    end: window.start,
                });
            }
            covered_to = covered_to.max(window.end);
        }
        if covered_to < self.end {
            uncovered.push(Window {
                start: covered_to,
                end: self.end,
            });
        }
        uncovered
    }
}

/// Merges overlapping and adjacent windows; returns as few windows as possible, oldest first.
pub fn merged(windows: &[Window]) -> Vec<Window> {
    let mut sorted = windows.to_vec();
    sorted.sort();
    let mut merged: Vec<Window> = Vec::new();
    for window in sorted {
        match merged.last_mut() {
            Some(last) if window.start <= last.end => last.end = last.end.max(window.end),
            _ => merged.push(window),
        }
    }
    merged
}

/// Splits windows into what is still to read and what is committed, in this order.
///
/// A window that is committed in part is divided: a resumed run may cut the range differently from
/// the run before it.
pub fn split_committed(windows: &[Window], committed: &[Window]) -> (Vec<Window>, Vec<Window>) {
    let (mut remaining, mut skipped) = (Vec::new(), Vec::new());
    for window in windows {
        let parts = window.minus(committed);
        skipped.extend(window.minus(&parts));
        remaining.extend(parts);
    }
    (remaining, skipped)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "[{}, {})",
            format_instant(self.start),
            format_instant(self.end)
        )
    }
}

/// Unit of the division of a range into windows, a day by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Chunk {
    /// A number of hours.
    Hours(u32),
    /// A number of days of 24 hours.
    Days(u32),
    /// A number of calendar months, counted from the start of the range. Ends of months are clamped.
    Months(u32),
}

/// Maximum number of days in one window. A larger number is most likely a typing error.
const MAX_DAYS: u32 = 36_500;
/// The same in hours.
const MAX_HOURS: u32 = MAX_DAYS * 24;

/// The names of units, in English and Spanish, without accents.
const UNITS: [(Chunk, &[&str]); 6] = [
    (Chunk::Hours(1), &["hour", "hours", "hora", "horas"]),
    (Chunk::Days(1), &["day", "days", "dia", "dias"]),
    (Chunk::Days(7), &["week", "weeks", "semana", "semanas"]),
    (Chunk::Months(1), &["month", "months", "mes", "meses"]),
    (
        Chunk::Months(3),
        &["quarter", "quarters", "trimestre", "trimestres"],
    ),
    (Chunk::Months(12), &["year", "years", "ano", "anos"]),
];

/// Returns a name of a unit as people write it. Without its accent, the Spanish year is another word.
fn accented(name: &str) -> &str {
    match name {
        "ano" => "año",
        "anos" => "años",
        "dia" => "día",
        "dias" => "días",
        other => other,
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::Days(1)
    }
}

impl TryFrom<String> for Chunk {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Chunk {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = unaccented(text.trim());
        let unit = UNITS.iter().find(|(_, names)| names.contains(&&*name));
        if let Some((unit, _)) = unit {
            return Ok(*unit);
        }
        let number = |unit: char| {
            let digits = name.strip_suffix(unit)?;
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse::<u32>().unwrap_or(u32::MAX))
        };
        let refuse = |reason: String| Err(Error::config("chunk", reason));
        match (number('d'), number('h')) {
            (Some(days @ 1..=MAX_DAYS), _) => Ok(Self::Days(days)),
            (_, Some(hours @ 1..=MAX_HOURS)) => Ok(Self::Hours(hours)),
            (Some(_), _) => refuse(format!("'{text}' is not 1 to {MAX_DAYS} days")),
            (_, Some(_)) => refuse(format!("'{text}' is not 1 to {MAX_HOURS} hours")),
            (None, None) => refuse(
                match closest(&name, UNITS.iter().flat_map(|(_, names)| *names).copied()) {
                    Some(guess) => {
                        let guess = accented(guess);
                        format!("unknown chunk '{text}'; did you mean '{guess}'?")
                    }
                    None => format!(
                        "unknown chunk '{text}'; use hour, day, week, month, quarter, year, Nd (50d) or Nh (6h)"
                    ),
                },
            ),
        }
    }
}

/// Writes a chunk as its flag takes it.
impl fmt::Display for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(unit, _)| unit == self);
        match (unit, self) {
            (Some((_, names)), _) => f.write_str(names[0]),
            (None, Self::Hours(hours)) => write!(f, "{hours}h"),
            (None, Self::Days(days)) => write!(f, "{days}d"),
            // No flag means any other number of months.
            (None, Self::Months(months)) => write!(f, "{months} months"),
        }
    }
}

impl Chunk {
    /// Returns the shortest chunk of days that is not shorter than a time.
    pub fn of_days(time: TimeDelta) -> Self {
        let days = time.num_days() + i64::from(time > TimeDelta::days(time.num_days()));
        let days = u32::try_from(days).unwrap_or(MAX_DAYS);
        Self::Days(days.clamp(1, MAX_DAYS))
    }

    /// Returns the `index`-th boundary after `start`. Boundaries are counted from `start`: counting
    /// from the previous boundary would give 31 January, 28 February, 28 March instead of 31 January,
    /// 28 February, 31 March.
    fn boundary(self, start: NaiveDateTime, index: u32) -> Option<NaiveDateTime> {
        match self {
            Self::Hours(hours) => start.checked_add_signed(TimeDelta::hours(
                i64::from(hours).checked_mul(i64::from(index))?,
            )),
            Self::Days(days) => {
                start.checked_add_days(Days::new(u64::from(days) * u64::from(index)))
            }
            Self::Months(months) => {
                start.checked_add_months(Months::new(months.checked_mul(index)?))
            }
        }
    }
}

/// Divides `range` into windows of one `chunk`, oldest first. They are adjacent and together exactly the
/// range. The last one may be shorter.
pub fn chunk_range(range: Window, chunk: Chunk) -> Vec<Window> {
    chunk_range_in(range, chunk, Zone::default())
}

/// Divides `range` like [`chunk_range`], by the calendar and the clocks of a zone: a day in which clocks
/// are put forward is a window of 23 hours.
pub fn chunk_range_in(range: Window, chunk: Chunk, zone: Zone) -> Vec<Window> {
    // Hours pass whatever clocks show: an hour that comes twice is two windows.
    let zone = match chunk {
        Chunk::Hours(_) => Zone::default(),
        _ => zone,
    };
    let first = zone.local(range.start);
    let mut windows = Vec::new();
    let mut start = range.start;
    for index in 1.. {
        let end = chunk
            .boundary(first, index)
            .and_then(|boundary| zone.instant(boundary))
            .map_or(range.end, |boundary| boundary.min(range.end));
        // A zone can leave out a whole day, which is no window then.
        if end <= start {
            continue;
        }
        windows.push(Window { start, end });
        if end == range.end {
            break;
        }
        start = end;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::parse_instant;
    use crate::testing::measured;
    use proptest::prelude::*;

    const ZONES: &[&str] = &[
        "UTC",
        "America/Guayaquil",
        "America/New_York",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Apia",
    ];

    fn window(start: &str, end: &str) -> Window {
        Window::new(
            parse_instant("start", start).unwrap(),
            parse_instant("end", end).unwrap(),
        )
        .unwrap()
    }

    fn starts(range: Window, chunk: &str) -> Vec<String> {
        let windows = chunk_range(range, chunk.parse().unwrap());
        windows
            .iter()
            .map(|w| format_instant(w.start)[..10].to_owned())
            .collect()
    }

    #[test]
    fn month_ends_are_clamped_and_not_forgotten() {
        assert_eq!(
            starts(window("2025-01-31", "2025-05-31"), "month"),
            ["2025-01-31", "2025-02-28", "2025-03-31", "2025-04-30"]
        );
        assert_eq!(
            starts(window("2024-02-29", "2026-03-01"), "year"),
            ["2024-02-29", "2025-02-28", "2026-02-28"]
        );
    }

    #[test]
    fn a_chunk_is_written_as_its_flag_takes_it() {
        for text in [
            "hour", "day", "week", "month", "quarter", "year", "900d", "6h",
        ] {
            let chunk: Chunk = text.parse().unwrap();
            assert_eq!(chunk.to_string(), text);
        }
        for (hours, chunk) in [(1, "day"), (24, "day"), (25, "2d"), (24 * 900, "900d")] {
            assert_eq!(Chunk::of_days(TimeDelta::hours(hours)).to_string(), chunk);
        }
    }

    #[test]
    fn every_unit_gives_the_expected_number_of_windows() {
        let year = window("2025-01-01", "2026-01-01");
        for (chunk, count) in [
            ("day", 365),
            ("week", 53),
            ("month", 12),
            ("quarter", 4),
            ("year", 1),
            ("50d", 8),
            ("hour", 8760),
            ("6h", 1460),
        ] {
            assert_eq!(
                chunk_range(year, chunk.parse().unwrap()).len(),
                count,
                "{chunk}"
            );
        }
    }

    #[test]
    fn a_day_that_a_zone_leaves_out_is_no_window() {
        let range = window("2011-12-28T10:00:00Z", "2012-01-02T10:00:00Z");
        let windows = chunk_range_in(range, Chunk::Days(1), "Pacific/Apia".parse().unwrap());
        let starts: Vec<_> = windows
            .iter()
            .map(|window| format_instant(window.start))
            .collect();
        // The 30th of December 2011 never came in Samoa; after it, midnight is at 10:00 UTC.
        assert_eq!(windows.len(), 5, "{starts:?}");
        assert!(
            windows
                .iter()
                .all(|window| (window.end - window.start).num_hours() == 24),
            "{starts:?}"
        );
    }

    #[test]
    fn unknown_chunks_are_refused_with_their_text() {
        for text in [
            "",
            "fortnight",
            "d",
            "h",
            "0d",
            "0h",
            "-1d",
            "1.5d",
            "99999d",
            "999999h",
            "-day",
            "month2",
            "+5d",
        ] {
            let error = text.parse::<Chunk>().unwrap_err().to_string();
            assert!(
                error.starts_with("chunk: ") && error.contains(&format!("'{text}'")),
                "{error}"
            );
        }
    }

    #[test]
    fn units_have_a_singular_a_plural_and_spanish_names() {
        for (names, chunk) in [
            ("hour hours HORA horas 1h", Chunk::Hours(1)),
            ("day Days día dias 1d", Chunk::Days(1)),
            ("week weeks semana semanas 7d", Chunk::Days(7)),
            ("month months mes MESES", Chunk::Months(1)),
            ("quarter quarters trimestre trimestres", Chunk::Months(3)),
            ("year years año años Año", Chunk::Months(12)),
        ] {
            for name in names.split(' ') {
                assert_eq!(name.parse::<Chunk>().unwrap(), chunk, "{name}");
            }
        }
        for (typed, meant) in [
            ("monht", "month"),
            ("semna", "semana"),
            ("mese", "mes"),
            ("añoo", "año"),
        ] {
            let error = typed.parse::<Chunk>().unwrap_err().to_string();
            let guess = format!("'{typed}'; did you mean '{meant}'?");
            assert!(error.ends_with(&guess), "{error}");
        }
    }

    #[test]
    fn an_hour_that_clocks_show_twice_is_two_windows() {
        // Clocks in New York went from 2 to 1 at 06:00 UTC.
        let range = window("2025-11-02T05:00:00Z", "2025-11-02T08:00:00Z");
        let windows = chunk_range_in(range, Chunk::Hours(1), "America/New_York".parse().unwrap());
        assert_eq!(windows.len(), 3, "{windows:?}");
    }

    #[test]
    fn an_end_that_is_not_after_the_start_is_refused() {
        let day = parse_instant("start", "2025-01-01").unwrap();
        assert!(Window::new(day, day).is_err());
    }

    #[test]
    fn minus_finds_gaps_and_handles_overlaps() {
        let whole = window("2025-01-01", "2025-01-10");
        let parts = [
            window("2025-01-05", "2025-01-12"),
            window("2024-12-01", "2025-01-04"),
            window("2025-01-03", "2025-01-05"),
        ];
        assert_eq!(whole.minus(&parts), []);
        assert_eq!(whole.minus(&parts[..2]).len(), 1);
        assert_eq!(whole.minus(&[]), [whole]);
    }

    proptest! {
        #[test]
        fn windows_are_adjacent_and_together_the_range(
            start in 0i64..2_000_000_000, length in 1i64..400_000_000,
            chunk in prop_oneof![(24u32..9000).prop_map(Chunk::Hours), (1u32..400).prop_map(Chunk::Days), (1u32..25).prop_map(Chunk::Months)],
            zone in proptest::sample::select(ZONES),
        ) {
            let at = |s| DateTime::from_timestamp(s, 0).unwrap();
            let range = Window::new(at(start), at(start + length)).unwrap();
            let windows = chunk_range_in(range, chunk, zone.parse().unwrap());
            if zone == "UTC" {
                prop_assert_eq!(&windows, &chunk_range(range, chunk));
            }
            prop_assert_eq!(windows[0].start, range.start);
            prop_assert_eq!(windows[windows.len() - 1].end, range.end);
            prop_assert!(windows.iter().all(|w| w.start < w.end));
            prop_assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].start));
        }

        #[test]
        fn covered_and_uncovered_parts_are_disjoint_and_together_the_whole(
            whole in (0i64..40, 1i64..40),
            others in proptest::collection::vec((0i64..60, 1i64..20), 0..6),
        ) {
            let window = |(start, length): (i64, i64)| {
                let at = |s| DateTime::from_timestamp(s, 0).unwrap();
                Window::new(at(start), at(start + length)).unwrap()
            };
            let (whole, others) = (window(whole), others.into_iter().map(window).collect::<Vec<_>>());
            let uncovered = whole.minus(&others);
            let covered = whole.minus(&uncovered);
            let holds = |windows: &[Window], s: i64| windows.iter().any(|w| w.start.timestamp() <= s && s < w.end.timestamp());
            for second in -1..90 {
                prop_assert_eq!(holds(&uncovered, second), holds(&[whole], second) && !holds(&others, second));
                prop_assert_eq!(holds(&covered, second), holds(&[whole], second) && holds(&others, second));
                prop_assert_eq!(holds(&merged(&others), second), holds(&others, second));
            }
            prop_assert!(merged(&others).windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

    #[test]
    fn instructions_of_dividing_a_range() {
        let range = window("2005-01-01", "2025-01-01");
        let zone = "America/New_York".parse().unwrap();
        let (remaining, skipped) = measured(|| {
            let days = chunk_range_in(range, Chunk::Days(1), zone);
            let months: Vec<Window> = chunk_range_in(range, Chunk::Months(1), zone);
            let committed: Vec<Window> = months.into_iter().step_by(2).collect();
            split_committed(&days, &merged(&committed))
        });
        assert_eq!(remaining.len() + skipped.len(), 7305);
    }
}
