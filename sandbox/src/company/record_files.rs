//! Records out of files: recorded answers of the API, single records, or one a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::collection::{self, Stored};
use super::{Company, Fields, entities};
use crate::entities::Entity;

/// Why records cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// A path cannot be read.
    #[error("--records: cannot read {path}: {reason}")]
    Read {
        /// The path.
        path: String,
        /// The operating system's words.
        reason: std::io::Error,
    },
    /// A file is not what it must be.
    #[error("--records: {path} is not JSON: {reason}")]
    Parse {
        /// The file.
        path: String,
        /// The parser's words.
        reason: String,
    },
    /// Nothing to serve.
    #[error("--records: no record with an Id and a MetaData.LastUpdatedTime in {0}")]
    Empty(String),
}

/// Reads every `.json` and `.jsonl` file that the paths name or contain.
pub(super) fn read_into(company: &mut Company, paths: &[PathBuf]) -> Result<(), RecordsError> {
    for path in paths {
        for file in files(path)? {
            read_file(company, &file)?;
        }
    }
    if company.collections.is_empty() {
        let names: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        return Err(RecordsError::Empty(names.join(", ")));
    }
    Ok(())
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
        let entry = entry.map_err(failed)?.path();
        let is_json = entry
            .extension()
            .is_some_and(|extension| extension == "json" || extension == "jsonl");
        if entry.is_dir() || is_json {
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
    // "Customer.json", "customers.jsonl": what bare records in it are.
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

/// Finds records at any depth of an answer. What holds none, such as a fault or a report, is passed
/// over.
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
            entities::of_answer_key(&key).or_else(|| entities::find(&key)),
        ) {
            (_, Some(entity)) => collect(company, member, Some(entity)),
            ("QueryResponse" | "CDCResponse" | "BatchItemResponse", None) => {
                collect(company, member, None)
            }
            // A landing line of ours.
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
    fn of_several_versions_the_newest_is_served() {
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
    fn nothing_to_serve_is_an_error_and_so_is_broken_json() {
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
}
