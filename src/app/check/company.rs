//! The lines about tokens and the company.

use std::time::Duration;

use chrono::{Local, TimeDelta};

use super::database::Found;
use super::fix::{as_owner, fix_of, reading_right};
use super::pause::{lift_pause, paused};
use super::report::CheckLine;
use super::requests::Requests;
use super::{CheckRequest, within, within_database};
use crate::app::App;
use crate::app::company::{CONNECTIONS, Company, only_of};
use crate::config::{QboConfig, StoreLocation};
use crate::domain::{ConnectionReport, ENTITIES, is_near_quota};
use crate::durable;
use crate::error::{Error, Result};
use crate::language::{Language, number_in};
use crate::port::Source as _;
use crate::postgres::migrations::Steps;
use crate::postgres::quote_identifier;
use crate::postgres::rights::is_refused;
use crate::quickbooks::CompanyAnswer;
use crate::store::token_store::ConnectionSummary;
use crate::store::{StateBackend, StatusReader};
use crate::terminal::shell_quote;

/// A difference between clocks that is mentioned.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(5);
/// An answer that takes longer slows every run down.
const SLOW_MS: u128 = 3000;

/// Names of the lines, in their order.
const NAMES: [&str; 7] = [
    "token_store",
    "token",
    "company",
    "plan",
    "quota",
    "latency",
    "clock",
];

/// Everything that is needed to look at a company.
pub(super) struct Look<'a> {
    pub app: &'a App,
    pub request: &'a CheckRequest,
    pub database: &'a Found,
    pub requests: &'a Requests,
}

/// Everything that was found about the company.
#[derive(Default)]
pub(super) struct FoundCompany {
    pub lines: Vec<CheckLine>,
    /// Lines about what was done beside them.
    pub notes: Vec<CheckLine>,
    pub realm_id: Option<String>,
    pub time_zone: Option<String>,
}

impl FoundCompany {
    /// Adds the lines that are missing, with the reason why nothing was looked at.
    fn skip(mut self, reason: &str) -> Self {
        let rest = NAMES.iter().skip(self.lines.len());
        let rest: Vec<_> = rest.map(|name| CheckLine::skipped(name, reason)).collect();
        self.lines.extend(rest);
        self
    }
}

/// An open token store, and what it says without its key.
struct OpenStore {
    backend: StateBackend,
    connections: Vec<ConnectionSummary>,
}

