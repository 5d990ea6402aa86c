//! Where records go. Sinks do not know sources.

#[cfg(feature = "postgres")]
pub mod postgres;
