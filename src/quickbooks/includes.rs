//! Parts of records that QuickBooks answers only if asked, with the parameter `include` (qbo-facts 13.4
//! and 13.5). A value that a company refuses is not sent to it again, by any process.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::port::SharedState;

/// Joins the parameters of one request. What stands between is the value of one `include`.
pub(super) const PARAMETER: char = '&';

/// Knowledge of a company's answers to `include`.
#[derive(Debug)]
pub(crate) struct Includes {
    state: Box<dyn SharedState>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Values that were refused, now or earlier.
    refused: BTreeSet<String>,
    /// Values that the company has answered, now or earlier.
    answered: BTreeSet<String>,
}

/// The shared document.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    #[serde(default)]
    refused: BTreeSet<String>,
    #[serde(default)]
    answered: BTreeSet<String>,
}

/// One request that may be sent several times, each time with a simpler `include`.
#[derive(Debug)]
pub(super) struct Asking {
    wanted: Vec<&'static str>,
    include: Option<String>,
    /// A value that may be why the request has failed, and the failure.
    doubted: Option<(String, String)>,
    /// Without `include`, the request has succeeded.
    is_good_without: bool,
    /// Whether a success says that the company answers what was asked for.
    proves: bool,
}

impl Asking {
    /// Returns the value of `include` for the next try: one or several parameters.
    pub(super) fn include(&self) -> Option<&str> {
        self.include.as_deref()
    }

    /// Takes note whether a success brings a record which shows what was asked for.
    pub(super) fn note_proof(&mut self, has_record: bool) {
        self.proves = has_record;
    }
}

/// Whether a value of `include` is why a request has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    No,
    Perhaps,
    Certain,
}

impl Includes {
    /// Creates the knowledge that is shared through `state`.
    pub(crate) fn new(state: Box<dyn SharedState>) -> Self {
        Self {
            state,
            known: Mutex::default(),
        }
    }

    /// Reads what other processes have found out. If that fails, this process finds it out itself.
    pub(super) async fn load(&self) {
        match self.document().await {
            Ok(Document { refused, answered }) => {
                let mut known = self.known.lock();
                known.refused.extend(refused);
                known.answered.extend(answered);
            }
            Err(error) => debug!(phase = "extract", "refused includes are unknown: {error}"),
        }
    }

    /// Returns the values that the company of a shared document has refused.
    pub(crate) fn refused_in(text: Option<&str>) -> Vec<String> {
        document(text).refused.into_iter().collect()
    }

    async fn document(&self) -> Result<Document> {
        let mut found = Document::default();
        let read = |text: Option<&str>, _| {
            found = document(text);
            None
        };
        self.state.update(Box::new(read)).await?;
        Ok(found)
    }

    /// Returns the parts of an entity's records that are asked for, separated by commas, whatever the
    /// form in which they are.
    pub(super) fn value(&self, entity: &EntitySpec) -> Option<String> {
        let form = self.value_of(entity.includes)?;
        let parts = entity.includes.iter().filter(|part| names(&form, part));
        Some(parts.copied().collect::<Vec<_>>().join(","))
    }

