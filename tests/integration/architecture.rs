//! The layers, held: what may name what.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each part of the crate, and the parts that it may name. What is not listed is forbidden.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("domain", &["error"]),
    ("port", &["domain", "error"]),
    ("http", &["domain", "error", "port"]),
    ("oauth", &["domain", "error", "http", "port"]),
    ("postgres", &["config", "error"]),
    ("config", &["error", "http", "port"]),
    ("durable", &[]),
    ("landing", &["domain", "durable", "error"]),
    ("token_store", &["durable", "error", "port", "postgres"]),
    ("shared_state", &["durable", "error", "port", "postgres"]),
    ("source", &["config", "domain", "error", "http", "landing", "port"]),
    ("sink", &["config", "domain", "error", "landing", "port", "postgres"]),
    ("pipeline", &["domain", "error", "port"]),
    ("verify", &["domain", "error", "port"]),
    (
        "app",
        &[
            "config",
            "domain",
            "durable",
            "error",
            "http",
            "landing",
            "oauth",
            "pipeline",
            "port",
            "postgres",
            "shared_state",
            "sink",
            "source",
            "token_store",
            "verify",
        ],
    ),
    ("sandbox", &[]),
    ("demo", &["app", "config", "domain", "error", "port", "sandbox", "sink"]),
    ("server", &["app", "domain", "error", "http", "port"]),
    (
        "cli",
        &[
            "server", "app", "config", "demo", "domain", "error", "http", "landing", "oauth", "pipeline", "port",
            "sandbox", "sink",
        ],
    ),
    ("python", &["app", "cli", "config", "demo", "domain", "error", "landing", "port", "sandbox"]),
];

/// Crates that belong to one part alone.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("pyo3", &["python"]),
    ("clap", &["cli"]),
    ("axum", &["cli", "sandbox", "server"]),
    ("hyper", &["server"]),
    ("tokio_postgres", &["postgres", "shared_state", "sink", "token_store", "demo"]),
    ("reqwest", &["http", "oauth", "source", "config", "cli", "sandbox"]),
];

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
                let part = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((part, relative.to_owned(), text));
            }
        }
    }
    files.into_iter().filter(|(part, ..)| !["lib", "bin", "testing"].contains(&part.as_str())).collect()
}

/// The code of a file without its comments and its tests.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap();
    body.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The parts that code names as `crate::part`.
fn named_parts(code: &str) -> Vec<String> {
    let named = code.split("crate::").skip(1);
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    named.map(name).filter(|part| !part.is_empty()).collect()
}

#[test]
fn every_arrow_points_down() {
    let allowed: BTreeMap<_, _> = MAY_NAME.iter().copied().collect();
    let mut checked = 0;
    for (part, path, text) in source_files() {
        let allowed =
            allowed.get(part.as_str()).unwrap_or_else(|| panic!("{} has no place in the layers", path.display()));
        for named in named_parts(&code(&text)) {
            checked += 1;
            let is_fine = named == part || allowed.contains(&named.as_str());
            assert!(is_fine, "src/{}: {part} must not name {named}", path.display());
        }
    }
    assert!(checked > 100, "only {checked} names were found: this test has gone blind");
}

#[test]
fn libraries_stay_in_their_parts() {
    for (part, path, text) in source_files() {
        let code = code(&text);
        for (library, parts) in ONLY_IN {
            let names_it = code.contains(&format!("{library}::"));
            assert!(!names_it || parts.contains(&part.as_str()), "src/{}: {library} is not for {part}", path.display());
        }
    }
}

#[test]
fn sources_and_sinks_do_not_know_each_other() {
    for (part, path, text) in source_files() {
        let other = match part.as_str() {
            "source" => "sink",
            "sink" => "source",
            _ => continue,
        };
        assert!(!named_parts(&code(&text)).contains(&other.to_owned()), "src/{}", path.display());
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
                assert!(is_block || !text.contains("qbo_rs.mage"), "{} must not name qbo_rs.mage", path.display());
                if text.lines().any(|line| line.trim_start().starts_with("from mage_ai")) {
                    talks.push(path.strip_prefix(&package).unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(talks, [Path::new("mage/_host.py")]);
}

#[test]
fn the_domain_is_pure() {
    for (part, path, text) in source_files().into_iter().filter(|(part, ..)| part == "domain") {
        for impure in ["async ", ".await", "std::fs", "std::net", "std::env", "Utc::now", "Instant::now", "tokio"] {
            assert!(!code(&text).contains(impure), "src/{}: {part} must not use {impure}", path.display());
        }
    }
}

#[test]
fn qbo_is_unknown_below_its_source() {
    for (part, path, text) in source_files().into_iter().filter(|(part, ..)| part == "http") {
        assert!(
            !code(&text).to_lowercase().contains("quickbooks"),
            "src/{}: {part} must not know QuickBooks",
            path.display()
        );
    }
}

#[test]
fn every_pointer_to_a_fact_finds_one() {
    let facts = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/qbo-facts.md");
    let facts = std::fs::read_to_string(facts).unwrap();
    let mut checked = 0;
    for (_, path, text) in source_files() {
        for rest in text.split("qbo-facts ").skip(1) {
            let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let number = number.trim_end_matches('.');
            let is_there = facts.contains(&format!("**{number}**")) || facts.contains(&format!("## {number} "));
            assert!(is_there, "src/{}: there is no fact {number}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} pointers were found: this test has gone blind");
}

#[test]
fn files_stay_readable() {
    for (_, path, text) in source_files() {
        let lines = code(&text).lines().count();
        assert!(lines <= 450, "src/{} has {lines} lines of code: it does more than one thing", path.display());
    }
}

/// All Rust code, tests included.
fn rust_text() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut text, mut pending) = (String::new(), vec![root.join("src"), root.join("tests/integration")]);
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
            assert!(is_there, "docs/sandbox.md names {name}, which does not exist");
            checked += 1;
        }
        assert!(tests.contains('`'), "no test holds: {row}");
    }
    assert!(checked > 40, "only {checked} names were found: this test has gone blind");
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = rust_text();
    for directory in ["tests/python", "tests/mage"] {
        for entry in std::fs::read_dir(root.join(directory)).unwrap() {
            code.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
        }
    }
    for (document, least) in
        [("exactness", 20), ("resilience", 25), ("loading", 25), ("mage", 20), ("sync", 8), ("service", 9)]
    {
        let document = root.join(format!("docs/{document}.md"));
        let text = std::fs::read_to_string(&document).unwrap();
        let mut checked = 0;
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            let tests = row.trim_end_matches('|').rsplit(" | ").next().unwrap();
            // Names of tests have many words.
            for name in tests.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 2) {
                let names = [format!("fn {name}("), format!("def test_{name}("), format!("def {name}(")];
                let is_there = names.iter().any(|text| code.contains(text));
                assert!(is_there, "{} names {name}, which does not exist", document.display());
                checked += 1;
            }
        }
        assert!(checked >= least, "only {checked} names were found in {}", document.display());
    }
}

#[test]
fn what_the_sandbox_assumes_is_documented() {
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sandbox.md")).unwrap();
    for assumption in qbo_rs::sandbox::ASSUMPTIONS {
        let row = format!("| `{}` | `{}` | `{}` |", assumption.name, assumption.harder, assumption.milder);
        assert!(document.contains(&row), "docs/sandbox.md lacks {row}");
    }
}
