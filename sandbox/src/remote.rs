//! The HTTP client, for webhooks and for commands to a sandbox that runs elsewhere.

use std::time::Duration;

use crate::paths::{CONTROL_PREFIX, MAX_COMMAND_BYTES};

/// Bytes of the list of commands, by which a server says that it is a sandbox.
const MAX_LIST_BYTES: usize = 1 << 20;

/// Returns a client whose requests fail after `request_timeout`. It follows no redirect: what is meant for one server
/// is sent to no other.
pub(crate) fn client(request_timeout: Duration) -> reqwest::Result<reqwest::Client> {
    // The process has one cryptography provider. If one is installed already, this does nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(request_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Runs a control command of the sandbox at `url` and returns its JSON. `arguments` is a JSON
/// object. Nothing is sent to a server that does not say that it is a sandbox.
///
/// # Errors
/// The sandbox's own reason, or the reason why it cannot be reached.
pub async fn control(url: &str, command: &str, arguments: String) -> Result<String, String> {
    let base = format!("{}{CONTROL_PREFIX}", url.trim_end_matches('/'));
    let unreachable = |error: reqwest::Error| unreachable(url, &error);
    let client = client(Duration::from_secs(60)).map_err(unreachable)?;
    let asked = client.get(&base).send().await.map_err(unreachable)?;
    let about = text_of(asked, MAX_LIST_BYTES, url).await?;
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
    let text = text_of(response, MAX_COMMAND_BYTES, url).await?;
    match is_success {
        true => Ok(text),
        false => Err(reason(&serde_json::from_str(&text).ok())),
    }
}

/// Reads the text of an answer, which anybody may have sent: one that is longer than `max_bytes` is not read to its end.
async fn text_of(
    mut answer: reqwest::Response,
    max_bytes: usize,
    url: &str,
) -> Result<String, String> {
    let mut bytes = Vec::new();
    loop {
        let chunk = answer.chunk().await;
        let chunk = chunk.map_err(|error| unreachable(url, &error))?;
        let Some(chunk) = chunk else {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        };
        if bytes.len() + chunk.len() > max_bytes {
            let mb = max_bytes >> 20;
            return Err(format!(
                "the answer of the server at {url} is longer than {mb} MB"
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
}

fn unreachable(url: &str, error: &reqwest::Error) -> String {
    format!("no sandbox answers at {url}: {}", root_cause(error))
}

/// Returns the text of the innermost error.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Serves the same answer to every connection, its second part again and again. Returns its address, and the count of
    /// connections.
    async fn server(head: String, repeated: Vec<u8>) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read(&mut [0; 4096]).await;
                let mut sent = stream.write_all(head.as_bytes()).await;
                while sent.is_ok() && !repeated.is_empty() {
                    sent = stream.write_all(&repeated).await;
                }
            }
        });
        (url, asked)
    }

    #[tokio::test]
    async fn an_endless_answer_is_not_read_to_its_end() {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{".to_owned();
        let (url, _) = server(head, vec![b' '; 1 << 16]).await;
        let answer = control(&url, "stats", "{}".to_owned());
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
        let reason = answer.unwrap().unwrap_err();
        assert!(reason.ends_with("is longer than 1 MB"), "{reason}");
    }

    #[tokio::test]
    async fn no_redirect_is_followed() {
        let (other, asked) = server("HTTP/1.1 200 OK\r\n\r\n".to_owned(), Vec::new()).await;
        let head = format!("HTTP/1.1 307 x\r\nlocation: {other}/\r\ncontent-length: 0\r\n\r\n");
        let (url, _) = server(head, Vec::new()).await;
        let reason = control(&url, "stats", "{}".to_owned()).await.unwrap_err();
        assert!(reason.ends_with("is not a sandbox"), "{reason}");
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }
}
