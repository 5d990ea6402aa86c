//! Texts of others in the log: one event is one line, and no line shows a secret.

use qbo_sandbox::Sandbox;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bombs::sandbox_of;
use crate::command::{Ended, RANGE, extract, run};
use crate::files;
use crate::support::{Database, change};
use crate::transport::{http, serve};

/// A text that looks like a line of the log, and more.
const FORGED: &str = "x\r\n2026-01-01T00:00:00.000Z ERROR all is lost\n\u{1b}[2Jerror: forged\u{85}\u{2028}y\u{202e}";

/// A token as answers echo it.
const TOKEN: &str = "AB01601390262kxzxQWERTYUIOPasdf";

fn extract_with(sandbox: &Sandbox, more: &[(&str, &str)]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let quick = [("QBO_RETRY_FOR_S", "1"), ("QBO_TIMEOUT_S", "5")];
    extract(sandbox, directory.path(), "year", &[&quick, more].concat())
}

/// Checks that every line begins as a line of the log does, and that none holds control characters.
fn assert_lines_of_log(stderr: &str, what: &str) {
    assert!(
        !stderr.contains(|c: char| c.is_control() && c != '\n'),
        "{what}: {stderr:?}"
    );
    assert!(
        !stderr.contains(['\u{2028}', '\u{202e}']),
        "{what}: {stderr:?}"
    );
    assert!(!stderr.contains(TOKEN), "{what}: {stderr}");
    for line in stderr.lines() {
        let is_event = line.starts_with("20") && !line.starts_with("2026-01-01T00:00:00.000Z");
        // The parts of an error are indented, so that none can begin as a line of ours does.
        let is_part = line.starts_with("  ");
        let is_error = line.starts_with("error: ") && !line.starts_with("error: forged");
        let is_ours = is_event || is_error || is_part;
        assert!(is_ours, "{what}: {line:?}");
    }
}

fn faults() -> Vec<Value> {
    let text = format!("{FORGED} {TOKEN}");
    let fault = |status: u16| {
        json!({
            "fault": "refused", "on": "query", "status": status,
            "code": text, "message": text, "detail": text,
        })
    };
    let of_token = |put: Value| {
        json!({
            "fault": "rewrite", "on": "token", "status": 400,
            "find": "{", "put": format!("{},\"a\":{{", put.to_string().trim_end_matches('}')),
        })
    };
    vec![
        fault(400),
        fault(503),
        fault(401),
        json!({"fault": "odd-fault", "on": "query"}),
        of_token(json!({"error": text})),
        of_token(json!({"error": "invalid_grant", "error_description": text})),
        of_token(json!({"error": text, "error_description": text})),
    ]
}

#[test]
fn no_text_of_others_begins_a_line_of_the_log() {
    for fault in faults() {
        let sandbox = sandbox_of(3, 1);
        let mut rule = fault.clone();
        rule["times"] = json!(0);
        change(&sandbox, "fault", rule);
        let ended = extract_with(&sandbox, &[]);
        assert!(
            matches!(ended.code, Some(1 | 2)),
            "{fault}: {}",
            ended.stderr
        );
        assert!(!ended.stderr.is_empty());
        assert_lines_of_log(&ended.stderr, &fault.to_string());
    }
}

/// Commands print what a landing file says.
#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_landing_file_begins_a_line_that_a_command_prints() {
    let (sandbox, database) = (sandbox_of(1, 1), Database::create().await);
    let home = tempfile::tempdir().unwrap();
    let forged = "9\nERROR forged \u{1b}[31m \u{202e}";
    let line = json!({
        "entity": "customers", "realm_id": "9341450000000001", "id": forged,
        "ingested_at_utc": "2024-05-01T00:00:00Z", "extract_window_start_utc": "2024-01-01T00:00:00Z",
        "extract_window_end_utc": "2024-02-01T00:00:00Z", "page_number": 1, "page_size": 1000, "request_payload": {},
        "payload": {"Id": "8", "MetaData": {"LastUpdatedTime": "2024-01-03T01:00:00Z"}},
    });
    let file = home.path().join("forged.jsonl");
    std::fs::write(&file, format!("{line}\n")).unwrap();
    let file = file.to_str().unwrap();
    for words in [&["load", file][..], &["status", "customers", "-v"]] {
        let ended = files::command(&sandbox, Some(&database), home.path(), words).output();
        let ended = ended.unwrap();
        let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        let (told, forged) = (
            said.contains("ERROR forged"),
            said.contains("\nERROR forged"),
        );
        assert_eq!((told, forged), (true, false), "{words:?}: {said}");
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said}");
    }
    database.drop().await;
}

