//! The properties that a statement can name, and the context in which it is evaluated.

use crate::answer::ServiceFault;
use crate::assumption::{Assumptions, Topic};
use crate::company::View;
use crate::entities::Entity;
use crate::facts::Property;

pub(super) const UPDATED: &str = "MetaData.LastUpdatedTime";
pub(super) const CREATED: &str = "MetaData.CreateTime";

/// The context of a statement: everything that its answer depends on beside the company.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryContext<'a> {
    pub(crate) assumptions: &'a Assumptions,
    /// Number of the query, counted from the start of the sandbox.
    pub(crate) number: u64,
    /// The parts of records that the request asks for.
    pub(crate) view: View,
    /// Highest number of rows, whatever the statement asks for.
    pub(crate) max_rows: usize,
}

/// Returns a property to filter by.
///
/// # Errors
/// 4001 if Intuit does not let statements filter by it (qbo-facts 2.3).
pub(super) fn filterable(entity: &Entity, name: &str) -> Result<&'static Property, ServiceFault> {
    let property = entity.property(name);
    property
        .filter(|property| property.is_filterable)
        .ok_or_else(|| refused(name, "queryable"))
}

/// Returns a property to sort by.
///
/// # Errors
/// 4001 if Intuit does not let statements sort by it. `Id` follows the assumption.
pub(super) fn sortable(
    entity: &Entity,
    name: &str,
    assumptions: &Assumptions,
) -> Result<&'static Property, ServiceFault> {
    let takes_ids = assumptions.answer(Topic::IdOrder) != "refused";
    let property = entity.property(name);
    property
        .filter(|property| property.is_sortable || takes_ids && property.name == "Id")
        .ok_or_else(|| refused(name, "sortable"))
}

fn refused(name: &str, ability: &str) -> ServiceFault {
    ServiceFault::invalid(format!(
        "QueryValidationError: property '{name}' is not {ability}"
    ))
}
