//! OAuth 2.0 as Intuit has it (qbo-facts 1): consent, tokens that rotate, revocation.

mod authorizer;
mod consent;
mod endpoint;

pub use self::authorizer::{Authorizer, EXPIRY_WARNING, expires_at};
pub use self::consent::{Callback, Consent};
pub use self::endpoint::{Refusal, TokenAnswer, TokenEndpoint};
