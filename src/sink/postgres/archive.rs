//! Moves old rows into a landing file, from which `qbo-rs load` restores them.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::pin::pin;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use tokio_postgres::{Portal, Row, Transaction};

use super::{PostgresSink, obstacles, schema, shape};
use crate::domain::{EntitySpec, Mask};
use crate::durable::{Lock, directory_of, remove_leftovers_in};
use crate::error::{Error, Result};
use crate::landing::{LandingLine, LandingWriter, archive_exists};
use crate::postgres::{
    Columns, END_WHEN_IDLE, PIN_SETTINGS, Query, database_error, is_live_before, migrations,
    params, quote_identifier, server, table_name, version_of,
};
use crate::store::Schemas;

/// The server hears nothing while a large file is written to a slow disk.
const WAIT_FOR_DISK: &str = "SET LOCAL idle_in_transaction_session_timeout = '10min'";

/// Rows that are asked for at a time: a process that is stopped between two pieces is idle for the server, which
/// ends its transaction. Within one the server waits for its client for ever, however slow the disk is. Of a piece,
/// a row at a time is in memory, for one may have 31 MB.
const PIECE: i32 = 100;

/// Number of archived records of one entity.
#[derive(Debug, Clone, Serialize)]
pub struct ArchiveSummary {
    /// Name of the entity.
    pub entity: String,
    /// Rows that were moved from the table to the file.
    pub rows: u64,
}

const BEGIN: &str = "
INSERT INTO qbo.archives (schema_name, realm_id, entity, before_utc, file, records)
VALUES ($1, $2, $3, $4, $5, 0) RETURNING archive_id";

/// An archive without a record is none.
const END: &str = "
WITH empty AS (DELETE FROM qbo.archives WHERE archive_id = $1 AND $2 = 0)
UPDATE qbo.archives SET records = $2, has_emptied = NOT EXISTS (SELECT FROM {table})
WHERE archive_id = $1 AND $2 > 0";

/// Rows that others have put into the table may lack what a line needs, or hold impossible times.
/// They stay where they are. So does a row that somebody else is writing at this moment: a merge locks rows
/// in the order of their times, and this statement in that of the table, so that each could wait for a row of
/// the other one. As it is, an archive waits for no row, and a merge that waits for an archive holds none
/// that the archive wants.
const DELETE: &str = "
WITH old AS (
    SELECT id FROM {table} WHERE {is_live_before}
        AND ingested_at_utc BETWEEN '0001-01-01Z' AND '9999-12-31Z'
        AND extract_window_start_utc BETWEEN '0001-01-01Z' AND '9999-12-31Z'
        AND extract_window_end_utc BETWEEN '0001-01-01Z' AND '9999-12-31Z'
        AND page_number IS NOT NULL AND page_size IS NOT NULL AND request_payload IS NOT NULL
    FOR UPDATE SKIP LOCKED
), counted AS (
    UPDATE qbo.archives SET records = (SELECT count(*) FROM old) WHERE archive_id = $2
), moved AS (
DELETE FROM {table} WHERE id = ANY(ARRAY(SELECT id FROM old))
RETURNING id, payload, ingested_at_utc, extract_window_start_utc,
    extract_window_end_utc, page_number, page_size, request_payload, {changed_at} AS changed_at, {token} AS token
), recorded AS (
    INSERT INTO qbo.archived_records (archive_id, id, changed_at_utc, sync_token)
    SELECT $2, id, changed_at, token FROM moved
)
SELECT id, payload::text AS payload, ingested_at_utc, extract_window_start_utc, extract_window_end_utc,
    page_number, page_size, request_payload::text AS request_payload
FROM moved";

/// Number of the old rows that are not among those that were moved ($2), and the triggers that may have kept them. Bits of tgtype:
/// 1 for each row, 2 before, 8 delete.
const KEPT: &str = "
SELECT records - $2 AS kept, (
        SELECT string_agg(DISTINCT t.tgname::text, ', ')
        FROM pg_trigger t
        WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 11 = 11
            AND t.tgrelid IN (
                SELECT $3::text::regclass UNION SELECT relid FROM pg_partition_tree($3::text::regclass))
    ) AS triggers
FROM qbo.archives WHERE archive_id = $1 AND records > $2";

/// Columns of others whose values no load puts back: neither computed nor filled in by a default.
const COLUMNS_OF_OTHERS: &str = "
SELECT attname::text AS name FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND NOT atthasdef AND attidentity = ''
    AND attname <> ALL($2) ORDER BY attnum";

const TABLES: &str = "
SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY($2) AND c.relkind IN ('r', 'p')";

