//! A plain HTTP client: transport, retries with backoff, bearer tokens. It knows neither entities
//! nor the service behind the API.

mod backoff;
mod token;
mod transport;

pub(crate) use backoff::parse_retry_after;
pub use backoff::{Attempts, RetryPolicy};
pub use token::{AccessToken, CachedToken, TokenCache, TokenIssuer};
pub use transport::{Request, Response, Timeouts, Transport};
