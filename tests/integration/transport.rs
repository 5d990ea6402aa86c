//! Scripted failures of the transport: each connection gets the next answer of a list.

use std::sync::Arc;

use qbo_rs::app::{App, ExtractRequest};
use qbo_rs::domain::Report;
use qbo_rs::port::NoProgress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str =
    r#"{"token_type":"bearer","expires_in":3600,"access_token":"a..t","refresh_token":"r"}"#;
const CUSTOMER: &str = r#"{"QueryResponse":{"Customer":[{"Id":"1","SyncToken":"0","MetaData":{"LastUpdatedTime":"2024-06-01T00:00:00-07:00"}}],"maxResults":1},"time":"2026-01-01T00:00:00.000-08:00"}"#;

pub(crate) fn http(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// Serves the answers in turn and repeats the last one; returns the base URL.
pub(crate) async fn serve(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut answers = answers.into_iter().peekable();
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answers.next().unwrap();
            if answers.peek().is_none() {
                answers = vec![answer.clone()].into_iter().peekable();
            }
            let mut request = vec![0; 65536];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

/// Extracts one window from a server that gives these answers after the token.
async fn extract(answers: &[String]) -> Report {
    let url = serve([&[http(200, "", TOKEN)], answers].concat()).await;
    let (app, request, _directory) = app_and_request(&url);
    app.extract(&request).await.unwrap()
}

/// Returns an app that uses this server, a request for one window, and its landing directory.
fn app_and_request(url: &str) -> (App, ExtractRequest, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = crate::support::with_state_directory(directory.path());
    for (name, value) in [
        ("QBO_API_URL", url),
        ("QBO_TOKEN_URL", &format!("{url}/token")),
        ("QBO_CLIENT_ID", "i"),
        ("QBO_CLIENT_SECRET", "s"),
        ("QBO_REFRESH_TOKEN", "r"),
        ("QBO_REALM_ID", "9"),
        ("QBO_THROTTLE_WAIT_S", "0.2"),
        ("QBO_TIMEOUT_S", "5"),
    ] {
        settings.set(name, value).unwrap();
    }
    let app = App {
        settings,
        progress: Arc::new(NoProgress),
    };
    let year = crate::support::request(&["customers"], "2024-01-01", "2025-01-01", "year", 9);
    let request =
        ExtractRequest::new(["customers"], [year.range]).out(directory.path().join("landing"));
    (app, request, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_failures_are_retried() {
    let throttled_xml = r#"<IntuitResponse xmlns="http://schema.intuit.com/finance/v3"><Fault type="SERVICE"><Error code="3001"><Message>ThrottleExceeded</Message></Error></Fault></IntuitResponse>"#;
    for (name, failure_cause) in [
        ("503", http(503, "", "")),
        ("502 of a proxy", http(502, "", "<html>Bad Gateway</html>")),
        (
            "500 with a fault",
            http(
                500,
                "",
                r#"{"Fault":{"Error":[{"Message":"m","code":"10000"}]}}"#,
            ),
        ),
        ("429 without a time", http(429, "", throttled_xml)),
        ("429 with one", http(429, "Retry-After: 0\r\n", "")),
        ("403 that is a throttle", http(403, "", throttled_xml)),
        (
            "cut body",
            http(200, "", CUSTOMER)
                .replace("maxResults", "")
                .chars()
                .take(140)
                .collect(),
        ),
        ("garbage", http(200, "", "not json")),
        ("reset", String::new()),
    ] {
        let report = extract(&[failure_cause, http(200, "", CUSTOMER)]).await;
        let window = &report.runs[0].windows[0];
        assert_eq!(
            (window.rows, window.retries),
            (1, 1),
            "{name}: {:?}",
            window.error
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_renews_the_token_once_and_then_stops_without_showing_it() {
    let refused = r#"{"fault":{"error":[{"message":"message=AuthenticationFailed; errorCode=003200; statusCode=401","detail":"Token expired: AB01601390262kxzxQWERTYUIOPasdfSECRET","code":"3200"}],"type":"AUTHENTICATION"},"time":1601391072830}"#;
    let renewed = extract(&[
        http(401, "", refused),
        http(200, "", TOKEN),
        http(200, "", CUSTOMER),
    ])
    .await;
    assert_eq!(renewed.runs[0].windows[0].rows, 1);
    let report = extract(&[
        http(401, "", refused),
        http(200, "", TOKEN),
        http(401, "intuit_tid: 1-abc\r\n", refused),
    ])
    .await;
    let error = report.runs[0].windows[0].error.clone().unwrap();
    assert!(
        error.contains("credentials refused") && error.contains("intuit_tid=1-abc"),
        "{error}"
    );
    assert!(!error.contains("SECRET"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_beyond_all_limits_ends_the_run_and_is_not_waited_for() {
    let token = TOKEN.replace("3600", &u64::MAX.to_string());
    for seconds in ["86400", "18446744073709551615"] {
        let throttled = http(429, &format!("Retry-After: {seconds}\r\n"), "");
        let url = serve(vec![
            http(200, "", &token),
            throttled,
            http(200, "", CUSTOMER),
        ])
        .await;
        let (app, mut request, _directory) = app_and_request(&url);
        // More windows than are read at a time: the last ones are admitted after the throttled answer.
        let range = crate::support::request(&["customers"], "2014-01-01", "2024-01-01", "year", 9);
        request.windows = qbo_rs::domain::chunk_range(range.range, range.chunk);
        let outcome =
            tokio::time::timeout(std::time::Duration::from_secs(20), app.extract(&request)).await;
        let report = outcome.expect("it waits").unwrap();
        let errors: Vec<_> = report.runs[0]
            .windows
            .iter()
            .filter_map(|window| window.error.as_ref())
            .collect();
        assert!(
            errors
                .iter()
                .any(|error| error.starts_with("QuickBooks asks to wait ")),
            "{errors:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_failures_are_not_retried() {
    let fault = r#"{"Fault":{"Error":[{"Message":"Invalid query","Detail":"QueryValidationError: x","code":"4001"}]}}"#;
    let report = extract(&[http(400, "", fault)]).await;
    let window = &report.runs[0].windows[0];
    assert_eq!(window.requests, 1);
    assert!(
        window
            .error
            .as_ref()
            .unwrap()
            .contains("HTTP 400, code 4001: Invalid query: QueryValidationError: x")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_in_a_cut_answer_is_stored_and_used() {
    // Intuit's order of the fields: the connection breaks inside the access token.
    let cut =
        r#"{"x_refresh_token_expires_in":8726400,"refresh_token":"r-new","access_token":"a..t"#;
    let cut = http(200, "", &format!("{cut}{}", "t".repeat(99))).replace(&"t".repeat(99), "");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in [cut, http(200, "", TOKEN), http(200, "", CUSTOMER)] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 65536];
            let length = stream.read(&mut request).await.unwrap();
            requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    });
    let (app, request, _directory) = app_and_request(&url);
    let report = app.extract(&request).await.unwrap();
    assert_eq!(report.runs[0].windows[0].rows, 1);
    let requests = requests.await.unwrap();
    assert!(requests[0].ends_with("refresh_token=r"), "{}", requests[0]);
    assert!(
        requests[1].ends_with("refresh_token=r-new"),
        "{}",
        requests[1]
    );
}

const PORTAL: &str =
    "Location: https://portal.example/login?ticket=hush\r\nContent-Type: text/html\r\n";
const PAGE: (&str, &str) = ("Content-Type: text/html\r\n", "<html>Blocked</html>");

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_of_the_data_ends_the_run_at_the_first_answer_and_names_its_host() {
    for (status, headers, named) in [
        (301, PORTAL, "https://portal.example"),
        (302, PORTAL, "https://portal.example"),
        (307, PORTAL, "https://portal.example"),
        (308, "", "points to no place"),
        (421, "", "points to another server"),
    ] {
        let url = serve(vec![http(200, "", TOKEN), http(status, headers, "")]).await;
        let (app, mut request, _directory) = app_and_request(&url);
        let years = crate::support::request(&["customers"], "2014-01-01", "2024-01-01", "year", 9);
        request.windows = qbo_rs::domain::chunk_range(years.range, years.chunk);
        request.entities = vec!["customers".into(), "invoices".into()];
        let report = app.extract(&request).await.unwrap();
        let requests: u64 = report.runs.iter().map(|run| run.totals.requests).sum();
        assert_eq!(requests, 1, "HTTP {status}");
        for run in &report.runs {
            let error = run.windows[9].error.as_deref().unwrap_or_default();
            assert!(
                error.contains(&format!("HTTP {status} points to")),
                "{error}"
            );
            assert!(
                error.contains(named) && error.contains("QBO_API_URL"),
                "{error}"
            );
            assert!(!error.contains("hush"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_before_the_token_endpoint_says_nothing_about_the_credentials() {
    let (html, page) = PAGE;
    let json = "Content-Type: application/json\r\n";
    for (answer, words) in [
        (
            http(403, html, page),
            "a firewall or proxy between this machine and 127.0.0.1",
        ),
        (http(404, html, page), "check QBO_TOKEN_URL"),
        (
            http(403, "", "<!DOCTYPE html>"),
            "a firewall or proxy between",
        ),
        (http(302, PORTAL, ""), "points to https://portal.example"),
        (http(307, "", ""), "points to no place"),
        (http(503, html, page), "HTTP 503 with an HTML page"),
        (http(200, html, page), "HTTP 200 with an HTML page"),
    ] {
        let url = serve(vec![answer.clone()]).await;
        let (mut app, request, _directory) = app_and_request(&url);
        app.settings.set("QBO_RETRY_FOR_S", "0.5").unwrap();
        let error = app.extract(&request).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(words), "{answer}: {said}");
        assert!(
            !said.contains("credentials refused") && !said.contains("hush"),
            "{said}"
        );
        assert_ne!(
            error.recovery(),
            qbo_rs::error::Recovery::Reauthorise,
            "{said}"
        );
    }
    for body in ["{}", r#"{"error":"invalid_client"}"#] {
        let url = serve(vec![http(401, json, body)]).await;
        let (app, request, _directory) = app_and_request(&url);
        let error = app.extract(&request).await.unwrap_err();
        assert!(
            error.to_string().starts_with("credentials refused"),
            "{error}"
        );
    }
}
