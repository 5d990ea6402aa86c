//! Golden file of the error texts, with the words that the command and the Python package add.

use std::fmt::Write as _;
use std::time::Duration;

use super::error_text::{lines, spoken};
use super::hint::with_flags;
use super::language_tests::english_left;
use crate::domain::Window;
use crate::error::{Error, Trace};
use crate::language::Language;

// Included by its path: the parent of this module exists only with the feature `python`, which the
// tests are built without. Clippy is run with it, and then sees the module twice.
#[allow(clippy::duplicate_mod)]
#[path = "../python/hint.rs"]
mod python_hint;

/// Declares samples by variant. The match is exhaustive, so a new variant must be given a sample.
macro_rules! samples {
    ($($variant:ident: $samples:expr,)+) => {
        /// Returns the name of a variant.
        fn name(error: &Error) -> &'static str {
            match error {
                $(Error::$variant { .. } => stringify!($variant),)+
            }
        }

        /// Returns every variant's name and samples.
        fn samples() -> Vec<(&'static str, Vec<Error>)> {
            vec![$((stringify!($variant), Vec::from($samples)),)+]
        }
    };
}

fn trace(code: &str) -> Trace {
    Trace {
        code: Some(code.to_owned()),
        intuit_tid: Some("1-5f3c".to_owned()),
    }
}

fn timeout() -> Error {
    Error::Transport {
        reason: "GET https://quickbooks.api.intuit.com/v3/company/9/query: timed out".to_owned(),
        was_sent: true,
        source: None,
    }
}

fn after_attempts(attempts: u32, last: Error) -> Error {
    Error::AfterAttempts {
        attempts,
        elapsed: Duration::from_millis(61_500),
        last: Box::new(last),
    }
}

fn api(code: Option<&str>) -> Error {
    Error::Api {
        status: 400,
        code: code.map(str::to_owned),
        message: "Error parsing query".to_owned(),
        intuit_tid: Some("1-5f3c".to_owned()),
    }
}

samples! {
    Config: [Error::config("QBO_TIMEOUT_S", "'x' is not a number of seconds")],
    Unauthenticated: [Error::Unauthenticated {
        reason: "the token endpoint said invalid_grant; the refresh token is expired, revoked or was replaced by a newer one; \
                 connect the company again: run `qbo-rs auth login`, or set \
                 QBO_REFRESH_TOKEN to a new token of company 9; Intuit's page for its user is https://intuit.example".to_owned(),
        trace: trace("invalid_grant"),
    }],
    PermissionDenied: [Error::PermissionDenied {
        reason: "Application Authorization Failed".to_owned(),
        trace: trace("3100"),
    }],
    Unavailable: [Error::Unavailable {
        reason: "Feature Not Supported".to_owned(),
        trace: trace("5030"),
    }],
    EntityDenied: [Error::EntityDenied {
        reason: "Permission Denied".to_owned(),
        trace: trace("5020"),
    }],
    CompanyClosed: [Error::CompanyClosed {
        reason: "Invalid Company Status".to_owned(),
        trace: trace("6190"),
    }],
    RateLimited: [Error::RateLimited {
        retry_after: Some(Duration::from_secs(30)),
        trace: trace("3001"),
    }],
    AskedToWait: [Error::AskedToWait {
        reason: "QuickBooks asks to wait 27 h 46 min, until 2025-01-02T03:46:40Z; run it again then".to_owned(),
        wait: Duration::from_secs(100_000),
        trace: trace("3001"),
    }],
    CircuitOpen: [Error::CircuitOpen {
        reason: "the API has not answered since 2025-01-01T00:00:00Z (9 failures in a row); nothing is sent before \
                 2025-01-01T00:05:00Z".to_owned(),
    }],
    Busy: [Error::Busy {
        reason: "another run of items (pid 7 on db1, since 2025-01-01T00:00:00Z) still reads these windows after half an hour; run this again later with --resume".to_owned(),
    }],
    RequestCap: [Error::RequestCap { max: 100 }],
    ReadCap: [Error::ReadCap { max: 500_000 }],
    TooLarge: [Error::TooLarge {
        reason: "the answer of quickbooks.api.intuit.com is larger than 64 MB".to_owned(),
    }],
    Transport: [timeout()],
    Api: [api(Some("4000")), api(None)],
    Decode: [Error::decode("line 7 of customers.jsonl", "missing field `Id`")],
    SearchEnded: [Error::SearchEnded {
        reason: "the search for records that fail has cost 97 requests in this window; the last failure: timed out".to_owned(),
    }],
    TooManyRejects: [Error::TooManyRejects {
        reason: "11 records cannot be read or stored, and at most 10 of a window are set aside. The first: 42".to_owned(),
    }],
    AfterAttempts: [after_attempts(1, api(Some("4000"))), after_attempts(4, timeout())],
    Database: [Error::Database {
        reason: "permission denied for schema raw".to_owned(),
        sqlstate: Some("42501".to_owned()),
        source: None,
    }],
    Stuck: [Error::Stuck { attempts: 5 }],
    Landing: [Error::landing("landing/customers.jsonl".as_ref(), "No space left on device")],
    Cancelled: [Error::Cancelled],
    Internal: [Error::Internal("index out of bounds".to_owned())],
}

