//! Status: what is committed, what is missing and what failed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::advice::Companies;
use super::health::{
    EntityFacts, Left, books_findings, connection_findings, is_held_up, judge, never_read,
    nothing_loaded, only_different,
};
use super::request::{default_schema, setters};
use super::{App, CompanyReport, select_or_all};
use crate::domain::{Finding, LedgerWindowStatus, Level, Reason, Window, level_of};
use crate::error::Result;
use crate::postgres::Db;
use crate::sink::postgres::{DEFAULT_SCHEMA, check_name};
use crate::store::{
    Different, EntityStatus, SchemaDrift, Schemas, StatusReader, SyncUnderWay, TieOut,
    UnavailableEntity, UnreadEntity, different_entities, latest_tie_outs, schema_drift,
    syncs_under_way,
};

/// A request for the state of a schema.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StatusRequest {
    /// Entities; default: all in the ledger
    #[cfg_attr(feature = "cli", arg(value_name = "ENTITY"))]
    pub entities: Vec<String>,
    /// The range to look for gaps in; by default from the first committed instant on.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub range: Option<Window>,
    /// Check the tables with docs/validation.sql; the exit code is 1 if anything is wrong
    #[cfg_attr(feature = "cli", arg(long))]
    pub validate: bool,
    /// Schema of the raw tables
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    pub schema: String,
}

impl Default for StatusRequest {
    fn default() -> Self {
        Self {
            entities: Vec::new(),
            range: None,
            validate: false,
            schema: default_schema(),
        }
    }
}

setters!(StatusRequest {
    entities: Vec<String>,
    range: Option<Window>,
    validate: bool,
    schema: String,
});

/// The state of a schema.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// The schema.
    pub schema: String,
    /// The command that goes on, if nothing needs somebody; `None` if it would not work, or not here.
    #[serde(skip)]
    pub next: Option<String>,
    /// The degree to which anything needs somebody: the worst of all findings.
    pub level: Level,
    /// Findings beside those of the entities below: about the connection, the books, entities that were
    /// never read.
    pub findings: Vec<Finding>,
    /// Name of the company, if its records say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Its entities.
    pub entities: Vec<EntityStatus>,
    /// Entities that the company does not have, as far as syncs have found out.
    pub unavailable: Vec<UnavailableEntity>,
    /// Entities that syncs have begun with, and never read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never_read: Vec<UnreadEntity>,
    /// Other schemas of raw tables, each with a status of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_schemas: Vec<String>,
    /// Entities that differ from QuickBooks, as far as `verify` has found and nothing has taken back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Different>,
    /// Syncs that go on, and those that died.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub syncs: Vec<SyncUnderWay>,
    /// The differences between their records and the table of fields.
    pub schema_drift: Vec<SchemaDrift>,
    /// The last comparison of the books with QuickBooks's reports, by basis.
    pub books: Vec<TieOut>,
    /// The stored connections; empty without settings of an app.
    pub accounts: Vec<CompanyReport>,
}

impl App {
    /// Returns what is committed, missing and failed in a schema. Only the database is asked.
    ///
    /// # Errors
    /// Returns errors of the settings, if those of an app are set, and of the database.
    pub async fn status(&self, request: &StatusRequest) -> Result<StatusReport> {
        let entities = select_or_all(&request.entities)?;
        let postgres = self.settings.postgres()?;
        check_name(&request.schema)?;
        let db = Db::open(&postgres, 2).await?;
        let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
        let schema_drift = schema_drift(&db, Some(&request.schema), &names).await?;
        let books = latest_tie_outs(&db, Some(&request.schema)).await?;
        let syncs = syncs_under_way(&db, Some(&request.schema)).await?;
        let mut differences = different_entities(&db, Some(&request.schema)).await?;
        differences.retain(|found| names.contains(&&*found.entity));
        let reader = StatusReader::new(db.clone(), &request.schema);
        let never_read = reader.unread(&entities).await?;
        let unavailable = reader.unavailable(&entities).await?;
        let company = reader.company_name().await?;
        let other_schemas = reader.other_schemas().await?;
        let entities = reader
            .status(&entities, request.range, request.validate)
            .await?;
        // The state of the tables needs no settings of an app.
        let accounts = match self.settings.has_app() {
            true => self.auth_status().await?.accounts,
            false => Vec::new(),
        };
        let mut report = StatusReport {
            schema: request.schema.clone(),
            next: None,
            level: Level::default(),
            findings: Vec::new(),
            company,
            entities,
            unavailable,
            never_read,
            other_schemas,
            differences,
            syncs,
            schema_drift,
            books,
            accounts,
        };
        let now = crate::clock::now();
        report.judge(now);
        let companies = Companies::known(&self.settings, &report.accounts, &db).await?;
        report.name_companies(&companies, now);
        report.next = match self.settings.has_app() {
            true => report.next_sync(&db).await?,
            false => None,
        };
        Ok(report)
    }
}

