//! Rows on their way into a table.

use bytes::Bytes;
use futures_util::{SinkExt, pin_mut};
use tokio_postgres::Transaction;

use crate::error::Result;
use crate::postgres::database_error;

/// Size of what is sent at a time.
const CHUNK: usize = 1 << 18;

/// Adds rows to a table.
pub(super) async fn copy<T>(
    client: &Transaction<'_>,
    (table, columns): (&str, &str),
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) -> Result<()> {
    let copy = format!("COPY {table} ({columns}) FROM STDIN");
    let sink = client
        .copy_in::<_, Bytes>(&copy)
        .await
        .map_err(database_error)?;
    pin_mut!(sink);
    let mut text = String::with_capacity(CHUNK + CHUNK / 8);
    for item in items {
        write(&mut text, item);
        if text.len() >= CHUNK {
            let full = std::mem::take(&mut text);
            sink.send(Bytes::from(full)).await.map_err(database_error)?;
        }
    }
    sink.send(Bytes::from(text)).await.map_err(database_error)?;
    sink.finish().await.map(drop).map_err(database_error)
}
