//! Reads the raw tables as of one instant. The server, the connection and the parser work at the same time.

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, pin_mut};
use tokio::sync::mpsc;
use tokio_postgres::{GenericClient, IsolationLevel, Row};

use super::posted::PostedRecords;
use crate::books::{Lists, TAX_PAYMENT};
use crate::domain::calendar::parse_time;
use crate::domain::{EntitySpec, find_entity};
use crate::error::{Error, Result};
use crate::postgres::{
    Columns, PIN_SETTINGS_OF_SNAPSHOT, Query, database_error, params, server, table_name,
};
use crate::store::writer_of;

/// Rows that are parsed together, and how many such lots may wait for it: payloads of all records need not fit into
/// memory.
const LOT: usize = 256;
const WAITING: usize = 8;

/// Rows of an entity.
type Lot = (&'static EntitySpec, Vec<Row>);

/// Reads all records that are not deleted as of one instant.
pub(super) async fn read(
    connection: &mut tokio_postgres::Client,
    schema: &str,
    entities: &[&str],
) -> Result<(Lists, PostedRecords)> {
    let (lots, waiting) = mpsc::channel(WAITING);
    let parsed = tokio::task::spawn_blocking(move || parse(waiting));
    let sent = send(connection, schema, entities, lots).await;
    let parsed = parsed.await.map_err(|e| Error::Internal(e.to_string()));
    // A lot that cannot be parsed ends the reading, too, and says why.
    let (lists, mut landed) = parsed??;
    let sent = sent?;
    (landed.missing, landed.is_midway) = (sent.missing, sent.is_midway);
    let mut keys = landed.changed_at.keys();
    landed.has_tax_payments =
        sent.has_read_tax_payments || keys.any(|(entity, _)| entity == TAX_PAYMENT);
    Ok((lists, landed))
}

/// The facts about the tables at the instant of the rows.
struct Sent {
    /// Names of entities that have no table.
    missing: Vec<&'static str>,
    /// Whether somebody was writing records.
    is_midway: bool,
    /// Whether QuickBooks has answered for payments of tax, which few countries have: there is a table in any case.
    has_read_tax_payments: bool,
}

/// Sends the rows of all entities.
async fn send(
    connection: &mut tokio_postgres::Client,
    schema: &str,
    entities: &[&str],
    lots: mpsc::Sender<Lot>,
) -> Result<Sent> {
    let builder = connection.build_transaction().read_only(true);
    let transaction = builder
        .isolation_level(IsolationLevel::RepeatableRead)
        .start();
    let transaction = transaction.await.map_err(database_error)?;
    transaction.batch(PIN_SETTINGS_OF_SNAPSHOT).await?;
    transaction.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
    let tables = tables(&transaction, schema).await?;
    let writer = writer_of(&transaction, schema, &names(entities)?).await?;
    let mut missing = Vec::new();
    for entity in entities {
        let spec = find_entity(entity)?;
        match tables.contains(&spec.table()) {
            true => send_entity(&transaction, schema, spec, &lots).await?,
            false => missing.push(spec.name),
        }
    }
    let has_read_tax_payments = has_read(&transaction, schema, "tax_payments").await?;
    transaction.commit().await.map_err(database_error)?;
    Ok(Sent {
        missing,
        is_midway: writer.is_some(),
        has_read_tax_payments,
    })
}

/// Returns whether a window of an entity was committed.
async fn has_read(
    client: &(impl GenericClient + Sync),
    schema: &str,
    entity: &str,
) -> Result<bool> {
    let find = "SELECT EXISTS (SELECT FROM qbo.windows
        WHERE schema_name = $1 AND entity = $2 AND committed_at_utc IS NOT NULL) AS has_read";
    let row = client.rows(find, params![schema, entity]).await?;
    let first = row.first().map(|row| row.column("has_read"));
    first.unwrap_or(Ok(false))
}

