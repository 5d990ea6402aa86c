//! One file of many windows: its check before an extract, and the change of some of its windows.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::layout::{LandingFile, is_parquet};
use super::line::LandingLine;
use super::reader::{LandingReader, open};
use super::spool::{Key, Names, Spool, SpoolWriter};
use super::writer::LandingWriter;
use crate::domain::{EntitySpec, KnownIds, Mask, Window};
use crate::durable::{Lock, directory_of, remove_leftovers_in, resolved};
use crate::error::{Error, Result};

/// Checks that an existing file holds landing lines of a company, before anything is read from the source for
/// it: a load refuses files of several. One of Parquet must hold the records of `entity`, whose columns it
/// has.
///
/// # Errors
/// [`Error::Config`] if its first line is not a landing line, or of another company or entity;
/// [`Error::Landing`] if it cannot be read.
pub fn check(path: &Path, realm_id: &str, entity: Option<&EntitySpec>) -> Result<()> {
    let mut reader = LandingReader::open(path)?;
    match reader.next_line()?.map(LandingLine::parse) {
        Some(Ok(line))
            if is_parquet(path) && entity.is_some_and(|entity| entity.name != line.entity) =>
        {
            let (path, entity) = (path.display(), line.entity);
            let reason =
                format!("'{path}' exists and holds {entity}; a Parquet file holds one entity");
            Err(Error::config("out", reason))
        }
        Some(Ok(line)) if line.realm_id != realm_id => {
            let (path, other) = (path.display(), line.realm_id);
            let reason = format!(
                "'{path}' exists and holds company {other}; a file holds one company: name another file, or a \
                 directory, which has a folder for each"
            );
            Err(Error::config("out", reason))
        }
        Some(Err(e)) => Err(Error::config(
            "out",
            format!(
                "'{}' exists and holds no landing lines ({e})",
                path.display()
            ),
        )),
        _ => Ok(()),
    }
}

