//! Where records come from. Sources do not know sinks.

pub mod landing;
pub mod qbo;
