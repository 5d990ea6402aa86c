//! Checks that the files of this crate do not import each other in a circle.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The path of a module, as in `["company", "sample"]`; empty for the crate root.
type Module = Vec<String>;

/// A path in the source, with the name that a `use` gives it.
#[derive(Debug, Clone)]
struct Import {
    path: Vec<String>,
    name: String,
}

/// The imports of one file, without those of its tests.
#[derive(Debug, Default)]
struct Source {
    imports: Vec<Import>,
    /// The imports that the file makes available to others.
    reexports: Vec<Import>,
}

/// Returns a text without comments and literals, split into words and punctuation.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at): (Vec<String>, usize) = (Vec::new(), 0);
    while at < chars.len() {
        let rest = &chars[at..];
        let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
        if rest.starts_with(&['/', '/']) {
            at += rest.iter().take_while(|c| **c != '\n').count();
        } else if rest[0] == 'r' && rest.get(1 + hashes) == Some(&'"') {
            let mut end = vec!['"'];
            end.extend(std::iter::repeat_n('#', hashes));
            let body = &rest[2 + hashes..];
            let length = body.windows(end.len()).position(|part| part == end);
            at += 2 + hashes + length.unwrap() + end.len();
        } else if rest[0] == '"' {
            at += 1;
            while chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if rest[0] == '\'' && rest.get(1) == Some(&'\\') {
            at += 4 + rest[3..].iter().take_while(|c| **c != '\'').count();
        } else if rest[0] == '\'' && rest.get(2) == Some(&'\'') {
            at += 3;
        } else if rest[0].is_alphanumeric() || rest[0] == '_' {
            let is_word = |c: &&char| c.is_alphanumeric() || **c == '_';
            let length = rest.iter().take_while(is_word).count();
            tokens.push(rest[..length].iter().collect());
            at += length;
        } else if rest.starts_with(&[':', ':']) {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !rest[0].is_whitespace() {
                tokens.push(rest[0].to_string());
            }
            at += 1;
        }
    }
    tokens
}

/// Returns the tokens without the items that only tests have.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let next = tokens[at..].iter().map(String::as_str).take(7);
        if !next.eq(attribute) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // The item ends with its semicolon or its closing brace.
        let mut depth = 0;
        at += attribute.len();
        loop {
            match tokens[at].as_str() {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
            at += 1;
        }
        at += 1;
    }
    kept
}

/// Reads one tree of a `use` item from `at`, and returns the position after it.
fn use_tree(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<Import>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens[at].as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while tokens[at] != "}" {
                    at = use_tree(tokens, at, &path, found);
                    at += usize::from(tokens[at] == ",");
                }
                return at + 1;
            }
            "as" => {
                let name = tokens[at + 1].clone();
                found.push(Import { path, name });
                return at + 2;
            }
            "," | "}" | ";" => {
                if path.len() > 1 && path[path.len() - 1] == "self" {
                    path.pop();
                }
                let name = path.last().cloned().unwrap_or_default();
                found.push(Import { path, name });
                return at;
            }
            word => {
                path.push(word.to_owned());
                at += 1;
            }
        }
    }
}

fn parse(text: &str) -> Source {
    let tokens = without_tests(&tokens(text));
    let (mut source, mut at) = (Source::default(), 0);
    while at < tokens.len() {
        if tokens[at] == "use" {
            let is_public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
            let mut found = Vec::new();
            at = use_tree(&tokens, at + 1, &[], &mut found);
            if is_public {
                source.reexports.extend(found.clone());
            }
            source.imports.extend(found);
        } else if tokens.get(at + 1).is_some_and(|next| next == "::") {
            // A path in the code, as in `words::of_kind(kind)`.
            let mut path = vec![tokens[at].clone()];
            while tokens.get(at + 1).is_some_and(|next| next == "::") {
                path.extend(tokens.get(at + 2).cloned());
                at += 2;
            }
            let name = path.last().cloned().unwrap_or_default();
            source.imports.push(Import { path, name });
        }
        at += 1;
    }
    source
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let nested = paths.map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    nested.flatten().collect()
}

