//! The token endpoint (qbo-facts 1.3 to 1.5).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Keys, tokens and their lifetimes.
#[derive(Debug, Clone)]
pub struct OAuthOptions {
    /// The app's id.
    pub client_id: String,
    /// The app's secret.
    pub client_secret: String,
    /// The connection's first refresh token.
    pub refresh_token: String,
    /// How long an access token works.
    pub access_lifetime: Duration,
    /// A refresh returns a new refresh token when the current one is this old; zero: every time.
    pub rotate_after: Duration,
    /// How long a replaced refresh token still works. Sources contradict each other; zero is the harder answer.
    pub grace: Duration,
}

impl Default for OAuthOptions {
    fn default() -> Self {
        Self {
            client_id: "sandbox-client-id".to_owned(),
            client_secret: "sandbox-client-secret".to_owned(),
            refresh_token: "RT1-sandbox-refresh-token".to_owned(),
            access_lifetime: Duration::from_secs(3600),
            rotate_after: Duration::from_secs(24 * 3600),
            grace: Duration::ZERO,
        }
    }
}

/// The connection's tokens.
#[derive(Debug)]
pub(super) struct OAuth {
    options: OAuthOptions,
    current: (String, Instant),
    replaced: HashMap<String, Instant>,
    access: HashMap<String, Instant>,
    serial: u64,
}

/// An answer of the token endpoint: status and JSON body.
pub(super) type TokenAnswer = (u16, Value);

const REFRESH_TOKEN_LIFETIME_S: u64 = 8_726_400;

impl OAuth {
    pub fn new(options: OAuthOptions, now: Instant) -> Self {
        let current = (options.refresh_token.clone(), now);
        Self { options, current, replaced: HashMap::new(), access: HashMap::new(), serial: 0 }
    }

    /// Whether an access token works, and if not, whether it once did.
    pub fn check_access(&self, token: &str, now: Instant) -> AccessCheck {
        match self.access.get(token) {
            Some(&expires) if now < expires => AccessCheck::Valid,
            Some(_) => AccessCheck::Expired,
            None => AccessCheck::Unknown,
        }
    }

    /// Answers a request for tokens.
    pub fn token(&mut self, authorization: Option<&str>, form: &HashMap<String, String>, now: Instant) -> TokenAnswer {
        if !self.is_client(authorization, form) {
            return (401, json!({"error": "invalid_client"}));
        }
        if form.get("grant_type").map(String::as_str) != Some("refresh_token") {
            return (400, json!({"error": "invalid_request", "error_description": "grant_type is not supported"}));
        }
        match form.get("refresh_token") {
            Some(token) if self.accepts(token, now) => (200, self.issue(now)),
            Some(_) => {
                (400, json!({"error_description": "Incorrect or invalid refresh token", "error": "invalid_grant"}))
            }
            None => (400, json!({"error": "invalid_request"})),
        }
    }

    /// HTTP Basic, or the keys in the form: both are advertised.
    fn is_client(&self, authorization: Option<&str>, form: &HashMap<String, String>) -> bool {
        let wanted = (self.options.client_id.as_str(), self.options.client_secret.as_str());
        if let Some(basic) = authorization.and_then(|value| value.strip_prefix("Basic ")) {
            let decoded = STANDARD.decode(basic).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            return decoded.as_deref().and_then(|pair| pair.split_once(':')) == Some(wanted);
        }
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        (field("client_id"), field("client_secret")) == wanted
    }

    fn accepts(&self, token: &str, now: Instant) -> bool {
        token == self.current.0
            || self.replaced.get(token).is_some_and(|&replaced_at| now < replaced_at + self.options.grace)
    }

    fn issue(&mut self, now: Instant) -> Value {
        self.serial += 1;
        if now >= self.current.1 + self.options.rotate_after {
            let next =
                format!("RT1-{:02}-H0-sandbox{:016x}", self.serial, self.serial.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let previous = std::mem::replace(&mut self.current, (next, now));
            self.replaced.insert(previous.0, now);
        }
        // Two dots in a row, as in the compact form of an encrypted token whose key is direct.
        let access = format!(
            "eyJlbmMiOiJBMTI4Q0JDLUhTMjU2IiwiYWxnIjoiZGlyIn0..sandbox.{:016x}.{}",
            self.serial.wrapping_mul(0xD134_2543_DE82_EF95),
            "t".repeat(600)
        );
        self.access.insert(access.clone(), now + self.options.access_lifetime);
        json!({
            "token_type": "bearer",
            "expires_in": self.options.access_lifetime.as_secs(),
            "access_token": access,
            "refresh_token": self.current.0,
            "x_refresh_token_expires_in": REFRESH_TOKEN_LIFETIME_S,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum AccessCheck {
    Valid,
    Expired,
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(token: &str) -> HashMap<String, String> {
        [("grant_type", "refresh_token"), ("refresh_token", token)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    fn basic(options: &OAuthOptions) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", options.client_id, options.client_secret)))
    }

    #[test]
    fn the_value_rotates_after_a_day_and_the_old_one_dies_at_once() {
        let options = OAuthOptions::default();
        let (begin, basic) = (Instant::now(), basic(&options));
        let mut oauth = OAuth::new(options.clone(), begin);
        let mut refresh = |token: &str, at| oauth.token(Some(&basic), &form(token), at);
        let first = refresh(&options.refresh_token, begin + Duration::from_secs(60)).1;
        assert_eq!(first["refresh_token"], options.refresh_token.as_str());
        let next_day = begin + Duration::from_secs(25 * 3600);
        let second = refresh(&options.refresh_token, next_day).1;
        assert_ne!(second["refresh_token"], options.refresh_token.as_str());
        let (status, body) = refresh(&options.refresh_token, next_day);
        assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
    }

    #[test]
    fn a_grace_keeps_the_old_value_alive() {
        let options =
            OAuthOptions { rotate_after: Duration::ZERO, grace: Duration::from_secs(10), ..OAuthOptions::default() };
        let (begin, basic) = (Instant::now(), basic(&options));
        let mut oauth = OAuth::new(options.clone(), begin);
        let mut status = |at| oauth.token(Some(&basic), &form(&options.refresh_token), at).0;
        assert_eq!(status(begin), 200);
        assert_eq!(status(begin + Duration::from_secs(9)), 200);
        assert_eq!(status(begin + Duration::from_secs(10)), 400);
    }

    #[test]
    fn wrong_keys_are_401_and_access_tokens_expire() {
        let options = OAuthOptions::default();
        let begin = Instant::now();
        let mut oauth = OAuth::new(options.clone(), begin);
        assert_eq!(oauth.token(Some("Basic eDp5"), &form(&options.refresh_token), begin).0, 401);
        assert_eq!(oauth.token(None, &form(&options.refresh_token), begin).0, 401);
        let body = oauth.token(Some(&basic(&options)), &form(&options.refresh_token), begin).1;
        let access = body["access_token"].as_str().unwrap();
        assert_eq!(oauth.check_access(access, begin), AccessCheck::Valid);
        assert_eq!(oauth.check_access(access, begin + Duration::from_secs(3600)), AccessCheck::Expired);
        assert_eq!(oauth.check_access("x", begin), AccessCheck::Unknown);
    }
}
