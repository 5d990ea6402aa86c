pub mod domain;
pub mod error;
pub mod http;
pub mod port;
pub mod source;
pub use error::{Error, Result};
