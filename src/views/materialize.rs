//! Makes tables in place of views: what is there is compared, and only what differs is changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::GenericClient;

use super::View;
use super::changes::ViewChanges;
use super::definition::MARK;
use super::follow::{Followers, Function};
use super::relation::{Relation, check_is_ours, refuse_additions};
use super::source::Source;
use super::table::Table;
use crate::error::{Error, Result};
use crate::postgres::{Columns, Query, params, quote_identifier, table_name};

const FUNCTIONS: &str = include_str!("sql/follower_functions.sql");
const TRIGGERS: &str = include_str!("sql/follower_triggers.sql");
const PARTITIONS: &str = include_str!("sql/partitions.sql");

/// The tables on which every table depends, beside its raw table.
const COMPANIES: &str = "\"qbo\".\"schema_realms\"";
const WEBHOOKS: &str = "\"qbo\".\"webhook_events\"";

/// A trigger that calls one of our functions.
#[derive(Debug, PartialEq, Eq)]
struct Trigger {
    table: String,
    name: String,
    /// It runs in every session.
    runs: bool,
}

impl Trigger {
    fn drop(&self) -> String {
        format!(
            "DROP TRIGGER {} ON {};\n",
            quote_identifier(&self.name),
            self.table
        )
    }
}

/// Functions and triggers in a database.
#[derive(Debug, Default)]
pub(super) struct Installed {
    /// Comment and signature of each function, by name.
    functions: BTreeMap<String, (String, String)>,
    triggers: Vec<Trigger>,
    /// The tables that a statement can name to change a raw table, by its name.
    members: HashMap<String, Vec<String>>,
}

impl Installed {
    /// Reads what is there.
    pub(super) async fn read(
        client: &(impl GenericClient + Sync),
        schema: &str,
        into: &str,
    ) -> Result<Self> {
        let full = |schema: &str, name: &str| {
            format!("{}.{}", quote_identifier(schema), quote_identifier(name))
        };
        let mut found = Self::default();
        for row in client.rows(FUNCTIONS, params![into]).await? {
            let described = (row.column("comment")?, row.column("signature")?);
            found.functions.insert(row.column("name")?, described);
        }
        for row in client.rows(TRIGGERS, params![into]).await? {
            found.triggers.push(Trigger {
                table: full(row.column("schema")?, row.column("relation")?),
                name: row.column("name")?,
                runs: row.column("runs")?,
            });
        }
        for row in client.rows(PARTITIONS, params![schema]).await? {
            let member = full(row.column("schema")?, row.column("relation")?);
            let table = full(schema, row.column("of")?);
            found.members.entry(table).or_default().push(member);
        }
        Ok(found)
    }

    /// Returns the statements that remove everything that keeps tables fresh.
    pub(super) fn removal(&self) -> String {
        let ours = |(comment, _): &&(String, String)| comment.contains(MARK);
        let functions = self.functions.values().filter(ours);
        let drops = functions.map(|(_, signature)| format!("DROP FUNCTION {signature};\n"));
        let triggers = self.triggers.iter().map(Trigger::drop);
        triggers.chain(drops).collect()
    }

    fn has_function(&self, function: &Function) -> bool {
        let found = self.functions.get(&function.name);
        found.is_some_and(|(comment, _)| *comment == function.comment)
    }

    fn trigger(&self, table: &str, name: &str) -> Option<&Trigger> {
        let mut triggers = self.triggers.iter();
        triggers.find(|trigger| trigger.table == table && trigger.name == name)
    }
}

/// The statements, in the order of their execution.
#[derive(Debug, Default)]
struct Steps {
    /// Tables that are made, in place of what was there.
    made: HashSet<String>,
    /// Entities that are filled in anew.
    stale: HashSet<&'static str>,
    make: String,
    follow: String,
    /// The same as `follow`, for the inbox of webhooks.
    follow_webhooks: String,
    finish: String,
}

/// The functions and triggers that keep the rows of some entities fresh.
struct Wanted {
    entities: Vec<&'static str>,
    /// The functions; the triggers call the last one.
    functions: Vec<Function>,
    /// The tables that have the triggers.
    tables: Vec<String>,
}

