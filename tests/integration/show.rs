//! `qbo-rs show`, and settings from a file.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::command::command;
use crate::support::{Database, app, assert_complete, small_sandbox, whole_range};

/// Runs the command in a directory, with these variables and no others.
fn run(arguments: &[&str], directory: &Path, variables: &[(&str, &str)]) -> Output {
    Command::new(command())
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("XDG_STATE_HOME", directory.join("state"))
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_shown_with_exact_numbers_and_deleted_ones_are_marked() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let load = whole_range(&["invoices", "customers"], "year", 1000);
    assert_complete(&app(&sandbox, &database).backfill(&load).await.unwrap());
    let client = &database.client;
    // A total of more digits than a float holds, a name that would change a terminal, a deletion.
    client
        .batch_execute(
            "UPDATE raw.qb_invoices SET payload = jsonb_set(jsonb_set(payload, '{TotalAmt}', '12345678901234567.10'), \
                 '{CustomerRef,name}', to_jsonb(E'Red \\x1b[31mInc, \"x\"\\n'::text)) WHERE id = '1';
             UPDATE raw.qb_invoices SET deleted_at_utc = now() WHERE id = '2'",
        )
        .await
        .unwrap();
    let show = |arguments: &[&str]| {
        let line: Vec<&str> = ["show"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let variables = [("DATABASE_URL", database.url.as_str()), ("COLUMNS", "80")];
        run(&line, directory.path(), &variables)
    };
    let elsewhere = text(&show(&["vendors", "--schema", "raw_x"]).stderr);
    let words: Vec<&str> = elsewhere.split_whitespace().collect();
    let advised = "qbo-rs backfill vendors --start 2024-01-01 --end 2025-01-01 --schema raw_x";
    assert!(words.join(" ").contains(advised), "{elsewhere}");
    assert!(!elsewhere.contains("qbo-rs sync"), "{elsewhere}");
    let one = show(&["invoices", "--where", "id=1", "--json"]);
    let report: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(
        (report["entity"].as_str(), &report["more"]),
        (Some("invoices"), &json!(false))
    );
    let row = &report["rows"][0];
    assert_eq!(
        (&row["id"], &row["total_amt"]),
        (&json!("1"), &json!("12345678901234567.10"))
    );
    assert_eq!(row["deleted"], json!(false));

    let table = text(&show(&["invoices", "--where", "total_amt>=12345678901234567"]).stdout);
    assert!(
        table.contains("12345678901234567.10")
            && table.contains("Red \\u{1")
            && !table.contains('\u{1b}'),
        "{table}"
    );
    assert!(
        table.lines().all(|line| line.chars().count() <= 80),
        "{table}"
    );
    let deleted = text(&show(&["invoices", "--where", "id=2"]).stdout);
    assert!(
        deleted.contains("\nx 2 ") && deleted.ends_with("x: deleted in QuickBooks\n"),
        "{deleted}"
    );

    let csv = text(
        &show(&[
            "invoices",
            "--where",
            "id=1",
            "--csv",
            "--columns",
            "id,customer_ref_name,total_amt",
        ])
        .stdout,
    );
    let expected = "id,customer_ref_name,total_amt,deleted\r\n\
        1,\"Red \u{1b}[31mInc, \"\"x\"\"\n\",12345678901234567.10,false\r\n";
    assert_eq!(csv, expected);

    let limited = text(&show(&["customers", "--limit", "3"]).stdout);
    assert_eq!(limited.lines().count(), 5, "{limited}");
    assert!(
        limited.ends_with("the 3 that were changed last; --limit shows more\n"),
        "{limited}"
    );
    let without = text(&show(&["invoices", "--where", "due_date=", "--json"]).stdout);
    let with = text(
        &show(&[
            "invoices",
            "--where",
            "due_date!=",
            "--json",
            "--limit",
            "1",
        ])
        .stdout,
    );
    assert!(with.contains("\"due_date\":\"20") && !without.contains("\"due_date\":\"20"));
    let all = text(&show(&["customers", "--columns", "all", "--json", "--limit", "1"]).stdout);
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(
        all["rows"][0]["realm_id"],
        json!(sandbox.realm_ids().next())
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shown_is_said_with_what_helps() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let load = whole_range(&["items"], "year", 1000);
    assert_complete(&app(&sandbox, &database).backfill(&load).await.unwrap());
    for (arguments, words) in [
        (&["show", "invoices"][..], "qbo-rs backfill invoices"),
        (
            &["show", "items", "--columns", "id,colour"],
            "items have no column 'colour'; they have realm_id, id",
        ),
        (
            &["show", "items", "--columns", "id,unit_prise"],
            "items have no column 'unit_prise'; did you mean 'unit_price'?",
        ),
        (
            &["show", "items", "--where", "unit_price=cheap"],
            "where: unit_price holds numbers, and 'cheap' is not a number",
        ),
        (
            &["show", "items", "--where", "active=perhaps"],
            "where: active holds true or false, and 'perhaps' is neither",
        ),
        (
            &[
                "show",
                "items",
                "--where",
                "id=1",
                "--where",
                "inv_start_date>soon",
            ],
            "where: inv_start_date holds days, and 'soon' is not a day",
        ),
        (
            &["show", "items", "--where", "unit_prise=1"],
            "where: items have no column 'unit_prise'; did you mean 'unit_price'?",
        ),
        (
            &["show", "items", "--where", "unit_price"],
            "is not a condition such as id=17",
        ),
        (&["show", "items", "--csv", "--json"], "exclude each other"),
    ] {
        let ended = run(
            arguments,
            directory.path(),
            &[("DATABASE_URL", &database.url)],
        );
        // The parts of an error stand on lines of their own; with --json they are an object on stdout.
        let errors = text(&ended.stderr).replace("\n  ", "; ") + &text(&ended.stdout);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entity_can_be_shown() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let mut app = app(&sandbox, &database);
    app.settings.set("QBO_TOKEN_STORE", "postgres").unwrap();
    app.sync(&qbo_rs::app::SyncRequest::new()).await.unwrap();
    for entity in qbo_rs::domain::ENTITIES {
        for columns in [vec![], vec!["all".to_owned()]] {
            let request = qbo_rs::app::ShowRequest::new(entity.name)
                .limit(2_u32)
                .columns(columns);
            let shown = app.show(&request).await.unwrap();
            assert!(shown.columns.len() > 1, "{}", entity.name);
        }
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_settings_is_read_only_where_it_is_asked_for() {
    let database = Database::create().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".env");
    std::fs::write(&file, format!("DATABASE_URL='{}'\n", database.url)).unwrap();
    let line = ["status"];
    let here = run(&line, directory.path(), &[]);
    assert_eq!(here.status.code(), Some(2));
    let errors = text(&here.stderr);
    assert!(
        errors.contains("PG_HOST: not set")
            && errors.ends_with(".env is here and is not read: add --env-file .env\n"),
        "{errors}"
    );

    let asked = run(&["status", "--env-file", ".env"], directory.path(), &[]);
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    // The file was written with the usual mode, which others may read.
    assert!(
        text(&asked.stderr).contains("chmod 600 .env"),
        "{}",
        text(&asked.stderr)
    );
    let variable = [("QBO_ENV_FILE", ".env")];
    assert_eq!(
        run(&line, directory.path(), &variable).status.code(),
        Some(0)
    );

    // The environment goes before the file, and an empty variable is none.
    let closed = ("DATABASE_URL", "postgresql://anna:hush@127.0.0.1:1/books");
    let other = run(&line, directory.path(), &[variable[0], closed]);
    assert_eq!(other.status.code(), Some(2));
    let errors = text(&other.stderr);
    assert!(
        errors.contains("127.0.0.1:1") && !errors.contains("hush"),
        "{errors}"
    );
    let empty = run(
        &line,
        directory.path(),
        &[variable[0], ("DATABASE_URL", "")],
    );
    assert_eq!(empty.status.code(), Some(0));

    std::fs::write(&file, "PG_HOST=h\nthe secret hush\n").unwrap();
    let wrong = run(&line, directory.path(), &variable);
    assert_eq!(wrong.status.code(), Some(2));
    let errors = text(&wrong.stderr);
    assert!(
        errors.contains("the line after PG_HOST is not NAME=VALUE") && !errors.contains("hush"),
        "{errors}"
    );
    let missing = run(&["status", "--env-file", "nowhere"], directory.path(), &[]);
    assert_eq!(missing.status.code(), Some(2));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_sentences_of_ours_are_shown_as_they_are_in_every_language() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let directory = tempfile::tempdir().unwrap();
    let load = whole_range(&["customers"], "year", 1000);
    assert_complete(&app(&sandbox, &database).backfill(&load).await.unwrap());
    let name = "Acme (failed), done";
    database
        .client
        .execute(
            "UPDATE raw.qb_customers SET payload = jsonb_set(payload, '{DisplayName}', to_jsonb($1::text)) \
             WHERE id = '1'",
            &[&name],
        )
        .await
        .unwrap();
    for language in ["en", "es"] {
        let line = [
            "show",
            "customers",
            "--where",
            "id=1",
            "--columns",
            "display_name",
            "--lang",
            language,
        ];
        let variables = [("DATABASE_URL", database.url.as_str()), ("COLUMNS", "80")];
        let shown = text(&run(&line, directory.path(), &variables).stdout);
        assert!(shown.contains(name), "{language}: {shown}");
    }
    database.drop().await;
}
