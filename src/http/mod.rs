//! A plain HTTP client: transport, retries with backoff, bearer tokens. It knows neither entities
//! nor QuickBooks.

mod backoff;
mod token;
mod transport;

pub(crate) use backoff::parse_retry_after;
pub use backoff::{Attempts, RetryPolicy};
pub use token::{AccessToken, TokenCache, TokenIssuer};
pub use transport::{Request, Response, Timeouts, Transport};
