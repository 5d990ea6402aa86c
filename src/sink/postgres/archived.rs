//! Records that are in the files of archives and not in the tables.

use tokio_postgres::Client;

use super::PostgresSink;
use super::record_index::record_key;
use crate::domain::{EntitySpec, RecordKey, Window};
use crate::error::Result;
use crate::postgres::{Columns, Query, live_rows, params, table_name};
use crate::store::archived_rows;

/// The archives of an entity of the company that the schema belongs to.
const ARCHIVES: &str = "
SELECT archive_id FROM qbo.archives JOIN qbo.schema_realms USING (schema_name, realm_id)
WHERE schema_name = $1 AND entity = $2";

const COUNTS: &str = "
SELECT count(record.id)
FROM unnest($1::timestamptz[], $2::timestamptz[]) WITH ORDINALITY AS r(first, last, number)
LEFT JOIN (
    SELECT id, at, width_bucket(at, $1::timestamptz[]) AS number FROM ({archived}) AS archived
) AS record ON record.number = r.number AND record.at < r.last
GROUP BY r.number ORDER BY r.number";

/// The ids are looked up one by one: an archive may hold millions, and a window a few. A row that was
/// archived after the merge had found it unchanged is not in the table. Subqueries, which the planner
/// cannot turn into a join of the whole table.
const TAKE_BACK: &str = "
DELETE FROM qbo.archived_records AS record
WHERE archive_id = ANY(ARRAY(
        SELECT archive_id FROM qbo.archives WHERE schema_name = $1 AND realm_id = $2 AND entity = $3))
  AND id = ANY(ARRAY(SELECT id FROM qbo_staging))
  AND (SELECT true FROM {table} AS there WHERE there.id = record.id)";

/// Windows end at the same time: the last of them must see that no other has left a record.
const TAKE_TURN: &str = "
SELECT FROM qbo.archives WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
ORDER BY archive_id FOR UPDATE";

const FORGET_EMPTY: &str = "
DELETE FROM qbo.archives AS archive
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
  AND NOT EXISTS (SELECT FROM qbo.archived_records AS record WHERE record.archive_id = archive.archive_id)";

/// A version that is newer than the archived one stays, and so does one of a record that is in the table,
/// whatever others have put there: it counts as a row, which is merged.
const LEAVE_OUT: &str = "
DELETE FROM qbo_staging AS staged USING qbo.archived_records AS record
WHERE record.archive_id = ANY(ARRAY(
        SELECT archive_id FROM qbo.archives WHERE schema_name = $1 AND realm_id = $2 AND entity = $3))
  AND record.id = ANY(ARRAY(SELECT id FROM qbo_staging)) AND record.id = staged.id
  AND (record.changed_at_utc, record.sync_token) >= (staged.updated_at, staged.sync_token)
  AND (SELECT true FROM {table} AS there WHERE there.id = record.id) IS NULL";

impl PostgresSink {
    /// Returns a sink for which a record that is in the file of an archive is not missing: it is compared
    /// as if the table held it, and is not loaded again in the same version.
    #[must_use]
    pub(crate) fn beside_archives(self) -> Self {
        Self {
            is_beside_archives: true,
            ..self
        }
    }

    /// Returns the query of the rows that count: `id`, `at`, `token`, and `is_archived`.
    pub(super) async fn counted_rows(&self, entity: &EntitySpec) -> Result<String> {
        let live = live_rows(&self.schema, entity);
        let live = format!("SELECT live.*, false AS is_archived FROM ({live}) AS live");
        let archived = match self.is_beside_archives {
            true => self.archived_rows(entity).await?,
            false => None,
        };
        Ok(match archived {
            Some(archived) => format!(
                "{live} UNION ALL SELECT id, at, token, is_archived FROM ({archived}) AS archived"
            ),
            None => live,
        })
    }

    /// Returns the number of archived records in each of the ranges.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub(crate) async fn archived_counts(
        &self,
        entity: &EntitySpec,
        ranges: &[Window],
    ) -> Result<Vec<u64>> {
        let Some(archived) = self.archived_rows(entity).await? else {
            return Ok(vec![0; ranges.len()]);
        };
        let (starts, ends): (Vec<_>, Vec<_>) =
            ranges.iter().map(|range| (range.start, range.end)).unzip();
        let statement = COUNTS.replace("{archived}", &archived);
        let rows = self.db.rows(&statement, params![starts, ends]).await?;
        rows.iter().map(|row| row.count(0)).collect()
    }

    /// Returns the keys of the records that are in archives alone.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub(crate) async fn archived_keys(&self, entity: &EntitySpec) -> Result<Vec<RecordKey>> {
        let Some(archived) = self.archived_rows(entity).await? else {
            return Ok(Vec::new());
        };
        let rows = self.db.rows(&archived, params![]).await?;
        rows.iter().map(record_key).collect()
    }

    async fn archived_rows(&self, entity: &EntitySpec) -> Result<Option<String>> {
        let key = params![self.schema, entity.name];
        let ids = self.db.rows(ARCHIVES, key).await?;
        let ids = ids.iter().map(|row| row.column(0));
        let ids: Vec<i64> = ids.collect::<Result<_>>()?;
        let table = table_name(&self.schema, entity);
        Ok((!ids.is_empty()).then(|| archived_rows(&ids, &table)))
    }
}

/// The company, the schema and the entity of a window's records.
pub(super) struct ArchivedOf<'a> {
    pub schema: &'a str,
    pub realm_id: &'a str,
    pub entity: &'a EntitySpec,
}

impl ArchivedOf<'_> {
    /// Takes records that an archive has in the same version out of the staging table, and returns their
    /// number.
    pub(super) async fn leave_out(&self, client: &Client) -> Result<u64> {
        let key = params![self.schema, self.realm_id, self.entity.name];
        client.change(&self.of_table(LEAVE_OUT), key).await
    }

    /// Takes note that the merged records are in the table again. To be called after the merge: an archive
    /// that another process makes meanwhile has taken a row before the merge wrote it, or waits.
    pub(super) async fn take_back(&self, client: &Client) -> Result<()> {
        let key = params![self.schema, self.realm_id, self.entity.name];
        if client.change(&self.of_table(TAKE_BACK), key).await? > 0 {
            client.rows(TAKE_TURN, key).await?;
            client.change(FORGET_EMPTY, key).await?;
        }
        Ok(())
    }

    fn of_table(&self, statement: &str) -> String {
        statement.replace("{table}", &table_name(self.schema, self.entity))
    }
}
