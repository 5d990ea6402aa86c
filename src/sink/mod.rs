//! Where records go. Sinks do not know sources.

mod distinct;
pub mod landing;
#[cfg(feature = "postgres")]
pub mod postgres;
