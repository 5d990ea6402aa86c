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
use super::repeats::Repeats;
use super::withheld;
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

/// The log as a person at a terminal sees it: a fault that comes again is counted.
#[derive(Debug, Default)]
struct Seen {
    retries: Repeats,
}

impl Seen {
    /// Returns the text of a line; `None` for what need not be told again.
    fn text(&self, record: &Record<'_>) -> Option<String> {
        let text = record.args().to_string();
        match event_of(record).as_deref() {
            Some("request_retried") => self.retried(text),
            _ => Some(text),
        }
    }

    /// Tells a fault once, and then how often it has come: at the 2nd, 4th, 8th, ... time.
    fn retried(&self, text: String) -> Option<String> {
        let Some((fault, wait)) = text.rsplit_once("; ") else {
            return Some(text);
        };
        match self.retries.count(fault) {
            1 => Some(text),
            times if times.is_power_of_two() => {
                Some(format!("{fault}, {times} times by now; {wait}"))
            }
            _ => None,
        }
    }
}

fn event_of(record: &Record<'_>) -> Option<String> {
    let event = record.key_values().get(Key::from("event"))?;
    Some(event.to_string())
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
    // Who asks for a level reads a log; others watch a terminal.
    let seen = (bars.is_some() && level.is_none()).then(Seen::default);
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
                let text = match &seen {
                    _ if is_for_the_end(record, seen.is_some()) && withheld::keep(record) => None,
                    Some(seen) => seen.text(record),
                    None => Some(record.args().to_string()),
                };
                match text {
                    Some(text) => writeln!(out, "{}", human(record, &text, style)),
                    None => Ok(()),
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

/// Returns true for a failure that the last lines of the command tell people in full: a refusal of the company, and on
/// a terminal all others.
fn is_for_the_end(record: &Record<'_>, is_terminal: bool) -> bool {
    let value = |key: &str| record.key_values().get(Key::from(key));
    let denied = FailureKind::AccessDenied.as_str();
    let is_denied = || value("failure").is_some_and(|value| value.to_string() == denied);
    let is_failure = || {
        let event = event_of(record);
        let is_one = matches!(event.as_deref(), Some("window_failed" | "account_synced"));
        is_one && record.level() == Level::Error
    };
    record.target() != LAST_LINES
        && !IS_ENDLESS.load(Ordering::Relaxed)
        && (is_denied() || is_terminal && is_failure())
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

fn human(record: &Record<'_>, text: &str, style: Style) -> String {
    let columns = columns_of_stderr();
    if record.target() == ADVICE {
        return broken("  ", "    ", text, columns).join("\n");
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
    let lines = broken(&plain, &indent, text, columns).join("\n");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record_of(level: Level, event: &str, text: &str, check: impl FnOnce(&Record<'_>)) {
        let fields = [("event", Value::from(event))];
        check(
            &Record::builder()
                .args(format_args!("{text}"))
                .level(level)
                .key_values(&fields)
                .build(),
        );
    }

    #[test]
    fn a_fault_that_comes_again_is_counted_for_each_entity() {
        let seen = Seen::default();
        let mut lines = Vec::new();
        for tid in 0..9 {
            for about in ["9 items: HTTP 503", "9 invoices: timed out"] {
                let text = format!("{about} (intuit_tid={tid}); trying again in 0.4 s");
                record_of(Level::Warn, "request_retried", &text, |record| {
                    lines.extend(seen.text(record));
                });
            }
        }
        assert_eq!(
            lines,
            [
                "9 items: HTTP 503 (intuit_tid=0); trying again in 0.4 s",
                "9 invoices: timed out (intuit_tid=0); trying again in 0.4 s",
                "9 items: HTTP 503 (intuit_tid=1), 2 times by now; trying again in 0.4 s",
                "9 invoices: timed out (intuit_tid=1), 2 times by now; trying again in 0.4 s",
                "9 items: HTTP 503 (intuit_tid=3), 4 times by now; trying again in 0.4 s",
                "9 invoices: timed out (intuit_tid=3), 4 times by now; trying again in 0.4 s",
                "9 items: HTTP 503 (intuit_tid=7), 8 times by now; trying again in 0.4 s",
                "9 invoices: timed out (intuit_tid=7), 8 times by now; trying again in 0.4 s",
            ]
        );
    }

    #[test]
    fn what_the_last_lines_tell_is_not_told_before() {
        for (level, event, expected) in [
            (Level::Error, "window_failed", true),
            (Level::Error, "account_synced", true),
            (Level::Info, "account_synced", false),
            (Level::Error, "schedule_stopped", false),
        ] {
            record_of(level, event, "failed: x", |record| {
                assert_eq!(is_for_the_end(record, true), expected, "{event}");
                assert!(!is_for_the_end(record, false), "{event}");
            });
        }
    }
}
