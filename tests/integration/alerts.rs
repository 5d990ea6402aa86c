//! Alerts of processes that share a database, told to a real HTTP server.

use std::time::Duration;

use qbo_rs::app::{App, VerifyRequest};
use qbo_rs::domain::{Chunk, VerificationStatus, Window};
use qbo_sandbox::Sandbox;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Database, everything, small_sandbox, syncing_app, until};

/// A server that takes alerts.
struct Receiver(TcpListener);

impl Receiver {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.0.local_addr().unwrap())
    }

    /// Takes one message.
    async fn message(&self) -> Vec<Value> {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let body = body(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let message: Value = serde_json::from_slice(&body).unwrap();
        message["alerts"].as_array().unwrap().clone()
    }

    /// Takes messages until one holds an alert of a kind.
    async fn alert(&self, kind: &str) -> Value {
        loop {
            let message = self.message().await;
            if let Some(alert) = message.into_iter().find(|alert| alert["kind"] == kind) {
                return alert;
            }
        }
    }
}

async fn body(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if bytes.len() >= head.len() + 4 + length {
            return bytes.split_off(head.len() + 4);
        }
    }
}

/// A company that has read something, its app, and a place for alerts.
async fn parts() -> (Sandbox, Database, App, Receiver) {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let (mut app, receiver) = (syncing_app(&sandbox, &database), Receiver::start().await);
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    app.settings
        .set("QBO_ALERT_WEBHOOK_URL", &receiver.url())
        .unwrap();
    app.settings.set("QBO_ALERT_STALE_S", "0").unwrap();
    (sandbox, database, app, receiver)
}

/// An app for which the month's reads are used up.
fn without_reads(app: &App) -> App {
    let mut app = app.clone();
    app.settings.set("QBO_MONTHLY_QUOTA", "1").unwrap();
    app
}

/// Lets an app look at its companies until something has happened.
async fn while_watching<T>(app: &App, happens: impl Future<Output = T>) -> T {
    let request = everything(&["items"]);
    let hour = Duration::from_secs(3600);
    tokio::select! {
        ended = app.sync_every(&request, hour, &|_| Ok(())) => panic!("{ended:?}"),
        happened = happens => happened,
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it does not happen"),
    }
}

/// Lets the books of the company differ, of which every process tells.
async fn let_books_differ(database: &Database) {
    let statement = "INSERT INTO qbo.tie_outs (realm_id, schema_name, basis, as_of, compared_from, status, \
        accounts, transactions, unexplained, unverified, requests) SELECT realm_id, 'raw', 'cash', '2025-12-31', \
        '2025-12-01', 'different', 1, 1, 0.1, '{}', 1 FROM qbo.accounts";
    run(database, statement).await;
}

async fn run(database: &Database, statement: &str) {
    database.client.batch_execute(statement).await.unwrap();
}

const TOLD: &str = "SELECT count(*) FROM qbo.alerts WHERE kind = 'quota' AND told_utc IS NOT NULL";

