//! The layers, held: what may name what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each part of the crate, and the parts that it may name. What is not listed is forbidden.
///
/// A part is a folder or file below `src`. A part with a slash is a room of a wing: it has rules of
/// its own, and the rest of the wing follows those of the wing.
const MAY_NAME: &[(&str, &[&str])] = &[
    // Only in their tests, which are not part of the crate.
    ("chance", &["simulation"]),
    ("clock", &["simulation"]),
    ("error", &["held_secrets", "terminal"]),
    ("event", &[]),
    ("held_secrets", &[]),
    ("language", &["error"]),
    ("terminal", &[]),
    ("unbroken", &["error"]),
    ("domain", &["error"]),
    ("port", &["domain", "error", "held_secrets"]),
    ("books", &["domain", "error"]),
    ("columns", &["domain", "error"]),
    ("http", &["chance", "clock", "error", "port"]),
    ("quickbooks/scrub", &["held_secrets", "terminal"]),
    ("quickbooks/foreign", &["http", "quickbooks/scrub"]),
    (
        "quickbooks/admission",
        &["chance", "clock", "domain", "error", "port"],
    ),
    (
        "quickbooks/client",
        &[
            "chance",
            "clock",
            "domain",
            "error",
            "http",
            "port",
            "quickbooks/admission",
            "quickbooks/scrub",
        ],
    ),
    (
        "quickbooks/oauth",
        &[
            "chance",
            "clock",
            "domain",
            "error",
            "http",
            "port",
            "quickbooks/client",
            "quickbooks/foreign",
            "quickbooks/scrub",
            "unbroken",
        ],
    ),
    (
        "quickbooks",
        &[
            "chance",
            "clock",
            "domain",
            "error",
            "http",
            "port",
            "quickbooks/admission",
            "quickbooks/client",
            "quickbooks/foreign",
            "quickbooks/oauth",
            "quickbooks/scrub",
        ],
    ),
    (
        "config",
        &[
            "domain",
            "durable",
            "error",
            "http",
            "port",
            "quickbooks",
            "quickbooks/admission",
        ],
    ),
    ("durable", &["chance"]),
    ("logging", &["terminal"]),
    (
        "landing",
        &[
            "chance", "clock", "columns", "domain", "durable", "error", "port",
        ],
    ),
    (
        "postgres",
        &["config", "domain", "error", "held_secrets", "terminal"],
    ),
    (
        "sink",
        &[
            "books", "chance", "clock", "config", "domain", "durable", "error", "landing", "port",
            "postgres", "store",
        ],
    ),
    (
        "store",
        &[
            "chance", "clock", "config", "domain", "durable", "error", "port", "postgres",
            "terminal",
        ],
    ),
    ("views", &["domain", "error", "postgres", "terminal"]),
    ("notify", &["config", "error", "http", "language", "port"]),
    ("pipeline", &["domain", "error", "event", "port"]),
    ("verify", &["domain", "error", "port"]),
    (
        "app",
        &[
            "books",
            "chance",
            "clock",
            "columns",
            "config",
            "domain",
            "durable",
            "error",
            "event",
            "http",
            "landing",
            "language",
            "notify",
            "pipeline",
            "port",
            "postgres",
            "quickbooks",
            "quickbooks/oauth",
            "sink",
            "store",
            "terminal",
            "verify",
            "unbroken",
            "views",
        ],
    ),
    (
        "demo",
        &[
            "app", "config", "domain", "durable", "error", "port", "sink",
        ],
    ),
    (
        "server",
        &[
            "chance",
            "clock",
            "app",
            "domain",
            "error",
            "http",
            "language",
            "port",
            "quickbooks",
            "terminal",
        ],
    ),
    (
        "cli",
        &[
            "chance",
            "clock",
            "app",
            "config",
            "demo",
            "domain",
            "durable",
            "error",
            "http",
            "landing",
            "language",
            "logging",
            "pipeline",
            "port",
            "quickbooks",
            "quickbooks/oauth",
            "server",
            "sink",
            "store",
            "terminal",
            "unbroken",
        ],
    ),
    (
        "python",
        &[
            "app",
            "cli",
            "columns",
            "config",
            "demo",
            "domain",
            "error",
            "held_secrets",
            "landing",
            "logging",
            "port",
            "unbroken",
        ],
    ),
];

