//! Which companies a sync is about, and what is known of them.

use chrono::{DateTime, Utc};

use super::{SyncRequest, Syncer};
use crate::app::CompanyReport;
use crate::app::auth::auth_report;
use crate::app::company::{admission, key, named, no_company};
use crate::error::{Error, Result};
use crate::store::token_store::ConnectionSummary;

impl Syncer {
    /// Returns the companies of the request; if it names none, the current ones of the token store
    /// and the one of the settings.
    pub(in crate::app) async fn realms(&self, request: &SyncRequest) -> Result<Vec<String>> {
        let mut realm_ids = request.scope.accounts.clone();
        if realm_ids.is_empty() {
            realm_ids.extend(
                self.connections()
                    .await?
                    .into_iter()
                    .map(|company| company.realm_id),
            );
            realm_ids.extend(self.app.settings.realm_id()?);
        }
        realm_ids.sort();
        realm_ids.dedup();
        match realm_ids.is_empty() {
            true => Err(no_company(
                &self.app.settings.oauth()?,
                &self.backend.place(),
            )),
            false => Ok(realm_ids),
        }
    }

    /// Refuses companies that have no connection and cannot get one from the settings.
    ///
    /// # Errors
    /// [`Error::Config`] with the first of them; those of [`Self::connections`].
    pub(in crate::app) async fn check_companies(&self, realm_ids: &[String]) -> Result<()> {
        match self.unknown_company(realm_ids).await? {
            Some(unknown) => Err(self.no_such_company(&unknown).await?),
            None => Ok(()),
        }
    }

    /// Returns the error of a company that has no connection and cannot get one from the settings.
    ///
    /// # Errors
    /// Those of [`Self::connections`].
    pub(super) async fn no_such_company(&self, unknown: &str) -> Result<Error> {
        let (place, stored) = (self.backend.place(), self.connections().await?.into_iter());
        let stored: Vec<String> = stored.map(|company| company.realm_id).collect();
        let others = match stored.is_empty() {
            true => "nor any other".to_owned(),
            false => format!("it holds {}", named(&stored)),
        };
        Ok(Error::config(
            "account",
            format!("{place} holds no company {unknown}; {others}"),
        ))
    }

    /// Returns the first of some companies that is neither in the token store nor the one of the settings.
    ///
    /// # Errors
    /// Those of [`Self::connections`].
    pub(in crate::app) async fn unknown_company(
        &self,
        realm_ids: &[String],
    ) -> Result<Option<String>> {
        if realm_ids.is_empty() {
            return Ok(None);
        }
        let (of_settings, stored) = (self.app.settings.realm_id()?, self.connections().await?);
        let is_known = |realm_id: &&String| {
            of_settings.as_ref() == Some(*realm_id)
                || stored.iter().any(|company| company.realm_id == **realm_id)
        };
        let mut unknown = realm_ids.iter().filter(|realm_id| !is_known(realm_id));
        Ok(unknown.next().cloned())
    }

    /// Returns the stored connections.
    ///
    /// # Errors
    /// [`Error::Config`] if the key of the token store cannot be used, although the list does not
    /// need it: an unusable setting ends the sync instead of failing each company. Errors of the
    /// store.
    pub(in crate::app) async fn connections(&self) -> Result<Vec<ConnectionSummary>> {
        key(&self.app.settings.oauth()?)?;
        self.backend.connections().await
    }

    /// Returns the state of the stored connections.
    pub(in crate::app) async fn company_reports(&self) -> Result<Vec<CompanyReport>> {
        let config = self.app.settings.qbo_app()?;
        auth_report(&self.backend, &config)
            .await
            .map(|report| report.accounts)
    }

    /// Returns the end of a pause that QuickBooks has asked for.
    pub(in crate::app) async fn paused_until(&self, realm_id: &str) -> Option<DateTime<Utc>> {
        let config = self.app.settings.qbo_of(realm_id).ok()?;
        let control = admission(&self.backend, &config, realm_id);
        control.traffic().await.paused_until
    }
}
