//! The verbs as JSON: a request, and the settings that it overrides.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app::{
    App, BackfillRequest, BooksRequest, ChangesRequest, CheckRequest, ExtractRequest, LoadRequest,
    PrepareRequest, ReportsRequest, StatusRequest, SyncPlanRequest, SyncRequest, TableRequest,
    VerifyRequest, calendar,
};
use crate::columns::{EntityColumns, Shape};
use crate::config::Settings;
use crate::domain::instant::format_instant;
use crate::domain::{RangeBound, Zone, find_entity};
use crate::error::{Error, Result};
use crate::port::Progress;

/// A call of a verb, ready to run.
pub(super) struct Call {
    verb: Verb,
    app: App,
    names_schema: bool,
}

/// A call as Python writes it: `{"verb": {"backfill": {...}}, "settings": {...}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallJson {
    verb: Verb,
    settings: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verb {
    Backfill(BackfillRequest),
    Extract(ExtractRequest),
    Upsert(LoadRequest),
    Verify(VerifyRequest),
    VerifyBooks(BooksRequest),
    Prepare(PrepareRequest),
    Check(CheckRequest),
    Sync(SyncRequest),
    PlanSync(SyncPlanRequest),
    Changes(ChangesRequest),
    Status(StatusRequest),
    Reports(Box<ReportsRequest>),
    Database {},
}

impl Verb {
    /// Returns the schema of a verb that looks at what is there. One that copies names the schema that it writes.
    fn schema(&mut self) -> Option<&mut String> {
        match self {
            Self::Status(request) => Some(&mut request.schema),
            Self::Verify(request) => Some(&mut request.schema),
            Self::VerifyBooks(request) => Some(&mut request.schema),
            _ => None,
        }
    }
}

impl Call {
    /// Reads a call and the environment. The caller holds the GIL, so that Python cannot change the
    /// environment meanwhile.
    ///
    /// # Errors
    /// [`Error::Config`] about the argument or setting that is wrong.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut call = value(text)?;
        resolve_range(&mut call)?;
        resolve_days(&mut call)?;
        let mut verbs = call["verb"].as_object().into_iter().flatten();
        let names_schema = verbs.any(|(_, arguments)| arguments.get("schema").is_some());
        let call: CallJson = typed(call)?;
        Ok(Self {
            verb: call.verb,
            app: app(&call.settings)?,
            names_schema,
        })
    }

    /// Tells `progress` what the verb does.
    pub(super) fn followed_by(mut self, progress: Arc<dyn Progress>) -> Self {
        self.app.progress = progress;
        self
    }

    /// Runs the verb and returns its report in JSON.
    ///
    /// The future is boxed: the layers around it move it, each on the stack of a thread of 2 MB.
    pub(super) fn run(self) -> BoxFuture<'static, Result<String>> {
        Box::pin(async move {
            let Self {
                mut verb,
                app,
                names_schema,
            } = self;
            if !names_schema
                && let Some(schema) = verb.schema()
                && let Some(of_company) = app.schema_of_company().await?
            {
                *schema = of_company;
            }
            match &verb {
                Verb::Backfill(request) => to_json(&app.backfill(request).await?),
                Verb::Extract(request) => {
                    // A landing of Python is of one entity.
                    for name in &request.entities {
                        find_entity(name)?;
                    }
                    to_json(&app.extract(request).await?)
                }
                Verb::Upsert(request) => to_json(&app.load(request).await?),
                Verb::Verify(request) => to_json(&app.verify(request).await?),
                Verb::VerifyBooks(request) => to_json(&app.verify_books(request).await?),
                Verb::Prepare(request) => to_json(&app.prepare(request).await?),
                Verb::Check(request) => to_json(&Box::pin(app.check(request)).await?),
                Verb::Sync(request) => to_json(&app.sync(request).await?),
                Verb::PlanSync(request) => to_json(&app.plan_sync(request).await?),
                Verb::Changes(request) => to_json(&app.changes(request).await?),
                Verb::Status(request) => to_json(&app.status(request).await?),
                Verb::Reports(request) => to_json(&app.reports(request).await?),
                Verb::Database {} => to_json(&app.database()?),
            }
        })
    }
}

/// A call that reads a table as columns: `{"table": {...}, "shape": {...}, "settings": {...}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableJson {
    table: TableRequest,
    #[serde(default)]
    shape: Shape,
    settings: BTreeMap<String, String>,
}

