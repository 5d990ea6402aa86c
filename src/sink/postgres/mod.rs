//! Postgres as a sink: COPY into a staging table, one merge, and the ledger row, in one transaction a window.

mod census;
mod copy_format;
mod schema;
mod storable;
mod writer;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::{Object, Pool};

pub use self::schema::ddl;
use self::writer::PostgresWriter;
use crate::config::PostgresConfig;
use crate::domain::{EntitySpec, Window};
use crate::error::Result;
use crate::port::{Sink, WindowOpening};
use crate::postgres::{database_error, migrations, open_pool, take};

/// The schema of raw tables unless told otherwise.
pub const DEFAULT_SCHEMA: &str = "raw";

/// What a resumed read begins before the instant that the last one stopped at: fresh writes can become visible late
/// (qbo-facts 3.9).
const LOOK_BACK: TimeDelta = TimeDelta::minutes(5);

/// One schema of raw tables in one database.
#[derive(Debug, Clone)]
pub struct PostgresSink {
    pool: Pool,
    schema: String,
}

impl PostgresSink {
    /// Connects, with up to `connections` at a time.
    ///
    /// # Errors
    /// [`Error::Config`] if the settings are unusable or the database cannot be reached with them.
    pub async fn connect(config: &PostgresConfig, schema: &str, connections: usize) -> Result<Self> {
        schema::check_name(schema)?;
        let pool = open_pool(config, connections).await?;
        Ok(Self { pool, schema: schema.to_owned() })
    }

    /// Makes the schema ready: creates what is missing, checks the shape of what is there, and binds the schema to the
    /// company.
    ///
    /// # Errors
    /// [`Error::Config`] if a table has another shape or the schema belongs to another company.
    pub async fn prepare(&self, realm_id: &str, entities: &[EntitySpec]) -> Result<()> {
        let mut connection = self.connection().await?;
        migrations::apply(&mut connection).await?;
        schema::prepare(&mut connection, &self.schema, realm_id, entities).await
    }

    /// Which of `windows` earlier runs have committed, alone or together.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn done_windows(&self, realm_id: &str, entity: &EntitySpec, windows: &[Window]) -> Result<Vec<Window>> {
        let connection = self.connection().await?;
        if !migrations::table_exists(&**connection, "qbo", "windows").await? {
            return Ok(Vec::new());
        }
        let rows = connection
            .query(
                "SELECT window_start_utc, window_end_utc, read_until_utc FROM qbo.windows \
                 WHERE schema_name = $1 AND realm_id = $2 AND entity = $3",
                &[&self.schema, &realm_id, &entity.name],
            )
            .await
            .map_err(database_error)?;
        let committed: Vec<_> = rows
            .iter()
            .filter_map(|row| {
                let (start, end, read_until): (DateTime<Utc>, DateTime<Utc>, Option<DateTime<Utc>>) =
                    (row.get(0), row.get(1), row.get(2));
                // Where a read stopped before the end, the next one looks back a little.
                let complete_to = read_until.map_or(end, |read_until| end.min(read_until - LOOK_BACK));
                Window::new(start, complete_to).ok()
            })
            .collect();
        Ok(windows.iter().copied().filter(|window| window.is_covered_by(&committed)).collect())
    }

    async fn connection(&self) -> Result<Object> {
        take(&self.pool).await
    }
}

impl Sink for PostgresSink {
    type Writer = PostgresWriter;

    const PHASE: &'static str = "load";

    async fn open_window(&self, opening: WindowOpening) -> Result<PostgresWriter> {
        Ok(PostgresWriter::new(self.pool.clone(), self.schema.clone(), opening))
    }
}
