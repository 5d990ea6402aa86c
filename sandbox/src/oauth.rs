//! OAuth: consent, tokens and revocation (qbo-facts 1.1 to 1.5).

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::clock::end_of;
use crate::hash::hash;

/// The keys and tokens of a sandbox, and their lifetimes.
#[derive(Debug, Clone)]
pub struct OAuthOptions {
    /// The app's client id.
    pub client_id: String,
    /// The app's client secret.
    pub client_secret: String,
    /// The first refresh token of the first company. Those of the other companies are followed by
    /// their realm ids.
    pub refresh_token: String,
    /// Lifetime of an access token.
    pub access_lifetime: Duration,
    /// Age at which a refresh replaces the refresh token. Zero replaces it every time.
    pub rotate_after: Duration,
    /// Time for which a replaced refresh token still works. Sources contradict each other; zero is
    /// the answer that is harder on clients.
    pub grace: Duration,
    /// Lifetime of a refresh token that is not used. Each refresh starts it again.
    pub refresh_lifetime: Duration,
    /// Lifetime of a connection, however often it is used.
    pub hard_lifetime: Duration,
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
            refresh_lifetime: Duration::from_secs(8_726_400),
            hard_lifetime: Duration::from_secs(5 * 365 * 24 * 3600),
        }
    }
}

/// The tokens of one connection.
#[derive(Debug)]
struct Connection {
    realm_id: String,
    /// The refresh token. `None` after revocation.
    current: Option<String>,
    /// The instant at which the refresh token was last replaced.
    rotated_at: DateTime<Utc>,
    refreshed_at: DateTime<Utc>,
    consented_at: DateTime<Utc>,
    /// The replaced refresh tokens, each with the instant of its replacement.
    replaced: HashMap<String, DateTime<Utc>>,
}

/// The request that an authorization code was issued for.
#[derive(Debug)]
struct Code {
    realm_id: String,
    redirect: String,
    is_used: bool,
}

/// The connections of all companies, and the tokens issued so far.
#[derive(Debug)]
pub(crate) struct OAuth {
    options: OAuthOptions,
    connections: Vec<Connection>,
    /// Realm id and expiry of every access token.
    access: HashMap<String, (String, DateTime<Utc>)>,
    /// Every authorization code, by its text.
    codes: HashMap<String, Code>,
    serial: u64,
}

/// An answer of the token endpoint: its status and JSON body.
pub(crate) type TokenAnswer = (u16, Value);

/// The validity of an access token for a company.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AccessCheck {
    Valid,
    Expired,
    Unknown,
    OtherCompany,
}

/// The parts of the token endpoint's behaviour that are optional or assumed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokenExtras {
    /// Whether tokens come with the remaining lifetime of the connection (qbo-facts 1.3).
    pub hard_expiry: bool,
    /// Whether `invalid_grant` has a description.
    pub description: bool,
    /// Whether a code that is exchanged again ends the connection (qbo-facts 13.19).
    pub revokes_double_grant: bool,
}

const SCOPE: &str = "com.intuit.quickbooks.accounting";

impl OAuth {
    /// Connects every company.
    pub(crate) fn new(options: OAuthOptions, realms: &[String], now: DateTime<Utc>) -> Self {
        let connections = realms
            .iter()
            .enumerate()
            .map(|(position, realm_id)| Connection {
                realm_id: realm_id.clone(),
                current: Some(first_refresh_token(&options, position, realm_id)),
                rotated_at: now,
                refreshed_at: now,
                consented_at: now,
                replaced: HashMap::new(),
            });
        let connections = connections.collect();
        Self {
            options,
            connections,
            access: HashMap::new(),
            codes: HashMap::new(),
            serial: 0,
        }
    }

    /// Returns the refresh token of a company that works now.
    pub(crate) fn refresh_token(&self, realm_id: &str) -> Option<String> {
        self.connections
            .iter()
            .find(|connection| connection.realm_id == realm_id)?
            .current
            .clone()
    }

