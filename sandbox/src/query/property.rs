//! The properties that a statement can name, and the context in which it is evaluated.

use crate::answer::ServiceFault;
use crate::assumption::Assumptions;
use crate::entities::Entity;

pub(super) const UPDATED: &str = "MetaData.LastUpdatedTime";
pub(super) const CREATED: &str = "MetaData.CreateTime";

/// The context of a statement: everything that its answer depends on beside the company.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryContext<'a> {
    pub(crate) assumptions: &'a Assumptions,
    /// Number of the query, counted from the start of the sandbox.
    pub(crate) number: u64,
    /// Highest number of rows, whatever the statement asks for.
    pub(crate) max_rows: usize,
}

/// Returns the canonical spelling of a property.
///
/// # Errors
/// 4001 if the entity has no such property, or does not let statements filter or order by it.
pub(super) fn resolve(entity: &Entity, property: &str) -> Result<&'static str, ServiceFault> {
    entity.filterable(property).ok_or_else(|| {
        ServiceFault::invalid(format!(
            "QueryValidationError: property '{property}' is not queryable"
        ))
    })
}
