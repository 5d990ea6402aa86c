//! The look at the turn of a sync before each commit: another sync takes the turn of one that gives no
//! sign of life, and what was suspended may wake up; and the look at the company of the schema.

use deadpool_postgres::Object;
use tokio_postgres::GenericClient;

use crate::error::{Error, Result};
use crate::port::WindowContext;
use crate::postgres::{Query, params};
use crate::store::HOLD_BINDING;

/// The row is locked until the commit, so that nobody takes the turn between this look and it.
const TURN: &str = "
SELECT 1 FROM qbo.sync_turns
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3 AND turn_id = $4 FOR SHARE";

const LOST_TURN: &str = "another sync has taken over, because this one gave no sign of life for half a minute; what was committed stays";

/// Returns the error of a sync that has lost its turn.
pub(super) fn lost() -> Error {
    Error::Busy {
        reason: LOST_TURN.to_owned(),
    }
}

/// Returns the error of who would write into a schema that is another company's by now.
pub(super) fn lost_schema(schema: &str) -> Error {
    let reason = format!("'{}' does not belong to this company any more", schema);
    Error::config("schema", reason)
}

/// Returns true if another sync has taken over, so that the window is its one.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error.last(), Error::Busy { .. })
}

const COMPANY: &str = "SELECT 1 FROM qbo.schema_realms WHERE schema_name = $1 AND realm_id = $2";

/// Returns true if a schema belongs to a company, and sees to it that it does until the end of the transaction. Waits for
/// whoever gives the schema back at this moment.
pub(super) async fn holds_company(
    client: &(impl GenericClient + Sync),
    schema: &str,
    realm_id: &str,
) -> Result<bool> {
    client.batch(HOLD_BINDING).await?;
    let found = client.rows(COMPANY, params![schema, realm_id]).await?;
    Ok(!found.is_empty())
}

/// Checks that the turn of a window's sync is still its own. Other runs have none.
///
/// # Errors
/// [`Error::Busy`] if another sync has taken over.
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
        [] => Err(lost()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Recovery;

    #[test]
    fn a_lost_turn_is_known_whatever_was_added_to_its_error_and_can_be_taken_again() {
        let lost = Error::Busy {
            reason: LOST_TURN.to_owned(),
        };
        let lost = Error::AfterAttempts {
            attempts: 2,
            elapsed: Duration::from_secs(1),
            last: Box::new(lost.with_note("a note")),
        };
        assert!(is_lost(&lost));
        assert_eq!(lost.recovery(), Recovery::Retry);
        assert!(!is_lost(&Error::config("sync", LOST_TURN)));
    }
}