    /// Starts a request about records of entities.
    pub(super) fn ask<'e>(&self, entities: impl Iterator<Item = &'e EntitySpec>) -> Asking {
        let mut wanted: Vec<&'static str> = Vec::new();
        for include in entities.flat_map(|entity| entity.includes) {
            if !wanted.contains(include) {
                wanted.push(include);
            }
        }
        Asking {
            include: self.value_of(&wanted),
            wanted,
            doubted: None,
            is_good_without: false,
            proves: true,
        }
    }

    /// Takes note of the outcome of a try. Returns `None` if the request is to be sent again, with
    /// what [`Asking::include`] says then.
    pub(super) async fn judge<T>(
        &self,
        outcome: Result<T>,
        asking: &mut Asking,
    ) -> Option<Result<T>> {
        let error = match outcome {
            Ok(answer) => {
                if let Some((value, reason)) = asking.doubted.take() {
                    asking.is_good_without = true;
                    self.refuse(&value, &reason).await;
                    // A simpler form may bring what this answer lacks.
                    asking.include = self.value_of(&asking.wanted);
                    return asking.include.is_none().then_some(Ok(answer));
                }
                if let Some(value) = asking.include.take().filter(|_| asking.proves) {
                    self.note_answer(value).await;
                }
                return Some(Ok(answer));
            }
            Err(error) => error,
        };
        let Some(value) = asking.include.take() else {
            return Some(Err(error));
        };
        let is_about_it = asking.is_good_without && is_refusal(&error);
        match self.suspicion(&error, &value) {
            Suspicion::No if !is_about_it => Some(Err(error)),
            Suspicion::Perhaps if !is_about_it => {
                asking.doubted = Some((value, error.to_string()));
                None
            }
            _ => {
                // One part that is named alone is why, whatever the form.
                let refused = named_alone(&value, &error).unwrap_or(&value);
                self.refuse(refused, &error.to_string()).await;
                asking.include = self.value_of(&asking.wanted);
                None
            }
        }
    }

    /// Returns whether an item of a batch failed because of the `include` of the batch.
    pub(super) fn refuses(&self, error: &Error, asking: &Asking) -> bool {
        asking
            .include()
            .is_some_and(|value| self.suspicion(error, value) == Suspicion::Certain)
    }

    /// Returns the parts that the company takes, in the first form in which it takes them. How several
    /// are written is not documented (qbo-facts 13.5): as a list with commas, or as several parameters.
    /// The first form is both: each reader finds all parts, unless it refuses what it does not know.
    fn value_of(&self, wanted: &[&'static str]) -> Option<String> {
        let refused = &self.known.lock().refused;
        let parts = wanted.iter().filter(|part| !refused.contains(**part));
        let parts: Vec<&str> = parts.copied().collect();
        let forms = match &parts[..] {
            [] | [_] => Vec::new(),
            _ => {
                let (list, repeated) = (parts.join(","), parts.join("&"));
                vec![format!("{list}{PARAMETER}{repeated}"), list, repeated]
            }
        };
        let single = parts.iter().map(|part| (*part).to_owned());
        forms
            .into_iter()
            .chain(single)
            .find(|form| !refused.contains(form))
    }

    fn suspicion(&self, error: &Error, value: &str) -> Suspicion {
        // Every plan has such an entity, so that a denial without a name can be about the value. An entity
        // that some plans lack is taken for missing, because the answer costs one request only.
        if matches!(error.code(), Some("5020" | "5030")) && error.denies_entity() {
            return match self.known.lock().answered.contains(value) {
                true => Suspicion::No,
                false => Suspicion::Perhaps,
            };
        }
        let Error::Api {
            status,
            code,
            message,
            ..
        } = error.last()
        else {
            return Suspicion::No;
        };
        let names_value = parts_of(value).any(|part| is_named(part, message));
        match (*status, code.as_deref()) {
            (500.., _) => Suspicion::No,
            _ if names_value => Suspicion::Certain,
            // A record that cannot be delivered (qbo-facts 3.10).
            (_, Some("4002" | "10000")) => Suspicion::No,
            // Only a bad request can be about a parameter; 413 and the like are about the page.
            (400, _) if !self.known.lock().answered.contains(value) => Suspicion::Perhaps,
            _ => Suspicion::No,
        }
    }

    async fn refuse(&self, value: &str, reason: &str) {
        if !self.known.lock().refused.insert(value.to_owned()) {
            return;
        }
        warn!(
            phase = "extract",
            event = "include_refused",
            include = value,
            "QuickBooks does not answer include={value} for this company; it is not asked for any more: {reason}"
        );
        self.remember(|document| _ = document.refused.insert(value.to_owned()))
            .await;
    }

    async fn note_answer(&self, value: String) {
        let parts = || parts_of(&value).chain([value.as_str()]).map(str::to_owned);
        let is_new = {
            let mut known = self.known.lock();
            let before = known.answered.len();
            known.answered.extend(parts());
            known.answered.len() > before
        };
        if is_new {
            self.remember(|document| document.answered.extend(parts()))
                .await;
        }
    }

    /// Changes the shared document.
    async fn remember(&self, change: impl Fn(&mut Document) + Send + Sync) {
        let add = |text: Option<&str>, _| {
            let mut document = document(text);
            change(&mut document);
            serde_json::to_string(&document).ok()
        };
        if let Err(error) = self.state.update(Box::new(add)).await {
            debug!(
                phase = "extract",
                "what a company answers to include is not remembered: {error}"
            );
        }
    }
}

/// Returns the parts that a value names, some of them more than once.
fn parts_of(value: &str) -> impl Iterator<Item = &str> {
    value.split([',', PARAMETER])
}

fn names(value: &str, part: &str) -> bool {
    parts_of(value).any(|named| named == part)
}

fn is_named(part: &str, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains(&part.to_ascii_lowercase())
}

/// Returns the only part of a value that a failure names.
fn named_alone<'v>(value: &'v str, error: &Error) -> Option<&'v str> {
    let Error::Api { message, .. } = error.last() else {
        return None;
    };
    let named: BTreeSet<&str> = parts_of(value)
        .filter(|part| is_named(part, message))
        .collect();
    match named.len() {
        1 => named.into_iter().next(),
        _ => None,
    }
}

/// Returns true if the service has answered, and refused the request.
fn is_refusal(error: &Error) -> bool {
    match error.last() {
        Error::Api { status, .. } => (400..500).contains(status),
        _ => error.denies_entity() || error.is_unavailable(),
    }
}

fn document(text: Option<&str>) -> Document {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}