/// Crates that belong to one part alone.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("pyo3", &["python"]),
    ("clap", &["app", "cli"]),
    ("arrow_array", &["app", "columns", "landing", "python"]),
    ("parquet", &["landing"]),
    ("axum", &["cli", "server"]),
    ("hyper", &["server"]),
    (
        "tokio_postgres",
        &["postgres", "sink", "store", "views", "demo"],
    ),
    ("lettre", &["notify"]),
    ("reqwest", &["http", "quickbooks", "config", "cli"]),
];

/// Returns every source file of the crate: its part, its path below `src`, its text.
fn source_files() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut pending) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).unwrap();
                let names = relative.iter().map(|name| name.to_str().unwrap());
                let names: Vec<_> = names.map(|name| name.trim_end_matches(".rs")).collect();
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((part_of(&names), relative.to_owned(), text));
            }
        }
    }
    files
        .into_iter()
        .filter(|(part, ..)| !["lib", "bin", "simulation", "testing"].contains(&part.as_str()))
        .collect()
}

/// Returns the part that a path of modules lies in: a room if there is one of that name, else the
/// wing.
fn part_of(names: &[&str]) -> String {
    let room = names.iter().take(2).copied().collect::<Vec<_>>().join("/");
    match MAY_NAME.iter().any(|(part, _)| *part == room) {
        true => room,
        false => names.first().copied().unwrap_or_default().to_owned(),
    }
}

/// Whether a part is `of`, or a room of it.
fn is_within(part: &str, of: &str) -> bool {
    part == of || part.split('/').next() == Some(of)
}

/// The code of a file without its comments and its tests.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap();
    body.lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns the parts that code names as `crate::part` or `crate::wing::room`.
fn named_parts(code: &str) -> Vec<String> {
    let named = code.split("crate::").skip(1);
    let path = |rest: &str| -> String {
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
            .collect()
    };
    let part = |path: String| part_of(&path.split("::").collect::<Vec<_>>());
    named
        .map(path)
        .filter(|path| !path.is_empty())
        .map(part)
        .collect()
}

#[test]
fn every_arrow_points_down() {
    let allowed: BTreeMap<_, _> = MAY_NAME.iter().copied().collect();
    let mut checked = 0;
    for (part, path, text) in source_files() {
        let allowed = allowed
            .get(part.as_str())
            .unwrap_or_else(|| panic!("{} has no place in the layers", path.display()));
        for named in named_parts(&code(&text)) {
            checked += 1;
            let is_fine = named == part || allowed.contains(&named.as_str());
            assert!(
                is_fine,
                "src/{}: {part} must not name {named}",
                path.display()
            );
        }
    }
    assert!(
        checked > 100,
        "only {checked} names were found: this test has gone blind"
    );
}

#[test]
fn libraries_stay_in_their_parts() {
    for (part, path, text) in source_files() {
        let code = code(&text);
        for (library, parts) in ONLY_IN {
            let names_it = code.contains(&format!("{library}::"));
            assert!(
                !names_it || parts.iter().any(|wing| is_within(&part, wing)),
                "src/{}: {library} is not for {part}",
                path.display()
            );
        }
    }
}

/// Returns the modules that a file names by `crate::` or `super::`, as paths from the crate's root.
///
/// Leaves out the modules that contain the file: a room and its parts are one thing.
fn named_modules(
    module: &[String],
    code: &str,
    modules: &BTreeSet<Vec<String>>,
) -> Vec<Vec<String>> {
    let starts = code.match_indices("crate::").map(|(at, _)| (at, 0));
    let starts = starts.chain(code.match_indices("super::").map(|(at, _)| (at, 1)));
    let mut named = Vec::new();
    for (at, climbs) in starts {
        // `super::super::x` is found twice; the inner match would climb too little.
        if code[..at].ends_with("super::") {
            continue;
        }
        let mut path = module[..module.len() * climbs].to_vec();
        let mut rest = &code[at..];
        while let Some(after) = rest.strip_prefix("super::") {
            path.pop();
            rest = after;
        }
        rest = rest.strip_prefix("crate::").unwrap_or(rest);
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        for names in first_names(rest) {
            let mut path = path.clone();
            for name in names
                .split("::")
                .map(|name| name.trim_matches(|c| !is_word(c)))
            {
                path.push(name.to_owned());
                if !modules.contains(&path) {
                    path.pop();
                    break;
                }
            }
            if !module.starts_with(&path) && modules.contains(&path) {
                named.push(path);
            }
        }
    }
    named
}

