//! The general ledger, rebuilt from records, and its comparison with QuickBooks's own reports. Pure.

mod entry;
pub(crate) mod tie_out;

pub(crate) use self::entry::{Entry, EntryKind, EntrySource, Settlement};
