//! The records of a landing file as columns.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::Seek;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;

use super::line::LandingLine;
use super::reader::{LandingReader, open_regular};
use crate::columns::{ColumnsBuilder, EntityColumns, Row};
use crate::error::{Error, Result};

/// Reads the records of a file in batches, each record once, in its last version and in the order of
/// the file. The ids of all records are in memory, and one batch. Records that are set aside are left
/// out.
///
/// # Errors
/// [`Error::Landing`] if it cannot be read; [`Error::Decode`] with the location of a wrong line.
pub fn read_columns(
    path: &Path,
    columns: Arc<EntityColumns>,
    mut each: impl FnMut(RecordBatch) -> ControlFlow<()>,
) -> Result<()> {
    let failed = |error| Error::landing(path, error);
    let mut file = open_regular(path)?;
    let latest = latest_lines(path, file.try_clone().map_err(failed)?)?;
    file.rewind().map_err(failed)?;
    let mut reader = LandingReader::of_file(path, file)?;
    let mut builder = ColumnsBuilder::new(columns)?;
    let mut number = 0;
    while let Some(line) = reader.next_line()? {
        let added = add(line, (number, &latest), &mut builder, &mut each);
        let added = added.map_err(|reason| Error::decode(reader.location(), reason))?;
        number += 1;
        if added.is_break() {
            return Ok(());
        }
    }
    if builder.rows() > 0 {
        // Nothing comes after it.
        let _ = each(builder.take()?);
    }
    builder.log_misfits("extract");
    Ok(())
}

/// Adds the record of a line, if no later line has it too. Returns whether more is wanted.
fn add(
    line: &[u8],
    (number, latest): (u64, &HashMap<Box<str>, u64>),
    builder: &mut ColumnsBuilder,
    each: impl FnMut(RecordBatch) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, String> {
    let line = LandingLine::parse(line)?;
    let Some(payload) = line.payload.filter(|_| line.rejected.is_none()) else {
        return Ok(ControlFlow::Continue(()));
    };
    if latest.get(&*line.id) != Some(&number) {
        return Ok(ControlFlow::Continue(()));
    }
    let row = Row {
        realm_id: Some(&line.realm_id),
        id: &line.id,
        deleted_at: None,
        payload: Some(payload.get()),
    };
    let added = builder.push_each(row, each);
    added.map_err(|error| error.to_string())
}

/// Returns the number of the last line of every record: one that was edited while it was read is in
/// the file twice.
fn latest_lines(path: &Path, file: File) -> Result<HashMap<Box<str>, u64>> {
    #[derive(Deserialize)]
    struct Identified<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    let mut reader = LandingReader::of_file(path, file)?;
    let mut latest = HashMap::new();
    let mut number = 0;
    while let Some(line) = reader.next_line()? {
        let id = serde_json::from_slice::<Identified<'_>>(line)
            .map(|line| Box::from(&*line.id))
            .map_err(|error| error.to_string());
        let id = id.map_err(|reason| Error::decode(reader.location(), reason))?;
        latest.insert(id, number);
        number += 1;
    }
    Ok(latest)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use arrow_array::StringArray;
    use arrow_array::cast::AsArray;

    use super::*;
    use crate::domain::find_entity;
    use crate::landing::LandingWriter;

    fn line(id: &str, rest: &str) -> String {
        format!(
            "{{\"entity\":\"customers\",\"realm_id\":\"9\",\"id\":\"{id}\",\
             \"ingested_at_utc\":\"2024-05-01T00:00:00Z\",\
             \"extract_window_start_utc\":\"2024-01-01T00:00:00Z\",\
             \"extract_window_end_utc\":\"2024-02-01T00:00:00Z\",\"page_number\":1,\"page_size\":1000,\
             \"request_payload\":{{}},{rest}}}\n"
        )
    }

    #[test]
    fn each_record_is_there_once_in_its_last_version_and_none_that_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl.zst");
        let mut writer = LandingWriter::create(&path).unwrap();
        for line in [
            line("1", r#""payload":{"Id":"1","DisplayName":"before"}"#),
            line("2", r#""payload":{"Id":"2","DisplayName":"other"}"#),
            line("1", r#""payload":{"Id":"1","DisplayName":"after"}"#),
            line(
                "3",
                r#""rejected":{"error":"e","intuit_tid":null,"at_utc":"2024-01-03T09:00:00Z","text":"{"}"#,
            ),
        ] {
            writer.write_all(line.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        let columns = Arc::new(EntityColumns::of(find_entity("customers").unwrap()).unwrap());
        let mut found = Vec::new();
        read_columns(&path, columns, |batch| {
            let text = |name| -> &StringArray { batch.column_by_name(name).unwrap().as_string() };
            let rows = text("id").iter().zip(text("display_name").iter());
            found.extend(rows.map(|(id, name)| format!("{} {}", id.unwrap(), name.unwrap())));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(found, ["2 other", "1 after"]);
    }
}
