//! The lines of a check.

use serde::Serialize;

/// The verdict of a line, and of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It was not looked at, because that was not asked for, or something before it is wrong.
    Skipped,
    /// All is well.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// Commands will fail.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckLine {
    /// Name, such as `token_store`.
    pub name: &'static str,
    /// Verdict.
    pub status: CheckStatus,
    /// Finding, in one sentence.
    pub text: String,
    /// A command, a statement or a setting that helps.
    pub fix: Option<String>,
}

impl CheckLine {
    pub(super) fn new(name: &'static str, status: CheckStatus, text: impl Into<String>) -> Self {
        Self {
            name,
            status,
            text: text.into(),
            fix: None,
        }
    }

    pub(super) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Ok, text)
    }

    pub(super) fn warning(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Warning, text)
    }

    pub(super) fn failed(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Failed, text)
    }

    pub(super) fn skipped(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Skipped, text)
    }

    pub(super) fn fix(self, fix: impl Into<Option<String>>) -> Self {
        Self {
            fix: fix.into(),
            ..self
        }
    }
}

/// The result of a check. Serialised, it is the `--json` object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Its lines.
    #[serde(rename = "check")]
    pub lines: Vec<CheckLine>,
    /// The worst of their verdicts: `ok`, `warning` or `failed`.
    pub status: CheckStatus,
}

impl CheckReport {
    pub(super) fn of(lines: Vec<CheckLine>) -> Self {
        let worst = lines.iter().map(|line| line.status).max();
        Self {
            // What was skipped says nothing against the rest.
            status: worst.unwrap_or(CheckStatus::Ok).max(CheckStatus::Ok),
            lines,
        }
    }

    /// Returns true if no line failed.
    pub fn is_ok(&self) -> bool {
        self.status != CheckStatus::Failed
    }
}
