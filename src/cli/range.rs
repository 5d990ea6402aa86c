//! The flags of a range, read as a window.

use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::app::calendar;
use crate::domain::{Calendar, RangeBound, Window, Zone};
use crate::error::{Error, Result};

#[derive(Debug, Args)]
struct RangeFlags {
    /// Last changed since: 2025-01-31, 2025-Q1, today, -30d
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
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with_all = ["start", "end", "through"])]
    last: Option<String>,
    /// Instead of both: one month, as 2024-01
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["start", "end", "through", "last"])]
    month: Option<String>,
    /// Instead of both: one quarter, as 2024-Q1
    #[arg(long, value_name = "QUARTER", conflicts_with_all = ["start", "end", "through", "last", "month"])]
    quarter: Option<String>,
}

impl RangeFlags {
    /// Returns the flag that stands for a whole range, and its text.
    fn single(&self) -> Option<RangeBound<'_>> {
        let (setting, text) = match (&self.last, &self.month, &self.quarter) {
            (Some(last), ..) => ("last", last),
            (_, Some(month), _) => ("month", month),
            (.., Some(quarter)) => ("quarter", quarter),
            (None, None, None) => return None,
        };
        Some(RangeBound::new(setting, text))
    }

    fn window(&self, calendar: Calendar) -> Result<Option<Window>> {
        if let Some(bound) = self.single() {
            let window = match bound.setting {
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
    flags
        .window(calendar(zone_of(matches)))
        .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, error))
}

/// Returns the zone of `--tz`, or UTC.
pub(super) fn zone_of(matches: &ArgMatches) -> Zone {
    // A command that shows local times has the zone of a place, or none.
    let place = || matches.try_get_one::<Tz>("tz").ok().flatten().copied();
    let zone = matches.try_get_one::<Zone>("tz").ok().flatten().copied();
    zone.or_else(|| place().map(Into::into)).unwrap_or_default()
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

/// The days of QuickBooks reports, the last of which belongs to them. Each may be left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct OptionalDays {
    pub start: Option<NaiveDate>,
    pub end: Option<NaiveDate>,
}

impl RangeFlags {
    fn days(&self, calendar: Calendar) -> Result<OptionalDays> {
        if let Some(bound) = self.single() {
            let (first, last) = match bound.setting {
                "last" => calendar.last_days(bound),
                "month" => calendar.month_days(bound),
                _ => calendar.quarter_days(bound),
            }?;
            return Ok(OptionalDays {
                start: Some(first),
                end: Some(last),
            });
        }
        let last = self.end.as_ref().map(|end| RangeBound::new("end", end));
        let through = || {
            self.through
                .as_ref()
                .map(|day| RangeBound::new("through", day))
        };
        let first = self.start.as_ref().map(|day| RangeBound::new("start", day));
        Ok(OptionalDays {
            start: first.map(|day| calendar.first_day(day)).transpose()?,
            end: last
                .or_else(through)
                .map(|day| calendar.last_day(day))
                .transpose()?,
        })
    }
}