impl Look<'_> {
    /// Looks at the company that the settings name. `config` is `None` if they cannot be used.
    pub(super) async fn at(&self, config: Option<QboConfig>) -> FoundCompany {
        let mut found = FoundCompany::default();
        let Some(mut config) = config else {
            return found.skip("the settings of the app cannot be used");
        };
        // A check says that requests are held back, and does not wait with them.
        config.oauth.retry.max_throttled = Duration::ZERO;
        let (line, store) = self.store(&config).await;
        found.lines.push(line);
        let Some(store) = store else {
            return found.skip("the token store cannot be used");
        };
        config.realm_id = match self.realm_id(&store, &config) {
            Ok(realm_id) => realm_id,
            Err(error) => {
                let fix = match &store.connections[..] {
                    // A login would not say which one is meant.
                    [first, _, ..] => Some(format!("export QBO_REALM_ID={}", first.realm_id)),
                    _ => fix_of(&error, &self.app.settings),
                };
                found
                    .lines
                    .push(CheckLine::skipped("token", "no company is named"));
                found
                    .lines
                    .push(CheckLine::failed("company", error.to_string()).fix(fix));
                return found.skip("no company is named");
            }
        };
        found.realm_id = Some(config.realm_id.clone());
        if self.request.lift_pause {
            let line = lift_pause(self.database.db.as_ref(), &store.backend, &config).await;
            found.notes.push(line);
        }
        if self.request.offline {
            found.lines.push(self.stored_token(&store, &config));
            return found.skip("--offline");
        }
        self.connect(found, &store, &config).await
    }

    /// Returns the line about the token store, and the store if it can be used.
    async fn store(&self, config: &QboConfig) -> (CheckLine, Option<OpenStore>) {
        const NAME: &str = "token_store";
        let location = &config.oauth.token_store;
        let is_shared = match location {
            StoreLocation::Postgres if !self.app.settings.has_database() => {
                let text = "QBO_TOKEN_STORE says postgres, and no database is configured";
                let fix = "export DATABASE_URL=postgresql://user:password@host:5432/database";
                return (CheckLine::failed(NAME, text).fix(fix.to_owned()), None);
            }
            StoreLocation::Postgres if self.database.db.is_none() => {
                let text = "tokens are kept in the database, which cannot be reached";
                return (CheckLine::skipped(NAME, text), None);
            }
            StoreLocation::Postgres if matches!(self.database.steps, Some(Steps::Missing(_))) => {
                let text =
                    "tokens are kept in the database, whose schema qbo is of an earlier version";
                let line = CheckLine::warning(NAME, text).fix("qbo-rs db migrate".to_owned());
                return (line, None);
            }
            StoreLocation::Postgres => None,
            StoreLocation::File(path) => durable::shared_mode(path),
        };
        let opened = within_database(async {
            let settings = &self.app.settings;
            let backend = StateBackend::open(settings, location, CONNECTIONS).await?;
            let connections = backend.connections().await?;
            Ok(OpenStore {
                backend,
                connections,
            })
        });
        let store = match opened.await {
            Ok(store) => store,
            Err(error) => {
                let fix = fix_of(&error, &self.app.settings);
                return (CheckLine::failed(NAME, error.to_string()).fix(fix), None);
            }
        };
        let (place, count) = (store.backend.place(), store.connections.len());
        let line = match is_shared {
            Some(mode) => CheckLine::warning(
                NAME,
                format!("other users could open {place} (mode {mode:04o}); it was closed to them"),
            )
            .fix(format!("chmod 600 {}", shell_quote(&place))),
            None => CheckLine::ok(NAME, format!("{place}; companies in it: {count}")),
        };
        (line, Some(store))
    }

    /// Returns the company of the settings, else the only one of the token store.
    fn realm_id(&self, store: &OpenStore, config: &QboConfig) -> Result<String> {
        match self.app.settings.realm_id()? {
            Some(realm_id) => Ok(realm_id),
            None => only_of(&store.connections, &config.oauth, &store.backend.place()),
        }
    }

    /// Returns the line about the token as far as the store tells.
    fn stored_token(&self, store: &OpenStore, config: &QboConfig) -> CheckLine {
        const NAME: &str = "token";
        let mut connections = store.connections.iter();
        let known = connections.find(|known| known.realm_id == config.realm_id);
        let has_first = config.oauth.credentials.refresh_token.is_some();
        let login = || "qbo-rs auth login".to_owned();
        match known {
            Some(ConnectionSummary {
                needs_reauth: Some(reason),
                ..
            }) => {
                CheckLine::failed(NAME, format!("it does not work any more: {reason}")).fix(login())
            }
            Some(_) => CheckLine::ok(NAME, "one is stored; nothing was sent to try it"),
            None if has_first => CheckLine::ok(
                NAME,
                "QBO_REFRESH_TOKEN is set; the first command stores its successor",
            ),
            None => {
                let (place, id) = (store.backend.place(), &config.realm_id);
                let missing = Error::config("QBO_REFRESH_TOKEN", "not set");
                CheckLine::failed(NAME, format!("{place} holds no token of company {id}"))
                    .fix(fix_of(&missing, &self.app.settings))
            }
        }
    }

    /// Refreshes the token, and asks for the company.
    async fn connect(
        &self,
        mut found: FoundCompany,
        store: &OpenStore,
        config: &QboConfig,
    ) -> FoundCompany {
        let refreshed = within(async {
            let company = Company::open_at(&store.backend, config, &self.app.progress).await?;
            company.refresh().await?;
            Ok(company)
        });
        let company = match refreshed.await {
            Ok(company) => company,
            Err(error) => {
                let fix = fix_of(&error, &self.app.settings);
                found
                    .lines
                    .push(CheckLine::failed("token", error.to_string()).fix(fix));
                return found.skip("there is no token for the company");
            }
        };
        let (source, status) = company.into_parts();
        let asked = within(async {
            source.prepare().await?;
            source.company().await
        });
        let asked = asked.await;
        let connection = status.report().await;
        found.lines.push(token(store, connection.as_ref()));
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                if let Some(line) = paused(&error, &config.realm_id) {
                    found.lines.push(line);
                    return found.skip("QuickBooks asked to slow down");
                }
                let fix = fix_of(&error, &self.app.settings);
                let line = CheckLine::failed("company", error.to_string());
                found.lines.push(line.fix(fix));
                return found.skip("the company does not answer");
            }
        };
        found.lines.extend([
            name(config, &answer),
            self.plan(config, &answer).await,
            self.quota(config, status.monthly_reads().await),
            self.latency(),
            clock(answer.clock_ahead),
        ]);
        found.time_zone = answer.time_zone;
        found
    }

    async fn plan(&self, config: &QboConfig, answer: &CompanyAnswer) -> CheckLine {
        const NAME: &str = "plan";
        let plan = answer.plan.as_deref().unwrap_or("plan unknown");
        let subscription = answer
            .subscription
            .as_deref()
            .unwrap_or("subscription unknown");
        let Some(db) = &self.database.db else {
            return CheckLine::ok(NAME, format!("{plan}, {subscription}"));
        };
        let reader = StatusReader::new(db.clone(), &self.request.schema);
        let lacking = match within_database(reader.unavailable(ENTITIES)).await {
            Ok(lacking) => lacking,
            Err(error) => {
                let text = format!(
                    "{plan}, {subscription}; the entities that it lacks cannot be read: {error}"
                );
                let fix = reading_right(&error, &self.database.role);
                return CheckLine::warning(NAME, text)
                    .fix(fix.or_else(|| fix_of(&error, &self.app.settings)));
            }
        };
        let lacking = lacking
            .iter()
            .filter(|entity| entity.realm_id == config.realm_id);
        let names: Vec<&str> = lacking.map(|entity| entity.entity.as_str()).collect();
        let (all, allowed) = (ENTITIES.len(), ENTITIES.len() - names.len());
        match names.is_empty() {
            true => CheckLine::ok(
                NAME,
                format!(
                    "{plan}, {subscription}; no sync has found an entity of the {all} that it lacks"
                ),
            ),
            false => CheckLine::ok(
                NAME,
                format!(
                    "{plan}, {subscription}; {allowed} of {all} entities, without {}",
                    names.join(", ")
                ),
            ),
        }
    }

    /// Returns the line about the reads of the month, which may be out of reach.
    fn quota(&self, config: &QboConfig, reads: Result<u64>) -> CheckLine {
        const NAME: &str = "quota";
        let reads = match reads {
            Ok(reads) => reads,
            Err(error) => {
                let text = format!("the reads of this month cannot be read: {error}");
                let right = || {
                    let role = quote_identifier(&self.database.role);
                    as_owner(&format!(
                        "GRANT SELECT, INSERT, UPDATE ON qbo.admission TO {role};"
                    ))
                };
                let fix = is_refused(&error).then(right);
                return CheckLine::warning(NAME, text).fix(fix);
            }
        };
        let quota = config.monthly_quota;
        if quota == 0 {
            return CheckLine::ok(NAME, format!("{reads} reads this month; there is no quota"));
        }
        let share = reads.saturating_mul(100) / quota;
        let is_near = is_near_quota(reads, quota);
        // The texts of a check are English until they are printed.
        let [reads, quota] = [reads, quota].map(|count| number_in(Language::En, count));
        let text = format!("{reads} of {quota} reads this month ({share} %)");
        match is_near {
            true => CheckLine::warning(NAME, text)
                .fix("qbo-rs sync   # reads only what has changed".to_owned()),
            false => CheckLine::ok(NAME, text),
        }
    }

    fn latency(&self) -> CheckLine {
        const NAME: &str = "latency";
        let seen = self.requests.seen();
        let Some(latency) = seen.latency else {
            return CheckLine::skipped(NAME, "no request for data has ended");
        };
        let (sent, ms) = (seen.count, latency.as_millis());
        let text = format!("QuickBooks answers in {ms} ms; requests sent by this check: {sent}");
        match ms > SLOW_MS {
            true => CheckLine::warning(NAME, text),
            false => CheckLine::ok(NAME, text),
        }
    }
}