/// Splits `a::{b::C, d}` into `a::b::C` and `a::d`; a path without braces is one.
fn first_names(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':')));
    let (path, rest) = text.split_at(end.unwrap_or(text.len()));
    let Some(list) = rest.strip_prefix('{') else {
        return vec![path.to_owned()];
    };
    let list = list.split(['}', ';']).next().unwrap_or_default();
    list.split(',')
        .map(|name| format!("{path}{}", name.trim()))
        .collect()
}

/// Two files that need each other are one thing in two places.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut codes = BTreeMap::new();
    for (_, path, text) in source_files() {
        let names = path
            .iter()
            .map(|name| name.to_str().unwrap().trim_end_matches(".rs"));
        let module: Vec<String> = names
            .filter(|name| *name != "mod")
            .map(str::to_owned)
            .collect();
        codes.insert(module, code(&text));
    }
    let modules: BTreeSet<_> = codes.keys().cloned().collect();
    let graph: BTreeMap<_, BTreeSet<_>> = codes
        .iter()
        .map(|(module, code)| {
            (
                module.clone(),
                named_modules(module, code, &modules).into_iter().collect(),
            )
        })
        .collect();
    assert!(
        graph.values().map(BTreeSet::len).sum::<usize>() > 100,
        "this test has gone blind"
    );
    // A file that can be reached from itself is on a circle.
    for start in graph.keys() {
        let (mut seen, mut pending) = (BTreeSet::new(), vec![start]);
        while let Some(module) = pending.pop() {
            for next in &graph[module] {
                assert_ne!(next, start, "a circle of imports leads back by {module:?}");
                if seen.insert(next) {
                    pending.push(next);
                }
            }
        }
    }
}

/// A source cannot see a sink, and neither can see what puts them together.
#[test]
fn sources_and_sinks_do_not_know_each_other() {
    for (part, path, text) in source_files() {
        let other = match part.split('/').next() {
            Some("quickbooks") => "sink",
            Some("sink") => "quickbooks",
            _ => continue,
        };
        let named = named_parts(&code(&text));
        let knows = named.iter().any(|named| is_within(named, other));
        assert!(
            !knows,
            "src/{}: {part} must not know {other}",
            path.display()
        );
    }
}

/// The simulator is a package of its own, so the compiler keeps its code apart from the client's.
/// What remains is that neither package lists the other as a dependency of its code.
#[test]
fn the_sandbox_shares_no_code_with_the_client() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert!(manifest.contains("name = \"qbo-sandbox\""));
    assert!(
        !manifest.contains("qbo_rs"),
        "the sandbox must not depend on the client"
    );
    for (part, path, text) in source_files() {
        let names_it = code(&text).contains("qbo_sandbox");
        let may = ["cli", "demo", "python"].contains(&part.as_str());
        assert!(
            !names_it || may,
            "src/{}: {part} must not name the sandbox",
            path.display()
        );
    }
}