/// Returns our names of entities.
pub(super) fn names(entities: &[&str]) -> Result<Vec<&'static str>> {
    let specs = entities.iter().map(|entity| find_entity(entity));
    specs.map(|spec| Ok(spec?.name)).collect()
}

async fn tables(client: &(impl GenericClient + Sync), schema: &str) -> Result<Vec<String>> {
    let find = "
        SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm')";
    let rows = client.rows(find, params![schema]).await?;
    rows.iter().map(|row| row.column("name")).collect()
}

async fn send_entity(
    client: &(impl GenericClient + Sync),
    schema: &str,
    entity: &'static EntitySpec,
    lots: &mpsc::Sender<Lot>,
) -> Result<()> {
    let table = table_name(schema, entity);
    let select = format!(
        "SELECT payload::text, id, payload #>> '{{MetaData,LastUpdatedTime}}' FROM {table} \
         WHERE deleted_at_utc IS NULL"
    );
    let none: [(&str, tokio_postgres::types::Type); 0] = [];
    let rows = client.query_typed_raw(&select, none).await;
    let rows = rows.map_err(database_error)?.chunks(LOT);
    pin_mut!(rows);
    while let Some(lot) = rows.next().await {
        let lot: std::result::Result<Vec<Row>, _> = lot.into_iter().collect();
        let lot = lot.map_err(database_error)?;
        if lots.send((entity, lot)).await.is_err() {
            // The parser has ended, and its error says why.
            return Ok(());
        }
    }
    Ok(())
}

fn parse(mut waiting: mpsc::Receiver<Lot>) -> Result<(Lists, PostedRecords)> {
    let (mut lists, mut landed) = (Lists::default(), PostedRecords::default());
    while let Some((entity, rows)) = waiting.blocking_recv() {
        for row in rows {
            parse_row(entity, &row, &mut lists, &mut landed)?;
        }
    }
    Ok((lists, landed))
}

fn parse_row(
    entity: &EntitySpec,
    row: &Row,
    lists: &mut Lists,
    landed: &mut PostedRecords,
) -> Result<()> {
    let payload: &str = row.column(0)?;
    match lists.add(entity.qbo_name, payload.as_bytes()) {
        Ok(true) => {}
        Ok(false) => {
            landed.drafts.add(entity.qbo_name, payload.as_bytes());
            let changed: Option<&str> = row.column(2)?;
            let key = (entity.qbo_name.to_owned(), row.column(1)?);
            landed.changed_at.insert(key, instant_of(changed));
        }
        Err(reason) => landed
            .drafts
            .reject(entity.qbo_name, payload.as_bytes(), &reason),
    }
    Ok(())
}

/// Reads the time of a change as the views do: the table may hold rows that others have inserted. A day alone, which
/// adjustments of stock may have (facts/README.md), counts until its end. A record without a time counts as very old.
fn instant_of(text: Option<&str>) -> DateTime<Utc> {
    let of_day = |text: &str| parse_time(&format!("{text}T23:59:59Z"));
    let micros = text.and_then(|text| parse_time(text).or_else(|| of_day(text)));
    let instant = micros.and_then(DateTime::from_timestamp_micros);
    instant.unwrap_or(DateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::instant_of;

    #[test]
    fn the_time_of_a_change_is_read_as_the_views_read_it() {
        for (text, expected) in [
            ("2031-02-03T04:05:06-08:00", "2031-02-03T12:05:06Z"),
            ("2031-02-03T04:05:06-0800", "2031-02-03T12:05:06Z"),
            ("2031-02-03T04:05:06.250Z", "2031-02-03T04:05:06.250Z"),
            ("2031-02-03T04:05:06", "2031-02-03T04:05:06Z"),
            // Adjustments of stock have a day alone: it was changed at some time of it.
            ("2031-02-03", "2031-02-03T23:59:59Z"),
            ("soon", "1970-01-01T00:00:00Z"),
        ] {
            let expected: chrono::DateTime<chrono::Utc> = expected.parse().unwrap();
            assert_eq!(instant_of(Some(text)), expected, "{text}");
        }
    }
}
