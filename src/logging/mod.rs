//! Forwards `tracing` events to the `log` facade, with the fields of the spans around them.
//!
//! The core reports what happens with `tracing`: a span says which company, entity and window the
//! work is for, and an event inside it need not repeat that. The edges print with loggers of the
//! `log` facade: the command with `env_logger`, the wheel with Python's `logging`. [`forward`]
//! joins the two. `docs/logs.md` documents the fields.

mod fields;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use self::fields::Fields;
pub(crate) use self::fields::prefix_of;
use crate::terminal::one_line;

/// Sends every event to the installed logger of the `log` facade, from now on and process-wide.
///
/// Does nothing if the process already has a `tracing` subscriber: the events are that
/// subscriber's then.
pub(crate) fn forward() {
    let subscriber = tracing_subscriber::registry().with(Forwarder);
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Forwarder;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Forwarder {
    /// Keeps all of ours, and of the libraries below only warnings and errors. Our spans are kept
    /// at every level, because a warning needs them as much as a debug line.
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_ours(metadata) || (metadata.is_event() && *metadata.level() <= Level::WARN)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = level_of(metadata);
        let target = log::Metadata::builder()
            .level(level)
            .target(metadata.target())
            .build();
        if level > log::max_level() || !log::logger().enabled(&target) {
            return;
        }
        let mut fields = Fields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.extend(outer);
            }
        }
        event.record(&mut fields);
        // One event is one line, whatever texts of others are in it, and whoever writes it.
        let text = format!("{}{}", fields.prefix(), fields.message());
        let text = one_line(&text);
        log::logger().log(
            &log::Record::builder()
                .args(format_args!("{text}"))
                .level(level)
                .target(metadata.target())
                .module_path(metadata.module_path())
                .file(metadata.file())
                .line(metadata.line())
                .key_values(&fields)
                .build(),
        );
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("qbo_rs")
}

fn level_of(metadata: &Metadata<'_>) -> log::Level {
    match *metadata.level() {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Info,
        Level::DEBUG => log::Level::Debug,
        Level::TRACE => log::Level::Trace,
    }
}
