//! Instants in the time of a place: that of the machine, or of a zone that was named.

use chrono::{DateTime, Datelike as _, FixedOffset, Local, Utc};
use chrono_tz::Tz;

use crate::domain::Window;
use crate::domain::instant::format_instant;
use crate::language::{Language, current};

/// The place whose time is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalTime(pub Option<Tz>);

impl LocalTime {
    fn at(self, at: DateTime<Utc>) -> DateTime<FixedOffset> {
        match self.0 {
            Some(zone) => at.with_timezone(&zone).fixed_offset(),
            None => at.with_timezone(&Local).fixed_offset(),
        }
    }

    /// Writes an instant in UTC, and in a zone that was named.
    pub(super) fn both(self, at: DateTime<Utc>) -> String {
        match self.0 {
            None => format_instant(at),
            Some(zone) => format!(
                "{} = {}",
                format_instant(at),
                at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z")
            ),
        }
    }

    /// Writes a window as a half-open range.
    pub(super) fn span(self, window: &Window) -> String {
        format!("[{}, {})", self.both(window.start), self.both(window.end))
    }

    /// Writes an instant with its offset from UTC: 27 Nov 12:03 (UTC-5).
    pub(super) fn with_offset(self, at: DateTime<Utc>) -> String {
        let local = self.at(at);
        let minutes = local.offset().local_minus_utc() / 60;
        let (hours, rest) = (minutes / 60, (minutes % 60).abs());
        let offset = match (minutes, rest) {
            (0, _) => "UTC".to_owned(),
            (_, 0) => format!("UTC{hours:+}"),
            _ => format!("UTC{hours:+}:{rest:02}"),
        };
        format!("{} ({offset})", day_and_time(local))
    }

    /// Writes the time of day, with seconds.
    pub(super) fn time_of_day(self, at: DateTime<Utc>) -> String {
        self.at(at).format("%H:%M:%S").to_string()
    }

    /// Writes the time of day of an instant of today, and the day of an earlier one.
    pub(super) fn clock(self, at: DateTime<Utc>, now: DateTime<Utc>) -> String {
        let (local, today) = (self.at(at), self.at(now).date_naive());
        match local.date_naive() == today {
            true => local.format("%H:%M").to_string(),
            false => day_and_time(local),
        }
    }
}

/// The months in Spanish, as they are shortened.
const MESES: [&str; 12] = [
    "ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic",
];

fn day_and_time(at: DateTime<FixedOffset>) -> String {
    let month = match current() {
        Language::En => at.format("%b").to_string(),
        Language::Es => MESES[at.month0() as usize].to_owned(),
    };
    format!("{} {month} {}", at.format("%-d"), at.format("%H:%M"))
}

/// Says how long ago an instant was.
pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    crate::app::health::ago(current(), at, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_name_their_offset() {
        let at: DateTime<Utc> = "2026-11-27T17:03:09Z".parse().unwrap();
        let zone = |name: &str| LocalTime(Some(name.parse().unwrap()));
        assert_eq!(
            zone("America/Guayaquil").with_offset(at),
            "27 Nov 12:03 (UTC-5)"
        );
        assert_eq!(
            zone("Asia/Kolkata").with_offset(at),
            "27 Nov 22:33 (UTC+5:30)"
        );
        assert_eq!(zone("UTC").with_offset(at), "27 Nov 17:03 (UTC)");
        let later: DateTime<Utc> = "2026-11-29T17:03:09Z".parse().unwrap();
        assert_eq!(zone("UTC").clock(at, at), "17:03");
        assert_eq!(zone("UTC").clock(at, later), "27 Nov 17:03");
        assert_eq!(ago(at, later), "2 days ago");
    }
}
