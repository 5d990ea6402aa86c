//! The verbs, and the JSON of their requests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::app::{
    App, BackfillRequest, ExtractRequest, Landing, LoadRequest, SyncRequest, VerifyRequest,
};
use crate::config::Settings;
use crate::domain::{PageSize, RangeBound, Window, parse_range};
use crate::error::{Error, Result};
use crate::landing::{LandingFile, LandingTarget};
use crate::port::NoProgress;

/// A request that has been understood.
pub(super) struct Call {
    app: App,
    request: Request,
}

enum Request {
    Backfill(BackfillRequest),
    Extract(ExtractRequest),
    Upsert(LoadRequest),
    Verify(VerifyRequest),
    Prepare(PrepareJson),
    Sync(SyncRequest),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackfillJson {
    entities: Vec<String>,
    start: String,
    end: String,
    chunk: String,
    page_size: i64,
    strict_windows: bool,
    resume: bool,
    dry_run: bool,
    schema: String,
    settings: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtractJson {
    entities: Vec<String>,
    windows: Vec<WindowJson>,
    page_size: i64,
    out: Option<PathBuf>,
    strict_windows: bool,
    resume: bool,
    settings: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpsertJson {
    path: Option<PathBuf>,
    files: Vec<FileJson>,
    schema: String,
    settings: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrepareJson {
    entities: Vec<String>,
    schema: String,
    settings: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SyncJson {
    entities: Vec<String>,
    accounts: Vec<String>,
    page_size: i64,
    settings: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyJson {
    entities: Vec<String>,
    start: String,
    end: String,
    chunk: String,
    repair: bool,
    deep: bool,
    schema: String,
    settings: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowJson {
    start: String,
    end: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJson {
    path: PathBuf,
    realm_id: String,
    entity: String,
    start: String,
    end: String,
}

/// Understands a request: everything that is wrong with its form is found here.
pub(super) fn parse(verb: &str, request: &str) -> Result<Call> {
    match verb {
        "backfill" => backfill(read(request)?),
        "extract" => extract(read(request)?),
        "upsert" => upsert(read(request)?),
        "verify" => verify(read(request)?),
        "prepare" => prepare(read(request)?),
        "sync" => sync(read(request)?),
        other => Err(Error::Internal(format!("no verb '{other}'"))),
    }
}

fn read<'de, T: Deserialize<'de>>(request: &'de str) -> Result<T> {
    serde_json::from_str(request).map_err(|e| Error::config("arguments", e.to_string()))
}

fn app(overrides: &BTreeMap<String, String>) -> Result<App> {
    let mut settings = Settings::from_env();
    for (name, value) in overrides {
        settings.set(name, value)?;
    }
    Ok(App {
        settings,
        progress: Arc::new(NoProgress),
    })
}

fn window(start: &str, end: &str) -> Result<Window> {
    parse_range(RangeBound::new("start", start), RangeBound::new("end", end))
}

fn backfill(json: BackfillJson) -> Result<Call> {
    let request = BackfillRequest {
        entities: json.entities,
        range: window(&json.start, &json.end)?,
        chunk: json.chunk.parse()?,
        page_size: PageSize::new(json.page_size)?,
        resume: json.resume,
        dry_run: json.dry_run,
        schema: json.schema,
        strict_windows: json.strict_windows,
    };
    Ok(Call {
        app: app(&json.settings)?,
        request: Request::Backfill(request),
    })
}

fn extract(json: ExtractJson) -> Result<Call> {
    let app = app(&json.settings)?;
    let target = json.out.unwrap_or_else(|| app.settings.landing_dir());
    let request = ExtractRequest {
        entities: json.entities,
        windows: json
            .windows
            .iter()
            .map(|w| window(&w.start, &w.end))
            .collect::<Result<_>>()?,
        page_size: PageSize::new(json.page_size)?,
        target: LandingTarget::from_path(&target)?,
        resume: json.resume,
        strict_windows: json.strict_windows,
    };
    Ok(Call {
        app,
        request: Request::Extract(request),
    })
}

fn upsert(json: UpsertJson) -> Result<Call> {
    let landing = match json.path {
        Some(path) => Landing::Path(path),
        None => landing_files(json.files)?,
    };
    Ok(Call {
        app: app(&json.settings)?,
        request: Request::Upsert(LoadRequest {
            landing,
            schema: json.schema,
        }),
    })
}

fn verify(json: VerifyJson) -> Result<Call> {
    let request = VerifyRequest {
        entities: json.entities,
        range: window(&json.start, &json.end)?,
        chunk: json.chunk.parse()?,
        repair: json.repair,
        deep: json.deep,
        schema: json.schema,
    };
    Ok(Call {
        app: app(&json.settings)?,
        request: Request::Verify(request),
    })
}

fn prepare(json: PrepareJson) -> Result<Call> {
    Ok(Call {
        app: app(&json.settings)?,
        request: Request::Prepare(json),
    })
}

fn sync(json: SyncJson) -> Result<Call> {
    let page_size = PageSize::new(json.page_size)?;
    let request = SyncRequest {
        entities: json.entities,
        realms: json.accounts,
        page_size,
    };
    Ok(Call {
        app: app(&json.settings)?,
        request: Request::Sync(request),
    })
}

/// A descriptor's files. Windows that were joined into one file all name that file.
fn landing_files(files: Vec<FileJson>) -> Result<Landing> {
    let file = |file: FileJson| {
        let window = window(&file.start, &file.end)?;
        Ok(LandingFile {
            path: file.path,
            realm_id: file.realm_id,
            entity: file.entity,
            window,
        })
    };
    let files = files.into_iter().map(file).collect::<Result<Vec<_>>>()?;
    match files.first().map(|first| first.path.clone()) {
        Some(path)
            if LandingFile::parse(&path).is_none()
                && files.iter().all(|file| file.path == path) =>
        {
            Ok(Landing::Joined(path, files))
        }
        _ => Ok(Landing::Files(files)),
    }
}

impl Call {
    /// Does it; returns the report in JSON.
    pub async fn run(self) -> Result<String> {
        let report = match &self.request {
            Request::Backfill(request) => self.app.backfill(request).await?,
            Request::Extract(request) => self.app.extract(request).await?,
            Request::Upsert(request) => self.app.load(request).await?,
            Request::Prepare(PrepareJson {
                entities, schema, ..
            }) => {
                return self
                    .app
                    .prepare(entities, schema)
                    .await
                    .and_then(|()| to_json(&()));
            }
            Request::Sync(request) => return to_json(&self.app.sync(request).await?),
            Request::Verify(request) => return to_json(&self.app.verify(request).await?),
        };
        to_json(&report)
    }
}

fn to_json(report: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(report).map_err(|e| Error::Internal(format!("report: {e}")))
}