impl StatusReport {
    /// Judges what is known: sets the levels, and the findings behind them.
    pub(crate) fn judge(&mut self, now: DateTime<Utc>) {
        let is_held_up = is_held_up(self.connections(), now);
        let Self {
            schema,
            differences,
            syncs,
            ..
        } = self;
        for entity in &mut self.entities {
            let is_syncing = syncs.iter().any(|sync| sync.reads(schema, &entity.entity));
            for window in &mut entity.unfinished {
                window.is_under_way |= is_syncing && window.status == LedgerWindowStatus::Running;
            }
            let different = differences
                .iter()
                .find(|found| found.entity == entity.entity);
            let facts = EntityFacts {
                schema,
                is_syncing,
                is_held_up,
                different,
                ..facts(entity)
            };
            entity.findings = judge(&facts, now);
            entity.level = level_of(&entity.findings);
        }
        self.findings = self.other_findings(now);
        let levels = self.entities.iter().map(|entity| entity.level);
        let levels = levels.chain([level_of(&self.findings)]);
        self.level = levels.max().unwrap_or_default();
    }

    /// Names the company in commands that need it where several are known.
    fn name_companies(&mut self, companies: &Companies, now: DateTime<Utc>) {
        for entity in &mut self.entities {
            for finding in &mut entity.findings {
                companies.name_in(finding, &entity.realm_id);
            }
        }
        let Some(realm_id) = self.realm_id().map(str::to_owned) else {
            // Nobody knows yet whose records come into the schema.
            let is_named = companies.are_several() && self.findings.iter().any(is_nothing_loaded);
            if is_named {
                self.findings = vec![nothing_loaded(DEFAULT_SCHEMA, now)];
            }
            return;
        };
        for finding in &mut self.findings {
            companies.name_in(finding, &realm_id);
        }
    }

    /// Returns the command that keeps the schema in step; `None` if syncs go into another one.
    async fn next_sync(&self, db: &Db) -> Result<Option<String>> {
        let Some(entity) = self.entities.first() else {
            return Ok(None);
        };
        let schemas = Schemas::new(db.clone());
        let target = schemas.bound_schema(&entity.realm_id).await?;
        let is_here = target.as_ref() == Some(&self.schema);
        Ok(is_here.then(|| "qbo-rs sync --every 5m".to_owned()))
    }

    /// Returns the findings that are about none of the entities of the report.
    fn other_findings(&self, now: DateTime<Utc>) -> Vec<Finding> {
        let connections = self.connections();
        let mut findings: Vec<Finding> = connections
            .flat_map(|account| connection_findings(account, now))
            .collect();
        findings.extend(books_findings(&self.books, now));
        let is_listed = |name: &str| self.entities.iter().any(|entity| entity.entity == name);
        let unlisted = self
            .differences
            .iter()
            .filter(|found| !is_listed(&found.entity));
        findings.extend(unlisted.map(|found| only_different(found, now)));
        let is_held_up = is_held_up(self.connections(), now);
        findings.extend(
            self.left()
                .map(|entity| never_read(entity, is_held_up, now)),
        );
        if self.entities.is_empty() && self.never_read.is_empty() && self.syncs.is_empty() {
            findings.push(nothing_loaded(&self.schema, now));
        }
        findings
    }

    /// Returns the entities that no sync has read although one began with them, and that none reads now.
    pub(crate) fn left(&self) -> impl Iterator<Item = &str> {
        let unread = self.never_read.iter().map(|unread| &*unread.entity);
        unread.filter(|entity| {
            !self
                .syncs
                .iter()
                .any(|sync| sync.reads(&self.schema, entity))
        })
    }

