//! The report of a comparison of source and table. Serialised, it is the `--json` object of `qbo-rs
//! verify`.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use crate::domain::{Content, Deletion, Reject, Window};

/// A version of a record, by which records are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordKey {
    /// Id of the record.
    pub id: String,
    /// Time by which its side counts it. QuickBooks can count a record at another time than the one
    /// that it says; a table knows only that one.
    pub place: DateTime<Utc>,
    /// `MetaData.LastUpdatedTime`.
    pub updated_at: DateTime<Utc>,
    /// `SyncToken`.
    pub sync_token: i64,
    /// Whether it is in the file of an archive, and not in the table.
    pub is_archived: bool,
    /// Content of the record, if that is compared too.
    pub content: Option<Content>,
}

impl RecordKey {
    /// Returns the deletion of this record, which QuickBooks does not have any more. One that is not in the
    /// table gets a row that says no more than that, so that its file does not bring it back to life.
    pub(crate) fn deletion(&self, at: DateTime<Utc>) -> Deletion {
        let id = &self.id;
        let stub = || json!({ "Id": id, "status": "Deleted" }).to_string();
        Deletion {
            id: id.clone(),
            at,
            stub: self.is_archived.then(stub),
        }
    }

    fn is_same_version(&self, other: &Self) -> bool {
        (self.updated_at, self.sync_token) == (other.updated_at, other.sync_token)
    }

    /// Returns whether `held` is an older version than this one, or has the same version and says
    /// something else.
    fn supersedes(&self, held: &Self) -> bool {
        let version = |key: &Self| (key.updated_at, key.sync_token);
        version(held) < version(self)
            || self.compare_content(held, |ours, theirs| ours.differs(theirs))
    }

    /// Returns whether `held` is a later version than this one, from before `until`.
    fn is_behind(&self, held: &Self, until: DateTime<Utc>) -> bool {
        let version = |key: &Self| (key.updated_at, key.sync_token);
        version(held) > version(self) && held.updated_at < until
    }

    /// Returns whether `held` has the same version and differs by names in references alone.
    fn renames(&self, held: &Self) -> bool {
        self.compare_content(held, |ours, theirs| ours.is_renamed(theirs))
    }

    fn compare_content(&self, held: &Self, compare: fn(&Content, &Content) -> bool) -> bool {
        let is_same_version = self.is_same_version(held);
        let contents = self.content.as_ref().zip(held.content.as_ref());
        is_same_version && contents.is_some_and(|(ours, theirs)| compare(ours, theirs))
    }
}

/// One window in which source and table differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowDifference {
    /// First instant of the window.
    pub start: DateTime<Utc>,
    /// First instant after the window.
    pub end: DateTime<Utc>,
    /// Number of records at the source.
    pub source: u64,
    /// Number of records in the table.
    pub table: u64,
    /// Number of records that QuickBooks has and that an archive took out of the table.
    #[serde(skip_serializing_if = "is_zero")]
    pub archived: u64,
    /// Ids that are missing in the table.
    pub missing: Vec<String>,
    /// Ids whose version in the table is older, or one that QuickBooks does not have. If contents are compared, also
    /// ids of records that say something else in the table although their versions are equal.
    pub stale: Vec<String>,
    /// Ids that only the table has in this window: the record has since been changed or deleted.
    pub extra: Vec<String>,
    /// Why the window could not be read again, if a repair has tried it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_error: Option<String>,
    /// Ids of archived records that QuickBooks does not have any more in this version, which is no
    /// difference: the table does not have them either.
    #[serde(skip)]
    pub archived_extra: Vec<String>,
    /// Records of the table that QuickBooks has and cannot answer, which is no difference that reading them again
    /// would end. Both sides count them.
    #[serde(skip)]
    pub(crate) set_aside: Vec<Reject>,
    /// Number of records that differ by names in references alone, which is no difference.
    #[serde(skip)]
    pub renamed_references: u64,
    /// Number of records that were edited after the end of all that was compared, and are in the table
    /// in the version of before, which is no difference.
    #[serde(skip)]
    pub changed_later: u64,
    /// Number of records that were added to `table`, less those taken from it, because QuickBooks
    /// counts them at other times than they say.
    #[serde(skip)]
    pub moved: i64,
    /// Times that records of this window say, outside of it.
    #[serde(skip)]
    pub said_times: Vec<DateTime<Utc>>,
}

