//! Parts of records that QuickBooks answers only if asked, with the parameter `include` (qbo-facts 13.4
//! and 13.5). A value that a company refuses is not sent to it again, by any process.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::port::SharedState;

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
    /// Values that this process has got an answer to.
    answered: BTreeSet<String>,
}

/// The shared document.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    #[serde(default)]
    refused: BTreeSet<String>,
}

/// One request that may be sent several times, each time with a simpler `include`.
#[derive(Debug)]
pub(super) struct Asking {
    wanted: Vec<&'static str>,
    include: Option<String>,
    /// A value that may be why the request has failed, and the failure.
    doubted: Option<(String, String)>,
}

impl Asking {
    /// Returns the value of `include` for the next try.
    pub(super) fn include(&self) -> Option<&str> {
        self.include.as_deref()
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
        match self.refused().await {
            Ok(refused) => self.known.lock().refused.extend(refused),
            Err(error) => debug!(phase = "extract", "refused includes are unknown: {error}"),
        }
    }

    /// Returns the values that the company has refused.
    ///
    /// # Errors
    /// If the shared document cannot be read.
    pub(crate) async fn refused(&self) -> Result<Vec<String>> {
        let mut refused = Vec::new();
        let read = |text: Option<&str>, _| {
            refused.extend(document(text).refused);
            None
        };
        self.state.update(Box::new(read)).await?;
        Ok(refused)
    }

    /// Returns the value of `include` for records of an entity.
    pub(super) fn value(&self, entity: &EntitySpec) -> Option<String> {
        self.value_of(entity.includes)
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
                    self.refuse(&value, &reason).await;
                }
                if let Some(value) = asking.include.take() {
                    let mut known = self.known.lock();
                    known.answered.extend(value.split(',').map(str::to_owned));
                    known.answered.insert(value);
                }
                return Some(Ok(answer));
            }
            Err(error) => error,
        };
        let Some(value) = asking.include.take() else {
            return Some(Err(error));
        };
        match self.suspicion(&error, &value) {
            Suspicion::No => Some(Err(error)),
            Suspicion::Perhaps => {
                asking.doubted = Some((value, error.to_string()));
                None
            }
            Suspicion::Certain => {
                self.refuse(&value, &error.to_string()).await;
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

    /// Returns all values together, if the company takes them together, or the first one alone that
    /// it takes. How several values are written is not documented (qbo-facts 13.5).
    fn value_of(&self, wanted: &[&'static str]) -> Option<String> {
        let refused = &self.known.lock().refused;
        let taken = |value: &str| !refused.contains(value);
        let together = wanted.join(",");
        match wanted.iter().all(|value| taken(value)) && taken(&together) {
            true => Some(together).filter(|together| !together.is_empty()),
            false => wanted
                .iter()
                .find(|value| taken(value))
                .map(|value| (*value).to_owned()),
        }
    }

    fn suspicion(&self, error: &Error, value: &str) -> Suspicion {
        // A value that the plan lacks may be refused without its name. Every plan has these
        // entities, so that the refusal can be about the value. Others are unavailable at once.
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
        let message = message.to_ascii_lowercase();
        let names_value = value
            .split(',')
            .any(|part| message.contains(&part.to_ascii_lowercase()));
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
        let add = |text: Option<&str>, _| {
            let mut document = document(text);
            document.refused.insert(value.to_owned());
            serde_json::to_string(&document).ok()
        };
        if let Err(error) = self.state.update(Box::new(add)).await {
            debug!(
                phase = "extract",
                "a refused include is not remembered: {error}"
            );
        }
    }
}

fn document(text: Option<&str>) -> Document {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}