    /// Returns the connections of the company of the schema; all if the schema is of none yet.
    pub(crate) fn connections(&self) -> impl Iterator<Item = &CompanyReport> {
        let realm_id = self.realm_id();
        let accounts = self.accounts.iter();
        accounts.filter(move |account| realm_id.is_none_or(|id| account.account.realm_id == id))
    }

    /// Returns the company of the schema, if anything in it says whose it is.
    fn realm_id(&self) -> Option<&str> {
        let read = self.entities.first().map(|entity| &entity.realm_id);
        let begun = self.never_read.first().map(|entity| &entity.realm_id);
        let lacked = self.unavailable.first().map(|entity| &entity.realm_id);
        let books = self.books.first().map(|books| &books.realm_id);
        read.or(begun).or(lacked).or(books).map(String::as_str)
    }
}

fn is_nothing_loaded(finding: &Finding) -> bool {
    matches!(finding.reason, Reason::NothingLoaded)
}

/// Returns what an entity's status says about it.
fn facts(entity: &EntityStatus) -> EntityFacts<'_> {
    let of_status = |status| {
        let open = entity.unfinished.iter();
        let of_status = open.filter(|window| window.status == status && !window.is_under_way);
        of_status.count() as u64
    };
    let left = entity.unfinished.iter().filter_map(|window| {
        let is_left = window.status != LedgerWindowStatus::Stuck
            && !window.is_under_way
            && !window.is_of_sync;
        let range = Window {
            start: window.start,
            end: window.end,
        };
        let longest = window.end - window.start;
        is_left.then_some(Left { range, longest })
    });
    let sync = entity.last_sync.as_ref();
    let wrong = entity.checks.iter().filter(|check| check.wrong > 0);
    let (unfinished, wrong): (Vec<_>, Vec<_>) =
        wrong.partition(|check| check.name == "unfinished_windows");
    EntityFacts {
        entity: &entity.entity,
        stuck: of_status(LedgerWindowStatus::Stuck),
        failed: of_status(LedgerWindowStatus::Failed),
        abandoned: of_status(LedgerWindowStatus::Running),
        left: left.reduce(Left::and),
        last_run: entity.last_run.as_ref(),
        last_sync: sync.map(|sync| (sync.status, sync.succeeded_at)),
        rejects: entity.rejects.unsigned_abs(),
        gaps: &entity.gaps,
        wrong_checks: wrong.len() as u64,
        has_unfinished: !unfinished.is_empty(),
        ..EntityFacts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ConnectionState, Reason};

    #[test]
    fn a_schema_that_was_never_read_is_judged_by_the_connection_of_its_own_company() {
        let unread = UnreadEntity {
            entity: "items".to_owned(),
            realm_id: "1".to_owned(),
            attempted_at: None,
            error: None,
        };
        let mut report = StatusReport {
            schema: "raw".to_owned(),
            level: Level::default(),
            findings: Vec::new(),
            company: None,
            entities: Vec::new(),
            unavailable: Vec::new(),
            never_read: vec![unread],
            other_schemas: Vec::new(),
            next: None,
            differences: Vec::new(),
            syncs: Vec::new(),
            schema_drift: Vec::new(),
            books: Vec::new(),
            accounts: vec![
                CompanyReport::of_test("1", ConnectionState::Active),
                CompanyReport::of_test("2", ConnectionState::NeedsReauth),
            ],
        };
        let reasons = |report: &mut StatusReport| {
            report.judge(DateTime::UNIX_EPOCH);
            let findings = report.findings.iter();
            findings
                .map(|found| found.reason.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(reasons(&mut report), [Reason::NeverRead]);
        // What its findings advise names this company, too.
        report.accounts[0].state = ConnectionState::NeedsReauth;
        report.judge(DateTime::UNIX_EPOCH);
        let both = ["1", "2"].map(str::to_owned);
        report.name_companies(&Companies(both.into()), DateTime::UNIX_EPOCH);
        let advised = report.findings[0].command.as_deref().unwrap();
        assert!(advised.ends_with(" --realm-id 1"), "{advised}");
        report.accounts[0].state = ConnectionState::Active;
        // One that belongs to nobody yet may become that of any of them.
        report.never_read.clear();
        assert!(reasons(&mut report).contains(&Reason::NeedsReauth));
    }
}