impl WindowDifference {
    /// Compares the versions in a window. `in_table` holds the table's versions of the source's ids, in
    /// any window, and of all ids that the table has in this window.
    pub fn between(window: Window, source: &[RecordKey], in_table: &[RecordKey]) -> Self {
        let by_id: HashMap<&str, &RecordKey> =
            in_table.iter().map(|key| (key.id.as_str(), key)).collect();
        let at_source: HashMap<&str, &RecordKey> =
            source.iter().map(|key| (key.id.as_str(), key)).collect();
        let held = |key: &RecordKey| by_id.get(key.id.as_str()).copied();
        let is_inside = |key: &&RecordKey| key.place >= window.start && key.place < window.end;
        let ids = |keys: Vec<&RecordKey>| {
            keys.into_iter()
                .map(|key| key.id.clone())
                .collect::<Vec<_>>()
        };
        let missing = source.iter().filter(|key| held(key).is_none()).collect();
        let stale = source
            .iter()
            .filter(|key| held(key).is_some_and(|held| key.supersedes(held)));
        let renamed = source
            .iter()
            .filter(|key| held(key).is_some_and(|held| key.renames(held)));
        let inside: Vec<&RecordKey> = in_table.iter().filter(is_inside).collect();
        // The same record, which QuickBooks counts in this window and the table in another.
        let moved = source
            .iter()
            .filter_map(|key| Some((key, held(key)?)))
            .filter(|(key, held)| key.is_same_version(held) && !is_inside(held));
        let said_times: Vec<_> = moved.map(|(_, held)| held.updated_at).collect();
        let is_extra = |key: &&RecordKey| !at_source.contains_key(key.id.as_str());
        let (archived, live): (Vec<_>, Vec<_>) =
            inside.into_iter().partition(|key| key.is_archived);
        let archived_extra: Vec<_> = archived.iter().copied().filter(is_extra).collect();
        let extra = live.iter().copied().filter(is_extra).collect();
        Self {
            start: window.start,
            end: window.end,
            source: source.len() as u64,
            table: (live.len() + said_times.len()) as u64,
            archived: (archived.len() - archived_extra.len()) as u64,
            archived_extra: ids(archived_extra),
            repair_error: None,
            missing: ids(missing),
            stale: ids(stale.collect()),
            extra: ids(extra),
            set_aside: Vec::new(),
            renamed_references: renamed.count() as u64,
            changed_later: 0,
            moved: i64::try_from(said_times.len()).unwrap_or(i64::MAX),
            said_times,
        }
    }

    /// Adds the records to `stale` of which the table has a later version than QuickBooks, from before `until`, when
    /// QuickBooks showed every edit: somebody has changed the row, or QuickBooks has gone back. What an archive has is left.
    pub(crate) fn add_unknown_versions(
        &mut self,
        source: &[RecordKey],
        in_table: &[RecordKey],
        until: DateTime<Utc>,
    ) {
        let live = in_table.iter().filter(|key| !key.is_archived);
        let held: HashMap<&str, &RecordKey> = live.map(|key| (key.id.as_str(), key)).collect();
        let is_behind = |key: &&RecordKey| {
            let held = held.get(key.id.as_str());
            held.is_some_and(|held| key.is_behind(held, until))
        };
        let found = source.iter().filter(is_behind);
        self.stale.extend(found.map(|key| key.id.clone()));
    }

    /// Takes the records out of `extra` that QuickBooks has in the same version, at another time than
    /// they say, and those that were edited after `end`, the end of all that is compared: the table need
    /// not have that version yet. `at_source` holds the source's versions of those ids.
    pub(crate) fn settle_extra(
        &mut self,
        at_source: &[RecordKey],
        in_table: &[RecordKey],
        end: DateTime<Utc>,
    ) {
        let mut versions: HashMap<&str, Vec<&RecordKey>> = HashMap::new();
        for key in at_source {
            versions.entry(&key.id).or_default().push(key);
        }
        let is_at_source = |held: &RecordKey, test: &dyn Fn(&RecordKey) -> bool| {
            let mut versions = versions.get(held.id.as_str()).into_iter().flatten();
            versions.any(|key| test(key))
        };
        let (mut elsewhere, mut later) = (HashSet::new(), HashSet::new());
        for held in in_table {
            if is_at_source(held, &|key| key.is_same_version(held)) {
                elsewhere.insert(held.id.as_str());
            } else if is_at_source(held, &|key| key.place >= end && key.supersedes(held)) {
                later.insert(held.id.as_str());
            }
        }
        let before = self.extra.len();
        let count =
            |ids: &HashSet<&str>| self.extra.iter().filter(|id| ids.contains(&***id)).count();
        self.changed_later += count(&later) as u64;
        self.extra
            .retain(|id| !elsewhere.contains(id.as_str()) && !later.contains(id.as_str()));
        let settled = before - self.extra.len();
        self.table -= settled as u64;
        self.moved -= i64::try_from(settled).unwrap_or(i64::MAX);
    }

