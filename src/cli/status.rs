//! `qbo-rs status`: what is in the tables, what is missing, what failed.

use chrono_tz::Tz;
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::company::use_schema;
use super::exit::{ExitCode, Outcome};
use super::local::LocalTime;
use super::output::Printer;
use super::range::OptionalRange;
use super::signals::block_on;
use super::status_details::details;
use super::status_screen::screen;
use super::status_view::View;
use super::tally::Tally;
use super::wrap::columns;
use crate::app::{App, StatusRequest};
use crate::domain::instant::parse_instant;
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    request: StatusRequest,
    /// The range to search for gaps.
    #[command(flatten)]
    pub(super) range: OptionalRange,
    /// Show local times too, in a zone such as America/Guayaquil
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    tz: Option<Tz>,
    /// Show every entity, and all that is known of it
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// With -v or an entity: show the committed days without records, too
    #[arg(long)]
    empty_days: bool,
}

pub(super) fn run(
    app: &App,
    tally: &Tally,
    arguments: StatusArguments,
    names_schema: bool,
    printer: Printer,
) -> Outcome {
    let env_file_flag = tally.env_file_flag();
    let zone = arguments.tz;
    // Those that were named are described one by one.
    let is_detailed = arguments.verbose > 0 || !arguments.request.entities.is_empty();
    let view = View {
        zone: LocalTime(zone),
        now: crate::clock::now(),
        // A wrong setting is an error of the commands that need it.
        monthly_quota: app.settings.monthly_quota().unwrap_or_default(),
        columns: columns(),
        is_whole: arguments.verbose > 0,
        env_file_flag: &env_file_flag,
    };
    let mut request = arguments.request.range(arguments.range.0);
    use_schema(app, names_schema, &mut request.schema)?;
    let report = block_on(async {
        let report = Box::pin(app.status(&request)).await;
        report.map_err(|error| app.with_reading_right(&request.schema, error))
    })?;
    let value = serde_json::to_value(&report).unwrap_or_default();
    printer.print(&with_local_times(value, zone), || {
        let mut text = match is_detailed {
            true => details(&report, view.zone, arguments.empty_days),
            false => String::new(),
        };
        text.push_str(&screen(&report, view));
        text
    })?;
    // The verdict is for people and for `--json`; scripts that print the status do not fail with the books.
    let mut checks = report.entities.iter().flat_map(|entity| &entity.checks);
    Ok(ExitCode::of(checks.all(|check| check.wrong == 0)))
}

fn parse_zone(name: &str) -> Result<Tz> {
    name.parse().map_err(|_| {
        Error::config(
            "tz",
            format!("'{name}' is not a zone; write it as America/Guayaquil"),
        )
    })
}

/// Puts the local time beside every instant: `start_local` beside `start`.
fn with_local_times(value: Value, zone: Option<Tz>) -> Value {
    let Some(zone) = zone else { return value };
    match value {
        Value::Object(members) => {
            let mut all = serde_json::Map::new();
            for (name, member) in members {
                let local = member
                    .as_str()
                    .filter(|text| text.ends_with('Z'))
                    .and_then(|text| parse_instant("", text).ok());
                if let Some(at) = local {
                    all.insert(
                        format!("{name}_local"),
                        json!(at.with_timezone(&zone).to_rfc3339()),
                    );
                }
                all.insert(name, with_local_times(member, Some(zone)));
            }
            Value::Object(all)
        }
        Value::Array(values) => values
            .into_iter()
            .map(|value| with_local_times(value, Some(zone)))
            .collect(),
        other => other,
    }
}