    /// Checks an access token for a company.
    pub(crate) fn check_access(
        &self,
        token: &str,
        realm_id: &str,
        now: DateTime<Utc>,
    ) -> AccessCheck {
        match self.access.get(token) {
            Some((_, expires)) if now >= *expires => AccessCheck::Expired,
            Some((realm, _)) if realm == realm_id => AccessCheck::Valid,
            Some(_) => AccessCheck::OtherCompany,
            None => AccessCheck::Unknown,
        }
    }

    /// Expires every access token now.
    pub(crate) fn expire_access(&mut self, now: DateTime<Utc>) {
        self.access
            .values_mut()
            .for_each(|(_, expires)| *expires = now);
    }

    /// Grants consent, and returns the URL to which the browser is redirected.
    ///
    /// # Errors
    /// The reason, if the client or its redirect URI is not valid.
    pub(crate) fn authorize(
        &mut self,
        query: &HashMap<String, String>,
        realm_id: &str,
    ) -> Result<String, &'static str> {
        let field = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let redirect = field("redirect_uri");
        if field("client_id") != self.options.client_id {
            return Err("The client id is not known");
        }
        if !redirect.starts_with("http://") && !redirect.starts_with("https://") {
            return Err("The redirect_uri query parameter value is invalid");
        }
        let separator = if redirect.contains('?') { '&' } else { '?' };
        let state = percent_encoding::utf8_percent_encode(
            field("state"),
            percent_encoding::NON_ALPHANUMERIC,
        );
        if !field("scope").split(' ').any(|scope| scope == SCOPE)
            || field("response_type") != "code"
        {
            return Ok(format!(
                "{redirect}{separator}error=invalid_scope&state={state}"
            ));
        }
        self.serial += 1;
        let code = format!("XAB{:020x}", hash(self.serial ^ 0xC0DE));
        let issued = Code {
            realm_id: realm_id.to_owned(),
            redirect: redirect.to_owned(),
            is_used: false,
        };
        self.codes.insert(code.clone(), issued);
        // A client learns the company's realm id here and nowhere else (qbo-facts 1.2).
        Ok(format!(
            "{redirect}{separator}code={code}&state={state}&realmId={realm_id}"
        ))
    }

    /// Answers a request for tokens.
    pub(crate) fn token(
        &mut self,
        authorization: Option<&str>,
        form: &HashMap<String, String>,
        extras: TokenExtras,
        now: DateTime<Utc>,
    ) -> TokenAnswer {
        if !self.is_client(authorization, form) {
            return (401, json!({"error": "invalid_client"}));
        }
        let field = |name: &str| form.get(name).map(String::as_str);
        let realm_id = match (field("grant_type"), field("refresh_token"), field("code")) {
            (Some("refresh_token"), Some(token), _) => self.realm_of_refresh_token(token, now),
            (Some("authorization_code"), _, Some(code)) => {
                self.exchange_code(code, field("redirect_uri"), extras, now)
            }
            (Some("refresh_token" | "authorization_code"), ..) => {
                return (400, json!({"error": "invalid_request"}));
            }
            _ => {
                return (
                    400,
                    json!({"error": "invalid_request", "error_description": "grant_type is not supported"}),
                );
            }
        };
        match realm_id.and_then(|realm_id| self.issue_tokens(&realm_id, extras, now)) {
            Some(tokens) => (200, tokens),
            None if extras.description => (
                400,
                json!({"error_description": "Incorrect or invalid refresh token", "error": "invalid_grant"}),
            ),
            None => (400, json!({"error": "invalid_grant"})),
        }
    }

    /// Ends the connection that a token belongs to. Returns the status of the answer, whose body is
    /// empty.
    pub(crate) fn revoke(
        &mut self,
        authorization: Option<&str>,
        token: &str,
        now: DateTime<Utc>,
    ) -> u16 {
        if !self.is_client(authorization, &HashMap::new()) {
            return 401;
        }
        let realm = self
            .access
            .get(token)
            .map(|(realm, _)| realm.clone())
            .or_else(|| self.realm_of_refresh_token(token, now));
        let Some(realm) = realm else { return 400 };
        self.disconnect(&realm);
        200
    }

    /// Ends a company's connection, as its user can at any time.
    pub(crate) fn disconnect(&mut self, realm_id: &str) {
        if let Some(connection) = self
            .connections
            .iter_mut()
            .find(|connection| connection.realm_id == realm_id)
        {
            connection.current = None;
            connection.replaced.clear();
        }
        self.access.retain(|_, (realm, _)| realm != realm_id);
    }

    /// Ends the connection whose present refresh token this is.
    pub(crate) fn disconnect_token(&mut self, token: &str) {
        let mut connections = self.connections.iter();
        let found = connections.find(|connection| connection.current.as_deref() == Some(token));
        if let Some(realm_id) = found.map(|connection| connection.realm_id.clone()) {
            self.disconnect(&realm_id);
        }
    }

    /// Returns whether the client's keys are right. They come as HTTP Basic or in the form; the
    /// discovery document offers both.
    fn is_client(&self, authorization: Option<&str>, form: &HashMap<String, String>) -> bool {
        let wanted = (
            self.options.client_id.as_str(),
            self.options.client_secret.as_str(),
        );
        if let Some(basic) = authorization.and_then(|value| value.strip_prefix("Basic ")) {
            let decoded = STANDARD
                .decode(basic)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            return decoded.as_deref().and_then(|pair| pair.split_once(':')) == Some(wanted);
        }
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        (field("client_id"), field("client_secret")) == wanted
    }

    /// Returns the realm id of a refresh token that works.
    fn realm_of_refresh_token(&self, token: &str, now: DateTime<Utc>) -> Option<String> {
        let is_of_connection = |connection: &&Connection| {
            let is_current = connection.current.as_deref() == Some(token);
            let replaced_at = connection.replaced.get(token);
            is_current
                || replaced_at
                    .is_some_and(|&replaced_at| now < end_of(replaced_at, self.options.grace))
        };
        let connection = self.connections.iter().find(is_of_connection)?;
        let is_alive = now < end_of(connection.refreshed_at, self.options.refresh_lifetime)
            && now < end_of(connection.consented_at, self.options.hard_lifetime);
        is_alive.then(|| connection.realm_id.clone())
    }

    /// Exchanges an authorization code for a new connection. Returns its realm id.
    fn exchange_code(
        &mut self,
        code: &str,
        redirect_uri: Option<&str>,
        extras: TokenExtras,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let issued = self.codes.get_mut(code)?;
        let realm_id = issued.realm_id.clone();
        if std::mem::replace(&mut issued.is_used, true) {
            if extras.revokes_double_grant {
                self.disconnect(&realm_id);
            }
            return None;
        }
        if redirect_uri != Some(issued.redirect.as_str()) {
            return None;
        }
        self.serial += 1;
        let token = new_refresh_token(self.serial);
        let connection = self
            .connections
            .iter_mut()
            .find(|connection| connection.realm_id == realm_id)?;
        connection.current = Some(token);
        connection.replaced.clear();
        (connection.rotated_at, connection.consented_at) = (now, now);
        Some(realm_id)
    }

    /// Issues an access token, and a new refresh token if the current one is old enough.
    fn issue_tokens(
        &mut self,
        realm_id: &str,
        extras: TokenExtras,
        now: DateTime<Utc>,
    ) -> Option<Value> {
        self.serial += 1;
        let connection = self
            .connections
            .iter_mut()
            .find(|connection| connection.realm_id == realm_id)?;
        if now >= end_of(connection.rotated_at, self.options.rotate_after) {
            if let Some(previous) = connection.current.replace(new_refresh_token(self.serial)) {
                connection.replaced.insert(previous, now);
            }
            connection.rotated_at = now;
        }
        connection.refreshed_at = now;
        // The two dots in a row are those of an encrypted token without an encrypted key, which is
        // the form of Intuit's tokens.
        let access = format!(
            "eyJlbmMiOiJBMTI4Q0JDLUhTMjU2IiwiYWxnIjoiZGlyIn0..sandbox.{:016x}.{}",
            hash(self.serial),
            "t".repeat(600)
        );
        self.access.insert(
            access.clone(),
            (
                realm_id.to_owned(),
                end_of(now, self.options.access_lifetime),
            ),
        );
        let mut tokens = json!({
            "token_type": "bearer",
            "expires_in": self.options.access_lifetime.as_secs(),
            "access_token": access,
            "refresh_token": connection.current,
            "x_refresh_token_expires_in": self.options.refresh_lifetime.as_secs(),
        });
        if extras.hard_expiry {
            let remaining = end_of(connection.consented_at, self.options.hard_lifetime) - now;
            tokens["x_refresh_token_hard_expires_in"] = remaining.num_seconds().max(0).into();
        }
        Some(tokens)
    }
}

