//! A plain HTTP client: transport, retries with backoff, bearer tokens. It knows neither entities
//! nor the service behind the API.

mod backoff;
mod body;
mod certificates;
mod failure;
mod proxy;
mod token;
mod transport;

pub(crate) use backoff::{Attempts, RetryPolicy, parse_retry_after};
pub(crate) use proxy::check_proxy;
pub(crate) use token::{AccessToken, TokenCache, TokenIssuer};
#[cfg(test)]
pub(crate) use transport::SimulatedNetwork;
pub(crate) use transport::{Broken, Request, Response, Timeouts, Transport};