/// Reads all modules of the crate.
fn crate_sources() -> BTreeMap<Module, Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(&root).unwrap().with_extension("");
        let parts = relative
            .iter()
            .map(|part| part.to_str().unwrap().to_owned());
        let mut module: Module = parts.collect();
        if matches!(module[module.len() - 1].as_str(), "mod" | "lib") {
            module.pop();
        }
        (module, parse(&std::fs::read_to_string(path).unwrap()))
    };
    files(&root).into_iter().map(read).collect()
}

/// Returns the module that defines an imported name, or `None` for a name of another crate.
///
/// A re-exported name belongs to the file that defines it, not to the file that re-exports it.
fn defining_module(
    sources: &BTreeMap<Module, Source>,
    importer: &Module,
    path: &[String],
) -> Option<Module> {
    let child = |module: &Module, name: &String| -> Module {
        [module.as_slice(), std::slice::from_ref(name)].concat()
    };
    let mut module = importer.clone();
    let mut segments = path;
    match path.first()?.as_str() {
        "crate" => {
            module.clear();
            segments = &path[1..];
        }
        "self" => segments = &path[1..],
        "super" => {}
        // A name without such a prefix is a child module or belongs to another crate.
        _ => _ = sources.get(&child(&module, &path[0]))?,
    }
    for segment in segments {
        if segment == "super" {
            module.pop();
        } else if sources.contains_key(&child(&module, segment)) {
            module = child(&module, segment);
        } else {
            let mut reexports = sources[&module].reexports.iter();
            return match reexports.find(|reexport| reexport.name == *segment) {
                Some(reexport) => defining_module(sources, &module, &reexport.path),
                None => Some(module),
            };
        }
    }
    Some(module)
}

/// Returns the modules that each module imports, itself excluded.
fn imports(sources: &BTreeMap<Module, Source>) -> BTreeMap<Module, BTreeSet<Module>> {
    let of_module = |(module, source): (&Module, &Source)| {
        let imports = source.imports.iter();
        let defined = imports
            .filter_map(|import| defining_module(sources, module, &import.path))
            .filter(|defined| defined != module);
        (module.clone(), defined.collect())
    };
    sources.iter().map(of_module).collect()
}

/// Returns a circle of modules that import each other, if there is one.
fn circle(sources: &BTreeMap<Module, Source>) -> Option<Vec<String>> {
    let mut imports = imports(sources);
    // A module without remaining imports cannot be part of a circle.
    let without_imports = |imports: &BTreeMap<Module, BTreeSet<Module>>| {
        let mut modules = imports.iter();
        modules.find_map(|(module, imported)| imported.is_empty().then(|| module.clone()))
    };
    while let Some(module) = without_imports(&imports) {
        imports.remove(&module);
        for imported in imports.values_mut() {
            imported.remove(&module);
        }
    }
    // Every remaining module imports another one of them, so this walk comes back to a module.
    let mut walk: Vec<&Module> = vec![imports.keys().next()?];
    loop {
        let next = imports[walk[walk.len() - 1]].first().unwrap();
        if let Some(start) = walk.iter().position(|module| *module == next) {
            let names = walk[start..].iter().map(|module| module.join("::"));
            return Some(names.collect());
        }
        walk.push(next);
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = crate_sources();
    let count: usize = imports(&sources).values().map(BTreeSet::len).sum();
    assert!(count > 100, "only {count} imports were found");
    assert_eq!(circle(&sources), None);
}

#[test]
fn a_circle_through_a_reexport_or_a_path_in_the_code_is_found() {
    let sources = |stats: &str| -> BTreeMap<Module, Source> {
        let reexport = "mod state; pub(crate) use self::state::{State, Other as Renamed};";
        let texts = [
            ("", "mod server; mod stats;"),
            ("server", reexport),
            ("server::state", "use crate::stats::{self, Stats};"),
            ("stats", stats),
        ];
        let module = |path: &str| -> Module {
            let parts = path.split("::").filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        let parsed = texts.map(|(path, text)| (module(path), parse(text)));
        parsed.into_iter().collect()
    };
    let in_tests = sources("#[cfg(test)] mod tests { use crate::server::State; }");
    assert_eq!(circle(&in_tests), None);
    for stats in [
        "use super::server::Renamed;",
        "fn quote(state: &crate::server::State) -> char { '\"' }",
    ] {
        let found = circle(&sources(stats)).expect(stats);
        assert_eq!(found, ["server::state", "stats"]);
    }
}
