//! Golden file of the error texts, with the words that the command and the Python package add.

use std::fmt::Write as _;
use std::time::Duration;

use super::hint::with_flags;
use crate::error::{Error, Trace};

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
    Config: [Error::config("QBO_TIMEOUT_S", "'x' is not a number")],
    Unauthenticated: [Error::Unauthenticated {
        reason: "Intuit refused the refresh token; run `qbo-rs auth login`".to_owned(),
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
    CircuitOpen: [Error::CircuitOpen {
        reason: "QuickBooks has not answered since 2025-01-01T00:00:00Z".to_owned(),
    }],
    RequestCap: [Error::RequestCap { max: 100 }],
    TooLarge: [Error::TooLarge {
        reason: "the answer of quickbooks.api.intuit.com is larger than 64 MB".to_owned(),
    }],
    Transport: [timeout()],
    Api: [api(Some("4000")), api(None)],
    Decode: [Error::decode("line 7 of customers.jsonl", "missing field `Id`")],
    SearchEnded: [Error::SearchEnded {
        reason: "the search has cost 97 requests".to_owned(),
    }],
    TooManyRejects: [Error::TooManyRejects {
        reason: "11 records cannot be read or stored".to_owned(),
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
fn lines(error: &Error) -> String {
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

#[test]
fn the_text_of_every_error_is_as_recorded() {
    let mut texts = String::new();
    for (variant, samples) in samples() {
        assert!(samples.iter().all(|sample| name(sample) == variant));
        texts.extend(samples.iter().map(lines));
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("errors", texts);
    });
}