    /// Takes the records out of `extra` that QuickBooks has and cannot answer. Its numbers count them.
    pub(crate) fn set_aside(&mut self, unreadable: &[Reject], in_table: &[RecordKey]) {
        for row in unreadable {
            let id = row.id.as_deref();
            let Some(at) = self.extra.iter().position(|extra| Some(&**extra) == id) else {
                continue;
            };
            let id = self.extra.remove(at);
            let held = in_table.iter().find(|key| key.id == id);
            let at = held.map_or(row.at, |key| key.updated_at);
            self.source += 1;
            self.set_aside.push(Reject { at, ..row.clone() });
        }
    }

    /// Returns true if there is no difference: neither in the records nor in their numbers, which
    /// differ if the table has a record under a later time than its source.
    pub fn is_empty(&self) -> bool {
        self.source == self.held()
            && self.missing.is_empty()
            && self.stale.is_empty()
            && self.extra.is_empty()
    }

    /// Returns the number of QuickBooks's records that are in the table or in archives.
    pub fn held(&self) -> u64 {
        self.table + self.archived
    }

    /// Returns the window.
    pub fn window(&self) -> Window {
        Window {
            start: self.start,
            end: self.end,
        }
    }
}

/// A record that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownReject {
    /// Id of the record, if known.
    pub id: Option<String>,
    /// Time of its change, or of a neighbour's.
    pub changed_at: DateTime<Utc>,
    /// Reason.
    pub error: String,
    /// Intuit's id of the answer that failed.
    pub intuit_tid: Option<String>,
}

impl From<&Reject> for KnownReject {
    fn from(reject: &Reject) -> Self {
        Self {
            id: reject.id.clone(),
            changed_at: reject.at,
            error: reject.error.clone(),
            intuit_tid: reject.intuit_tid.clone(),
        }
    }
}

/// Comparison of one entity.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Name of the entity.
    pub entity: String,
    /// Id of the company.
    pub realm_id: String,
    /// `ok` or `different`.
    pub status: VerificationStatus,
    /// Number of windows compared.
    pub windows: u64,
    /// Number of records at the source.
    pub source: u64,
    /// Number of records in the table.
    pub table: u64,
    /// Number of records that an archive took out of the table, which is no difference.
    #[serde(skip_serializing_if = "is_zero")]
    pub archived: u64,
    /// The windows that differ.
    pub different: Vec<WindowDifference>,
    /// Records that are set aside.
    pub rejects: Vec<KnownReject>,
    /// Number of windows that were read again.
    pub repaired: u64,
    /// Number of records that differ from QuickBooks by names in references alone, which is no
    /// difference; known only if contents were compared.
    #[serde(skip_serializing_if = "is_zero")]
    pub renamed_references: u64,
    /// Number of records that were edited after the range, and are in the table in the version of
    /// before, which is no difference; known where records were compared.
    #[serde(skip_serializing_if = "is_zero")]
    pub changed_later: u64,
    /// Instant up to which was compared, if the range reaches into the present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_until: Option<DateTime<Utc>>,
    /// HTTP requests for data.
    pub requests: u64,
    /// Why nothing could be compared, if the company does not have the entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerificationStatus {
    /// True if nothing differs and no record is set aside.
    Ok,
    /// Something differs, or a record is set aside. Also if the table has records of an entity that
    /// the company does not have any more.
    Different,
}

/// Report of one call.
#[derive(Debug, Clone, Serialize)]
pub struct VerificationReport {
    /// Comparisons in the order of the requested entities.
    pub runs: Vec<Verification>,
}

