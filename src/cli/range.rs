//! The flags of a range, read as a window.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::app::calendar;
use crate::domain::{Calendar, RangeBound, Window, Zone};
use crate::error::{Error, Result};

#[derive(Debug, Args)]
struct RangeFlags {
    /// First instant: 2025-01-31, 2025-Q1, today, -30d, -12h
    #[arg(
        long,
        alias = "fecha-inicio",
        value_name = "INSTANT",
        allow_hyphen_values = true
    )]
    start: Option<String>,
    /// First instant after the range, written likewise
    #[arg(
        long,
        alias = "fecha-fin",
        value_name = "INSTANT",
        allow_hyphen_values = true
    )]
    end: Option<String>,
    /// Last day, month, quarter or year, instead of --end
    #[arg(
        long,
        value_name = "DAY",
        allow_hyphen_values = true,
        conflicts_with = "end"
    )]
    through: Option<String>,
    /// Instead of both: the time up to now, as 90d, 4w, 12h
    #[arg(long, value_name = "TIME", conflicts_with_all = ["start", "end", "through"])]
    last: Option<String>,
    /// Instead of both: one month, as 2024-01
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["start", "end", "through", "last"])]
    month: Option<String>,
    /// Instead of both: one quarter, as 2024-Q1
    #[arg(long, value_name = "QUARTER", conflicts_with_all = ["start", "end", "through", "last", "month"])]
    quarter: Option<String>,
}

impl RangeFlags {
    fn window(&self, calendar: Calendar) -> Result<Option<Window>> {
        let one = |setting: &'static str, text: &'_ Option<String>| {
            text.clone().map(|text| (setting, text))
        };
        let single = [
            one("last", &self.last),
            one("month", &self.month),
            one("quarter", &self.quarter),
        ];
        if let Some((setting, text)) = single.into_iter().flatten().next() {
            let bound = RangeBound::new(setting, &text);
            let window = match setting {
                "last" => calendar.last(bound),
                "month" => calendar.month(bound),
                _ => calendar.quarter(bound),
            };
            return window.map(Some);
        }
        let bound = RangeBound::new;
        match (&self.start, &self.end, &self.through) {
            (Some(start), Some(end), _) => calendar
                .range(bound("start", start), bound("end", end))
                .map(Some),
            (Some(start), None, Some(last)) => calendar
                .range_through(bound("start", start), bound("through", last))
                .map(Some),
            (Some(_), None, None) => Err(Error::config(
                "end",
                "--start has no end; add --end, or --through with the last day",
            )),
            (None, Some(_), _) | (None, _, Some(_)) => {
                Err(Error::config("start", "the range has no --start; add it"))
            }
            (None, None, None) => Ok(None),
        }
    }
}

/// Reads the window of the flags, with dates in the zone of `--tz` if the command has it.
fn read(matches: &ArgMatches) -> Result<Option<Window>, clap::Error> {
    let flags = RangeFlags::from_arg_matches(matches)?;
    let zone = matches.try_get_one::<Zone>("tz").ok().flatten().copied();
    flags
        .window(calendar(zone.unwrap_or_default()))
        .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, error))
}

impl Args for Window {
    fn augment_args(command: Command) -> Command {
        RangeFlags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        RangeFlags::augment_args_for_update(command)
    }
}

impl FromArgMatches for Window {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        read(matches)?.ok_or_else(|| {
            let error = Error::config(
                "range",
                "no range is named; write --start and --end, --last 90d, --month 2024-01 or --quarter 2024-Q1",
            );
            clap::Error::raw(ErrorKind::MissingRequiredArgument, error)
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A range that may be left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct OptionalRange(pub Option<Window>);

impl Args for OptionalRange {
    fn augment_args(command: Command) -> Command {
        RangeFlags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        RangeFlags::augment_args_for_update(command)
    }
}

impl FromArgMatches for OptionalRange {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        read(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::cli::args::{Arguments, Command};
    use crate::cli::early::Early;

    fn parse(line: &str) -> Result<Arguments, String> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        crate::cli::parse(&args, Early::of(&args)).map_err(|error| error.to_string())
    }

    fn range(flags: &str) -> String {
        match parse(&format!("qbo-rs backfill items {flags}"))
            .unwrap()
            .command
        {
            Command::Backfill(request) => request.range.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ranges_are_read_from_every_spelling() {
        for (flags, window) in [
            (
                "--start 2024-01-01 --end 2024-02-01",
                "[2024-01-01T00:00:00Z, 2024-02-01T00:00:00Z)",
            ),
            (
                "--start 2024-01-01 --through 2024-01-31",
                "[2024-01-01T00:00:00Z, 2024-02-01T00:00:00Z)",
            ),
            (
                "--fecha-inicio 2024 --fecha-fin 2025",
                "[2024-01-01T00:00:00Z, 2025-01-01T00:00:00Z)",
            ),
            (
                "--month 2024-01",
                "[2024-01-01T00:00:00Z, 2024-02-01T00:00:00Z)",
            ),
            (
                "--quarter 2024-Q4",
                "[2024-10-01T00:00:00Z, 2025-01-01T00:00:00Z)",
            ),
            (
                "--month 2024-01 --tz America/Guayaquil",
                "[2024-01-01T05:00:00Z, 2024-02-01T05:00:00Z)",
            ),
        ] {
            assert_eq!(range(flags), window, "{flags}");
        }
        for flags in [
            "--start -30d --end today",
            "--start -12h --end now",
            "--last 90d",
        ] {
            assert!(range(flags).starts_with('['), "{flags}");
        }
    }

    #[test]
    fn ranges_that_are_cut_short_or_said_twice_are_refused() {
        for (flags, words) in [
            ("", "no range is named"),
            ("--start 2024-01-01", "--start has no end"),
            ("--end 2024-01-01", "no --start"),
            (
                "--start 2024-01-01 --end 2024-02-01 --through 2024-01-31",
                "cannot be used with",
            ),
            ("--last 90d --start 2024-01-01", "cannot be used with"),
            ("--month 2024-01 --quarter 2024-Q1", "cannot be used with"),
            ("--month 2024-Q1", "write 2024-01"),
            ("--last 90", "write 90d"),
            ("--start soon --end now", "cannot read 'soon'"),
            ("--month 2024-01 --tz Mars", "is not a zone"),
        ] {
            let line = format!("qbo-rs backfill items {flags}");
            let error = parse(line.trim()).unwrap_err();
            assert!(error.contains(words), "{flags}: {error}");
        }
    }
}
