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
/// object. Nothing is sent to a server that does not say that it is a sandbox.
///
/// # Errors
/// The sandbox's own reason, or the reason why it cannot be reached.
pub async fn control(url: &str, command: &str, arguments: String) -> Result<String, String> {
    let base = format!("{}{CONTROL_PREFIX}", url.trim_end_matches('/'));
    let unreachable =
        |error: reqwest::Error| format!("no sandbox answers at {url}: {}", root_cause(&error));
    let client = client(Duration::from_secs(60)).map_err(unreachable)?;
    let asked = client.get(&base).send().await.map_err(unreachable)?;
    let about = asked.text().await.map_err(unreachable)?;
    let about: Option<serde_json::Value> = serde_json::from_str(&about).ok();
    let no_sandbox = || format!("the server at {url} is not a sandbox");
    let reason = |answer: &Option<serde_json::Value>| {
        let reason = answer.as_ref().and_then(|answer| answer["error"].as_str());
        reason.map_or_else(no_sandbox, str::to_owned)
    };
    // One that refuses this caller lists its commands, too.
    if about
        .as_ref()
        .is_none_or(|about| about["commands"].is_null())
    {
        return Err(no_sandbox());
    }
    let request = client
        .post(format!("{base}/{command}"))
        .header("content-type", "application/json")
        .body(arguments);
    let response = request.send().await.map_err(unreachable)?;
    let is_success = response.status().is_success();
    let text = response.text().await.map_err(unreachable)?;
    match is_success {
        true => Ok(text),
        false => Err(reason(&serde_json::from_str(&text).ok())),
    }
}

/// Returns the text of the innermost error.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
