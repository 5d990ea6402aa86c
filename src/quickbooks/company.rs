//! The company behind a connection, for a check of it: one request, sent once.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::QboSource;
use super::envelope::Asked;
use super::ordinary::read_query_answer;
use super::whole::date_of;
use crate::domain::find_entity;
use crate::error::Result;
use crate::http::Response;
use crate::port::Meter;
use crate::quickbooks::client::RetryBehavior;

/// The record that every company has exactly once.
const STATEMENT: &str = "SELECT * FROM CompanyInfo";

/// A request that is sent once: a check says what happens, and does not wait until it is over.
const ONCE: RetryBehavior = RetryBehavior {
    returns_early: |_, _| true,
    is_retry: false,
};

/// Facts about a company. Those that its record does not say are `None`.
#[derive(Debug, Default)]
pub(crate) struct CompanyAnswer {
    /// Name.
    pub name: Option<String>,
    /// Country, such as `US`.
    pub country: Option<String>,
    /// Plan, such as `QuickBooks Online Plus`.
    pub plan: Option<String>,
    /// State of the subscription, such as `PAID` or `TRIAL`.
    pub subscription: Option<String>,
    /// Time zone, such as `America/Guayaquil`.
    pub time_zone: Option<String>,
    /// Time by which the server's clock is ahead of this machine's, within a second.
    pub clock_ahead: Option<TimeDelta>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CompanyInfo {
    company_name: Option<String>,
    country: Option<String>,
    default_time_zone: Option<String>,
    name_value: Vec<NameValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NameValue {
    name: String,
    value: String,
}

impl QboSource {
    /// Asks for the record of the company, once.
    ///
    /// # Errors
    /// Errors of the API.
    pub(crate) async fn company(&self) -> Result<CompanyAnswer> {
        let entity = find_entity("company_info")?;
        let request = self.endpoints.query(STATEMENT, None);
        let read = |response: &Response| {
            let ahead = date_of(response).map(|date| clock_ahead(date, crate::clock::now()));
            read_query_answer(Asked::by(entity, STATEMENT), response).map(|answer| (answer, ahead))
        };
        let meter = Meter::default();
        let sent = self.client.send(&request, &meter, ONCE, read).await;
        let (answer, clock_ahead) = sent?;
        let payload = answer
            .records
            .first()
            .map(|record| record.payload.as_bytes());
        // A record of another form still shows that the company answers.
        let info: CompanyInfo = payload
            .and_then(|payload| serde_json::from_slice(payload).ok())
            .unwrap_or_default();
        let setting = |name: &str| {
            let mut settings = info.name_value.iter();
            let found = settings.find(|setting| setting.name == name);
            found.map(|setting| setting.value.clone())
        };
        Ok(CompanyAnswer {
            plan: setting("OfferingSku"),
            subscription: setting("SubscriptionStatus"),
            name: info.company_name,
            country: info.country,
            time_zone: info.default_time_zone,
            clock_ahead,
        })
    }
}

/// Returns by how much a server's clock is ahead. Its date has whole seconds, and stands for their
/// middle.
fn clock_ahead(date: DateTime<Utc>, now: DateTime<Utc>) -> TimeDelta {
    date + TimeDelta::milliseconds(500) - now
}
