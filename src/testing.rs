//! Shared configuration of unit tests, documents as strangers may send them, and the work whose
//! instructions are counted.

mod instructions;

use proptest::prelude::*;
use proptest::test_runner::Config;

pub(crate) use self::instructions::{answer_of, invoices, measured};

/// Configures a property test with `default` cases. `PROPTEST_CASES` overrides the number; `make soak`
/// uses more.
pub(crate) fn cases(default: u32) -> Config {
    let requested = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    Config {
        cases: requested.unwrap_or(default),
        ..Config::default()
    }
}

/// Pieces that parsers of JSON, XML, URLs and dates treat in special ways.
const PIECES: &[&str] = &[
    "",
    "null",
    "true",
    "{}",
    "[]",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\",
    ",",
    ":",
    "\\u0000",
    "\\ud800",
    "\0",
    "\n",
    "\r",
    "\u{1b}[2J",
    "\u{2028}",
    "\u{feff}",
    "é",
    "0",
    "-1",
    "1e999",
    "18446744073709551616",
    "\"\"",
    "<",
    ">",
    "</",
    "&amp;",
    "&#0;",
    "<!DOCTYPE a [<!ENTITY b \"&b;\">]>",
    "<![CDATA[",
    "@",
    "//",
    "%00",
    "%",
    "?",
    "&",
    "=",
    "'",
    " ",
    "+",
    "Fault",
    "QueryResponse",
    "Id",
    "2024-02-30",
    "T24:00:00Z",
    "+23:59",
    "9999999999",
];

/// One change of a document: where, how much, and by what.
type Change = (usize, usize, usize);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (any::<usize>(), 0_usize..12, 0..PIECES.len() + 4);
    prop::collection::vec(change, 0..6)
}

fn change(document: &mut Vec<u8>, (place, length, piece): Change) {
    let start = place % (document.len() + 1);
    let end = (start + length).min(document.len());
    match PIECES.get(piece) {
        Some(piece) => drop(document.splice(start..end, piece.bytes())),
        None if piece % 4 == 0 => document.truncate(start),
        None if piece % 4 == 1 => document.extend_from_within(start..end),
        None if piece % 4 == 2 => {
            let again = document[start..].to_vec();
            document.extend(again);
        }
        None => document
            .iter_mut()
            .skip(start)
            .take(1)
            .for_each(|byte| *byte ^= 0x80),
    }
}

/// Returns documents of strangers: valid ones of `samples`, changed in a few places; and bytes that
/// were never a document.
pub(crate) fn documents(samples: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let changed = (prop::sample::select(samples), changes()).prop_map(|(sample, changes)| {
        let mut document = sample.as_bytes().to_vec();
        changes
            .into_iter()
            .for_each(|one| change(&mut document, one));
        document
    });
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![9 => changed, 1 => bytes]
}

/// Returns texts of strangers, made like [`documents`].
pub(crate) fn texts(samples: &'static [&'static str]) -> impl Strategy<Value = String> {
    documents(samples).prop_map(|document| String::from_utf8_lossy(&document).into_owned())
}
