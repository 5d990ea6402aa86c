//! The HTTP client, for webhooks and for commands to a sandbox that runs elsewhere.

use std::time::Duration;

use crate::paths::CONTROL_PREFIX;

/// Returns a client whose requests fail after `request_timeout`.
pub(crate) fn client(request_timeout: Duration) -> reqwest::Result<reqwest::Client> {
    // The process has one cryptography provider. If one is installed already, this does nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(request_timeout).build()
}

/// Runs a control command of the sandbox at `url` and returns its JSON. `arguments` is a JSON
/// object.
///
/// # Errors
/// The sandbox's own reason, or the reason why it cannot be reached.
pub async fn control(url: &str, command: &str, arguments: String) -> Result<String, String> {
    let address = format!("{}{CONTROL_PREFIX}/{command}", url.trim_end_matches('/'));
    let unreachable =
        |error: reqwest::Error| format!("no sandbox answers at {url}: {}", root_cause(&error));
    let request = client(Duration::from_secs(60))
        .map_err(unreachable)?
        .post(&address)
        .header("content-type", "application/json")
        .body(arguments);
    let response = request.send().await.map_err(unreachable)?;
    let is_success = response.status().is_success();
    let text = response.text().await.map_err(unreachable)?;
    if is_success {
        return Ok(text);
    }
    let reason = serde_json::from_str::<serde_json::Value>(&text).ok();
    let reason = reason.as_ref().and_then(|answer| answer["error"].as_str());
    Err(reason.map_or_else(
        || format!("the server at {url} is not a sandbox"),
        str::to_owned,
    ))
}

/// Returns the text of the innermost error.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
