//! Conform: probes of a real company, which settle what the simulator assumes.

use std::path::PathBuf;

use serde::Serialize;

use super::App;
use super::company::{Company, company_config};
use crate::config::QboConfig;
use crate::error::{Error, Result};
use crate::port::Source as _;
use crate::quickbooks::conform::MAX_REQUESTS;
pub use crate::quickbooks::conform::{ProbeResult, ProbeResults};

/// A request to probe a company.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[non_exhaustive]
pub struct ConformRequest {
    /// Base URL of the API to probe, such as https://sandbox-quickbooks.api.intuit.com
    #[cfg_attr(feature = "cli", arg(long, value_name = "URL"))]
    pub against: String,
    /// File to write the findings to, as JSON without secrets, records or the company's id
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub out: Option<PathBuf>,
}

impl ConformRequest {
    /// Returns a request that writes no file.
    pub fn new(against: impl Into<String>) -> Self {
        Self {
            against: against.into(),
            out: None,
        }
    }

    /// Sets the file to write the findings to.
    #[must_use]
    pub fn out(mut self, out: impl Into<PathBuf>) -> Self {
        self.out = Some(out.into());
        self
    }
}

/// The findings about a company. Serialised, it is the file that can be contributed, so it holds
/// nothing of the company.
#[derive(Debug, Clone, Serialize)]
pub struct ConformReport {
    /// Name of the file's format.
    pub format: &'static str,
    /// Version of the file's format.
    pub version: u32,
    /// Date of the probes in UTC, as in `2026-11-27`.
    pub date: String,
    /// The findings.
    #[serde(flatten)]
    pub findings: ProbeResults,
}

impl App {
    /// Probes a company with a few dozen read requests, within its limits.
    ///
    /// # Errors
    /// Settings; refused credentials; the file cannot be written.
    pub async fn conform(&self, request: &ConformRequest) -> Result<ConformReport> {
        let mut settings = self.settings.clone();
        settings.set("QBO_API_URL", &request.against)?;
        let config = company_config(&settings).await?;
        let max_requests = match config.max_requests {
            0 => MAX_REQUESTS,
            max => max.min(MAX_REQUESTS),
        };
        let config = QboConfig {
            max_requests,
            ..config
        };
        let (source, _) = Company::open(&settings, &config, &self.progress)
            .await?
            .into_parts();
        source.prepare().await?;
        let report = ConformReport {
            format: "qbo-rs conform",
            version: 1,
            date: crate::clock::now().format("%Y-%m-%d").to_string(),
            findings: source.conform().await?,
        };
        if let Some(path) = &request.out {
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Error::Internal(format!("findings: {error}")))?;
            std::fs::write(path, text + "\n").map_err(|error| Error::landing(path, error))?;
        }
        Ok(report)
    }
}
