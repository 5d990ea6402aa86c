//! How a person connects a company again, in words and as Intuit's address (qbo-facts 13.19).

use reqwest::Url;

use crate::error::Error;

/// Intuit's page for a company that must be connected again.
const PAGE: &str = "https://appcenter.intuit.com/app/connect/oauth2/request";
/// Stands for the app's id where `QBO_APP_ID` is not set. It is not the client id, and no answer of
/// the API contains it.
const UNKNOWN_APP: &str = "QBO_APP_ID";

/// Says what to do with an address that has it.
const WITHOUT_APP: &str = "with the app's id of Intuit's developer portal in place of QBO_APP_ID; set QBO_APP_ID to see it here";

/// The way to connect one company again.
#[derive(Debug, Clone)]
pub(crate) struct Reconnect {
    realm_id: String,
    app_id: Option<String>,
    /// A file with tokens of the company that is not the token store.
    other_file: Option<String>,
}

impl Reconnect {
    /// Returns the way for the company `realm_id`; `app_id` is `QBO_APP_ID`.
    pub(crate) fn new(realm_id: &str, app_id: Option<&str>) -> Self {
        Self {
            realm_id: realm_id.to_owned(),
            app_id: app_id.map(str::to_owned),
            other_file: None,
        }
    }

    /// Returns the way with the name of a file that holds tokens of the company, although it is not
    /// the token store.
    pub(crate) fn with_other_file(self, other_file: Option<String>) -> Self {
        Self { other_file, ..self }
    }

    /// Returns the error that says that neither the settings nor the token store at `place` have a
    /// token of the company, and what to do.
    pub(crate) fn no_token(&self, place: &str) -> Error {
        let stored = format!(
            "not set, and {place} holds no token of company {}",
            self.realm_id
        );
        let reason = match &self.other_file {
            Some(file) => format!(
                "{stored}, but {file} does, from a login without a database: set QBO_TOKEN_STORE={file} to use it, or \
                 run `qbo-rs auth login` once more, which stores a token in {place}"
            ),
            None => format!(
                "{stored}; check QBO_REALM_ID first: if that is the company, run `qbo-rs auth login`, or set \
                 QBO_REFRESH_TOKEN to its refresh token"
            ),
        };
        Error::config("QBO_REFRESH_TOKEN", reason)
    }

    /// Returns the error that says that tokens of the company are at `place`, stored with another
    /// secret than the configured one, and what to do.
    pub(crate) fn wrong_secret(&self, place: &str) -> Error {
        let reason = format!(
            "it does not open the tokens of company {} in {place}, which were stored with another one; check it (and \
             QBO_TOKEN_KEY, if that is set) against the keys of your app at https://developer.intuit.com; if the secret \
             was renewed there, run `qbo-rs auth login`",
            self.realm_id
        );
        Error::config("QBO_CLIENT_SECRET", reason)
    }

    /// Returns the id of the company.
    pub(crate) fn realm_id(&self) -> &str {
        &self.realm_id
    }

    /// Returns Intuit's address. If the app's id is not known, its place says `QBO_APP_ID`.
    pub(crate) fn url(&self) -> String {
        let app_id = self.app_id.as_deref().unwrap_or(UNKNOWN_APP);
        let fields = [
            ("appId", app_id),
            ("realmId", self.realm_id.as_str()),
            ("mode", "reconnect"),
        ];
        match Url::parse_with_params(PAGE, fields) {
            Ok(url) => url.into(),
            Err(_) => PAGE.to_owned(),
        }
    }

    /// Returns instructions for a person.
    pub(crate) fn hint(&self) -> String {
        let placeholder = match self.app_id {
            Some(_) => String::new(),
            None => format!(" ({WITHOUT_APP})"),
        };
        let again = format!(
            "connect the company again: run `qbo-rs auth login`, or set QBO_REFRESH_TOKEN to a new token of company {}; \
             Intuit's page for its user is {}{placeholder}",
            self.realm_id,
            self.url()
        );
        // The refused token was replaced, and its successor may be in the file.
        match &self.other_file {
            Some(file) => format!(
                "{file} holds a token of the company, from a call without a database: set QBO_TOKEN_STORE={file} to use \
                 it; if that one is refused, too, {again}"
            ),
            None => again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_hold_the_successor_of_the_token_is_named() {
        let way = Reconnect::new("4620", None);
        assert!(!way.hint().contains("QBO_TOKEN_STORE"));
        let with_file = way.with_other_file(Some("/home/a/tokens.json".to_owned()));
        let hint = with_file.hint();
        let advice = "set QBO_TOKEN_STORE=/home/a/tokens.json to use it";
        assert!(
            hint.contains(advice) && hint.contains("qbo-rs auth login"),
            "{hint}"
        );
    }

    #[test]
    fn the_address_has_the_app_the_company_and_the_mode() {
        assert_eq!(
            Reconnect::new("4620", Some("djQ3&x")).url(),
            "https://appcenter.intuit.com/app/connect/oauth2/request?appId=djQ3%26x&realmId=4620&mode=reconnect"
        );
        let unknown = Reconnect::new("4620", None);
        assert!(
            unknown
                .url()
                .contains("appId=QBO_APP_ID&realmId=4620&mode=reconnect")
        );
        assert!(unknown.hint().contains("set QBO_APP_ID"));
    }
}