impl Args for OptionalDays {
    fn augment_args(command: Command) -> Command {
        RangeFlags::augment_args(command)
            .mut_arg("start", |arg| {
                arg.value_name("DATE")
                    .help("First day; a report of one day needs none")
            })
            .mut_arg("end", |arg| {
                arg.value_name("DATE")
                    .help("Last day, which belongs to the reports")
            })
            .mut_arg("last", |arg| {
                arg.help("Instead of both: the days up to today, as 90d")
            })
            .mut_arg("through", |arg| arg.help("The same as --end"))
            .arg(
                Arg::new("tz")
                    .long("tz")
                    .value_name("ZONE")
                    .value_parser(|name: &str| name.parse::<Zone>())
                    .default_value("UTC")
                    .help("Zone of today, as America/Lima"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for OptionalDays {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        RangeFlags::from_arg_matches(matches)?
            .days(calendar(zone_of(matches)))
            .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, error))
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
    use crate::cli::verify::VerifyArguments;

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
    fn status_reports_and_books_take_every_spelling_too() {
        let command = |line: &str| {
            parse(line)
                .unwrap_or_else(|e| panic!("{line}: {e}"))
                .command
        };
        for (flags, window) in [
            (
                "--quarter 2024-Q1",
                "[2024-01-01T00:00:00Z, 2024-04-01T00:00:00Z)",
            ),
            (
                "--start 2024-01-01 --through 2024-01-31 --tz America/Guayaquil",
                "[2024-01-01T05:00:00Z, 2024-02-01T05:00:00Z)",
            ),
        ] {
            let Command::Status(status) = command(&format!("qbo-rs status {flags}")) else {
                panic!("{flags}");
            };
            assert_eq!(status.range.0.unwrap().to_string(), window, "{flags}");
        }
        for (flags, days) in [
            ("--month 2024-02", "2024-02-01 2024-02-29"),
            ("--quarter 2024-Q4", "2024-10-01 2024-12-31"),
            ("--start 2024-01 --through 2024-03", "2024-01-01 2024-03-31"),
            (
                "--start 2024-01-05 --end 2024-01-05",
                "2024-01-05 2024-01-05",
            ),
        ] {
            let line = format!("qbo-rs reports trial_balance {flags}");
            let Command::Reports(reports) = command(&line) else {
                panic!("{flags}");
            };
            let (start, end) = (reports.days.start.unwrap(), reports.days.end.unwrap());
            assert_eq!(format!("{start} {end}"), days, "{flags}");
        }
        let Command::Reports(last) = command("qbo-rs reports trial_balance --last 30d") else {
            panic!("no reports");
        };
        let (start, end) = (last.days.start.unwrap(), last.days.end.unwrap());
        assert_eq!((end - start).num_days(), 29, "thirty days, today the last");
        for (flags, days) in [
            ("--month 2025-03", "2025-03-01 2025-03-31"),
            ("--quarter 2025-Q1", "2025-01-01 2025-03-31"),
            ("--start 2025-01 --through 2025-02", "2025-01-01 2025-02-28"),
            (
                "--month 2025-03 --tz America/Guayaquil",
                "2025-03-01 2025-03-31",
            ),
            (
                "--start 2025-03-02 --end 2025-03-31",
                "2025-03-02 2025-03-31",
            ),
        ] {
            let line = format!("qbo-rs verify --books {flags}");
            let Command::Verify(VerifyArguments::Books(books)) = command(&line) else {
                panic!("{flags}");
            };
            let (start, end) = (books.start.unwrap(), books.end);
            assert_eq!(format!("{start} {end}"), days, "{flags}");
        }
        for (flags, words) in [
            ("", "no day is named"),
            ("--start 2025-03-01", "no day is named"),
            ("--month 2025-03 --last 30d", "cannot be used with"),
            ("--quarter 2025-Q1 --end 2025-03-31", "cannot be used with"),
            ("--start 2025-03-02 --end 2025-03-01", "is after end"),
            ("items --month 2025-03", "leave out the entities"),
            ("--month 2025-Q1", "write 2024-01"),
        ] {
            let error = parse(format!("qbo-rs verify --books {flags}").trim()).unwrap_err();
            assert!(error.contains(words), "{flags}: {error}");
        }
        for line in [
            "qbo-rs status --start 2024",
            "qbo-rs reports x --month 2024-01 --end 2024",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    /// Fourteen hours before UTC and twelve after it, the day is another one at any time.
    #[test]
    fn today_is_that_of_the_zone() {
        let end = |line: &str| match parse(line).unwrap_or_else(|e| panic!("{e}")).command {
            Command::Reports(reports) => reports.days.end.unwrap(),
            Command::Verify(VerifyArguments::Books(request)) => request.end,
            other => panic!("{other:?}"),
        };
        for command in ["reports trial_balance", "verify --books"] {
            let [east, west] = ["Pacific/Kiritimati", "Etc/GMT+12"]
                .map(|zone| end(&format!("qbo-rs {command} --end today --tz {zone}")));
            assert!(east > west, "{command}: {east} {west}");
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
            ("--last -1d", "write 90d"),
            ("--last 876001h", "write 90d"),
            ("--start soon --end now", "cannot read 'soon'"),
            ("--month 2024-01 --tz Mars", "is not a zone"),
        ] {
            let line = format!("qbo-rs backfill items {flags}");
            let error = parse(line.trim()).unwrap_err();
            assert!(error.contains(words), "{flags}: {error}");
        }
    }
}