/// Merges window files into one file of many windows. Earlier windows in the file that the new ones
/// cover are replaced; all others stay, without what is masked now. A window that the new ones cover in part keeps
/// the rest of its time. It loses each record that a new window holds. A record that could not be read now keeps the
/// text that it has, also in a window that is replaced: it may be all there is. No two windows share
/// any time, so that each stands for what its lines hold. Lines are in the order of
/// company, entity and window. The file is replaced atomically, by one process at a time: what another has
/// written meanwhile stays. If `path` is a link, its target is replaced.
///
/// # Errors
/// [`Error::Landing`], [`Error::Decode`]; the file is unchanged then.
pub async fn merge(parts: &[LandingFile], path: &Path, mask: &Mask) -> Result<()> {
    let path = &resolved(path);
    let lock = Lock::of_writing(path).await;
    let _lock = lock.map_err(|e| Error::landing(path, e))?;
    remove_leftovers_in(directory_of(path));
    let earlier = match path.exists() {
        true => Some(Spool::read(path, directory_of(path), mask)?),
        false => None,
    };
    let rest = match &earlier {
        Some(earlier) => rest_of(earlier, parts, path)?,
        None => None,
    };
    let mut pieces: Vec<(Key, Piece<'_>)> = Vec::new();
    if let Some(earlier) = &earlier {
        let windows = earlier.windows().filter(|old| !overlaps(old, parts));
        pieces.extend(windows.map(|old| (old.clone(), Piece::Earlier(earlier))));
    }
    if let Some(rest) = &rest {
        pieces.extend(
            rest.windows()
                .map(|key| (key.clone(), Piece::Earlier(rest))),
        );
    }
    pieces.extend(parts.iter().map(|part| {
        let (realm_id, entity) = (part.realm_id.as_str(), part.entity.as_str());
        let key: Key = (realm_id.into(), entity.into(), part.window);
        (key, Piece::New(&part.path))
    }));
    pieces.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut writer = LandingWriter::create(path)?;
    if let Some(((_, entity, _), _)) = pieces.first() {
        writer.set_entity(entity)?;
    }
    for (key, piece) in &pieces {
        let copied = match piece {
            Piece::Earlier(spool) => io::copy(&mut spool.lines(key), &mut writer),
            Piece::New(part) => io::copy(&mut open(part)?, &mut writer),
        };
        copied.map_err(|e| Error::unwritten(path, &e))?;
    }
    writer.finish().map(drop)
}

/// The lines of a window of the merged file.
enum Piece<'p> {
    Earlier(&'p Spool),
    New(&'p Path),
}

/// Company and entity.
type Owner = (Arc<str>, Arc<str>);

/// Company, entity and id of a record.
type RecordKey = (Arc<str>, Arc<str>, Box<str>);

/// A window, and the instant up to which it was read.
type Claim = (Window, DateTime<Utc>);

/// The records of window files, as far as the lines of earlier windows depend on them.
#[derive(Debug, Default)]
struct NewRecords {
    /// Records that came, of entities of which earlier windows are cut.
    read: HashMap<Owner, KnownIds>,
    /// Records that are only known to be there, and the windows that have them.
    rejected: HashMap<RecordKey, Claim>,
}

impl NewRecords {
    /// Reads the records of files. All that came are only needed of an entity of which earlier windows are `cut`, and
    /// take memory; else it is enough to know those that were also set aside, because they moved meanwhile.
    fn of(parts: &[LandingFile], cut: &HashSet<Owner>) -> Result<Self> {
        let mut records = Self::default();
        let is_cut = |key: &RecordKey| cut.contains(&owner_of(key));
        each_record(parts, |key, claim| match claim {
            // One without an id is not known to be another one.
            Some(claim) if !key.2.is_empty() => _ = records.rejected.insert(key, claim),
            None if is_cut(&key) => {
                let known = records.read.entry(owner_of(&key)).or_default();
                known.insert(&key.2);
            }
            _ => {}
        })?;
        if records.rejected.keys().any(|key| !is_cut(key)) {
            each_record(parts, |key, claim| {
                if claim.is_none() {
                    records.rejected.remove(&key);
                }
            })?;
        }
        let Self { read, rejected } = &mut records;
        rejected.retain(|key, _| !is_known(read, key));
        Ok(records)
    }
}

fn is_known(read: &HashMap<Owner, KnownIds>, key: &RecordKey) -> bool {
    let known = read.get(&owner_of(key));
    known.is_some_and(|known| known.contains(&key.2))
}

fn owner_of((realm_id, entity, _): &RecordKey) -> Owner {
    (realm_id.clone(), entity.clone())
}

/// Passes each line's record, and its window if it was set aside.
fn each_record(
    parts: &[LandingFile],
    mut take: impl FnMut(RecordKey, Option<Claim>),
) -> Result<()> {
    let mut names = Names::default();
    for part in parts {
        let mut reader = LandingReader::open(&part.path)?;
        while let Some(line) = reader.next_line()? {
            let line =
                LandingLine::parse(line).map_err(|reason| Error::landing(&part.path, reason))?;
            let is_read = line.payload.is_some();
            let claim = (part.window, line.read_until_utc.unwrap_or(part.window.end));
            take(
                key_of_record(&line, &mut names),
                (!is_read).then_some(claim),
            );
        }
    }
    Ok(())
}

fn key_of_record(line: &LandingLine<'_>, names: &mut Names) -> RecordKey {
    let (realm_id, entity) = (names.shared(&line.realm_id), names.shared(&line.entity));
    (realm_id, entity, line.id.as_ref().into())
}

/// Returns the lines that stay of the earlier windows whose time the new ones cover, all of it or a part, each with the
/// window that it belongs to now; `None` if there are no such windows, or nothing stays.
fn rest_of(earlier: &Spool, parts: &[LandingFile], path: &Path) -> Result<Option<Spool>> {
    let touched = earlier.windows().filter(|old| overlaps(old, parts));
    let left_of = |old: &Key| old.2.minus(&overlapping(old, parts).collect::<Vec<_>>());
    let touched: Vec<(&Key, Vec<Window>)> = touched.map(|old| (old, left_of(old))).collect();
    if touched.is_empty() {
        return Ok(None);
    }
    let cut = touched.iter().filter(|(_, left)| !left.is_empty());
    let cut: HashSet<Owner> = cut
        .map(|((realm_id, entity, _), _)| (realm_id.clone(), entity.clone()))
        .collect();
    let new = NewRecords::of(parts, &cut)?;
    if cut.is_empty() && new.rejected.is_empty() {
        return Ok(None);
    }
    let mut rest = SpoolWriter::create(path, directory_of(path))?;
    let (mut names, mut bytes) = (Names::default(), Vec::new());
    for (old, left) in touched {
        let mut lines = earlier.reader(old);
        while lines.next_line()?.is_some() {
            let text = Bytes::copy_from_slice(lines.line());
            let located = |reason| Error::decode(lines.location(), reason);
            let mut line = LandingLine::parse(&text).map_err(located)?;
            let record = key_of_record(&line, &mut names);
            let Some((window, read_until)) = claim_of(&line, &text, (&record, &left), &new) else {
                continue;
            };
            line.extract_window_start_utc = window.start;
            line.extract_window_end_utc = window.end;
            line.read_until_utc = read_until;
            bytes.clear();
            line.write(&mut bytes)?;
            let (realm_id, entity, _) = record;
            rest.add((realm_id, entity, window), bytes.trim_ascii_end())?;
        }
    }
    rest.finish().map(Some)
}

/// Returns the window that an earlier line belongs to now, and the instant up to which that window is read; `None` if the
/// line does not stay. `left` is the time of its old window that no new one covers. The text of a record that could not be read now is a line of
/// the window that has set it aside, and claims no other time than that one does.
fn claim_of(
    line: &LandingLine<'_>,
    text: &Bytes,
    (record, left): (&RecordKey, &[Window]),
    new: &NewRecords,
) -> Option<(Window, Option<DateTime<Utc>>)> {
    if is_known(&new.read, record) {
        return None;
    }
    match (new.rejected.get(record), line.payload) {
        (Some((window, read_until)), Some(_)) => return Some((*window, Some(*read_until))),
        // It is set aside once more.
        (Some(_), None) => return None,
        (None, _) => {}
    }
    let at = line.changed_at(text);
    // One of a time that was read anew, in which it was not found, stays with the time beside that: the one before, if
    // it is left.
    let before = left.iter().rev().find(|window| window.start <= at);
    let window = before.or(left.first())?;
    Some((*window, line.read_until_utc))
}

/// Returns the new windows that have time in common with an earlier one.
fn overlapping<'p>(
    (realm_id, entity, old): &'p Key,
    parts: &'p [LandingFile],
) -> impl Iterator<Item = Window> + 'p {
    let found = parts.iter().filter(|part| {
        part.window.overlaps(*old) && *part.realm_id == **realm_id && *part.entity == **entity
    });
    found.map(|part| part.window)
}

