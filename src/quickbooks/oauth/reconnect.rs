//! How a person connects a company again, in words and as Intuit's address (qbo-facts 13.19).

use reqwest::Url;

/// Intuit's page for a company that must be connected again.
const PAGE: &str = "https://appcenter.intuit.com/app/connect/oauth2/request";
/// Stands for the app's id where `QBO_APP_ID` is not set. It is not the client id, and no answer of
/// the API contains it.
const UNKNOWN_APP: &str = "QBO_APP_ID";

/// The way to connect one company again.
#[derive(Debug, Clone)]
pub(crate) struct Reconnect {
    realm_id: String,
    app_id: Option<String>,
}

impl Reconnect {
    /// Returns the way for the company `realm_id`; `app_id` is `QBO_APP_ID`.
    pub(crate) fn new(realm_id: &str, app_id: Option<&str>) -> Self {
        Self {
            realm_id: realm_id.to_owned(),
            app_id: app_id.map(str::to_owned),
        }
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
            Some(_) => "",
            None => {
                " (with the app's id of Intuit's developer portal in place of QBO_APP_ID; set QBO_APP_ID to see it here)"
            }
        };
        format!(
            "connect the company again: run `qbo-rs auth login`, or set QBO_REFRESH_TOKEN to a new token of company {}; \
             Intuit's page for its user is {}{placeholder}",
            self.realm_id,
            self.url()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
