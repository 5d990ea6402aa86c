//! OAuth 2.0 in Intuit's variant (qbo-facts 1): consent, rotating refresh tokens, revocation.
//!
//! By hand rather than by a crate, because the difficult part is specific: tokens rotate, several
//! processes share them under a lease, and the answer of a refresh can be lost.

mod answer;
mod authorizer;
mod consent;
mod endpoint;
mod lifetime;
mod reconnect;
mod rescue;

pub(crate) use self::answer::TokenAnswer;
pub(crate) use self::authorizer::{Authorizer, NewConnection};
pub use self::consent::{Callback, Consent};
pub(crate) use self::endpoint::{Refusal, TokenEndpoint};
pub(crate) use self::lifetime::{EXPIRY_WARNING, earlier_end, expires_at, expiry_warning};
pub(crate) use self::reconnect::Reconnect;