/// Returns the first refresh token of a company.
pub(crate) fn first_refresh_token(
    options: &OAuthOptions,
    position: usize,
    realm_id: &str,
) -> String {
    match position {
        0 => options.refresh_token.clone(),
        _ => format!("{}-{realm_id}", options.refresh_token),
    }
}

/// Returns the value of a new refresh token.
fn new_refresh_token(serial: u64) -> String {
    format!("RT1-{serial:02}-H0-sandbox{:016x}", hash(serial ^ 0x5EED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(token: &str) -> HashMap<String, String> {
        [("grant_type", "refresh_token"), ("refresh_token", token)]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    }

    fn realms() -> Vec<String> {
        vec!["9".to_owned(), "10".to_owned()]
    }

    fn basic(options: &OAuthOptions) -> String {
        format!(
            "Basic {}",
            STANDARD.encode(format!("{}:{}", options.client_id, options.client_secret))
        )
    }

    #[test]
    fn the_value_rotates_after_a_day_and_the_old_one_dies_at_once() {
        let options = OAuthOptions::default();
        let (begin, basic) = (Utc::now(), basic(&options));
        let mut oauth = OAuth::new(options.clone(), &realms(), begin);
        let mut refresh =
            |token: &str, at| oauth.token(Some(&basic), &form(token), TokenExtras::default(), at);
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
        let options = OAuthOptions {
            rotate_after: Duration::ZERO,
            grace: Duration::from_secs(10),
            ..OAuthOptions::default()
        };
        let (begin, basic) = (Utc::now(), basic(&options));
        let mut oauth = OAuth::new(options.clone(), &realms(), begin);
        let mut status = |at| {
            oauth
                .token(
                    Some(&basic),
                    &form(&options.refresh_token),
                    TokenExtras::default(),
                    at,
                )
                .0
        };
        assert_eq!(status(begin), 200);
        assert_eq!(status(begin + Duration::from_secs(9)), 200);
        assert_eq!(status(begin + Duration::from_secs(10)), 400);
    }

    #[test]
    fn wrong_keys_are_401_and_access_tokens_expire() {
        let options = OAuthOptions::default();
        let begin = Utc::now();
        let mut oauth = OAuth::new(options.clone(), &realms(), begin);
        assert_eq!(
            oauth
                .token(
                    Some("Basic eDp5"),
                    &form(&options.refresh_token),
                    TokenExtras::default(),
                    begin
                )
                .0,
            401
        );
        assert_eq!(
            oauth
                .token(
                    None,
                    &form(&options.refresh_token),
                    TokenExtras::default(),
                    begin
                )
                .0,
            401
        );
        let body = oauth
            .token(
                Some(&basic(&options)),
                &form(&options.refresh_token),
                TokenExtras::default(),
                begin,
            )
            .1;
        let access = body["access_token"].as_str().unwrap();
        assert_eq!(oauth.check_access(access, "9", begin), AccessCheck::Valid);
        assert_eq!(
            oauth.check_access(access, "9", begin + Duration::from_secs(3600)),
            AccessCheck::Expired
        );
        assert_eq!(oauth.check_access("x", "9", begin), AccessCheck::Unknown);
    }

    #[test]
    fn tokens_belong_to_their_company() {
        let options = OAuthOptions::default();
        let begin = Utc::now();
        let mut oauth = OAuth::new(options.clone(), &realms(), begin);
        let second = first_refresh_token(&options, 1, "10");
        let body = oauth
            .token(
                Some(&basic(&options)),
                &form(&second),
                TokenExtras::default(),
                begin,
            )
            .1;
        let access = body["access_token"].as_str().unwrap();
        assert_eq!(oauth.check_access(access, "10", begin), AccessCheck::Valid);
        assert_eq!(
            oauth.check_access(access, "9", begin),
            AccessCheck::OtherCompany
        );
        assert_eq!(oauth.revoke(Some("Bearer x"), access, begin), 401);
        assert_eq!(oauth.revoke(Some(&basic(&options)), access, begin), 200);
        assert_eq!(oauth.revoke(Some(&basic(&options)), access, begin), 400);
        assert_eq!(
            oauth.check_access(access, "10", begin),
            AccessCheck::Unknown
        );
        assert_eq!(
            oauth
                .token(
                    Some(&basic(&options)),
                    &form(&second),
                    TokenExtras::default(),
                    begin
                )
                .0,
            400
        );
    }

    #[test]
    fn a_connection_ends_when_unused_for_long_and_after_its_hard_lifetime() {
        let options = OAuthOptions {
            rotate_after: Duration::MAX / 4,
            ..OAuthOptions::default()
        };
        let (begin, day) = (Utc::now(), Duration::from_secs(24 * 3600));
        let mut oauth = OAuth::new(options.clone(), &realms(), begin);
        let extras = TokenExtras {
            hard_expiry: true,
            description: true,
            ..TokenExtras::default()
        };
        let mut refresh = |at| {
            oauth.token(
                Some(&basic(&options)),
                &form(&options.refresh_token),
                extras,
                at,
            )
        };
        let (status, body) = refresh(begin + 100 * day);
        assert_eq!(
            (status, &body["x_refresh_token_hard_expires_in"]),
            (200, &json!((1825 - 100) * 24 * 3600))
        );
        assert_eq!(refresh(begin + 200 * day).0, 200);
        let (status, body) = refresh(begin + 302 * day);
        assert_eq!(
            (status, &body["error_description"]),
            (400, &json!("Incorrect or invalid refresh token"))
        );
    }

    #[test]
    fn a_code_works_once_and_names_the_company() {
        let options = OAuthOptions::default();
        let begin = Utc::now();
        let mut oauth = OAuth::new(options.clone(), &realms(), begin);
        let pairs = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let mut query = pairs(&[
            ("client_id", &options.client_id),
            ("response_type", "code"),
            ("scope", SCOPE),
            ("state", "s 1"),
            ("redirect_uri", "http://localhost/callback"),
        ]);
        let target = oauth.authorize(&query, "9").unwrap();
        assert!(target.contains("&state=s%201&realmId=9"), "{target}");
        let code = target
            .split("code=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        let form = pairs(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", "http://localhost/callback"),
        ]);
        let (status, body) =
            oauth.token(Some(&basic(&options)), &form, TokenExtras::default(), begin);
        assert_eq!(status, 200);
        assert_ne!(body["refresh_token"], options.refresh_token.as_str());
        assert_eq!(
            oauth
                .token(Some(&basic(&options)), &form, TokenExtras::default(), begin)
                .0,
            400
        );
        // The connection goes on, unless a second exchange is assumed to end it.
        let refresh_token = body["refresh_token"].as_str().unwrap();
        assert_eq!(oauth.refresh_token("9").as_deref(), Some(refresh_token));
        let strict = TokenExtras {
            revokes_double_grant: true,
            ..TokenExtras::default()
        };
        let access = body["access_token"].as_str().unwrap();
        let again = oauth.token(Some(&basic(&options)), &form, strict, begin);
        assert_eq!(again, (400, json!({"error": "invalid_grant"})));
        assert_eq!(oauth.refresh_token("9"), None);
        assert_eq!(oauth.check_access(access, "9", begin), AccessCheck::Unknown);
        assert!(oauth.refresh_token("10").is_some());
        query.insert("scope".to_owned(), "openid".to_owned());
        assert!(
            oauth
                .authorize(&query, "9")
                .unwrap()
                .contains("error=invalid_scope")
        );
        query.insert("client_id".to_owned(), "x".to_owned());
        assert!(oauth.authorize(&query, "9").is_err());
    }
}
