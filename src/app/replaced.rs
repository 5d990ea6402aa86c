//! A connection that takes the place of another one of its company.

use crate::app::App;
use crate::error::{Error, Result};
use crate::port::Connection;
use crate::quickbooks::oauth::Authorizer;

impl App {
    /// Stores new tokens of a company with `store`. QuickBooks does not say of which company tokens are. If it denies the
    /// company to them, the connection that they have replaced comes back.
    ///
    /// # Errors
    /// [`Error::Config`] if the replaced connection came back; those of `store`.
    pub(super) async fn replace(
        &self,
        authorizer: &Authorizer,
        realm_id: &str,
        store: impl Future<Output = Result<Connection>>,
    ) -> Result<Connection> {
        let replaced = authorizer.stored().await?;
        let connection = store.await?;
        let Some(replaced) = replaced else {
            return Ok(connection);
        };
        // An answer that says nothing about the company decides nothing: these may be the only tokens that work.
        let Err(error @ Error::PermissionDenied { .. }) =
            Box::pin(self.company_answers(realm_id)).await
        else {
            return Ok(connection);
        };
        authorizer.restore(&replaced).await?;
        Err(Error::config(
            "QBO_REALM_ID",
            format!(
                "QuickBooks denies company {realm_id} to the new tokens, so that they are of another company: what was stored \
                 of company {realm_id} before is kept; connect again, and name the company of the tokens. It said: {error}"
            ),
        ))
    }
}
