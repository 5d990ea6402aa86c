//! Records from files: recorded answers of the API, single records, or one record per line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::collection::{self, Stored};
use super::fields::Fields;
use super::records::Company;
use crate::entities::{self, Entity};

/// The reason why records cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// A path cannot be read.
    #[error("--records: cannot read {path}: {reason}")]
    Read {
        /// The path.
        path: String,
        /// The operating system's reason.
        reason: std::io::Error,
    },
    /// A file is not JSON.
    #[error("--records: {path} is not JSON: {reason}")]
    Parse {
        /// The file.
        path: String,
        /// The parser's reason.
        reason: String,
    },
    /// The paths hold no record.
    #[error("--records: no record with an Id and a MetaData.LastUpdatedTime in {0}")]
    Empty(String),
}

impl Company {
    /// Reads a company from files and directories of JSON answers or records. All `.json` and
    /// `.jsonl` files below a directory are read, without following links to directories. The newest version of each record is kept.
    ///
    /// # Errors
    /// [`RecordsError`] if a path cannot be read, a file is not JSON, or no record is found.
    pub fn read(paths: &[PathBuf]) -> Result<Self, RecordsError> {
        let mut company = Self::default();
        for path in paths {
            for file in files(path)? {
                read_file(&mut company, &file)?;
            }
        }
        if company.collections.is_empty() {
            let names: Vec<_> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            return Err(RecordsError::Empty(names.join(", ")));
        }
        Ok(company)
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, RecordsError> {
    let failed = |reason| RecordsError::Read {
        path: path.display().to_string(),
        reason,
    };
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (kind, entry) = (entry.file_type().map_err(failed)?, entry.path());
        let is_json = entry
            .extension()
            .is_some_and(|extension| extension == "json" || extension == "jsonl");
        // Two links to their own directory would be an endless number of paths.
        let is_link_to_directory = kind.is_symlink() && entry.is_dir();
        if kind.is_dir() || is_json && !is_link_to_directory {
            found.extend(files(&entry)?);
        }
    }
    found.sort();
    Ok(found)
}

fn read_file(company: &mut Company, path: &Path) -> Result<(), RecordsError> {
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|reason| RecordsError::Read {
        path: name(),
        reason,
    })?;
    // Records without an entity key take their entity from the file name, as in "Customer.json"
    // or "customers.jsonl".
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let hint = entities::find(stem).or_else(|| entities::find(stem.trim_end_matches('s')));
    for document in serde_json::Deserializer::from_str(&text).into_iter::<Box<RawValue>>() {
        let document = document.map_err(|e| RecordsError::Parse {
            path: name(),
            reason: e.to_string(),
        })?;
        collect(company, &document, hint);
    }
    Ok(())
}

/// Collects the records at any depth of an answer. Faults, reports and other JSON without records
/// are skipped.
fn collect(company: &mut Company, json: &RawValue, hint: Option<&'static Entity>) {
    if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json.get()) {
        return elements
            .into_iter()
            .for_each(|element| collect(company, element, hint));
    }
    if let Some((entity, row)) =
        hint.and_then(|entity| Some((entity, collection::read(entity, json.get())?)))
    {
        return keep_newest(company, entity, row);
    }
    let members =
        serde_json::from_str::<BTreeMap<String, &RawValue>>(json.get()).unwrap_or_default();
    for (key, member) in members {
        match (
            key.as_str(),
            entities::find_by_answer_key(&key).or_else(|| entities::find(&key)),
        ) {
            (_, Some(entity)) => collect(company, member, Some(entity)),
            ("QueryResponse" | "CDCResponse" | "BatchItemResponse", None) => {
                collect(company, member, None)
            }
            // One line of a landing file of this project.
            ("payload", None) => collect(company, member, hint),
            _ => {}
        }
    }
}

fn keep_newest(company: &mut Company, entity: &'static Entity, row: Stored) {
    let collection = company.collections.entry(entity.name).or_default();
    if let Some(known) = collection.get(&row.id)
        && (known.updated(), sync_token(&known.payload())) > (row.updated, sync_token(&row.payload))
    {
        return;
    }
    collection.put(row);
}

