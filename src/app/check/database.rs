//! The lines about the database. It is only read.

use super::fix::{as_owner, fix_of, reading_right};
use super::report::CheckLine;
use super::within_database as within;
use crate::config::Settings;
use crate::domain::ENTITIES;
use crate::error::Result;
use crate::postgres::migrations::{Steps, steps};
use crate::postgres::rights::is_refused;
use crate::postgres::survey::{DatabaseFacts, check, grant_in};
use crate::postgres::{Db, place};
use crate::sink::postgres::survey;
use crate::store::Schemas;

/// Connections of the check.
const CONNECTIONS: usize = 1;
/// The reason of lines that need the operational tables.
const UNREADABLE: &str = "the role may not read the tables of the schema qbo";
/// The encoding that holds every letter.
const ENCODING: &str = "UTF8";

/// Everything that was found about the database.
pub(super) struct Found {
    pub lines: Vec<CheckLine>,
    /// The database, if it can be reached.
    pub db: Option<Db>,
    /// The steps of its operational tables, if they are known.
    pub steps: Option<Steps>,
    /// Role that has connected.
    pub role: String,
    /// Time zone of its sessions.
    pub time_zone: Option<String>,
    /// The reason why there is no database.
    reason: &'static str,
}

/// Looks at the database that the settings name.
pub(super) async fn look(settings: &Settings, schema: &str) -> Found {
    let mut found = Found {
        lines: Vec::new(),
        db: None,
        steps: None,
        role: String::new(),
        time_zone: None,
        reason: "no database is configured",
    };
    let connected = match settings.has_database() {
        true => within(connect(settings)).await,
        false => {
            let line = CheckLine::skipped("database", found.reason);
            let fix = "export DATABASE_URL=postgresql://user:password@host:5432/database";
            found.lines.push(line.fix(fix.to_owned()));
            found.skip();
            return found;
        }
    };
    let (db, facts) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            let fix = fix_of(&error, settings);
            let line = CheckLine::failed("database", error.to_string());
            found.lines.push(line.fix(fix));
            found.reason = "the database cannot be reached";
            found.skip();
            return found;
        }
    };
    found.lines.push(reached(settings, &facts));
    found.lines.push(encoding(&facts));
    found.lines.push(rights(&db, schema, &facts).await);
    let looked = within(steps(&db)).await;
    found.lines.push(migrations(&looked, &facts.role));
    found.steps = looked.ok();
    found.role = facts.role;
    found.time_zone = Some(facts.time_zone);
    found.db = Some(db);
    found
}

impl Found {
    fn skip(&mut self) {
        let names = ["encoding", "rights", "migrations"];
        let lines = names.map(|name| CheckLine::skipped(name, self.reason));
        self.lines.extend(lines);
    }
}

async fn connect(settings: &Settings) -> Result<(Db, DatabaseFacts)> {
    let db = Db::open(&settings.postgres()?, CONNECTIONS).await?;
    let facts = DatabaseFacts::of(&db).await?;
    Ok((db, facts))
}

fn reached(settings: &Settings, facts: &DatabaseFacts) -> CheckLine {
    let place = settings
        .postgres()
        .and_then(|config| place(&config))
        .unwrap_or_default();
    let version = &facts.version;
    CheckLine::ok(
        "database",
        match &facts.tls {
            Some(tls) => format!("Postgres {version} at {place}, over {tls}"),
            None => format!("Postgres {version} at {place}, without TLS"),
        },
    )
}

fn encoding(facts: &DatabaseFacts) -> CheckLine {
    const NAME: &str = "encoding";
    let DatabaseFacts {
        encoding, database, ..
    } = facts;
    if encoding == ENCODING {
        return CheckLine::ok(NAME, encoding.as_str());
    }
    CheckLine::failed(
        NAME,
        format!("'{database}' has the encoding {encoding}, which does not hold every letter that QuickBooks has in names"),
    )
    .fix("CREATE DATABASE books ENCODING 'UTF8' TEMPLATE template0;".to_owned())
}

async fn rights(db: &Db, schema: &str, facts: &DatabaseFacts) -> CheckLine {
    const NAME: &str = "rights";
    let role = &facts.role;
    if facts.encoding == ENCODING
        && let Err(error) = within(check(db)).await
    {
        let text = error.to_string();
        // A right that is missing is looked for with all others.
        if grant_in(&text).is_none() {
            return CheckLine::failed(NAME, text);
        }
    }
    match within(survey(db, schema, ENTITIES)).await {
        Ok(None) => CheckLine::ok(
            NAME,
            format!("the role {role} may load into the schema {schema}"),
        ),
        Ok(Some(obstacle)) => {
            let make = match obstacle.is_partial {
                true => CheckLine::warning,
                false => CheckLine::failed,
            };
            make(NAME, obstacle.reason).fix(obstacle.fix.as_deref().map(as_owner))
        }
        Err(error) => CheckLine::failed(NAME, error.to_string()),
    }
}

fn migrations(steps: &Result<Steps>, role: &str) -> CheckLine {
    const NAME: &str = "migrations";
    match steps {
        Ok(Steps::None) => CheckLine::ok(
            NAME,
            "the schema qbo is not there yet; the first load makes it",
        ),
        Ok(Steps::Complete) => CheckLine::ok(NAME, "the tables of the schema qbo are up to date"),
        Ok(Steps::Missing(names)) => {
            let count = names.len();
            let names = names.join(", ");
            CheckLine::warning(
                NAME,
                format!("an earlier version has made the schema qbo; steps that it lacks: {count} ({names})"),
            )
            .fix("qbo-rs db migrate".to_owned())
        }
        Ok(Steps::Later(number)) => CheckLine::warning(
            NAME,
            format!("a later version of qbo_rs has upgraded the schema qbo, to step {number}"),
        )
        .fix("pip install --upgrade qbo_rs".to_owned()),
        Err(error) if is_refused(error) => {
            CheckLine::warning(NAME, UNREADABLE).fix(reading_right(error, role))
        }
        Err(error) => CheckLine::failed(NAME, error.to_string()),
    }
}

/// Returns the line about the company of a schema.
pub(super) async fn schema(found: &Found, schema: &str, realm_id: Option<&str>) -> CheckLine {
    const NAME: &str = "schema";
    let Some(db) = &found.db else {
        return CheckLine::skipped(NAME, found.reason);
    };
    let free = || {
        CheckLine::ok(
            NAME,
            format!("{schema} is free for the first company that is loaded into it"),
        )
    };
    if matches!(found.steps, None | Some(Steps::None)) {
        return match found.steps {
            None => CheckLine::skipped(NAME, "the steps of the schema qbo could not be read"),
            Some(_) => free(),
        };
    }
    match (within(Schemas::new(db.clone()).company_of(schema)).await, realm_id) {
        (Ok(None), _) => free(),
        (Ok(Some(holder)), Some(realm_id)) if holder != realm_id => CheckLine::warning(
            NAME,
            format!("{schema} holds company {holder}; `qbo-rs sync` loads company {realm_id} into a schema of its own"),
        )
        .fix(format!("--schema raw_{realm_id}   # with other commands than sync")),
        (Ok(Some(holder)), _) => CheckLine::ok(NAME, format!("{schema} holds company {holder}")),
        (Err(error), _) => {
            let fix = reading_right(&error, &found.role);
            CheckLine::failed(NAME, error.to_string()).fix(fix)
        }
    }
}