fn token(store: &OpenStore, connection: Option<&ConnectionReport>) -> CheckLine {
    const NAME: &str = "token";
    let place = store.backend.place();
    let (days, warning) = connection.map_or((None, None), |connection| {
        (connection.days_left, connection.warning.clone())
    });
    if let Some(warning) = warning {
        return CheckLine::warning(NAME, warning).fix("qbo-rs auth login".to_owned());
    }
    CheckLine::ok(
        NAME,
        match days {
            Some(days) => format!("works; ends after {days} days without use; kept in {place}"),
            None => format!("works; kept in {place}"),
        },
    )
}

fn name(config: &QboConfig, answer: &CompanyAnswer) -> CheckLine {
    let name = answer.name.as_deref().unwrap_or("a company without a name");
    let country = answer.country.as_deref().unwrap_or("country unknown");
    let id = &config.realm_id;
    CheckLine::ok("company", format!("{name} ({id}), {country}"))
}

fn clock(ahead: Option<TimeDelta>) -> CheckLine {
    const NAME: &str = "clock";
    let Some(ahead) = ahead else {
        return CheckLine::skipped(NAME, "the answer has no date");
    };
    let seconds = ahead.abs().num_seconds();
    if ahead.abs() <= MAX_SKEW {
        return CheckLine::ok(NAME, format!("{seconds} s from that of QuickBooks"));
    }
    let text = match ahead > TimeDelta::zero() {
        true => format!("this machine is {seconds} s behind QuickBooks"),
        false => format!("this machine is {seconds} s ahead of QuickBooks"),
    };
    CheckLine::warning(NAME, text).fix("sudo timedatectl set-ntp true".to_owned())
}

/// Returns the line about time zones, which change nothing: ranges and windows are UTC. A zone that could
/// not be asked for is left out.
pub(super) fn time_zones(database: Option<&str>, company: Option<&str>) -> CheckLine {
    let here = crate::clock::now().with_timezone(&Local).format("UTC%:z");
    let text = match (database, company) {
        (Some(database), Some(company)) => format!(
            "ranges are UTC; this machine {here}, Postgres {database}, the company {company}"
        ),
        (Some(database), None) => {
            format!("ranges are UTC; this machine {here}, Postgres {database}")
        }
        (None, Some(company)) => {
            format!("ranges are UTC; this machine {here}, the company {company}")
        }
        (None, None) => format!("ranges are UTC; this machine {here}"),
    };
    CheckLine::ok("time_zone", text)
}
