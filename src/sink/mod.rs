//! The places that records go to. Sinks do not know sources.

pub(crate) mod postgres;
