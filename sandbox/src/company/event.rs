//! The events that webhooks report.

use chrono::{DateTime, Utc};

use crate::entities::Entity;

/// The operations that webhooks distinguish (qbo-facts 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Created,
    Updated,
    Deleted,
    Merged,
    Void,
}

/// One change of a record.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) entity: &'static Entity,
    pub(crate) id: String,
    pub(crate) operation: Operation,
    pub(crate) at: DateTime<Utc>,
    /// Id of the record that a merge removed.
    pub(crate) deleted_id: Option<String>,
}