#[test]
fn only_one_module_talks_to_mage_and_nothing_else_needs_its_blocks() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/qbo_rs");
    let mut talks = Vec::new();
    for directory in [package.clone(), package.join("mage")] {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "py") {
                let text = std::fs::read_to_string(&path).unwrap();
                let is_block = path.starts_with(package.join("mage"));
                assert!(
                    is_block || !text.contains("qbo_rs.mage"),
                    "{} must not name qbo_rs.mage",
                    path.display()
                );
                if text
                    .lines()
                    .any(|line| line.trim_start().starts_with("from mage_ai"))
                {
                    talks.push(path.strip_prefix(&package).unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(talks, [Path::new("mage/_host.py")]);
}

#[test]
fn the_domain_is_pure() {
    for (part, path, text) in source_files()
        .into_iter()
        .filter(|(part, ..)| part == "domain")
    {
        for impure in [
            "async ",
            ".await",
            "std::fs",
            "std::net",
            "std::env",
            "Utc::now",
            "Instant::now",
            "tokio",
        ] {
            assert!(
                !code(&text).contains(impure),
                "src/{}: {part} must not use {impure}",
                path.display()
            );
        }
    }
}

/// Only the wing `quickbooks` knows Intuit, so `http` serves any API.
#[test]
fn http_does_not_know_quickbooks() {
    for (part, path, text) in source_files()
        .into_iter()
        .filter(|(part, ..)| part == "http")
    {
        for word in ["quickbooks", "intuit.com", "minorversion", "realm"] {
            let knows = code(&text).to_lowercase().contains(word);
            assert!(
                !knows,
                "src/{}: {part} must not know {word}",
                path.display()
            );
        }
    }
}

#[test]
fn every_pointer_to_a_fact_finds_one() {
    let facts = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/qbo-facts.md");
    let facts = std::fs::read_to_string(facts).unwrap();
    let mut checked = 0;
    for (_, path, text) in source_files() {
        for rest in text.split("qbo-facts ").skip(1) {
            let number: String = rest
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            let number = number.trim_end_matches('.');
            let is_there = facts.contains(&format!("**{number}**"))
                || facts.contains(&format!("## {number} "));
            assert!(
                is_there,
                "src/{}: there is no fact {number}",
                path.display()
            );
            checked += 1;
        }
    }
    assert!(
        checked > 20,
        "only {checked} pointers were found: this test has gone blind"
    );
}

/// What sends a statement, or hands a connection or a transaction to what does.
const STATEMENTS: [&str; 7] = [
    ".rows(",
    ".change(",
    ".batch(",
    ".batch_execute(",
    "_typed",
    "simple_query(",
    "(&**",
];

/// Returns the rest of a function to the end of its first statement, if it has one.
fn to_first_statement(rest: &str) -> Option<&str> {
    let ends = ["\n}\n", "\n    }\n"].map(|end| rest.find(end).unwrap_or(rest.len()));
    let body = &rest[..ends.into_iter().min().unwrap()];
    let words = STATEMENTS.iter();
    let at = words.filter_map(|word| body.find(word)).min()?;
    let end = body[at..].find(')').map_or(body.len(), |end| at + end);
    Some(&body[..end])
}

/// A connection of the pool, and a transaction that is begun on one, have the settings of the role, among them the path
/// in which names are looked up, until their first statement pins them.
#[test]
fn every_transaction_pins_its_settings_before_anything_else() {
    let mut checked = 0;
    for (part, path, text) in source_files() {
        // Its server is its own.
        if part == "demo" || path.ends_with("tests.rs") {
            continue;
        }
        let mut code = code(&text);
        // These take a connection of their own.
        for method in ["db.rows(", "self.change("] {
            code = code.replace(method, "");
        }
        for begins in ["connection().await", ".transaction().await", ".start()"] {
            for (at, _) in code.match_indices(begins) {
                let Some(first) = to_first_statement(&code[at..]) else {
                    continue;
                };
                let pins = ["PIN_SETTINGS", "BEGIN", "begin"];
                let is_pinned = pins.iter().any(|pin| first.contains(pin));
                assert!(is_pinned, "src/{}: {first}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked}: this test has gone blind");
}

#[test]
fn files_stay_readable() {
    for (_, path, text) in source_files() {
        let lines = code(&text).lines().count();
        assert!(
            lines <= 450,
            "src/{} has {lines} lines of code: it does more than one thing",
            path.display()
        );
    }
}

/// All Rust code, tests included.
fn rust_text() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut text, mut pending) = (
        String::new(),
        vec![
            root.join("src"),
            root.join("sandbox/src"),
            root.join("sandbox/tests"),
            root.join("tests/integration"),
        ],
    );
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => pending.push(path),
                false => text.push_str(&std::fs::read_to_string(&path).unwrap_or_default()),
            }
        }
    }
    text
}

