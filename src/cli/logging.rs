//! Logs on stderr: lines for people, or one JSON object each.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use chrono::SecondsFormat;
use clap::ValueEnum;
use env_logger::{Builder, Target};
use log::kv::{Error as FieldError, Key, Value, VisitSource};
use log::{Level, LevelFilter, Record};
use serde_json::{Map, Value as Json};

use super::progress::Bars;
use super::wrap::{broken, columns_of_stderr};
use crate::domain::FailureKind;
use crate::language::{Language, current};

/// The format of the logs on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Text for people
    Human,
    /// One JSON object per line
    Json,
}

/// Target of the last lines of a command, which say why it failed. They are printed at every level.
pub(super) const LAST_LINES: &str = "qbo_rs::last_lines";
/// Target of the one among them that says how to go on. It stands below the others, as advice does below an
/// error.
pub(super) const ADVICE: &str = "qbo_rs::last_lines::advice";

static IS_JSON: AtomicBool = AtomicBool::new(false);
/// Whether the command goes on until it is stopped, and has no last lines.
static IS_ENDLESS: AtomicBool = AtomicBool::new(false);

/// Says that no last lines tell what has failed, so that the log must.
pub(super) fn goes_on() {
    IS_ENDLESS.store(true, Ordering::Relaxed);
}

/// Returns true if the logs of this process are JSON.
pub(super) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Returns the language of the last lines on stderr: JSON is English.
pub(super) fn language() -> Language {
    match is_json() {
        true => Language::En,
        false => current(),
    }
}

/// Installs the logger. A second call in one process changes nothing.
pub(super) fn start(format: LogFormat, level: Option<LevelFilter>, bars: Option<&Bars>) {
    let level = level.unwrap_or(if bars.is_some() {
        LevelFilter::Warn
    } else {
        LevelFilter::Info
    });
    let mut builder = Builder::new();
    // Ours at that level; of the libraries below only what is wrong.
    builder
        .filter_level(level.min(LevelFilter::Warn))
        .filter_module("qbo_rs", level);
    builder.filter_module(LAST_LINES, LevelFilter::Error.max(level));
    // It logs what it also returns, and the error that we print holds it.
    builder.filter_module("rustls_platform_verifier", LevelFilter::Off);
    IS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    match format {
        LogFormat::Human => {
            let choice = anstream::AutoStream::choice(&io::stderr());
            let has_colors = choice != anstream::ColorChoice::Never;
            builder.format(move |out, record| {
                let style = if has_colors {
                    style_of(record)
                } else {
                    Style::new()
                };
                match is_told_at_the_end(record) {
                    true => Ok(()),
                    false => writeln!(out, "{}", human(record, style)),
                }
            })
        }
        LogFormat::Json => builder.format(|out, record| writeln!(out, "{}", json(record))),
    };
    if let Some(bars) = bars {
        builder.target(Target::Pipe(Box::new(AboveBars(bars.clone()))));
    }
    // Fails only if the process already has a logger.
    let _ = builder.try_init();
    crate::logging::forward();
}

/// Returns true for a refusal of the company, which the last lines of the command tell people in full.
fn is_told_at_the_end(record: &Record<'_>) -> bool {
    let value = |key: &str| record.key_values().get(Key::from(key));
    let denied = FailureKind::AccessDenied.as_str();
    record.target() != LAST_LINES
        && !IS_ENDLESS.load(Ordering::Relaxed)
        && value("failure").is_some_and(|value| value.to_string() == denied)
}

fn timestamp() -> String {
    crate::clock::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns the style of the word that says how bad a line is.
fn style_of(record: &Record<'_>) -> Style {
    match record.level() {
        Level::Error => AnsiColor::Red.on_default().bold(),
        Level::Warn => AnsiColor::Yellow.on_default(),
        Level::Info => Style::new(),
        Level::Debug | Level::Trace => Style::new().dimmed(),
    }
}

fn human(record: &Record<'_>, style: Style) -> String {
    let (text, columns) = (record.args().to_string(), columns_of_stderr());
    if record.target() == ADVICE {
        return broken("  ", "    ", &text, columns).join("\n");
    }
    let (head, word) = match record.target() {
        LAST_LINES => (String::new(), "error:".to_owned()),
        _ => (timestamp() + " ", format!("{:5}", record.level())),
    };
    let plain = format!("{head}{word} ");
    let indent = match head.is_empty() {
        true => " ".repeat(plain.len()),
        // Below the time there is room enough.
        false => "  ".to_owned(),
    };
    let lines = broken(&plain, &indent, &text, columns).join("\n");
    let text = lines.strip_prefix(&plain).unwrap_or_default();
    format!("{head}{style}{word}{style:#} {text}")
}

fn json(record: &Record<'_>) -> Json {
    let mut fields = Map::new();
    fields.insert("ts".into(), timestamp().into());
    fields.insert(
        "level".into(),
        record.level().as_str().to_ascii_lowercase().into(),
    );
    // Collecting cannot fail.
    let _ = record.key_values().visit(&mut Fields(&mut fields));
    fields.insert("message".into(), record.args().to_string().into());
    Json::Object(fields)
}

struct Fields<'f>(&'f mut Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), FieldError> {
        let json = value
            .to_u64()
            .map(Json::from)
            .or_else(|| value.to_bool().map(Json::from));
        self.0.insert(
            key.as_str().to_owned(),
            json.unwrap_or_else(|| value.to_string().into()),
        );
        Ok(())
    }
}

/// Writes above the progress bars instead of through them.
struct AboveBars(Bars);

impl Write for AboveBars {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(data))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