/// Reads a call that reads a table, and the environment.
///
/// # Errors
/// [`Error::Config`] about the argument or setting that is wrong.
pub(super) fn parse_table(text: &str) -> Result<(TableCall, Shape)> {
    let call = value(text)?;
    let names_schema = call["table"].get("schema").is_some();
    let call: TableJson = typed(call)?;
    let read = TableCall {
        request: call.table,
        app: app(&call.settings)?,
        names_schema,
    };
    Ok((read, call.shape))
}

/// A call that reads a table, ready to run.
pub(super) struct TableCall {
    pub(super) request: TableRequest,
    app: App,
    names_schema: bool,
}

impl TableCall {
    /// Reads the table, of the schema of the company if the call names none.
    ///
    /// # Errors
    /// See [`App::table`] and [`App::schema_of_company`].
    pub(super) async fn run(
        self,
        columns: Arc<EntityColumns>,
        each: impl FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<()> {
        let Self {
            mut request,
            app,
            names_schema,
        } = self;
        if !names_schema && let Some(of_company) = app.schema_of_company().await? {
            request.schema = of_company;
        }
        app.table(&request, columns, each).await
    }
}

/// Reads a shape of columns.
///
/// # Errors
/// [`Error::Config`] about what is wrong.
pub(super) fn parse_shape(text: &str) -> Result<Shape> {
    typed(value(text)?)
}

// In two steps, since only errors about text have a line and a column in them.
fn value(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| argument_error(&error.to_string()))
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| argument_error(&error.to_string()))
}

/// Replaces the bounds of a verb's range, such as `-30d`, by the instants that they mean now, in the
/// zone of its argument `tz`.
fn resolve_range(call: &mut Value) -> Result<()> {
    let verbs = call.get_mut("verb").and_then(Value::as_object_mut);
    let Some((verb, arguments)) = verbs.and_then(|verbs| verbs.iter_mut().next()) else {
        return Ok(());
    };
    let zone = match arguments.get("tz").and_then(Value::as_str) {
        Some(name) => name.parse()?,
        None => Zone::default(),
    };
    if verb == "status" {
        // It cuts no windows: the zone is about its range alone.
        let arguments = arguments.as_object_mut();
        arguments.and_then(|arguments| arguments.remove("tz"));
    }
    let Some(range) = arguments.get_mut("range") else {
        return Ok(());
    };
    let text = |name: &str| range.get(name).and_then(Value::as_str);
    if let (Some(start), Some(end)) = (text("start"), text("end")) {
        let bounds = (RangeBound::new("start", start), RangeBound::new("end", end));
        let window = calendar(zone).range(bounds.0, bounds.1)?;
        *range = json!({"start": format_instant(window.start), "end": format_instant(window.end)});
    }
    Ok(())
}

/// Replaces the days of the verbs about QuickBooks's reports, such as `2025-12` or `yesterday`, by those that they
/// mean now. An error about one names its argument.
fn resolve_days(call: &mut Value) -> Result<()> {
    let calendar = calendar(Zone::default());
    for verb in ["verify_books", "reports"] {
        let arguments = call.get_mut("verb").and_then(|verbs| verbs.get_mut(verb));
        let Some(arguments) = arguments.and_then(Value::as_object_mut) else {
            continue;
        };
        for name in ["start", "end"] {
            let Some(Value::String(text)) = arguments.get_mut(name) else {
                continue;
            };
            let bound = RangeBound::new(name, text);
            let day = match name {
                "start" => calendar.first_day(bound),
                _ => calendar.last_day(bound),
            }?;
            *text = day.to_string();
        }
    }
    Ok(())
}

fn app(overrides: &BTreeMap<String, String>) -> Result<App> {
    let mut settings = Settings::from_env();
    for (name, value) in overrides {
        settings.set(name, value)?;
    }
    Ok(App::new(settings))
}

/// Turns serde's text into an error. A type that refused its value has named the argument:
/// `chunk: unknown chunk 'fortnight'`.
fn argument_error(text: &str) -> Error {
    match text.split_once(": ") {
        Some((name, reason)) if !name.contains(' ') => Error::config(name, reason),
        _ => Error::config("arguments", text),
    }
}

fn to_json(report: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(report).map_err(|e| Error::Internal(format!("report: {e}")))
}
