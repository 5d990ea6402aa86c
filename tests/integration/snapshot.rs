//! Snapshots of a company: what a restored company answers, and what is refused.

use std::time::Duration;

use qbo_sandbox::{CompanySize, Sandbox, SandboxOptions, StartError, ThrottleOptions};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};

use crate::sandbox::Client;

const CHANGED: [&str; 5] = ["Customer", "Item", "Vendor", "Invoice", "Bill"];

fn options() -> SandboxOptions {
    SandboxOptions {
        size: CompanySize {
            customers: 80,
            items: 10,
            invoices: 90,
            others: Some(6),
        },
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    }
}

/// Makes random changes. Those that are not possible change nothing.
fn change_at_random(sandbox: &Sandbox, random: &mut Pcg64Mcg) {
    for _ in 0..random.random_range(0..60) {
        let entity = CHANGED[random.random_range(0..CHANGED.len())];
        let id = random.random_range(1..100).to_string();
        let other = random.random_range(1..80).to_string();
        let (command, arguments) = match random.random_range(0..9) {
            0 => (
                "insert",
                json!({"entity": entity, "count": random.random_range(1..4)}),
            ),
            1 => ("delete", json!({"entity": entity, "id": id})),
            2 => ("void", json!({"entity": entity, "id": id})),
            3 => ("deactivate", json!({"entity": entity, "id": id})),
            4 => (
                "merge",
                json!({"entity": entity, "loser": id, "winner": other}),
            ),
            5 => ("touch", json!({"entity": entity, "id": id})),
            6 => (
                "corrupt",
                json!({"entity": entity, "id": id, "blemish": "unknown"}),
            ),
            7 => (
                "corrupt",
                json!({"entity": "Bill", "id": id, "blemish": "processing"}),
            ),
            _ => ("edit", json!({"entity": entity, "id": id})),
        };
        let _ = sandbox.control(command, &arguments.to_string());
        let minutes = random.random_range(0..90u64);
        sandbox
            .advance_clock(Duration::from_secs(60 * minutes))
            .unwrap();
    }
}

/// Returns the answers to the same requests, without their times.
async fn answers(sandbox: &Sandbox) -> Vec<String> {
    let client = Client::of(sandbox).await;
    let since = sandbox.now() - chrono::TimeDelta::days(29);
    let since = since.format("%Y-%m-%dT00:00:00Z");
    let mut answers = Vec::new();
    for entity in CHANGED.iter().chain(&["Account", "ExchangeRate"]) {
        for statement in [
            format!("SELECT * FROM {entity} MAXRESULTS 1000"),
            format!("SELECT * FROM {entity} STARTPOSITION 40 MAXRESULTS 60"),
            format!("SELECT COUNT(*) FROM {entity}"),
            format!("SELECT * FROM {entity} WHERE Id = '7'"),
        ] {
            answers.push(client.query(&statement).await);
        }
        let changes = format!("cdc?entities={entity}&changedSince={since}");
        answers.push(client.get(&changes).await);
        answers.push(
            client
                .get(&format!("{}/8", entity.to_ascii_lowercase()))
                .await,
        );
    }
    let text = |answer: &crate::sandbox::Answer| {
        let end = answer.text.rfind(",\"time\":").unwrap_or(answer.text.len());
        format!("{} {}", answer.status, &answer.text[..end])
    };
    answers.iter().map(text).collect()
}

