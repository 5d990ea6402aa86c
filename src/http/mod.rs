//! A resilient HTTP client: limits, retries and tokens. Knows neither entities nor QBO's answers; what an answer
//! means is told to it by a function that returns a [`Verdict`].
//!
//! The order of an attempt, outermost first: retry( authorise( admit( send ))). Permits are taken for every attempt,
//! so that repetitions obey the limits too.

mod admission;
mod backoff;
mod client;
mod scrub;
mod token;
mod transport;

pub use admission::{AdmissionControl, BreakerStatus, Limits, Pace, Traffic};
pub use backoff::{Attempts, RetryPolicy};
pub use client::{ApiClient, Kind, Patience, Verdict, retry_after};
pub use scrub::scrub;
pub use token::{AccessToken, TokenCache, TokenIssuer};
pub use transport::{Request, Response, Timeouts, Transport};