fn overlaps(key: &Key, parts: &[LandingFile]) -> bool {
    overlapping(key, parts).next().is_some()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::{Value, json};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}T00:00:00Z").parse().unwrap()
    }

    /// Lines of a window: ids with the day of their change, and whether they could be read.
    fn lines(
        window: (&str, &str),
        read_until: Option<&str>,
        records: &[(&str, &str, bool)],
    ) -> String {
        let line = |(id, day, is_read): &(&str, &str, bool)| {
            let mut line = json!({
                "entity": "items", "realm_id": "9", "id": id, "ingested_at_utc": at("2025-11-10"),
                "extract_window_start_utc": at(window.0), "extract_window_end_utc": at(window.1),
                "page_number": 1, "page_size": 1000, "request_payload": {},
            });
            if let Some(read_until) = read_until {
                line["read_until_utc"] = json!(at(read_until));
            }
            match is_read {
                true => {
                    line["payload"] = json!({"Id": id, "MetaData": {"LastUpdatedTime": at(day)}})
                }
                false => {
                    line["rejected"] =
                        json!({"error": "e", "intuit_tid": null, "at_utc": at(day), "text": "{"})
                }
            }
            format!("{line}\n")
        };
        records.iter().map(line).collect()
    }

    /// Merges new windows into a file, and returns its lines: id, whether it was read, window, and instant up to which.
    async fn merged(old: &str, new: &[((&str, &str), String)]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("items.jsonl");
        std::fs::write(&path, old).unwrap();
        let parts: Vec<_> = new
            .iter()
            .map(|((start, end), lines)| {
                let window = Window::parse(start, end).unwrap();
                let file = LandingFile::below(directory.path(), "9", "items", window);
                std::fs::create_dir_all(file.path.parent().unwrap()).unwrap();
                std::fs::write(&file.path, zstd::encode_all(lines.as_bytes(), 1).unwrap()).unwrap();
                file
            })
            .collect();
        merge(&parts, &path, &Mask::default()).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let told = |line: &str| {
            LandingLine::parse(line.as_bytes()).unwrap();
            let line: Value = serde_json::from_str(line).unwrap();
            let day = |name: &str| {
                line[name]
                    .as_str()
                    .unwrap_or("-")
                    .split('T')
                    .next()
                    .unwrap()
                    .to_owned()
            };
            let kind = if line["payload"].is_null() {
                "reject"
            } else {
                "record"
            };
            format!(
                "{} {kind} {} {} {}",
                line["id"].as_str().unwrap(),
                day("extract_window_start_utc"),
                day("extract_window_end_utc"),
                day("read_until_utc"),
            )
        };
        text.lines().map(told).collect()
    }

    #[tokio::test]
    async fn a_kept_text_is_a_line_of_the_window_that_has_the_reject_and_claims_no_other_time() {
        let month = ("2025-11-01", "2025-12-01");
        // Of old months, with a text of the running one.
        let old = lines(
            ("2025-02-01", "2025-03-01"),
            None,
            &[("3", "2025-02-05", true), ("4", "2025-02-06", true)],
        ) + &lines(month, Some("2025-11-10"), &[("5", "2025-11-05", true)]);
        let year = ("2025-01-01", "2026-01-01");
        let new = lines(
            year,
            Some("2025-12-20"),
            &[
                ("3", "2025-02-05", false),
                ("4", "2025-02-06", true),
                ("5", "2025-11-06", false),
            ],
        );
        let found = merged(&old, &[(year, new)]).await;
        let expected = [
            "3 record 2025-01-01 2026-01-01 2025-12-20",
            "5 record 2025-01-01 2026-01-01 2025-12-20",
            "3 reject 2025-01-01 2026-01-01 2025-12-20",
            "4 record 2025-01-01 2026-01-01 2025-12-20",
            "5 reject 2025-01-01 2026-01-01 2025-12-20",
        ];
        assert_eq!(found, expected);
        // The running month, which was read whole since: the claim does not end where the old one did.
        let old = lines(month, Some("2025-11-10"), &[("5", "2025-11-05", true)]);
        let found = merged(
            &old,
            &[(month, lines(month, None, &[("5", "2025-11-05", false)]))],
        )
        .await;
        let expected = [
            "5 record 2025-11-01 2025-12-01 2025-12-01",
            "5 reject 2025-11-01 2025-12-01 -",
        ];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_window_that_new_ones_cover_in_part_is_left_with_the_rest_of_its_time() {
        let year = ("2025-01-01", "2026-01-01");
        let old = lines(
            year,
            None,
            &[
                ("1", "2025-01-05", true),
                ("2", "2025-03-05", true),
                ("3", "2025-03-06", true),
                ("4", "2025-03-07", true),
                ("5", "2025-06-05", true),
                ("6", "2025-07-05", false),
                ("7", "2025-08-05", true),
            ],
        );
        let (march, april) = (("2025-03-01", "2025-04-01"), ("2025-04-01", "2025-05-01"));
        // One moved into April, one is not there any more, and two cannot be read.
        let new = [
            (
                march,
                lines(
                    march,
                    None,
                    &[("4", "2025-03-07", false), ("6", "2025-03-08", false)],
                ),
            ),
            (april, lines(april, None, &[("2", "2025-04-05", true)])),
        ];
        let found = merged(&old, &new).await;
        let expected = [
            "1 record 2025-01-01 2025-03-01 -",
            "3 record 2025-01-01 2025-03-01 -",
            "4 record 2025-03-01 2025-04-01 2025-04-01",
            "4 reject 2025-03-01 2025-04-01 -",
            "6 reject 2025-03-01 2025-04-01 -",
            "2 record 2025-04-01 2025-05-01 -",
            "5 record 2025-05-01 2026-01-01 -",
            "7 record 2025-05-01 2026-01-01 -",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn only_ids_of_entities_whose_windows_are_cut_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let march = ("2025-03-01", "2025-04-01");
        let mut parts = Vec::new();
        for entity in ["items", "bills"] {
            let window = Window::parse(march.0, march.1).unwrap();
            let file = LandingFile::below(directory.path(), "9", entity, window);
            std::fs::create_dir_all(file.path.parent().unwrap()).unwrap();
            let records = [
                ("1", "2025-03-05", true),
                ("2", "2025-03-06", false),
                ("x:3", "2025-03-07", true),
            ];
            let lines = lines(march, None, &records).replace("items", entity);
            // The second one moved meanwhile.
            let lines = lines
                + &self::lines(march, None, &[("2", "2025-03-08", true)]).replace("items", entity);
            std::fs::write(&file.path, zstd::encode_all(lines.as_bytes(), 1).unwrap()).unwrap();
            parts.push(file);
        }
        let items: Owner = ("9".into(), "items".into());
        let new = NewRecords::of(&parts, &HashSet::from([items.clone()])).unwrap();
        assert_eq!(new.read.keys().collect::<Vec<_>>(), [&items]);
        for (id, is_there) in [("1", true), ("2", true), ("x:3", true), ("3", false)] {
            assert_eq!(new.read[&items].contains(id), is_there, "{id}");
        }
        assert!(new.rejected.is_empty());
    }
}
