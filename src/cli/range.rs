//! The flags `--start` and `--end`, read as a window.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::domain::Window;

#[derive(Debug, Args)]
struct RangeFlags {
    /// Start of the range, inclusive, UTC: 2025-01-01 or 2025-01-01T00:00:00Z
    #[arg(long, alias = "fecha-inicio", value_name = "INSTANT")]
    start: String,
    /// End of the range, exclusive, UTC
    #[arg(long, alias = "fecha-fin", value_name = "INSTANT")]
    end: String,
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
        let flags = RangeFlags::from_arg_matches(matches)?;
        Window::parse(&flags.start, &flags.end)
            .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, error))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
