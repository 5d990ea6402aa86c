//! Time zones: when a day of a place begins.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, LocalResult, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use serde::Deserialize;

use crate::domain::excerpt::{MAX_SHOWN, excerpt};
use crate::domain::guess::{closest, folded};
use crate::error::{Error, Result};

/// A named zone, such as `America/Guayaquil`; UTC by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone(Tz);

impl Default for Zone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl From<Tz> for Zone {
    fn from(zone: Tz) -> Self {
        Self(zone)
    }
}

impl FromStr for Zone {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wanted = folded(name);
        let found = TZ_VARIANTS
            .iter()
            .find(|zone| folded(zone.name()) == wanted);
        found.copied().map(Self).ok_or_else(|| {
            let shown = excerpt(name, MAX_SHOWN);
            if is_offset(&shown) {
                let reason = format!(
                    "'{shown}' is an offset, and no zone; name a place, as America/Guayaquil, or write Etc/GMT+5, \
                     which is five hours behind UTC"
                );
                return Error::config("tz", reason);
            }
            let reason = match guess(name) {
                Some(meant) => format!("'{shown}' is not a zone; did you mean {meant}?"),
                None => format!("'{shown}' is not a zone; write it as America/Guayaquil"),
            };
            Error::config("tz", reason)
        })
    }
}

/// Capitals whose zone has the name of another city.
const CAPITALS: [(&str, &str); 4] = [
    ("quito", "America/Guayaquil"),
    ("brasilia", "America/Sao_Paulo"),
    ("ottawa", "America/Toronto"),
    ("washington", "America/New_York"),
];

/// Returns the zone that is most likely meant. The places are compared: a continent that two zones share
/// would make them look near to each other.
fn guess(name: &str) -> Option<&'static str> {
    let place_of = |zone: &str| folded(zone.rsplit('/').next().unwrap_or_default());
    let typed = place_of(name);
    let capital = CAPITALS.iter().find(|(capital, _)| *capital == typed);
    if let Some((_, zone)) = capital {
        return Some(zone);
    }
    let all = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let continent_of = |zone: &str| zone.split_once('/').map(|(continent, _)| folded(continent));
    let continent = continent_of(name).filter(|typed| {
        let mut known = all().filter_map(continent_of);
        known.any(|known| known == *typed)
    });
    let zones = || all().filter(|zone| continent.is_none() || continent_of(zone) == continent);
    let places: Vec<String> = zones().map(place_of).collect();
    let place = closest(&typed, places.iter().map(String::as_str))?;
    zones().find(|zone| place_of(zone) == place)
}

/// Returns whether a text is a distance from UTC, such as `GMT+5` or `-05:00`.
fn is_offset(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let text = ["UTC", "GMT"]
        .into_iter()
        .find_map(|word| text.strip_prefix(word))
        .unwrap_or(&text);
    let distance = text.strip_prefix(['+', '-']).unwrap_or_default();
    !distance.is_empty()
        && distance
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b':')
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl TryFrom<String> for Zone {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl Zone {
    /// Returns the zone of the library.
    pub fn tz(self) -> Tz {
        self.0
    }

    /// Returns the time that clocks of the zone show.
    pub fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.0).naive_local()
    }

    /// Returns the first instant at which clocks of the zone show this time or, if they are put
    /// forward over it, the one at which they would have shown it. `None` is beyond the calendar.
    pub fn instant(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self.0.from_local_datetime(&local) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.to_utc()),
            LocalResult::None => {
                // A day earlier is before every change of clocks, also where a whole day was left out.
                let before = local.checked_sub_days(Days::new(1))?;
                let offset = self.0.offset_from_utc_datetime(&before).fix();
                Some(local.checked_sub_offset(offset)?.and_utc())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(zone: &str, local: &str) -> String {
        let local = NaiveDateTime::parse_from_str(local, "%Y-%m-%dT%H:%M").unwrap();
        let at = zone.parse::<Zone>().unwrap().instant(local).unwrap();
        at.format("%Y-%m-%dT%H:%MZ").to_string()
    }

    #[test]
    fn a_time_of_a_place_is_an_instant() {
        for (zone, local, at) in [
            ("UTC", "2025-01-01T00:00", "2025-01-01T00:00Z"),
            ("America/Guayaquil", "2025-01-01T00:00", "2025-01-01T05:00Z"),
            ("america/guayaquil", "2025-01-01T00:00", "2025-01-01T05:00Z"),
            // Summer begins: 02:30 is left out.
            ("America/New_York", "2025-03-09T02:30", "2025-03-09T07:30Z"),
            // It ends: 01:30 comes twice, and the first is meant.
            ("America/New_York", "2025-11-02T01:30", "2025-11-02T05:30Z"),
            // Midnight itself is left out.
            ("America/Sao_Paulo", "2018-11-04T00:00", "2018-11-04T03:00Z"),
            // A whole day is left out.
            ("Pacific/Apia", "2011-12-30T00:00", "2011-12-30T10:00Z"),
            ("Pacific/Apia", "2011-12-31T00:00", "2011-12-30T10:00Z"),
        ] {
            assert_eq!(instant(zone, local), at, "{zone} {local}");
        }
    }

    #[test]
    fn an_unknown_zone_is_answered_by_a_guess() {
        let text = "America/Guayaqil".parse::<Zone>().unwrap_err().to_string();
        assert!(text.contains("did you mean America/Guayaquil?"), "{text}");
        for (typed, meant) in [
            ("America/Quito", "America/Guayaquil"),
            ("Quito", "America/Guayaquil"),
            ("Amercia/Bogota", "America/Bogota"),
        ] {
            let text = typed.parse::<Zone>().unwrap_err().to_string();
            assert!(text.contains(&format!("did you mean {meant}?")), "{text}");
        }
        for far in ["America/Cuenca", "America/Manta", "Ecuador"] {
            let text = far.parse::<Zone>().unwrap_err().to_string();
            assert!(text.ends_with("write it as America/Guayaquil"), "{text}");
        }
        for offset in ["GMT+5", "+05:00", "utc-3", "-0500"] {
            let text = offset.parse::<Zone>().unwrap_err().to_string();
            assert!(
                text.contains("is an offset") && text.contains("Etc/GMT+5"),
                "{text}"
            );
        }
        let text = "Mars".parse::<Zone>().unwrap_err().to_string();
        assert!(text.starts_with("tz: 'Mars' is not a zone; "), "{text}");
    }
}
