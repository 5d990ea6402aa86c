//! The size of a sample company.

use serde::{Deserialize, Serialize};

/// The number of records of a sample company.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompanySize {
    /// Customers. One in ten is inactive.
    pub customers: u32,
    /// Items. One in ten is inactive.
    pub items: u32,
    /// Invoices.
    pub invoices: u32,
    /// Records of each other entity. `None` gives each entity a plausible number. Company info and
    /// preferences always have one record.
    pub others: Option<u32>,
}

impl Default for CompanySize {
    fn default() -> Self {
        Self {
            customers: 500,
            items: 300,
            invoices: 5000,
            others: None,
        }
    }
}