#[test]
fn every_behaviour_of_the_sandbox_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/sandbox.md")).unwrap();
    let table = document.split("## What is assumed").next().unwrap();
    let (code, mut checked) = (rust_text(), 0);
    for row in table.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let tests = row.rsplit(" | ").next().unwrap();
        for name in tests.split('`').skip(1).step_by(2) {
            let is_there = code.contains(&format!("fn {name}(")) || root.join(name).is_file();
            assert!(
                is_there,
                "docs/sandbox.md names {name}, which does not exist"
            );
            checked += 1;
        }
        assert!(tests.contains('`'), "no test holds: {row}");
    }
    assert!(
        checked > 40,
        "only {checked} names were found: this test has gone blind"
    );
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = rust_text();
    for directory in ["tests/python", "tests/mage", "tests/spark", "tests/engines"] {
        for entry in std::fs::read_dir(root.join(directory)).unwrap() {
            code.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
        }
    }
    for (document, least) in [
        ("GUARANTEES.md", 20),
        ("docs/exactness.md", 20),
        ("docs/resilience.md", 25),
        ("docs/loading.md", 25),
        ("docs/mage.md", 20),
        ("docs/sync.md", 8),
        ("docs/service.md", 9),
        ("docs/ledger.md", 5),
    ] {
        let document = root.join(document);
        let text = std::fs::read_to_string(&document).unwrap();
        let mut checked = 0;
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            let tests = row.trim_end_matches('|').rsplit(" | ").next().unwrap();
            // Names of tests have many words.
            for name in tests
                .split('`')
                .skip(1)
                .step_by(2)
                .filter(|name| name.matches('_').count() > 2)
            {
                let names = [
                    format!("fn {name}("),
                    format!("def test_{name}("),
                    format!("def {name}("),
                ];
                let is_there = names.iter().any(|text| code.contains(text));
                assert!(
                    is_there,
                    "{} names {name}, which does not exist",
                    document.display()
                );
                checked += 1;
            }
        }
        assert!(
            checked >= least,
            "only {checked} names were found in {}",
            document.display()
        );
    }
}

#[test]
fn what_the_sandbox_assumes_is_documented() {
    let document =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sandbox.md"))
            .unwrap();
    for assumption in qbo_sandbox::ASSUMPTIONS {
        let answers = assumption.answers.join("`, `");
        let row = format!("| `{}` | `{answers}` |", assumption.name);
        assert!(document.contains(&row), "docs/sandbox.md lacks {row}");
    }
}

/// Words that turn the first line of a doc comment into a riddle. A first line is a noun phrase or
/// a third-person verb: "Returns the remaining windows", not "What is left".
const RIDDLES: [&str; 10] = [
    "What", "Where", "How", "Who", "Whoever", "Those", "Of", "As", "Nothing", "Such",
];

/// Doc comments that may still open with one of [`RIDDLES`]. Lower it whenever fewer remain.
const MAX_RIDDLES: usize = 20;

#[test]
fn doc_comments_start_with_their_subject() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending = vec![root.join("src"), root.join("sandbox/src")];
    let (mut checked, mut riddles) = (0, Vec::new());
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for (line, opening) in doc_openings(&text) {
                    checked += 1;
                    if is_riddle(opening) {
                        riddles.push(format!("{}:{line}: {opening}", path.display()));
                    }
                }
            }
        }
    }
    riddles.sort();
    assert!(
        riddles.len() <= MAX_RIDDLES,
        "{} doc comments do not start with their subject, {MAX_RIDDLES} may:\n{}",
        riddles.len(),
        riddles.join("\n")
    );
    assert!(
        checked > 1000,
        "only {checked} doc comments were found: this test has gone blind"
    );
}

/// Returns the line number and the text of the first line of each block of doc comments.
fn doc_openings(text: &str) -> Vec<(usize, &str)> {
    let (mut openings, mut previous) = (Vec::new(), "");
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let marker = ["///", "//!"].into_iter().find(|m| line.starts_with(m));
        let marker = marker.unwrap_or_default();
        if !marker.is_empty() && marker != previous {
            openings.push((number, line[marker.len()..].trim()));
        }
        previous = marker;
    }
    openings
}

/// Returns whether a first line opens with one of [`RIDDLES`], or with "So many".
fn is_riddle(opening: &str) -> bool {
    let first = opening.split(|c: char| !c.is_alphanumeric()).next();
    first.is_some_and(|word| RIDDLES.contains(&word)) || opening.starts_with("So many")
}

/// A server with `standard_conforming_strings = off` reads a backslash in a text as an escape, and a
/// pattern then matches something else.
#[test]
fn no_statement_has_a_backslash() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut seen, mut pending) = (0, vec![root]);
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let is_sql = path.extension().is_some_and(|extension| extension == "sql")
                || path.ends_with("sink/postgres/snapshots/merge.snap");
            if path.is_dir() {
                pending.push(path);
            } else if is_sql {
                seen += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains('\\'), "{}", path.display());
            }
        }
    }
    assert!(seen > 20, "only {seen} statements: this test shows nothing");
}
