//! The outcome of making views.

use std::collections::BTreeMap;

use serde::Serialize;

/// The outcome of making views, or of printing their SQL.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ViewChanges {
    /// Schema of the views.
    pub into: String,
    /// Views that were missing.
    pub created: Vec<String>,
    /// Views of an earlier version that were replaced.
    pub replaced: Vec<String>,
    /// Views of an earlier version that are not made any more.
    pub dropped: Vec<String>,
    /// Number of views that were as they should be.
    pub unchanged: usize,
    /// They are tables, all but `companies`.
    pub materialized: bool,
    /// Entities whose tables were filled anew, because what keeps them fresh was missing or of an
    /// earlier version.
    pub followed: Vec<String>,
    /// Entities without a raw table, so without views.
    pub left_out: Vec<String>,
    /// Variables of dbt that fit these views, of the style for Fivetran's package.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dbt_variables: BTreeMap<String, serde_json::Value>,
    /// Faults that the totals of that package have with this company.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The statements, in one transaction, if they were only asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sql: String,
}