/// Returns the lines of an error: its own text, and the words that an edge adds to it.
fn edges(error: &Error) -> String {
    let text = error.to_string();
    let mut lines = format!("{}: {text}\n", name(error));
    let edges = [
        ("command", with_flags(&text)),
        ("Python", python_hint::with_keywords(error)),
    ];
    for (edge, complete) in edges {
        let added = complete.strip_prefix(&text).unwrap();
        if !added.is_empty() {
            let _ = writeln!(lines, "    {edge} adds:{added}");
        }
    }
    lines
}

/// Every error as the command shows it: what is wrong, why, and what helps, each a line.
#[test]
fn every_error_is_told_in_parts_in_both_languages() {
    let mut texts = String::new();
    for (variant, samples) in samples() {
        for sample in samples {
            let _ = writeln!(texts, "{variant}");
            for language in [Language::En, Language::Es] {
                let lines = lines(&with_flags(&spoken(&sample)), language);
                let _ = writeln!(texts, "  {}: {}", language.code(), lines.join("\n      "));
                if language == Language::Es {
                    let left = lines.iter().find_map(|line| english_left(line));
                    assert_eq!(left, None, "{lines:?}");
                }
            }
        }
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("errors_told", texts);
    });
}

#[test]
fn the_text_of_every_error_is_as_recorded() {
    let mut texts = String::new();
    for (variant, samples) in samples() {
        assert!(samples.iter().all(|sample| name(sample) == variant));
        texts.extend(samples.iter().map(edges));
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("errors", texts);
    });
}

/// Texts whose values are sentences, too, and words of the system.
#[test]
fn nothing_english_is_left_of_a_text_with_a_text_in_it() {
    let dates = [
        "31/12/2024",
        "05/04/2024",
        "2024-02-30",
        "2024-13",
        "enero",
        "soon",
    ];
    let dates = dates.map(|text| Window::parse(text, "2025-01-01").unwrap_err().to_string());
    let refused = "Connection refused (os error 111)";
    let others = [
        format!("DATABASE_URL: cannot connect to Postgres at h:1 as user 'u', database 'd': error connecting to server: {refused}; \
                 start Postgres, or correct the host and the port; this command says whether it answers: pg_isready -h h -p 1"),
        "the API has not answered since 2025-01-01T00:00:00Z (9 failures in a row); nothing is sent before 2025-01-01T00:05:00Z; \
         the last failure was: answer of QuickBooks is not the JSON expected: it is empty".to_owned(),
        format!("--env-file: /tmp/x: {refused}"),
        after_attempts(6, timeout()).to_string(),
    ];
    for text in dates.iter().chain(&others) {
        let spanish = lines(text, Language::Es);
        let left = spanish.iter().find_map(|line| english_left(line));
        assert_eq!(left, None, "{spanish:?}");
        assert!(!spanish.concat().contains("os error"), "{spanish:?}");
        assert_ne!(spanish, lines(text, Language::En));
    }
}