/// Plans tables in place of the views, and what keeps them fresh. Removes from `there` what it deals
/// with.
///
/// # Errors
/// As for [`install_views`](super::install::install_views).
pub(super) fn plan(
    (schema, into): (&str, &str),
    views: &[View],
    sources: &[Source<'_>],
    installed: &Installed,
    there: &mut HashMap<String, Relation>,
    changes: &mut ViewChanges,
) -> Result<String> {
    let tables = views.iter().map(|view| Table { view, into });
    let tables: Vec<Table<'_>> = tables.collect();
    let followers = Followers {
        schema,
        into,
        tables: &tables,
        sources,
    };
    let mut steps = Steps::default();
    for table in &tables {
        plan_table(
            table,
            schema,
            there.remove(&table.view.name),
            &mut steps,
            changes,
        )?;
    }
    plan_followers(&followers, installed, &mut steps, changes)?;
    Ok(statements(&followers, &steps))
}

fn plan_table(
    table: &Table<'_>,
    schema: &str,
    relation: Option<Relation>,
    steps: &mut Steps,
    changes: &mut ViewChanges,
) -> Result<()> {
    let name = &table.view.name;
    let indexes = table.indexes();
    let Some(relation) = relation else {
        steps.make.push_str(&table.create());
        finish(table, schema, steps);
        changes.created.push(name.clone());
        return Ok(());
    };
    check_is_ours(&relation, MARK, (schema, table.into), name)?;
    let is_table = relation.kind == "r";
    if is_table
        && relation.comment == table.marked_comment(schema)
        && relation.columns == table.signatures()
    {
        let missing = indexes
            .iter()
            .filter(|(name, _)| !relation.indexes.contains(name));
        let missing: String = missing.map(|(_, sql)| sql.as_str()).collect();
        match missing.is_empty() {
            true => changes.unchanged += 1,
            false => changes.replaced.push(name.clone()),
        }
        steps.finish.push_str(&missing);
        return Ok(());
    }
    refuse_additions(&relation, table.into, name)?;
    let kind = if is_table { "TABLE" } else { "VIEW" };
    steps.make.push_str(&format!(
        "DROP {kind} {};\n{}",
        table.name(),
        table.create()
    ));
    finish(table, schema, steps);
    steps.finish.push_str(&relation.grants);
    for index in &relation.indexes_of_others {
        steps.finish.push_str(&format!("{index};\n"));
    }
    changes.replaced.push(name.clone());
    Ok(())
}

fn finish(table: &Table<'_>, schema: &str, steps: &mut Steps) {
    steps.made.insert(table.view.name.clone());
    for (_, sql) in table.indexes() {
        steps.finish.push_str(&sql);
    }
    steps.finish.push_str(&table.comments(schema));
}

/// Returns what keeps the tables fresh. What was missed without the trigger of the company may be in
/// any row, without that of webhooks in lists whose records can be merged.
fn wanted(followers: &Followers<'_>, installed: &Installed) -> Vec<Wanted> {
    let names = |sources: &[Source<'_>]| sources.iter().map(|it| it.entity.name).collect();
    let of_entity = |source: &Source<'_>| {
        let table = table_name(followers.schema, source.entity);
        Wanted {
            entities: vec![source.entity.name],
            functions: followers.functions_of(source).into(),
            tables: installed.members.get(&table).cloned().unwrap_or_default(),
        }
    };
    let mut wanted: Vec<Wanted> = followers.sources.iter().map(of_entity).collect();
    wanted.push(Wanted {
        entities: names(followers.sources),
        functions: vec![followers.follow_company()],
        tables: vec![COMPANIES.to_owned()],
    });
    let mergeable = followers.mergeable();
    if !mergeable.is_empty() {
        wanted.push(Wanted {
            entities: names(&mergeable),
            functions: vec![followers.follow_merges()],
            tables: vec![WEBHOOKS.to_owned()],
        });
    }
    wanted
}

fn plan_followers(
    followers: &Followers<'_>,
    installed: &Installed,
    steps: &mut Steps,
    changes: &mut ViewChanges,
) -> Result<()> {
    let (mut functions, mut triggers) = (HashSet::new(), HashSet::new());
    for wanted in wanted(followers, installed) {
        for function in &wanted.functions {
            refuse_others(installed, function, followers.into)?;
            functions.insert(function.name.clone());
        }
        let mut is_right = wanted.functions.iter().all(|it| installed.has_function(it));
        let mut sql: String = wanted.functions.iter().map(|it| it.sql.as_str()).collect();
        let calls = wanted.functions.last();
        for table in &wanted.tables {
            for (name, create) in calls
                .map(|it| followers.triggers(table, it))
                .unwrap_or_default()
            {
                let known = installed.trigger(table, &name);
                is_right &= known.is_some_and(|trigger| trigger.runs);
                sql.push_str(&known.map(Trigger::drop).unwrap_or_default());
                sql.push_str(&create);
                triggers.insert((table.clone(), name));
            }
        }
        if is_right {
            continue;
        }
        match wanted.tables == [WEBHOOKS] {
            true => steps.follow_webhooks = sql,
            false => steps.follow.push_str(&sql),
        }
        steps.stale.extend(wanted.entities);
    }
    let of_sources = followers.sources.iter().map(|source| source.entity.name);
    let of_sources = of_sources.filter(|name| steps.stale.contains(name));
    changes.followed = of_sources.map(ToOwned::to_owned).collect();
    for trigger in &installed.triggers {
        if !triggers.contains(&(trigger.table.clone(), trigger.name.clone())) {
            steps.make.push_str(&trigger.drop());
        }
    }
    for (name, (comment, signature)) in &installed.functions {
        if comment.contains(MARK) && !functions.contains(name) {
            steps
                .make
                .push_str(&format!("DROP FUNCTION {signature};\n"));
        }
    }
    Ok(())
}

fn refuse_others(installed: &Installed, function: &Function, into: &str) -> Result<()> {
    match installed.functions.get(&function.name) {
        Some((comment, _)) if !comment.contains(MARK) => Err(Error::config(
            format!("{into}.{}", function.name),
            "is a function that this command has not made; rename it, or make the tables in another schema with \
             --into; nothing was changed",
        )),
        _ => Ok(()),
    }
}

/// Returns all statements. Who loads meanwhile waits, so that nothing is missed between the rows that
/// are read here and the first trigger. The inbox of webhooks is locked last, and for as long as the
/// lists take whose records can be merged.
fn statements(followers: &Followers<'_>, steps: &Steps) -> String {
    let is_filled = |source: &Source<'_>, table: &Table<'_>| {
        steps.stale.contains(source.entity.name) || steps.made.contains(&table.view.name)
    };
    let mut locked = Vec::new();
    let (mut fill, mut fill_lists) = (String::new(), String::new());
    let mergeable: HashSet<&str> = followers
        .mergeable()
        .iter()
        .map(|it| it.entity.name)
        .collect();
    let mut filled = HashSet::new();
    for source in followers.sources {
        let tables = followers.tables_of(source).into_iter();
        let tables: Vec<&Table<'_>> = tables.filter(|table| is_filled(source, table)).collect();
        if tables.is_empty() {
            continue;
        }
        locked.push(source.entity);
        let fill = match mergeable.contains(source.entity.name) {
            true => &mut fill_lists,
            false => &mut fill,
        };
        for table in &tables {
            if !steps.made.contains(&table.view.name) {
                match table.is_shared() {
                    true => fill.push_str(&table.delete(source, None)),
                    false => fill.push_str(&format!("TRUNCATE {};\n", table.name())),
                }
            }
            filled.insert(table.name());
        }
        fill.push_str(&followers.first_fill(source, &tables));
    }
    let locked = followers
        .sources
        .iter()
        .filter(|it| locked.contains(&it.entity));
    let locked: Vec<String> = locked
        .map(|it| table_name(followers.schema, it.entity))
        .collect();
    let mut sql = String::new();
    if !locked.is_empty() {
        sql.push_str(&format!(
            "LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE;\n",
            locked.join(", ")
        ));
    }
    sql.push_str(&steps.make);
    sql.push_str(&steps.follow);
    sql.push_str(&fill);
    sql.push_str(&steps.follow_webhooks);
    sql.push_str(&fill_lists);
    sql.push_str(&steps.finish);
    let mut analysed: Vec<String> = filled.into_iter().collect();
    analysed.sort_unstable();
    for table in analysed {
        sql.push_str(&format!("ANALYZE {table};\n"));
    }
    sql
}