impl PostgresSink {
    /// Moves the records that were last changed before `before` into a new file, and records which. The
    /// file is on disk under its name before the rows are deleted, and replaces no other file: a failure
    /// loses no row, and of two archives into one file the second fails. Without a record there is no file.
    /// Rows that were stored before a property was masked go into the file without it.
    ///
    /// # Errors
    /// [`Error::Config`] if the file exists already, nothing has been loaded into the schema, a trigger calls what
    /// others have made or keeps rows, or `load` would refuse to put the rows back into their table;
    /// [`Error::Landing`]; [`Error::Database`], which names the file if it stays.
    pub(crate) async fn archive(
        &self,
        entities: &[EntitySpec],
        before: DateTime<Utc>,
        path: &Path,
        mask: &Mask,
    ) -> Result<Vec<ArchiveSummary>> {
        // Held to the end, so that an extract into the same file waits, and then keeps its lines.
        let lock = Lock::of_writing(path).await;
        let _lock = lock.map_err(|e| Error::landing(path, e))?;
        // A link that leads nowhere is a name that is taken, too.
        if path.symlink_metadata().is_ok() {
            return Err(archive_exists(path));
        }
        remove_leftovers_in(directory_of(path));
        let mut connection = self.db.connection().await?;
        server::check(&mut connection).await?;
        migrations::apply(&mut connection).await?;
        let realm_id = Schemas::new(self.db.clone())
            .company_of(&self.schema)
            .await?;
        let realm_id = realm_id.ok_or_else(|| {
            let reason = format!("nothing has been loaded into '{}'", self.schema);
            Error::config("schema", reason)
        })?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(PIN_SETTINGS).await?;
        transaction.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
        transaction.batch(END_WHEN_IDLE).await?;
        let entities = loaded(&transaction, &self.schema, entities).await?;
        let tables: Vec<String> = entities.iter().map(|entity| entity.table()).collect();
        obstacles::check_schema(&*transaction, &self.schema).await?;
        obstacles::check_removal(&*transaction, &self.schema, &tables).await?;
        obstacles::check_tables(&*transaction, &self.schema, &tables).await?;
        schema::check_shapes(&*transaction, &self.schema, &tables).await?;
        let mut writer = LandingWriter::create(path)?;
        // The directory of the next command may be another one.
        let file = std::path::absolute(path).map_err(|e| Error::landing(path, e))?;
        let file = file.to_string_lossy().into_owned();
        let mut archived = Vec::new();
        for entity in &entities {
            let archive = params![self.schema, realm_id, entity.name, before, file];
            let begun = transaction.rows(BEGIN, archive).await?;
            let begun = begun.first().map(|row| row.column(0)).transpose()?;
            let archive_id: i64 = begun.unwrap_or_default();
            refuse_values_of_others(&transaction, (&self.schema, entity), before).await?;
            let statement = delete(&self.schema, entity);
            let types = [Type::TIMESTAMPTZ, Type::INT8];
            let statement = transaction.prepare_typed(&statement, &types).await;
            let statement = statement.map_err(database_error)?;
            let moved = transaction.bind(&statement, &[&before, &archive_id]).await;
            let moved = moved.map_err(database_error)?;
            let mut count = 0_i64;
            let mut write = |row: &Row| write_line(&mut writer, &realm_id, entity, row, mask);
            loop {
                let rows = write_piece(&transaction, &moved, &mut write).await?;
                if rows == 0 {
                    break;
                }
                count += rows;
            }
            refuse_kept(&transaction, (&self.schema, entity), (archive_id, count)).await?;
            let end = END.replace("{table}", &table_name(&self.schema, entity));
            transaction.change(&end, params![archive_id, count]).await?;
            let count = count.unsigned_abs();
            archived.push(ArchiveSummary {
                entity: entity.name.to_owned(),
                rows: count,
            });
        }
        if archived.iter().all(|done| done.rows == 0) {
            return Ok(archived);
        }
        transaction.batch(WAIT_FOR_DISK).await?;
        writer.publish()?;
        match transaction.commit().await.map_err(database_error) {
            Ok(()) => Ok(archived),
            Err(error) => Err(error.with_note(&uncertain(path))),
        }
    }
}

/// Returns the entities that have a table: others were never loaded.
///
/// # Errors
/// [`Error::Config`] if none has one.
async fn loaded<'a>(
    transaction: &Transaction<'_>,
    schema: &str,
    entities: &'a [EntitySpec],
) -> Result<Vec<&'a EntitySpec>> {
    let tables: Vec<String> = entities.iter().map(EntitySpec::table).collect();
    let rows = transaction.rows(TABLES, params![schema, tables]).await?;
    let there: Vec<&str> = rows
        .iter()
        .map(|row| row.column("name"))
        .collect::<Result<_>>()?;
    let found = |entity: &&EntitySpec| there.contains(&entity.table().as_str());
    let loaded: Vec<&EntitySpec> = entities.iter().filter(found).collect();
    if loaded.is_empty() {
        let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
        let reason = format!(
            "nothing of {} has been loaded into '{schema}'",
            names.join(", ")
        );
        return Err(Error::config("entity", reason));
    }
    Ok(loaded)
}

/// Writes the next rows of a portal as they come, and returns how many there were.
async fn write_piece(
    transaction: &Transaction<'_>,
    portal: &Portal,
    write: &mut impl FnMut(&Row) -> Result<()>,
) -> Result<i64> {
    let rows = transaction.query_portal_raw(portal, PIECE).await;
    let mut rows = pin!(rows.map_err(database_error)?);
    let mut written = 0;
    while let Some(row) = rows.try_next().await.map_err(database_error)? {
        write(&row)?;
        written += 1;
    }
    Ok(written)
}

