//! The look at the turn of a sync before each commit: another sync takes the turn of one that gives no
//! sign of life, and what was suspended may wake up.

use deadpool_postgres::Object;

use crate::error::{Error, Result};
use crate::port::WindowContext;
use crate::postgres::{Query, params};

/// The row is locked until the commit, so that nobody takes the turn between this look and it.
const TURN: &str = "
SELECT 1 FROM qbo.sync_turns
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3 AND turn_id = $4 FOR SHARE";

const LOST_TURN: &str = "another sync has taken over, because this one gave no sign of life for half a minute; what was committed stays";

/// Returns true if another sync has taken over, so that the window is its one.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Config { reason, .. } if reason == LOST_TURN)
}

/// Checks that the turn of a window's sync is still its own. Other runs have none.
///
/// # Errors
/// [`Error::Config`] if another sync has taken over.
pub(super) async fn check(
    connection: &Object,
    schema: &str,
    context: &WindowContext,
    turn: Option<&str>,
) -> Result<()> {
    let Some(turn) = turn else {
        return Ok(());
    };
    let params = params![schema, context.realm_id, context.entity.name, turn];
    match connection.rows(TURN, params).await?[..] {
        [] => Err(Error::config("sync", LOST_TURN)),
        _ => Ok(()),
    }
}
