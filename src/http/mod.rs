//! A resilient HTTP client: limits, retries and tokens. Knows neither entities nor QBO's answers; what an answer
//! means is told to it by a function that returns a [`Verdict`].
//!
//! The order of an attempt, outermost first: retry( limit( authorise( send ))). Permits are taken for every attempt,
//! so that repetitions obey the limits too.

mod backoff;
mod client;
mod limiter;
mod token;
mod transport;

pub use backoff::{Attempts, RetryPolicy};
pub use client::{ApiClient, Patience, Verdict, retry_after};
pub use limiter::{Limits, RateLimiter};
pub use token::{AccessToken, TokenCache, TokenIssuer};
pub use transport::{Request, Response, Timeouts, Transport};