#[tokio::test(flavor = "multi_thread")]
async fn a_process_ends_no_alert_of_a_process_with_other_settings() {
    let (_sandbox, database, app, receiver) = parts().await;
    let few = without_reads(&app);
    let other = async {
        assert_eq!(receiver.alert("quota").await["status"], "raised");
        until(&database, TOLD).await;
        let_books_differ(&database).await;
        // Of a third process, which judges what this one does not.
        let stale = "INSERT INTO qbo.alerts (place, alert_key, kind, realm_id, message, told_utc) \
            SELECT place, 'stale:' || realm_id || ':', 'stale', realm_id, 'stale', now() FROM qbo.alerts; \
            UPDATE qbo.alerts SET seen_utc = now() - interval '1 hour' WHERE kind = 'stale'";
        run(&database, stale).await;
        // Its first look tells of the books, after it has ended what it ends.
        while_watching(&app, receiver.alert("books")).await;
    };
    while_watching(&few, Box::pin(other)).await;
    let ended = "SELECT 2 - count(*) FROM qbo.alerts WHERE kind IN ('quota', 'stale') AND resolved_utc IS NULL";
    assert_eq!(database.number(ended).await, 0);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_comes_again_is_told_again_in_its_newest_words() {
    let (_sandbox, database, app, receiver) = parts().await;
    let few = without_reads(&app);
    let told = || async {
        let alert = receiver.alert("quota").await;
        until(&database, TOLD).await;
        alert
    };
    let first = while_watching(&few, told()).await;
    assert_eq!(first["status"], "raised");
    for earlier in [
        // It ended, and the place did not take that.
        "resolved_utc = now() - interval '8 days', told_utc = now() - interval '9 days', attempts = 10",
        // It still holds, and the place has not taken it for a night.
        "told_utc = NULL, attempts = 1000, next_try_utc = now()",
    ] {
        let statement = format!("UPDATE qbo.alerts SET message = 'of an earlier time', {earlier}");
        run(&database, &statement).await;
        let again = while_watching(&few, told()).await;
        assert_eq!(again["status"], "raised", "{earlier}");
        let text = again["text"].as_str().unwrap();
        assert!(text.contains(" of 1 reads of this month."), "{text}");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_may_have_been_heard_does_not_end_in_silence() {
    let (_sandbox, database, app, receiver) = parts().await;
    let_books_differ(&database).await;
    while_watching(&app, receiver.alert("books")).await;
    // A process has sent it, and has ended before it could say so. Then the books agree.
    let sent = "UPDATE qbo.alerts SET told_utc = NULL, attempts = 1, seen_utc = now() - interval '1 hour'; \
        UPDATE qbo.tie_outs SET status = 'ok', unexplained = 0";
    run(&database, sent).await;
    let over = while_watching(&app, async {
        let over = receiver.alert("books").await;
        let gone = "SELECT (count(*) = 0)::int::bigint FROM qbo.alerts";
        until(&database, gone).await;
        over
    });
    assert_eq!(over.await["status"], "resolved");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_differ_for_causes_which_need_somebody_are_told_of() {
    let (_sandbox, database, app, receiver) = parts().await;
    let_books_differ(&database).await;
    let explained = "UPDATE qbo.tie_outs SET status = 'ok', unexplained = 0, \
        causes = '{\"report_only\": 7, \"not_landed\": 2, \"amount\": 1}'";
    run(&database, explained).await;
    let told = while_watching(&app, receiver.alert("books_open")).await;
    assert_eq!(told["status"], "raised");
    let text = told["text"].as_str().unwrap();
    let asked = "in transactions: 3: qbo-rs verify --books --end 2025-12-31 --basis cash";
    assert!(text.contains(asked), "{text}");
    // Another look, when payroll is left, which needs nobody.
    let payroll = "UPDATE qbo.alerts SET told_utc = NULL, attempts = 1, seen_utc = now() - interval '1 hour'; \
        UPDATE qbo.tie_outs SET causes = '{\"report_only\": 7}'";
    run(&database, payroll).await;
    let over = while_watching(&app, receiver.alert("books_open")).await;
    assert_eq!(over["status"], "resolved");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_takes_back_only_what_it_has_compared() {
    let (_sandbox, database, app, receiver) = parts().await;
    run(&database, "DELETE FROM raw.qb_items WHERE id = '3'").await;
    let verify = async |start: &str, end: &str, repair: bool| {
        let range = Window::parse(start, end).unwrap();
        let request = VerifyRequest::new(["items"], range).chunk("year".parse::<Chunk>().unwrap());
        let report = app.verify(&request.repair(repair)).await.unwrap();
        report.runs[0].status
    };
    let whole = ("2024-01-01", "2026-01-01");
    assert_eq!(
        verify(whole.0, whole.1, false).await,
        VerificationStatus::Different
    );
    // Of a time in which there are no records.
    assert_eq!(
        verify("2026-11-01", "2026-11-02", false).await,
        VerificationStatus::Ok
    );
    let alert = while_watching(&app, receiver.alert("verify")).await;
    let text = alert["text"].as_str().unwrap();
    assert!(text.contains("`qbo-rs verify` of items"), "{text}");
    assert_eq!(verify(whole.0, whole.1, true).await, VerificationStatus::Ok);
    assert_eq!(
        database
            .number("SELECT count(*) FROM qbo.differences")
            .await,
        0
    );
    database.drop().await;
}
