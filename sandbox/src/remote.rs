//! Requests that the sandbox's side sends: webhooks, and commands to a sandbox that runs elsewhere.

use std::time::Duration;

use super::control::PREFIX;

/// A client that gives up after `patience`.
pub(super) fn client(patience: Duration) -> reqwest::Result<reqwest::Client> {
    // One provider of cryptography for the process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(patience).build()
}

/// Runs a command of the sandbox at `url`; answers its JSON. `arguments` is a JSON object.
///
/// # Errors
/// What the sandbox says is wrong, or why it cannot be reached.
pub async fn control(url: &str, command: &str, arguments: String) -> Result<String, String> {
    let address = format!("{}{PREFIX}/{command}", url.trim_end_matches('/'));
    let unreachable =
        |error: reqwest::Error| format!("no sandbox answers at {url}: {}", root_cause(&error));
    let request = client(Duration::from_secs(60))
        .map_err(unreachable)?
        .post(&address)
        .body(arguments);
    let response = request.send().await.map_err(unreachable)?;
    let is_fine = response.status().is_success();
    let text = response.text().await.map_err(unreachable)?;
    if is_fine {
        return Ok(text);
    }
    let reason = serde_json::from_str::<serde_json::Value>(&text).ok();
    let reason = reason.as_ref().and_then(|answer| answer["error"].as_str());
    Err(reason.map_or_else(
        || format!("what answers at {url} is not a sandbox"),
        str::to_owned,
    ))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
