//! New tokens of a company: exchanged for a code, or imported. They may take the place of others.

use super::App;
use super::company::token_endpoint;
use crate::error::{Error, Result};
use crate::port::{Connection, Secret};
use crate::quickbooks::oauth::{Authorizer, NewConnection, Refusal, TokenAnswer, TokenEndpoint};
use crate::unbroken::unbroken;

impl App {
    /// Exchanges the code with which QuickBooks has sent a user back for tokens of a company, and
    /// stores them.
    ///
    /// # Errors
    /// A refused code; tokens of another company, if this one has a connection; those of the store.
    pub(super) async fn exchange(
        &self,
        realm_id: &str,
        code: &Secret,
        redirect_uri: &str,
    ) -> Result<Connection> {
        let oauth = self.settings.oauth()?;
        let authorizer = self.authorizer(&oauth, realm_id).await?;
        let endpoint = token_endpoint(&oauth, &self.progress)?;
        let (code, redirect_uri) = (code.clone(), redirect_uri.to_owned());
        let (app, realm_id) = (self.clone(), realm_id.to_owned());
        unbroken(async move {
            let store = async {
                let answer = exchanged(&endpoint, &code, &redirect_uri).await?;
                authorizer.store_tokens(&answer).await
            };
            app.replace(&authorizer, &realm_id, store).await
        })
        .await
    }

    /// Stores a refresh token that another tool obtained, such as Intuit's OAuth playground.
    ///
    /// # Errors
    /// Settings; a refused token; one of another company, if this one has a connection; those of the store.
    pub async fn import_token(&self, token: &Secret) -> Result<(String, Connection)> {
        let oauth = self.settings.oauth()?;
        let realm_id = self.required_realm()?;
        let authorizer = self.authorizer(&oauth, &realm_id).await?;
        let (app, token) = (self.clone(), token.clone());
        unbroken(async move {
            let store = authorizer.import(&token);
            let connection = app.replace(&authorizer, &realm_id, store).await?;
            Ok((realm_id, connection))
        })
        .await
    }

    /// Stores new tokens of a company with `store`. QuickBooks does not say of which company tokens are. If it denies the
    /// company to them, the connection that they have replaced comes back.
    ///
    /// # Errors
    /// [`Error::Config`] if the replaced connection came back; those of `store`.
    async fn replace(
        &self,
        authorizer: &Authorizer,
        realm_id: &str,
        store: impl Future<Output = Result<NewConnection>>,
    ) -> Result<Connection> {
        let NewConnection {
            connection,
            replaced,
        } = store.await?;
        let Some(replaced) = replaced.filter(|replaced| replaced.needs_reauth.is_none()) else {
            return Ok(connection);
        };
        // An answer that says nothing about the company decides nothing: these may be the only tokens that work.
        let Err(error) = Box::pin(self.company_answers(realm_id)).await else {
            return Ok(connection);
        };
        if !is_denied_by_quickbooks(&error) {
            return Ok(connection);
        }
        authorizer.restore(&replaced, &connection).await?;
        Err(Error::config(
            "QBO_REALM_ID",
            format!(
                "QuickBooks denies company {realm_id} to the new tokens, so that they are of another company: what was stored \
                 of company {realm_id} before is kept; connect again, and name the company of the tokens. It said: {error}"
            ),
        ))
    }
}

/// Returns true if QuickBooks itself denies the company to the token: in a fault with a code, as no firewall or wrong
/// address writes it, and of a token that may read the books of some company.
fn is_denied_by_quickbooks(error: &Error) -> bool {
    match error.last() {
        Error::PermissionDenied { reason, trace } => {
            trace.code.is_some() && !reason.to_lowercase().contains("scope")
        }
        _ => false,
    }
}

/// Exchanges a code for tokens.
async fn exchanged(
    endpoint: &TokenEndpoint,
    code: &Secret,
    redirect_uri: &str,
) -> Result<TokenAnswer> {
    let answer = endpoint.exchange(code, redirect_uri).await;
    answer.map_err(|refusal| match refusal {
        Refusal::InvalidGrant { answer, trace, .. } => Error::Unauthenticated {
            reason: format!("the token endpoint said {answer} of the code, which is good for one use and a few minutes; begin again"),
            trace,
        },
        Refusal::Final { error, .. } => error,
    })
}