/// Refuses an archive of rows to which others have added values: the file has none of them, so that a load could not put
/// them back.
///
/// # Errors
/// [`Error::Config`] that names the columns.
async fn refuse_values_of_others(
    transaction: &Transaction<'_>,
    (schema, entity): (&str, &EntitySpec),
    before: DateTime<Utc>,
) -> Result<()> {
    let table = table_name(schema, entity);
    let ours: Vec<&str> = shape::columns().collect();
    let mut lost = Vec::new();
    for row in transaction
        .rows(COLUMNS_OF_OTHERS, params![table, ours])
        .await?
    {
        let name: String = row.column("name")?;
        let has_values = format!(
            "SELECT 1 FROM {table} WHERE {} AND {} IS NOT NULL LIMIT 1",
            is_live_before(entity, "$1"),
            quote_identifier(&name)
        );
        if !transaction
            .rows(&has_values, params![before])
            .await?
            .is_empty()
        {
            lost.push(name);
        }
    }
    if lost.is_empty() {
        return Ok(());
    }
    Err(Error::config(
        format!("{schema}.{}", entity.table()),
        format!(
            "nothing was moved, because the file would lack the values of columns that others have added: {}; copy them \
             elsewhere and set them to NULL, or drop the columns",
            lost.join(", ")
        ),
    ))
}

/// Refuses an archive of which old rows stay in their table: they would be in no file, and nothing would say so.
///
/// # Errors
/// [`Error::Config`] that names what may have kept them.
async fn refuse_kept(
    transaction: &Transaction<'_>,
    (schema, entity): (&str, &EntitySpec),
    (archive_id, moved): (i64, i64),
) -> Result<()> {
    let table = table_name(schema, entity);
    let asked = params![archive_id, moved, table];
    let rows = transaction.rows(KEPT, asked).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let kept: i64 = row.column("kept")?;
    let triggers: Option<String> = row.column("triggers")?;
    let keeper = match triggers {
        Some(triggers) => format!(
            "a trigger that runs before rows are deleted keeps them: {triggers}; switch it off for the archive: ALTER TABLE \
             {table} DISABLE TRIGGER ..."
        ),
        None => "row-level security does not let this role delete them; let the owner of the table run it".to_owned(),
    };
    Err(Error::config(
        format!("{schema}.{}", entity.table()),
        format!(
            "nothing was moved, because old rows would have stayed in the table ({kept}): {keeper}"
        ),
    ))
}

fn delete(schema: &str, entity: &EntitySpec) -> String {
    let [changed_at, token] = version_of(entity);
    DELETE
        .replace("{table}", &table_name(schema, entity))
        .replace("{is_live_before}", &is_live_before(entity, "$1"))
        .replace("{changed_at}", &changed_at)
        .replace("{token}", &token)
}

/// The file stays when a commit fails: the answer may have been lost, not the commit.
fn uncertain(path: &Path) -> String {
    format!(
        "it is not certain whether the archived records are still in the tables, so all of them stay in \
         '{0}' too; `qbo-rs load '{0}'` puts back those that are gone, and changes none of the others",
        path.display()
    )
}

fn write_line(
    out: &mut impl Write,
    realm_id: &str,
    entity: &EntitySpec,
    row: &Row,
    mask: &Mask,
) -> Result<()> {
    let failed = |e: String| Error::decode("archive", e);
    let raw = |text: String| RawValue::from_string(text).map_err(|e| failed(e.to_string()));
    let (payload, request) = masked(row, entity, mask)?;
    let (payload, request) = (raw(payload)?, raw(request)?);
    let unsigned = |column| {
        row.column::<i32>(column)
            .map(|value| u32::try_from(value).unwrap_or_default())
    };
    let line = LandingLine {
        entity: Cow::Borrowed(entity.name),
        realm_id: Cow::Borrowed(realm_id),
        id: Cow::Borrowed(row.column("id")?),
        ingested_at_utc: row.column("ingested_at_utc")?,
        extract_window_start_utc: row.column("extract_window_start_utc")?,
        extract_window_end_utc: row.column("extract_window_end_utc")?,
        // A table without its newer records is no read of the window.
        read_until_utc: Some(row.column("extract_window_start_utc")?),
        page_number: unsigned("page_number")?,
        page_size: unsigned("page_size")?,
        request_payload: &request,
        payload: Some(&payload),
        rejected: None,
        crc32: None,
    };
    line.write(out)
}

/// Returns payload and request of a row without what is masked.
fn masked(row: &Row, entity: &EntitySpec, mask: &Mask) -> Result<(String, String)> {
    let payload: &str = row.column("payload")?;
    let request: &str = row.column("request_payload")?;
    let changed = mask.record(entity, payload.as_bytes())?;
    let changed = changed.map(String::from_utf8).transpose();
    let changed = changed.map_err(|e| Error::decode("archive", e))?;
    let marked = mask.mark_request(entity, request);
    Ok((
        changed.unwrap_or_else(|| payload.to_owned()),
        marked.unwrap_or_else(|| request.to_owned()),
    ))
}