/// Secrets of a process that look like words: each is known only because the process holds it.
const HELD: [&str; 4] = [
    "QBQBcaptainQBQBmarbleQBQBlanternQBQBorch",
    "refreshing-orchard-without-any-number-in",
    "clientsecretofletters",
    "proxyhorsebattery",
];

/// Answers that repeat what the process holds.
fn answers_that_repeat(secrets: &[&str]) -> Vec<String> {
    let json = |status, body: Value| http(status, "", &body.to_string());
    let secrets = secrets.join(" ");
    let text = format!("refused ({secrets}), {secrets}");
    let fault = json!({"fault": {"type": text, "error": [{"code": secrets, "message": text, "detail": text}]}});
    let xml = format!(
        r#"<R><Fault type="{text}"><Error code="{secrets}"><Message>{text}</Message></Error></Fault></R>"#
    );
    let record = |id: &str, time: &str| json!({"Id": id, "MetaData": {"LastUpdatedTime": time}});
    let page = |record: Value| json!({"QueryResponse": {"Customer": [record], "maxResults": 1}});
    let header = format!("intuit_tid: {secrets}\r\nRetry-After: {secrets}\r\n");
    let host = secrets.replace(' ', ".");
    vec![
        json(400, fault.clone()),
        json(401, fault.clone()),
        json(503, fault.clone()),
        json(200, fault),
        http(403, "", &xml),
        http(429, &header, "{}"),
        http(302, &format!("Location: https://{host}/{host}\r\n"), ""),
        json(200, json!({"QueryResponse": text})),
        json(200, json!({"QueryResponse": {&secrets: [text]}})),
        json(200, page(record("1", &secrets))),
        json(200, page(json!({"Id": {&secrets: secrets}}))),
        http(200, "", &text),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_others_shows_a_secret_that_the_process_holds_whatever_it_looks_like() {
    let [access, refresh, client, proxy] = HELD;
    let tokens = json!({"token_type": "bearer", "expires_in": 3600, "access_token": access, "refresh_token": refresh});
    let tokens = http(200, "", &tokens.to_string());
    let alert = format!("https://me:{proxy}@127.0.0.1:1/hook");
    let after_token = answers_that_repeat(&HELD).into_iter();
    let after_token = after_token.map(|answer| vec![tokens.clone(), answer]);
    let said = HELD[1..].join(" ");
    let said = json!({"error": said, "error_description": format!("for {said}")});
    let refusal = vec![http(400, "", &said.to_string())];
    let mut running = Vec::new();
    for answers in after_token.chain([refusal]) {
        let directory = tempfile::tempdir().unwrap();
        let told = format!("{:?}", answers.last());
        let url = serve(answers).await;
        let alert = alert.clone();
        running.push(tokio::task::spawn_blocking(move || {
            let out = directory.path().join("out");
            let ways = [
                "--json",
                "--log-level",
                "trace",
                "--out",
                out.to_str().unwrap(),
            ];
            let variables = [
                ("QBO_API_URL", url.as_str()),
                ("QBO_TOKEN_URL", &format!("{url}/token")),
                ("QBO_CLIENT_SECRET", client),
                ("QBO_REFRESH_TOKEN", refresh),
                ("QBO_ALERT_WEBHOOK_URL", &alert),
                ("QBO_RETRY_FOR_S", "0.1"),
                ("QBO_THROTTLE_WAIT_S", "0.1"),
                ("QBO_TIMEOUT_S", "5"),
            ];
            let line = [&["extract", "customers"], &RANGE[..], &ways[..]].concat();
            let ended = run(&line, directory.path(), &variables);
            (told, ended)
        }));
    }
    for ended in running {
        let (told, ended) = ended.await.unwrap();
        let shown = [ended.stdout, ended.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        assert!(
            matches!(ended.status.code(), Some(1 | 2)),
            "{told}: {shown}"
        );
        let found: Vec<_> = HELD
            .iter()
            .filter(|secret| shown.contains(**secret))
            .collect();
        assert_eq!(found, Vec::<&&str>::new(), "{told}: {shown}");
    }
}

/// Refuses a login with words that repeat its password.
async fn refuse_login(mut stream: TcpStream) -> std::io::Result<()> {
    let length = stream.read_u32().await?;
    stream.read_exact(&mut vec![0; length as usize - 4]).await?;
    stream.write_all(b"R\0\0\0\x08\0\0\0\x03").await?;
    assert_eq!(stream.read_u8().await?, b'p');
    let length = stream.read_u32().await?;
    let mut password = vec![0; length as usize - 4];
    stream.read_exact(&mut password).await?;
    let password = String::from_utf8_lossy(&password);
    let password = password.trim_end_matches('\0');
    let fields = format!("SFATAL\0C28P01\0Mno role \"{password}\"\0Dgiven: {password}\0\0");
    stream.write_u8(b'E').await?;
    stream
        .write_u32(u32::try_from(fields.len()).unwrap() + 4)
        .await?;
    stream.write_all(fields.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_words_of_what_answers_as_the_database_show_a_password_that_is_no_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(refuse_login(stream));
        }
    });
    for (login, shown) in [
        ("ana:horsebattery", "no role \"***\" (given: ***)"),
        ("ana:horse%40battery", "no role \"***\" (given: ***)"),
        (
            "warehouse:warehouse",
            "no role \"warehouse\" (given: warehouse)",
        ),
    ] {
        let url = format!("postgresql://{login}@127.0.0.1:{port}/books?sslmode=disable");
        let ended = tokio::task::spawn_blocking(move || {
            let directory = tempfile::tempdir().unwrap();
            run(&["status"], directory.path(), &[("DATABASE_URL", &url)])
        });
        let ended = ended.await.unwrap();
        let text = String::from_utf8_lossy(&ended.stderr);
        assert!(text.contains(shown), "{text}");
        assert!(!text.contains("battery"), "{text}");
    }
    server.abort();
}

#[test]
fn no_setting_begins_a_line_of_the_log_or_shows_a_password() {
    let sandbox = sandbox_of(3, 1);
    let odd_url = format!("https://example.org/{FORGED}");
    for (name, value) in [
        ("QBO_REALM_ID", FORGED),
        ("QBO_TIMEOUT_S", FORGED),
        ("QBO_API_URL", FORGED),
        ("QBO_API_URL", &odd_url),
        ("QBO_API_URL", "http://anna:hush77@example.org"),
        ("QBO_API_URL", "http://anna:hu/sh77@example.org"),
        ("QBO_TOKEN_URL", "https://:hush77@example.org/t"),
        ("QBO_TOKEN_STORE", "/dev/null/\u{1b}[2J\nerror: forged"),
    ] {
        let ended = extract_with(&sandbox, &[(name, value)]);
        assert!(
            matches!(ended.code, Some(1 | 2)),
            "{name}: {}",
            ended.stderr
        );
        assert_lines_of_log(&ended.stderr, name);
        assert!(!ended.stderr.contains("sh77"), "{name}: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_says_that_it_loads_and_an_extract_that_it_reads() {
    let (sandbox, database) = (sandbox_of(3, 1), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let run = |line: &[&str]| {
        let done = files::command(&sandbox, Some(&database), directory.path(), line).output();
        files::text(&done.unwrap())
    };
    let out = directory.path().join("landing").display().to_string();
    let read = run(&[&["extract", "customers", "--out", &out], &RANGE[..]].concat());
    let loaded = run(&["load", &out]);
    assert!(
        read.contains("customers: reading 1 of 1 window in"),
        "{read}"
    );
    assert!(
        loaded.contains("customers: loading 1 of 1 window in"),
        "{loaded}"
    );
    database.drop().await;
}
