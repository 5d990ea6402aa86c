//! Answers of the token endpoint in odd forms: no rotated refresh token is lost, whatever else is
//! wrong with the answer that brought it. Every refresh of these sandboxes replaces the refresh token
//! and ends the one before it.

use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
#[cfg(unix)]
use std::process::{Command, Output};
use std::time::Duration;

use qbo_rs::app::{App, ExtractRequest};
use qbo_rs::domain::{Report, Window};
use qbo_rs::error::Error;
use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::files;
use crate::support::{
    Database, NEEDS_ROOT, change, settings, tell_untested, until_it_holds, with_state_directory,
};

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

/// Leaves the newest token of a company in the rescue store alone. Returns an app of another process, which the settings
/// give no token.
async fn rescued(sandbox: &Sandbox, database: &Database, directory: &Path) -> App {
    let app = app_with_state(sandbox, database, directory);
    extract(&app).await.unwrap();
    expire(sandbox);
    database.client.batch_execute(REFUSE_TOKENS).await.unwrap();
    extract(&app).await.unwrap();
    let mended = "DROP TRIGGER refuse ON qbo.accounts";
    database.client.batch_execute(mended).await.unwrap();
    let mut other = app_with_state(sandbox, database, directory);
    other.settings.set("QBO_REFRESH_TOKEN", "").unwrap();
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_sends_the_newest_token_also_one_that_is_kept_elsewhere() {
    for is_stored in [true, false] {
        let (sandbox, database) = (sandbox(), Database::create().await);
        let directory = tempfile::tempdir().unwrap();
        let app = rescued(&sandbox, &database, directory.path()).await;
        if !is_stored {
            let removed = "DELETE FROM qbo.accounts";
            database.client.batch_execute(removed).await.unwrap();
        }
        app.revoke(false).await.unwrap();
        let stats = change(&sandbox, "stats", json!({}));
        assert_eq!(stats["requests"]["revoke"], json!({"200": 1}));
        // Nothing is left, here or elsewhere.
        let error = extract(&app).await.unwrap_err().to_string();
        assert!(error.contains("auth login"), "{error}");
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_be_forgotten_everywhere_stays_and_is_forgotten_later() {
    let (sandbox, database) = (sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let app = rescued(&sandbox, &database, directory.path()).await;
    // What is kept cannot be changed: its lock is a directory.
    let kept = std::fs::read_dir(directory.path().join("state/qbo_rs")).unwrap();
    let locks: Vec<_> = kept
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "lock"))
        .collect();
    assert!(!locks.is_empty());
    for lock in &locks {
        std::fs::remove_file(lock).unwrap();
        std::fs::create_dir(lock).unwrap();
    }
    app.forget(true).await.unwrap_err();
    for lock in &locks {
        std::fs::remove_dir(lock).unwrap();
    }
    let stored = "SELECT count(*) FROM qbo.accounts";
    assert_eq!(database.number(stored).await, 1);
    app.forget(true).await.unwrap();
    assert_eq!(database.number(stored).await, 0);
    let error = extract(&app).await.unwrap_err().to_string();
    assert!(error.contains("auth login"), "{error}");
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
        let replaced = until_it_holds("the token is replaced", || refreshes() != before);
        tokio::select! {
            _ = &mut call => panic!("the answer came before the call was dropped"),
            () = replaced => {}
        }
    }
    assert_eq!(rows(&extract(&app).await.unwrap()), 5);
    assert_eq!(token_requests(&sandbox, "400"), 0);
}

/// What another user has put where the temporary directory of a user belongs.
#[cfg(unix)]
#[derive(Debug, Clone, Copy, PartialEq)]
enum Squat {
    Nothing,
    /// A directory of another user, in which everybody may write.
    Directory,
    /// A link to such a directory.
    Link,
}

/// Runs an extract as a user while the token store takes no token, and no state directory can be made;
/// then one more with a mended store. Returns both outputs.
#[cfg(unix)]
async fn rescue_as(user: u32, temporary: &Path, runtime: Option<&Path>) -> [Output; 2] {
    let (sandbox, database) = (sandbox(), Database::create().await);
    let program = program_in(temporary);
    let out = temporary.join(format!("out-{user}"));
    let run = async || {
        // One window: each tries for six seconds to store a token.
        let out = out.to_str().unwrap();
        let line = ["extract", "items", "--out", out, "--chunk", "year"];
        let line = [&line[..], &["--start", "2024-01-01", "--end", "2025-01-01"]].concat();
        let ours = files::command(&sandbox, Some(&database), temporary, &line);
        let mut command = command_of(user, &program, &ours);
        command
            .env("XDG_STATE_HOME", "/dev/null/state")
            .env("TMPDIR", temporary)
            .current_dir(temporary);
        if let Some(runtime) = runtime {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        let ended = tokio::task::spawn_blocking(move || command.output()).await;
        ended.unwrap().unwrap()
    };
    let first = run().await;
    assert!(first.status.success(), "{}", files::text(&first));
    expire(&sandbox);
    database.client.batch_execute(REFUSE_TOKENS).await.unwrap();
    let refused = run().await;
    assert_eq!(refused.status.code(), Some(1), "{}", files::text(&refused));
    let mend = "DROP TRIGGER refuse ON qbo.accounts";
    database.client.batch_execute(mend).await.unwrap();
    let mended = run().await;
    database.drop().await;
    [refused, mended]
}

/// Copies the command into a directory: the folder of the build may be closed to others. Another
/// process makes the copy: a child that this one starts meanwhile would keep the copy open for writing,
/// and it could not be run.
#[cfg(unix)]
fn program_in(directory: &Path) -> PathBuf {
    let program = directory.join("program");
    let copied = Command::new("cp")
        .args([Path::new(files::COMMAND), &program])
        .status();
    assert!(copied.unwrap().success());
    program
}

/// Returns a command with the arguments and the environment of another one, run by a user if this is
/// root.
#[cfg(unix)]
fn command_of(user: u32, program: &Path, ours: &Command) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.args(ours.get_args()).env_clear();
    let variables = ours.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    if is_root() {
        command.uid(user).gid(user);
    }
    command
}

#[cfg(unix)]
fn user_of(path: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&std::fs::symlink_metadata(path).unwrap())
}

