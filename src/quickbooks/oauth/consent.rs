//! The consent of a company's user (qbo-facts 1.2): the address to open in a browser, and the answer
//! that the browser brings back.

use std::collections::HashMap;

use reqwest::Url;
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

use crate::domain::is_realm_id;
use crate::error::{Error, Result};
use crate::port::Secret;
use crate::quickbooks::scrub::scrub;

/// The narrowest scope that can read; it can also write (qbo-facts 1.1).
const SCOPE: &str = "com.intuit.quickbooks.accounting";

/// A request for consent.
#[derive(Debug)]
pub struct Consent {
    redirect_uri: Url,
    state: String,
    url: Url,
}

/// The answer that the browser brought back.
#[derive(Debug)]
pub struct Callback {
    /// Authorization code, valid for one exchange.
    pub code: Secret,
    /// Id of the company that the user has chosen. No other answer contains it.
    pub realm_id: String,
}

impl Consent {
    /// Creates a request for consent to the app `client_id`. Intuit sends the browser back to
    /// `redirect_uri`, which must be registered for the app.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system provides no random numbers.
    pub fn new(authorize_url: &Url, client_id: &str, redirect_uri: &Url) -> Result<Self> {
        let mut random = [0; 16];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| Error::Internal("the system provides no random numbers".into()))?;
        let state: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut url = authorize_url.clone();
        url.query_pairs_mut()
            .append_pair("client_id", client_id)
            .append_pair("response_type", "code")
            .append_pair("scope", SCOPE)
            .append_pair("redirect_uri", redirect_uri.as_str())
            .append_pair("state", &state);
        Ok(Self {
            redirect_uri: redirect_uri.clone(),
            state,
            url,
        })
    }

    /// Returns the address that the user must open.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the address that the browser is sent back to.
    pub fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    /// Returns true if an address, or its query alone, answers this request: it has the same `state`.
    pub fn is_answered_by(&self, address: &str) -> bool {
        let fields = fields(address);
        fields
            .get("state")
            .is_some_and(|state| state.as_bytes().ct_eq(self.state.as_bytes()).into())
    }

    /// Parses the address that the browser was sent back to, or its query alone. If `realm_id` is
    /// given, the user must have chosen that company.
    ///
    /// # Errors
    /// [`Error::Config`] with the reason: no address, another `state`, a denial, another company.
    pub fn read(&self, address: &str, realm_id: Option<&str>) -> Result<Callback> {
        let wrong = |reason: String| Error::config("consent", reason);
        if address.trim().is_empty() {
            return Err(wrong("nothing was pasted; log in again, and paste the address at which the browser ended".into()));
        }
        let fields = fields(address);
        let field = |name: &str| {
            fields
                .get(name)
                .map(String::as_str)
                .filter(|value| !value.is_empty())
        };
        // It connects nothing, so that it need not be proved to be of this login.
        if let Some(error) = field("error") {
            return Err(wrong(format!(
                "Intuit answered {}; nothing was connected",
                scrub(error)
            )));
        }
        if ["state", "code", "realmId"]
            .iter()
            .all(|name| field(name).is_none())
        {
            return Err(wrong(
                "this is not the address at which the browser ended: it has no code, no state and no realmId".into(),
            ));
        }
        if !self.is_answered_by(address) {
            return Err(wrong(
                "the address does not have the state of this login: it belongs to another login or is incomplete".into(),
            ));
        }
        let (Some(code), Some(found)) = (field("code"), field("realmId")) else {
            return Err(wrong(
                "the address has no code and realmId; paste the complete address".into(),
            ));
        };
        if let Some(wanted) = realm_id.filter(|wanted| *wanted != found) {
            return Err(Error::config(
                "QBO_REALM_ID",
                format!(
                    "company {found} was chosen, but QBO_REALM_ID is {wanted}; nothing was connected: correct or unset \
                     QBO_REALM_ID, or choose {wanted}, and log in again"
                ),
            ));
        }
        if !is_realm_id(found) {
            return Err(wrong("the realmId is not a company id".into()));
        }
        Ok(Callback {
            code: Secret::new(code),
            realm_id: found.to_owned(),
        })
    }
}

fn fields(address: &str) -> HashMap<String, String> {
    let address = address.trim();
    let query = address.split_once('?').map_or(address, |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let Ok(mut url) = Url::parse("http://localhost/") else {
        return HashMap::new();
    };
    url.set_query(Some(query));
    url.query_pairs().into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent() -> Consent {
        let url = |text: &str| Url::parse(text).unwrap();
        Consent::new(
            &url("https://example.test/connect/oauth2"),
            "app",
            &url("http://localhost:8484/callback"),
        )
        .unwrap()
    }

    #[test]
    fn the_address_contains_the_request() {
        let consent = consent();
        let fields: HashMap<String, String> = consent.url().query_pairs().into_owned().collect();
        assert_eq!(fields["scope"], SCOPE);
        assert_eq!(fields["redirect_uri"], "http://localhost:8484/callback");
        assert_eq!(
            (fields["state"].len(), fields["response_type"].as_str()),
            (32, "code")
        );
        assert_ne!(consent.state, self::consent().state);
    }

    #[test]
    fn only_an_answer_to_this_login_is_taken() {
        let consent = consent();
        let state = &consent.state;
        let good = format!("http://localhost:8484/callback?code=abc&state={state}&realmId=9");
        for address in [
            good.clone(),
            format!("code=abc&realmId=9&state={state}"),
            format!(" {good}#x "),
        ] {
            let callback = consent.read(&address, Some("9")).unwrap();
            assert_eq!(
                (callback.code.expose(), callback.realm_id.as_str()),
                ("abc", "9")
            );
        }
        for (address, realm_id, reason) in [
            (good.replace(state, &"0".repeat(32)), None, "state"),
            (good.replace("state=", "status="), None, "state"),
            (
                format!("?error=access_denied&state={state}"),
                None,
                "access_denied",
            ),
            ("?error=access_denied".to_owned(), None, "access_denied"),
            (" \n".to_owned(), None, "nothing was pasted"),
            ("hello".to_owned(), None, "not the address at which"),
            (format!("?code=abc&state={state}"), None, "realmId"),
            (good, Some("10"), "company 9 was chosen"),
            (
                format!("?code=abc&state={state}&realmId=../9"),
                None,
                "not a company id",
            ),
        ] {
            let error = consent.read(&address, realm_id).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
