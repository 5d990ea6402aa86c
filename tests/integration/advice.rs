//! Commands that are advised work as they are told, also where there are several companies.

use std::path::Path;
use std::process::Output;

use qbo_rs::app::{Service, StatusRequest};

use crate::companies::companies;
use crate::files::{command, text};
use crate::support::{Database, assert_complete, everything, whole_range};

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the commands that a text names: from `qbo-rs` to the end of the line.
fn commands_in(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter_map(|line| line.split_once("qbo-rs "));
    let words = lines.map(|(_, rest)| rest.split_whitespace().collect());
    words.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn advised_commands_work_as_told_with_two_companies() {
    let database = Database::create().await;
    let (sandbox, app, realm_ids) = companies(2, &database).await;
    assert!(
        app.sync(&everything(&["items", "vendors"]))
            .await
            .unwrap()
            .is_ok()
    );
    let home = tempfile::tempdir().unwrap();
    let run = |words: &[&str], home: &Path| {
        let mut command = command(&sandbox, Some(&database), home, words);
        command
            .env("QBO_TOKEN_STORE", "postgres")
            .env_remove("QBO_REFRESH_TOKEN");
        command.env_remove("QBO_REALM_ID").output().unwrap()
    };
    let schemas: Vec<String> = {
        let rows = database.client.query(
            "SELECT schema_name FROM qbo.schema_realms ORDER BY realm_id",
            &[],
        );
        rows.await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(schemas.len(), 2);
    // Each company misses a row, has a window that failed, and a gap.
    for schema in &schemas {
        let spoil = format!(
            "DELETE FROM \"{schema}\".qb_items WHERE id = '1';
             UPDATE qbo.windows SET status = 'failed', error = 'broken', committed_at_utc = NULL,
                 started_at_utc = now()
             WHERE schema_name = '{schema}' AND entity = 'vendors' AND window_start_utc = (
                 SELECT max(window_start_utc) FROM qbo.windows
                 WHERE schema_name = '{schema}' AND entity = 'vendors' AND window_end_utc < now())"
        );
        database.client.batch_execute(&spoil).await.unwrap();
    }
    for (realm_id, schema) in realm_ids.iter().zip(&schemas) {
        let verify = [
            "verify",
            "items",
            "--start",
            "2000-01-01",
            "--end",
            "2027-01-01",
            "--chunk",
            "year",
        ];
        let of_company = ["--realm-id", realm_id, "--schema", schema];
        let verified = run(&[&verify[..], &of_company].concat(), home.path());
        assert_eq!(verified.status.code(), Some(1), "{}", text(&verified));
    }
    for schema in &schemas {
        let status = run(&["status", "--schema", schema], home.path());
        let said = printed(&status);
        let advised = commands_in(&said);
        let begins: Vec<&str> = advised.iter().map(|words| words[0]).collect();
        assert!(
            begins.contains(&"verify") && begins.contains(&"backfill"),
            "{said}"
        );
        for words in advised {
            let ended = run(&words, home.path());
            assert!(ended.status.success(), "{words:?}: {}", text(&ended));
        }
        let status = run(&["status", "--schema", schema], home.path());
        let said = printed(&status);
        assert!(said.contains("Everything is in step."), "{said}");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_on_here_is_not_advised() {
    let database = Database::create().await;
    let (sandbox, app, realm_ids) = companies(1, &database).await;
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let next = async |app: &qbo_rs::app::App, schema: &str| {
        let request = StatusRequest::default().schema(schema);
        app.status(&request).await.unwrap().next
    };
    assert_eq!(
        next(&app, "raw").await.as_deref(),
        Some("qbo-rs sync --every 5m")
    );
    // Syncs go on in the other schema, so that none keeps this one in step.
    let other = whole_range(&["items"], "year", 1000).schema("raw4");
    let mut of_company = app;
    of_company
        .settings
        .set("QBO_REALM_ID", &realm_ids[0])
        .unwrap();
    assert_complete(&of_company.backfill(&other).await.unwrap());
    assert_eq!(next(&of_company, "raw4").await, None);
    // Without the keys of an app, as with the settings of the demo, no sync works.
    of_company.settings.set("QBO_CLIENT_ID", "").unwrap();
    of_company.settings.set("QBO_CLIENT_SECRET", "").unwrap();
    assert_eq!(next(&of_company, "raw").await, None);
    drop(sandbox);
    database.drop().await;
}

/// A later version of this program may have loaded an entity that this one does not know.
#[tokio::test(flavor = "multi_thread")]
async fn an_entity_of_a_later_version_hides_no_failure_of_the_others() {
    let database = Database::create().await;
    let (sandbox, app, realm_ids) = companies(1, &database).await;
    assert!(app.sync(&everything(&["items"])).await.unwrap().is_ok());
    let run = |entity: &str| {
        format!(
            "INSERT INTO qbo.runs (run_id, schema_name, realm_id, entity, range_start_utc, range_end_utc, status)
             VALUES ('{entity}', 'raw', '{}', '{entity}', '2024-01-01Z', '2024-02-01Z', 'failed');
             INSERT INTO qbo.windows (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id,
                 status, error, committed_at_utc, started_at_utc)
             VALUES ('raw', '{}', '{entity}', '2024-01-01Z', '2024-02-01Z', '{entity}', 'failed', 'broken', NULL, now())",
            realm_ids[0], realm_ids[0]
        )
    };
    for entity in ["holograms", "items"] {
        database.client.batch_execute(&run(entity)).await.unwrap();
    }
    let service = Service::start(app.clone(), &[]).await.unwrap();
    let failures = service.failures().await.unwrap();
    for entity in ["holograms of company", "items of company"] {
        assert!(
            failures.iter().any(|text| text.starts_with(entity)),
            "{failures:?}"
        );
    }
    let status = app.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(status.entities.len(), 1);
    drop(sandbox);
    database.drop().await;
}
