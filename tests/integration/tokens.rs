//! Answers of the token endpoint in odd forms: no rotated refresh token is lost, whatever else is
//! wrong with the answer that brought it. Every refresh of these sandboxes replaces the refresh token
//! and ends the one before it.

use std::path::Path;
use std::time::Duration;

use qbo_rs::app::{App, ExtractRequest};
use qbo_rs::domain::{Report, Window};
use qbo_rs::error::Error;
use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::support::{Database, change, settings, with_state_directory};

fn sandbox() -> Sandbox {
    sandbox_that_rotates_after(Duration::ZERO)
}

/// Returns a sandbox that keeps a refresh token for a while, so that no answer is its only place.
fn sandbox_that_rotates_after(time: Duration) -> Sandbox {
    let mut options = SandboxOptions {
        size: CompanySize {
            customers: 1,
            items: 5,
            invoices: 1,
            others: Some(0),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    };
    options.oauth.rotate_after = time;
    options.threads = 1;
    Sandbox::start(options).unwrap()
}

fn app(sandbox: &Sandbox) -> App {
    let mut settings = settings(sandbox);
    settings.set("QBO_RETRY_FOR_S", "5").unwrap();
    App::new(settings)
}

async fn extract(app: &App) -> Result<Report, Error> {
    let directory = tempfile::tempdir().unwrap();
    let range = Window::parse("2024-01-01", "2026-01-01").unwrap();
    let request = ExtractRequest::new(["items"], [range]).out(directory.path().join("landing"));
    app.extract(&request).await
}

fn rows(report: &Report) -> u64 {
    report.runs.iter().map(|run| run.totals.rows).sum()
}

/// Requests to the token endpoint that were answered with `status`.
fn token_requests(sandbox: &Sandbox, status: &str) -> u64 {
    let stats = change(sandbox, "stats", json!({}));
    stats["requests"]["token"][status].as_u64().unwrap_or(0)
}

fn arm(sandbox: &Sandbox, mut fault: Value) {
    fault["fault"] = "rewrite".into();
    fault["on"] = "token".into();
    change(sandbox, "fault", fault);
}

/// Lets the next call refresh, with whatever token the store has.
fn expire(sandbox: &Sandbox) {
    change(sandbox, "clear-faults", json!({}));
    change(sandbox, "expire-tokens", json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_answer_with_odd_fields_is_stored_and_used() {
    let lifetime = |put: &str| json!({"find": r#""expires_in":3600"#, "put": format!(r#""expires_in":{put}"#)});
    let sandbox = sandbox();
    let app = app(&sandbox);
    for fault in [
        lifetime(r#""3600""#),
        lifetime("-3600"),
        lifetime("0"),
        lifetime("3600.75"),
        lifetime("1e40"),
        lifetime("1e999"),
        lifetime("null"),
        lifetime("{}"),
        lifetime(r#""an hour""#),
        json!({"find": r#""expires_in":3600,"#, "put": ""}),
        json!({"find": "8726400", "put": r#""8726400""#}),
        json!({"find": "8726400", "put": "-1"}),
        json!({"find": "8726400", "put": "99999999999999999999999"}),
        json!({"find": "bearer", "put": "MAC"}),
        json!({"find": r#""bearer""#, "put": "null"}),
        json!({"find": r#""token_type""#, "put": r#""id_token":{"refresh":[1]},"token_type""#}),
        json!({"content_type": "text/html; charset=iso-8859-1"}),
        json!({"content_type": "application/octet-stream", "status": 203}),
        json!({"find": r#"{"access_token""#, "put": r#"{"access_token_type":"jwt","access_token""#}),
    ] {
        arm(&sandbox, fault.clone());
        let report = extract(&app).await.unwrap();
        assert_eq!(rows(&report), 5, "{fault}");
        // The token that this answer brought is the only one that works.
        expire(&sandbox);
    }
    extract(&app).await.unwrap();
    assert_eq!(
        token_requests(&sandbox, "400"),
        0,
        "a token that had been replaced was sent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_access_token_keeps_the_refresh_token_and_asks_again() {
    for fault in [
        json!({"find": "\"access_token\"", "put": "\"accesstokens\""}),
        json!({"find": "eyJ", "put": "not a header "}),
        json!({"find": "eyJ", "put": "eyJ\\u0007"}),
        json!({"find": "\"access_token\":", "put": "\"access_token\":null,\"jwt\":"}),
        json!({"find": "\"access_token\"", "put": "\"accesstokens\"", "status": 502}),
    ] {
        let sandbox = sandbox();
        let app = app(&sandbox);
        arm(&sandbox, fault.clone());
        assert_eq!(rows(&extract(&app).await.unwrap()), 5, "{fault}");
        let answered = token_requests(&sandbox, "200") + token_requests(&sandbox, "502");
        assert_eq!(
            (answered, token_requests(&sandbox, "400")),
            (2, 0),
            "{fault}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_never_hold_an_access_token_fail_the_call_and_lose_nothing() {
    let sandbox = sandbox();
    let app = app(&sandbox);
    arm(
        &sandbox,
        json!({"find": "\"access_token\"", "put": "\"jwt\"", "times": 0}),
    );
    let error = extract(&app).await.unwrap_err().to_string();
    assert!(
        error.contains("no usable access token") && error.contains("tokens.json"),
        "{error}"
    );
    expire(&sandbox);
    assert_eq!(rows(&extract(&app).await.unwrap()), 5);
    assert_eq!(token_requests(&sandbox, "400"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_with_the_status_of_a_success_is_a_refusal() {
    let sandbox = sandbox();
    let app = app(&sandbox);
    extract(&app).await.unwrap();
    expire(&sandbox);
    change(&sandbox, "disconnect", json!({}));
    arm(&sandbox, json!({"status": 200, "times": 0}));
    let report = extract(&app).await.unwrap();
    let error = report.runs[0].windows[0].error.clone().unwrap();
    assert!(
        error.contains("invalid_grant") && error.contains("auth login"),
        "{error}"
    );
    // One request for each token that is known, and no repetition.
    assert!(
        token_requests(&sandbox, "200") <= 4,
        "{}",
        token_requests(&sandbox, "200")
    );
}

/// A trigger that lets the mark of a refresh through and refuses the tokens after it.
const REFUSE_TOKENS: &str = "
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.sealed_tokens IS DISTINCT FROM OLD.sealed_tokens THEN
        RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON qbo.accounts FOR EACH ROW EXECUTE FUNCTION refuse()";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_store_cannot_take_is_kept_elsewhere_and_moved_later() {
    let (sandbox, database) = (sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let app = app_with_state(&sandbox, &database, directory.path());
    extract(&app).await.unwrap();
    expire(&sandbox);
    database.client.batch_execute(REFUSE_TOKENS).await.unwrap();
    let report = extract(&app).await.unwrap();
    let error = report.runs[0].windows[0].error.clone().unwrap();
    let place = directory.path().join("state/qbo_rs/rescued-tokens-");
    assert!(error.contains("the disk is full"), "{error}");
    assert!(error.contains(&place.display().to_string()), "{error}");
    let kept = std::fs::read_dir(directory.path().join("state/qbo_rs")).unwrap();
    let texts = kept.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    assert!(
        texts.into_iter().all(|text| !text.contains("RT1-")),
        "a token is in clear"
    );
    // Another process, after the store is mended. It begins with the token of the settings, which
    // ended long ago, and with the one in the store, which the refresh above has ended.
    database
        .client
        .batch_execute("DROP TRIGGER refuse ON qbo.accounts")
        .await
        .unwrap();
    let again = app_with_state(&sandbox, &database, directory.path());
    assert_eq!(rows(&extract(&again).await.unwrap()), 5);
    assert_eq!(
        token_requests(&sandbox, "400"),
        0,
        "a token that had been replaced was sent"
    );
    // What was kept is removed, so that it cannot replace a newer token.
    expire(&sandbox);
    let third = app_with_state(&sandbox, &database, directory.path());
    assert_eq!(rows(&extract(&third).await.unwrap()), 5);
    assert_eq!(token_requests(&sandbox, "400"), 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_kept_elsewhere_never_replaces_one_that_was_stored_later() {
    let (sandbox, database) = (sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let app = app_with_state(&sandbox, &database, directory.path());
    extract(&app).await.unwrap();
    expire(&sandbox);
    database.client.batch_execute(REFUSE_TOKENS).await.unwrap();
    extract(&app).await.unwrap();
    let rescues = directory.path().join("state/qbo_rs");
    let kept: Vec<_> = std::fs::read_dir(&rescues)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    database
        .client
        .batch_execute("DROP TRIGGER refuse ON qbo.accounts")
        .await
        .unwrap();
    extract(&app_with_state(&sandbox, &database, directory.path()))
        .await
        .unwrap();
    expire(&sandbox);
    // The newest tokens come without an access token, again and again, and what was kept could not
    // be removed.
    arm(
        &sandbox,
        json!({"find": "\"access_token\"", "put": "\"jwt\"", "times": 0}),
    );
    let report = extract(&app_with_state(&sandbox, &database, directory.path())).await;
    assert!(report.is_err() || rows(&report.unwrap()) == 0);
    for (path, text) in kept {
        std::fs::write(path, text).unwrap();
    }
    let before = token_requests(&sandbox, "400");
    expire(&sandbox);
    let last = app_with_state(&sandbox, &database, directory.path());
    assert_eq!(rows(&extract(&last).await.unwrap()), 5);
    assert_eq!(
        token_requests(&sandbox, "400"),
        before,
        "an older token was sent"
    );
    database.drop().await;
}

/// Returns an app whose tokens are in the database, since that is what is configured.
fn app_with_state(sandbox: &Sandbox, database: &Database, directory: &Path) -> App {
    let mut settings = with_state_directory(directory);
    for (name, value) in sandbox.environment() {
        settings.set(name, &value).unwrap();
    }
    settings.set("DATABASE_URL", &database.url).unwrap();
    settings.set("QBO_RETRY_FOR_S", "5").unwrap();
    App::new(settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_speak_of_tokens_never_replace_the_stored_one() {
    for status in [429, 500, 503] {
        for words in [
            r#"{"refresh_token":"maintenance"}"#,
            "refresh_token: maintenance",
        ] {
            let sandbox = sandbox();
            let app = app(&sandbox);
            extract(&app).await.unwrap();
            expire(&sandbox);
            // A page with the words takes the place of two answers; the token stays as it is.
            change(
                &sandbox,
                "fault",
                json!({"fault": "refused", "on": "token", "status": status, "message": words, "times": 2}),
            );
            assert_eq!(rows(&extract(&app).await.unwrap()), 5, "{status} {words}");
            assert_eq!(token_requests(&sandbox, "400"), 0, "{status} {words}");
            expire(&sandbox);
            assert_eq!(rows(&extract(&app).await.unwrap()), 5, "{status} {words}");
        }
    }
    // Text that is no JSON, with a status that says that the server failed.
    let sandbox = sandbox_that_rotates_after(Duration::from_secs(3600));
    let app = app(&sandbox);
    arm(
        &sandbox,
        json!({"find": "{\"access_token\":", "put": "refresh_token: maintenance; {\"jwt\":",
            "status": 503, "times": 2}),
    );
    assert_eq!(rows(&extract(&app).await.unwrap()), 5);
    assert_eq!(
        token_requests(&sandbox, "400"),
        0,
        "a word was sent as a token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_was_taken_for_a_token_does_not_lose_the_real_one() {
    let sandbox = sandbox_that_rotates_after(Duration::from_secs(3600));
    let app = app(&sandbox);
    arm(
        &sandbox,
        json!({"find": "{\"access_token\":", "put": "refresh_token: word; {\"jwt\":"}),
    );
    assert_eq!(rows(&extract(&app).await.unwrap()), 5);
    // The word is refused once, and the real token is sent again.
    assert_eq!(token_requests(&sandbox, "400"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshes_never_overlap_where_that_ends_the_connection() {
    let sandbox = sandbox_that_rotates_after(Duration::ZERO);
    change(&sandbox, "overlapping-refreshes", json!({"revoked": true}));
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("tokens");
    // Each process has its own client, and all of them need a token at once.
    let processes = || {
        (0..4).map(|_| {
            let mut settings = settings(&sandbox);
            settings
                .set("QBO_TOKEN_STORE", store.to_str().unwrap())
                .unwrap();
            let app = App::new(settings);
            async move { extract(&app).await }
        })
    };
    for _ in 0..2 {
        expire(&sandbox);
        let slow = json!({"fault": "slow", "on": "token", "ms": 300, "times": 0});
        change(&sandbox, "fault", slow);
        for report in futures_util::future::join_all(processes()).await {
            assert_eq!(rows(&report.unwrap()), 5);
        }
    }
    assert_eq!(token_requests(&sandbox, "400"), 0);

    // Two requests at once end the connection, so that this test can fail.
    let token = change(&sandbox, "refresh-token", json!({}));
    let token = token["refresh_token"]
        .as_str()
        .or(token.as_str())
        .unwrap()
        .to_owned();
    let environment: std::collections::HashMap<_, _> = sandbox.environment().into_iter().collect();
    let refresh = || {
        reqwest::Client::new()
            .post(&environment["QBO_TOKEN_URL"])
            .basic_auth(
                &environment["QBO_CLIENT_ID"],
                Some(&environment["QBO_CLIENT_SECRET"]),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=refresh_token&refresh_token={token}"))
            .send()
    };
    let (first, second) = tokio::join!(refresh(), refresh());
    assert_eq!(
        (first.unwrap().status(), second.unwrap().status()),
        (
            reqwest::StatusCode::BAD_REQUEST,
            reqwest::StatusCode::BAD_REQUEST
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_in_a_refresh_keeps_the_new_token() {
    let sandbox = sandbox_that_rotates_after(Duration::ZERO);
    let app = app(&sandbox);
    assert_eq!(rows(&extract(&app).await.unwrap()), 5);
    expire(&sandbox);
    // The token is replaced at once, and the answer takes a second or two.
    change(
        &sandbox,
        "fault",
        json!({"fault": "trickle", "on": "token", "bytes_per_s": 600}),
    );
    let refreshes = || change(&sandbox, "stats", json!({}))["refreshes"].as_u64();
    let before = refreshes();
    {
        let mut call = std::pin::pin!(extract(&app));
        let replaced = async {
            while refreshes() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = &mut call => panic!("the answer came before the call was dropped"),
            () = replaced => {}
        }
    }
    assert_eq!(rows(&extract(&app).await.unwrap()), 5);
    assert_eq!(token_requests(&sandbox, "400"), 0);
}