#[cfg(unix)]
fn is_root() -> bool {
    user_of(tempfile::tempdir().unwrap().path()) == 0
}

/// A directory like that for everybody's temporary files.
#[cfg(unix)]
fn directory_for_all() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o1777);
    directory
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).unwrap();
}

#[cfg(unix)]
fn mode_of(path: &Path) -> u32 {
    let found = std::fs::metadata(path).unwrap();
    std::os::unix::fs::MetadataExt::mode(&found) & 0o777
}

#[cfg(unix)]
const NOBODY: u32 = 65_534;

/// As root it runs as root and as an ordinary user; otherwise as the user that there is, without a
/// directory of another one.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_into_a_directory_that_another_user_made() {
    let me = user_of(directory_for_all().path());
    let (users, squats) = match me {
        0 => (
            vec![0, NOBODY],
            vec![Squat::Nothing, Squat::Directory, Squat::Link],
        ),
        _ => {
            tell_untested("a directory of another user", NEEDS_ROOT);
            (vec![me], vec![Squat::Nothing, Squat::Link])
        }
    };
    let cases = users
        .iter()
        .flat_map(|user| squats.iter().map(|squat| rescue_beside(*user, *squat)));
    futures_util::future::join_all(cases).await;
}

#[cfg(unix)]
async fn rescue_beside(user: u32, squat: Squat) {
    use std::os::unix::fs::{chown, symlink};
    let case = format!("{user} {squat:?}");
    let directory = directory_for_all();
    let victim = directory.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    set_mode(&victim, 0o777);
    let place = directory.path().join(format!("qbo_rs-{user}"));
    match squat {
        Squat::Nothing => {}
        Squat::Link => symlink(&victim, &place).unwrap(),
        Squat::Directory => {
            std::fs::create_dir(&place).unwrap();
            set_mode(&place, 0o777);
            chown(&place, Some(1234), Some(1234)).unwrap();
        }
    }
    let [refused, mended] = rescue_as(user, directory.path(), None).await;
    let words = files::text(&refused);
    assert_eq!(files::names(&victim), Vec::<String>::new(), "{case}");
    if squat == Squat::Nothing {
        assert!(
            words.contains(&place.display().to_string()),
            "{case}: {words}"
        );
        assert_eq!((user_of(&place), mode_of(&place)), (user, 0o700), "{case}");
        assert!(mended.status.success(), "{case}: {}", files::text(&mended));
    } else {
        assert_eq!(files::names(&place), Vec::<String>::new(), "{case}");
        let told = ["is not used: it ", "only this process has the new one"];
        assert!(
            told.iter().all(|told| words.contains(told)),
            "{case}: {words}"
        );
    }
    // A directory of the user's own comes first, where there is one.
    let runtime = tempfile::tempdir_in(directory.path()).unwrap();
    if is_root() {
        chown(runtime.path(), Some(user), Some(user)).unwrap();
    }
    let [refused, mended] = rescue_as(user, directory.path(), Some(runtime.path())).await;
    let own = runtime.path().join("qbo_rs");
    let words = files::text(&refused);
    assert!(
        words.contains(&own.display().to_string()),
        "{case}: {words}"
    );
    assert_eq!((user_of(&own), mode_of(&own)), (user, 0o700), "{case}");
    assert!(mended.status.success(), "{case}: {}", files::text(&mended));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_store_that_is_a_link_stays_one_and_its_target_is_current() {
    let sandbox = sandbox();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("volume/tokens.json");
    std::fs::create_dir(target.parent().unwrap()).unwrap();
    let link = directory.path().join("tokens.json");
    std::os::unix::fs::symlink("volume/tokens.json", &link).unwrap();
    let mut app = app(&sandbox);
    for store in [&link, &target, &link] {
        app.settings
            .set("QBO_TOKEN_STORE", store.to_str().unwrap())
            .unwrap();
        assert_eq!(rows(&extract(&app).await.unwrap()), 5);
        expire(&sandbox);
    }
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(target.symlink_metadata().unwrap().is_file());
    assert_eq!(
        token_requests(&sandbox, "400"),
        0,
        "a token that had been replaced was sent"
    );
    // Nothing is beside the link: locks and limits are those of the target.
    assert_eq!(files::names(directory.path()), ["tokens.json", "volume"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_others_may_open_is_closed_and_one_that_all_may_write_is_refused() {
    let sandbox = sandbox();
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("tokens.json");
    let mut app = app(&sandbox);
    app.settings
        .set("QBO_TOKEN_STORE", store.to_str().unwrap())
        .unwrap();
    extract(&app).await.unwrap();
    for shared in [0o644, 0o660, 0o620] {
        set_mode(&store, shared);
        assert_eq!(rows(&extract(&app).await.unwrap()), 5);
        assert_eq!(mode_of(&store), 0o600);
    }
    set_mode(&store, 0o666);
    let content = std::fs::read(&store).unwrap();
    let requests = token_requests(&sandbox, "200");
    let error = extract(&app).await.map(|report| rows(&report));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("chmod 600") && error.contains("0666"),
        "{error}"
    );
    assert_eq!(std::fs::read(&store).unwrap(), content);
    assert_eq!(token_requests(&sandbox, "200"), requests);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_store_that_is_a_directory_is_refused_and_keeps_its_mode() {
    let sandbox = sandbox();
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("of others");
    std::fs::create_dir(&store).unwrap();
    set_mode(&store, 0o755);
    let mut app = app(&sandbox);
    let text = store.to_str().unwrap();
    app.settings.set("QBO_TOKEN_STORE", text).unwrap();
    let error = extract(&app).await.map(|report| rows(&report));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("is a directory; name a file"), "{error}");
    assert_eq!(mode_of(&store), 0o755);
}

/// Who owns the token file and its directory, who runs, and whether the file is refused.
#[cfg(unix)]
const OWNERS: [(u32, u32, u32, bool); 5] = [
    (NOBODY, 0, 0, true),
    // Root works for the user to whom the directory belongs.
    (NOBODY, NOBODY, 0, false),
    (1234, NOBODY, NOBODY, true),
    (1234, 1234, NOBODY, true),
    (NOBODY, 0, NOBODY, false),
];

/// Runs as root only, which alone can give files to others.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_of_another_user_is_refused() {
    use std::os::unix::fs::chown;
    if !is_root() {
        return tell_untested("a token file of another user", NEEDS_ROOT);
    }
    for (owner, directory_owner, user, is_refused) in OWNERS {
        let case = format!("{owner} in a directory of {directory_owner}, used by {user}");
        let (sandbox, above) = (sandbox(), directory_for_all());
        let program = program_in(above.path());
        let directory = above.path().join("tokens");
        let store = directory.join("tokens.json");
        let out = above.path().join(format!("out-{user}"));
        let out = out.to_str().unwrap();
        let line = ["extract", "items", "--out", out, "--chunk", "900d"];
        let line = [&line[..], &["--start", "2024-01-01", "--end", "2026-01-01"]].concat();
        let run = async || {
            let ours = files::command(&sandbox, None, above.path(), &line);
            let mut command = command_of(user, &program, &ours);
            command
                .env("QBO_TOKEN_STORE", &store)
                .stdin(std::process::Stdio::null());
            let ended = tokio::task::spawn_blocking(move || command.output()).await;
            ended.unwrap().unwrap()
        };
        std::fs::create_dir(&directory).unwrap();
        chown(&directory, Some(user), Some(user)).unwrap();
        let made = run().await;
        assert!(made.status.success(), "{case}: {}", files::text(&made));
        // Everybody may read the file and write into the directory, so that nothing else refuses.
        chown(&store, Some(owner), Some(owner)).unwrap();
        chown(&directory, Some(directory_owner), Some(directory_owner)).unwrap();
        set_mode(&store, 0o644);
        set_mode(&directory, 0o777);
        let content = std::fs::read(&store).unwrap();
        let requests = token_requests(&sandbox, "200");
        expire(&sandbox);
        let ended = run().await;
        let said = files::text(&ended);
        if is_refused {
            assert_eq!(ended.status.code(), Some(2), "{case}: {said}");
            let words = format!("it belongs to user {owner}");
            assert!(said.contains(&words), "{case}: {said}");
            assert_eq!(std::fs::read(&store).unwrap(), content, "{case}");
            assert_eq!(token_requests(&sandbox, "200"), requests, "{case}");
        } else {
            assert!(ended.status.success(), "{case}: {said}");
            assert_eq!(token_requests(&sandbox, "200"), requests + 1, "{case}");
        }
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_all_may_write_gets_no_token_and_a_named_one_with_a_warning() {
    let (sandbox, home) = (sandbox(), tempfile::tempdir().unwrap());
    let state = home.path().join("state/qbo_rs");
    std::fs::create_dir_all(&state).unwrap();
    let out = home.path().join("out");
    let out = out.to_str().unwrap();
    let line = ["extract", "items", "--out", out, "--chunk", "900d"];
    let line = [&line[..], &["--start", "2024-01-01", "--end", "2026-01-01"]].concat();
    let run = async |store: Option<&Path>| {
        let mut command = files::command(&sandbox, None, home.path(), &line);
        command.env_remove("QBO_TOKEN_STORE");
        if let Some(store) = store {
            command.env("QBO_TOKEN_STORE", store);
        }
        let ended = tokio::task::spawn_blocking(move || command.output()).await;
        let ended = ended.unwrap().unwrap();
        (ended.status.code(), files::text(&ended))
    };
    let words = "every user of this machine may replace what is in it (mode 0777)";
    set_mode(&state, 0o777);
    let (code, said) = run(None).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(words), "{said}");
    assert_eq!(files::names(&state), Vec::<String>::new());
    assert_eq!(token_requests(&sandbox, "200"), 0);
    // A volume is often open to all of its container, and was chosen.
    set_mode(&state, 0o700);
    let volume = home.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    set_mode(&volume, 0o777);
    let store = volume.join("tokens.json");
    let (code, said) = run(Some(&store)).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches(words).count(), 1, "{said}");
    // A group may be that of the volume, and a sticky directory keeps the files of each user.
    for mode in [0o770, 0o1777] {
        set_mode(&volume, mode);
        let (code, said) = run(Some(&store)).await;
        assert_eq!(
            (code, said.contains("may replace")),
            (Some(0), false),
            "{said}"
        );
    }
}

/// A secret that opens nothing is named, and not the refresh token that nobody has asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_does_not_open_the_stored_tokens_is_named() {
    let (sandbox, database) = (sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    for store in [
        "postgres",
        &directory.path().join("tokens").to_string_lossy(),
    ] {
        let mut app = app(&sandbox);
        app.settings.set("DATABASE_URL", &database.url).unwrap();
        app.settings.set("QBO_TOKEN_STORE", store).unwrap();
        let token = change(&sandbox, "refresh-token", json!({}))["refresh_token"].clone();
        app.settings
            .set("QBO_REFRESH_TOKEN", token.as_str().unwrap())
            .unwrap();
        extract(&app).await.unwrap();
        app.settings.set("QBO_REFRESH_TOKEN", "").unwrap();
        app.settings.set("QBO_CLIENT_SECRET", "wrong").unwrap();
        let before = sandbox.stats();
        let Err(Error::Config { setting, reason }) = extract(&app).await else {
            panic!("a wrong secret was taken");
        };
        assert_eq!(setting, "QBO_CLIENT_SECRET", "{reason}");
        for words in [
            "does not open the tokens",
            "developer.intuit.com",
            "qbo-rs auth login",
        ] {
            assert!(reason.contains(words), "{reason}");
        }
        assert_eq!(sandbox.stats().data_requests, before.data_requests);
    }
    database.drop().await;
}