fn sync_token(payload: &str) -> u64 {
    Fields::parse(payload)
        .and_then(|record| record.text("SyncToken")?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, token: u32, time: &str) -> String {
        format!(
            r#"{{"Balance":629.10,"Id":"{id}","SyncToken":"{token}","MetaData":{{"LastUpdatedTime":"{time}"}}}}"#
        )
    }

    fn read(files: &[(&str, String)]) -> Result<Company, RecordsError> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Company::read(&[directory.path().to_owned()])
    }

    #[test]
    fn records_are_found_in_answers_of_every_kind() {
        let at = "2024-01-01T00:00:00-08:00";
        let company = read(&[
            ("query.json", format!(r#"{{"QueryResponse":{{"Customer":[{}],"maxResults":1}},"time":"x"}}"#, record("1", 0, at))),
            ("single.json", format!(r#"{{"Invoice":{},"time":"x"}}"#, record("2", 0, at))),
            ("batch.json", format!(r#"{{"BatchItemResponse":[{{"Vendor":{},"bId":"b"}},{{"Fault":{{}},"bId":"c"}}]}}"#, record("3", 0, at))),
            ("cdc.json", format!(
                r#"{{"CDCResponse":[{{"QueryResponse":[{{}},{{"Bill":[{},{{"status":"Deleted","Id":"9","MetaData":{{"LastUpdatedTime":"{at}"}}}}]}}]}}]}}"#,
                record("4", 0, at)
            )),
            ("items.jsonl", format!("{}\n{}\n", record("5", 0, at), record("6", 0, at))),
            ("fault.json", r#"{"Fault":{"Error":[{"code":"4001"}]}}"#.to_owned()),
        ])
        .unwrap();
        assert_eq!(
            company.counts(),
            [
                ("Bill", 1),
                ("Customer", 1),
                ("Invoice", 1),
                ("Item", 2),
                ("Vendor", 1)
            ]
        );
        assert!(
            company.truth("Customer", i64::MIN, i64::MAX)[0]
                .1
                .contains("629.10")
        );
    }

    #[test]
    fn the_newest_of_several_versions_is_served() {
        let (old, new) = ("2024-01-01T00:00:00-08:00", "2024-01-02T00:00:00-08:00");
        let company = read(&[(
            "customers.json",
            format!(
                "[{},{},{}]",
                record("1", 9, old),
                record("1", 3, new),
                record("1", 2, new)
            ),
        )]);
        assert!(
            company.unwrap().truth("Customer", i64::MIN, i64::MAX)[0]
                .1
                .contains(r#""SyncToken":"3""#)
        );
    }

    #[test]
    fn paths_without_records_and_broken_json_are_errors() {
        assert!(matches!(
            read(&[("fault.json", "{}".to_owned())]),
            Err(RecordsError::Empty(_))
        ));
        assert!(matches!(
            read(&[("broken.json", "{".to_owned())]),
            Err(RecordsError::Parse { .. })
        ));
        assert!(matches!(
            Company::read(&["/no/such".into()]),
            Err(RecordsError::Read { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn links_to_directories_are_not_followed() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let (inside, outside) = (directory.path().join("a/b"), directory.path().join("c"));
        for folder in [&inside, &outside] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let at = "2024-01-01T00:00:00-08:00";
        std::fs::write(inside.join("items.json"), record("1", 0, at)).unwrap();
        std::fs::write(outside.join("vendors.json"), record("2", 0, at)).unwrap();
        for link in ["x", "y.json"] {
            symlink(".", inside.join(link)).unwrap();
        }
        symlink(&outside, inside.join("z")).unwrap();
        let found = files(&directory.path().join("a")).unwrap();
        assert_eq!(found, [inside.join("items.json")]);
        symlink(&inside, directory.path().join("named")).unwrap();
        let company = Company::read(&[directory.path().join("named")]).unwrap();
        assert_eq!(company.counts(), [("Item", 1)]);
    }
}