/// Returns the content of a snapshot without the time of the clock, which goes on.
fn untimed(sandbox: &Sandbox) -> Value {
    let mut content: Value = serde_json::from_str(&sandbox.snapshot(None).unwrap()).unwrap();
    assert!(content["now"].take().is_string());
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_restored_weeks_later_answers_as_when_it_was_taken() {
    let sandbox = Sandbox::start(options()).unwrap();
    change_at_random(&sandbox, &mut Pcg64Mcg::seed_from_u64(7));
    let mut snapshot: Value = serde_json::from_str(&sandbox.snapshot(None).unwrap()).unwrap();
    let taken: chrono::DateTime<chrono::Utc> = snapshot["now"].as_str().unwrap().parse().unwrap();
    assert!((sandbox.now() - taken).abs() < chrono::TimeDelta::minutes(1));
    // Five weeks pass: for the file it is as if its clock had shown an earlier time.
    let earlier = taken - chrono::TimeDelta::weeks(5);
    snapshot["now"] = earlier.to_rfc3339().into();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), snapshot.to_string()).unwrap();
    let running = Sandbox::start(options()).unwrap();
    running.restore(None, &snapshot.to_string()).unwrap();
    let started = Sandbox::start(SandboxOptions {
        restore: Some(file.path().to_owned()),
        ..options()
    })
    .unwrap();
    for restored in [&running, &started] {
        assert!((restored.now() - earlier).abs() < chrono::TimeDelta::minutes(1));
        // 29 days before that time are within reach, although they have passed for real.
        let since = (earlier - chrono::TimeDelta::days(29)).format("%Y-%m-%dT00:00:00Z");
        let client = Client::of(restored).await;
        let changes = client
            .get(&format!("cdc?entities=Invoice&changedSince={since}"))
            .await;
        assert_eq!(changes.status, 200, "{}", changes.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_company_gives_the_same_answers_byte_for_byte() {
    for seed in 0..6 {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        // Midday on both sides of the test, so that the 29 days begin on the same date.
        let sandbox = Sandbox::start(SandboxOptions {
            seed: seed + 1,
            now: Some("2026-05-01T12:00:00Z".parse().unwrap()),
            ..options()
        })
        .unwrap();
        if seed % 2 == 1 {
            let delay = json!({"seconds": 20 * 86_400});
            sandbox
                .control("visibility-delay", &delay.to_string())
                .unwrap();
            sandbox
                .control("assume", r#"{"name": "filter-zone", "value": "utc"}"#)
                .unwrap();
        }
        let lacks = json!({"entity": "Bill", "code": "5020"});
        if seed == 4 {
            sandbox.control("unavailable", &lacks.to_string()).unwrap();
        }
        change_at_random(&sandbox, &mut random);
        let snapshot = sandbox.snapshot(None).unwrap();

        // Restored from a file at the start, and into a running company of other books.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("company.json");
        std::fs::write(&path, &snapshot).unwrap();
        let from_file = Sandbox::start(SandboxOptions {
            restore: Some(path),
            ..options()
        })
        .unwrap();
        let into_running = Sandbox::start(SandboxOptions {
            seed: 99,
            ..options()
        })
        .unwrap();
        change_at_random(&into_running, &mut random);
        let argument = json!({ "snapshot": snapshot }).to_string();
        into_running.control("restore", &argument).unwrap();

        let expected = answers(&sandbox).await;
        assert!(expected.iter().any(|answer| answer.starts_with("200 ")));
        assert_eq!(answers(&from_file).await, expected, "seed {seed}");
        assert_eq!(answers(&into_running).await, expected, "seed {seed}");
        assert!((from_file.now() - sandbox.now()).abs() < chrono::TimeDelta::minutes(1));

        // Both go on alike.
        for (name, sandbox) in [("before", &sandbox), ("after", &from_file)] {
            let arguments = json!({"entity": "Invoice", "count": 2, "at": "2026-06-01"});
            let ids = sandbox.control("insert", &arguments.to_string()).unwrap();
            assert_eq!(
                ids,
                into_running
                    .control("insert", &arguments.to_string())
                    .unwrap(),
                "{name}"
            );
            sandbox.control("restore", &argument).unwrap();
            into_running.control("restore", &argument).unwrap();
        }
        assert_eq!(untimed(&from_file), untimed(&sandbox));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_snapshot_is_refused_and_changes_nothing() {
    let sandbox = Sandbox::start(options()).unwrap();
    sandbox
        .control("edit", r#"{"entity": "Invoice", "id": "5"}"#)
        .unwrap();
    let snapshot = sandbox.snapshot(None).unwrap();
    let before = untimed(&sandbox);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&snapshot).unwrap();
        change(&mut value);
        value.to_string()
    };
    let refused = [
        ("".to_owned(), "not a snapshot of a company"),
        ("{".to_owned(), "not a snapshot of a company"),
        ("[]".to_owned(), "not a snapshot of a company"),
        (
            r#"{"Invoice":[]}"#.to_owned(),
            "not a snapshot of a company",
        ),
        (snapshot[..snapshot.len() / 2].to_owned(), "not a snapshot"),
        (
            changed(&|value| value["version"] = 99.into()),
            "the snapshot has version 99, and this sandbox reads version 2",
        ),
        (
            changed(&|value| value["surprise"] = 1.into()),
            "damaged: unknown field `surprise`",
        ),
        (
            changed(&|value| _ = value["company"].as_object_mut().unwrap().remove("poison")),
            "damaged: missing field `poison`",
        ),
        (
            changed(&|value| value["company"]["unavailable"]["Nonsense"] = "feature".into()),
            "damaged: there is no entity 'Nonsense'",
        ),
        (
            changed(&|value| value["assumptions"]["filter-zone"] = "mars".into()),
            "damaged: filter-zone",
        ),
        (
            changed(&|value| value["now"] = "2200-01-01T00:00:00Z".into()),
            "damaged: the clock can only show the years 2000 to 2199",
        ),
        (
            changed(&|value| {
                let entities = &mut value["company"]["entities"];
                entities["Nonsense"] = entities["Invoice"].clone();
            }),
            "damaged: there is no entity 'Nonsense'",
        ),
        (
            changed(&|value| {
                value["company"]["entities"]["Invoice"]["records"]["replaced"] = json!([4_000_000]);
            }),
            "damaged: Invoice: the sample has no record number 4000000",
        ),
    ];
    for (text, words) in refused {
        let refusal = sandbox.restore(None, &text).unwrap_err().to_string();
        assert!(refusal.contains(words), "{words}: {refusal}");
        assert_eq!(untimed(&sandbox), before, "{words}");
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &text).unwrap();
        let started = Sandbox::start(SandboxOptions {
            restore: Some(path.path().to_owned()),
            ..options()
        });
        assert!(
            matches!(&started, Err(StartError::Snapshot { reason, .. }) if reason.contains(words)),
            "{words}"
        );
    }
    assert!(sandbox.restore(Some("1"), &snapshot).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn options_go_before_what_a_snapshot_says() {
    let sandbox = Sandbox::start(SandboxOptions {
        now: Some("2026-05-01T12:00:00Z".parse().unwrap()),
        ..options()
    })
    .unwrap();
    for name in ["filter-zone", "batch-cap"] {
        let value = if name == "batch-cap" { "none" } else { "utc" };
        let arguments = json!({"name": name, "value": value});
        sandbox.control("assume", &arguments.to_string()).unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sandbox.snapshot(None).unwrap()).unwrap();
    let mut given = SandboxOptions {
        restore: Some(file.path().to_owned()),
        now: Some("2026-07-01T00:00:00Z".parse().unwrap()),
        ..options()
    };
    given.assumptions.set("throttle-body", "json").unwrap();
    // A default that is given goes before the file, too.
    given.assumptions.set("batch-cap", "1000").unwrap();
    let restored = Sandbox::start(given).unwrap();
    assert!(restored.now().to_rfc3339().starts_with("2026-07-01T00:0"));
    let assumptions: Value =
        serde_json::from_str(&restored.control("assumptions", "{}").unwrap()).unwrap();
    let changed: Vec<&str> = assumptions
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["value"] != row["choices"][0])
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(changed, ["filter-zone", "throttle-body"]);
}
