//! Where records go. Sinks do not know sources.

pub(crate) mod postgres;