impl VerificationReport {
    /// Returns true if nothing differs in any entity.
    pub fn is_ok(&self) -> bool {
        self.runs
            .iter()
            .all(|run| run.status == VerificationStatus::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_stale_and_extra_records_are_distinguished() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let key = |id: &str, second, sync_token| RecordKey {
            id: id.into(),
            place: at(second),
            updated_at: at(second),
            sync_token,
            is_archived: false,
            content: None,
        };
        let window = Window {
            start: at(100),
            end: at(200),
        };
        let source = [
            key("same", 110, 0),
            key("new", 120, 0),
            key("edited", 130, 1),
            key("moved", 140, 0),
        ];
        let in_table = [
            key("same", 110, 0),
            key("edited", 130, 0),
            key("moved", 50, 0),
            key("gone", 150, 0),
        ];
        // QuickBooks still has a record that it counts elsewhere in the same version.
        let mut settled = WindowDifference::between(window, &source, &in_table);
        settled.settle_extra(&[key("gone", 150, 1)], &in_table, at(200));
        assert_eq!((settled.extra.len(), settled.table), (1, 3));
        settled.settle_extra(&[key("gone", 150, 0)], &in_table, at(200));
        assert_eq!((settled.extra.len(), settled.table), (0, 2));
        assert_eq!(settled.changed_later, 0);
        // It was edited after the end of all that is compared, and not before.
        for (found, end, is_later) in [
            (key("gone", 250, 1), 200, true),
            (key("gone", 250, 1), 250, true),
            (key("gone", 250, 1), 251, false),
            (key("other", 250, 1), 200, false),
        ] {
            let mut settled = WindowDifference::between(window, &source, &in_table);
            settled.settle_extra(&[found], &in_table, at(end));
            assert_eq!(settled.extra.is_empty(), is_later, "{end}");
            assert_eq!(settled.changed_later, u64::from(is_later));
            assert_eq!(settled.table, 3 - u64::from(is_later));
        }
        let difference = WindowDifference::between(window, &source, &in_table);
        assert_eq!((difference.source, difference.table), (4, 3));
        assert_eq!(difference.missing, ["new"]);
        assert_eq!(difference.stale, ["edited", "moved"]);
        assert_eq!(difference.extra, ["gone"]);
        assert!(WindowDifference::between(window, &source[..1], &in_table[..1]).is_empty());
    }

    #[test]
    fn what_an_archive_has_is_not_missing_unless_it_was_edited_since() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let key = |id: &str, second, sync_token, is_archived| RecordKey {
            id: id.into(),
            place: at(second),
            updated_at: at(second),
            sync_token,
            is_archived,
            content: None,
        };
        let window = Window {
            start: at(100),
            end: at(200),
        };
        let source = [
            key("live", 110, 0, false),
            key("old", 120, 0, false),
            key("edited", 130, 1, false),
        ];
        let held = [
            key("live", 110, 0, false),
            key("old", 120, 0, true),
            key("edited", 125, 0, true),
            key("deleted since", 140, 0, true),
        ];
        let difference = WindowDifference::between(window, &source, &held);
        assert_eq!((difference.table, difference.archived), (1, 2));
        assert_eq!(difference.archived_extra, ["deleted since"]);
        assert_eq!(difference.stale, ["edited"]);
        assert!(difference.missing.is_empty() && difference.extra.is_empty());
        let unedited = [&held[..2], &held[3..]].concat();
        let difference = WindowDifference::between(window, &source[..2], &unedited);
        assert!(difference.is_empty(), "{difference:?}");
    }

    #[test]
    fn records_of_one_version_are_compared_by_what_they_say() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let key = |id: &str, second, payload: &str| RecordKey {
            id: id.into(),
            place: at(second),
            updated_at: at(second),
            sync_token: 0,
            is_archived: false,
            content: Some(Content::of(payload)),
        };
        let window = Window {
            start: at(100),
            end: at(200),
        };
        let reference = |name: &str| format!(r#"{{"ClassRef":{{"value":"1","name":"{name}"}}}}"#);
        let source = [
            key("same", 110, "{}"),
            key("edited", 120, r#"{"Note":"b"}"#),
            key("renamed", 130, &reference("North:Quito")),
            key("newer in the table", 140, r#"{"Note":"a"}"#),
        ];
        let in_table = [
            key("same", 110, " { } "),
            key("edited", 120, r#"{"Note":"a"}"#),
            key("renamed", 130, &reference("Quito")),
            key("newer in the table", 150, r#"{"Note":"b"}"#),
        ];
        let mut difference = WindowDifference::between(window, &source, &in_table);
        assert_eq!(difference.stale, ["edited"]);
        assert_eq!(difference.renamed_references, 1);
        // It may have been edited during the comparison, unless QuickBooks would have shown that.
        difference.add_unknown_versions(&source, &in_table, at(150));
        assert_eq!(difference.stale, ["edited"]);
        difference.add_unknown_versions(&source, &in_table, at(151));
        assert_eq!(difference.stale, ["edited", "newer in the table"]);
    }
}
