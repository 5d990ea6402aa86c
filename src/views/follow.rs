//! The triggers by which tables follow what they are made from: the raw tables, the company of the
//! schema, and webhooks that say what was merged.
//!
//! A trigger cannot be forgotten by a path of this program, nor by a foreign writer, and ends with
//! the transaction that fired it. It gathers the ids that a statement has touched, and makes their
//! rows anew from the raw table as it is then, whatever other triggers have changed meanwhile. The
//! lock on a record's raw row, which its writer holds until it commits, keeps two writers from the
//! rows of one record.
//!
//! The functions run with the rights of their owner, so that a loading role needs none on the
//! tables; their search path is pinned, and nobody may call them.

use ring::digest::{SHA256, digest};

use super::cast::literal;
use super::definition::{MARK, digest_of, mark_of};
use super::entity::is_mergeable;
use super::fill::fill;
use super::source::Source;
use super::table::{OURS, Table};
use crate::postgres::{DEFAULT_SCHEMA, quote_identifier, table_name};

/// Records that are refreshed at once: a statement may touch millions, and their lines are in memory.
const SLICE: u32 = 2_000;

/// Longest name that Postgres keeps.
const LONGEST_NAME: usize = 63;

/// Settings of the functions that make rows anew. Whatever the statistics say, which are old while
/// tables fill, rows are found by the index of `id`. The plan is made once a session.
const PLANNER_SETTINGS: [(&str, &str); 7] = [
    ("enable_seqscan", "off"),
    ("enable_indexscan", "on"),
    ("enable_bitmapscan", "on"),
    ("enable_nestloop", "on"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("work_mem", "'32MB'"),
];

/// The rows that a statement has made or changed, and how they were before.
const EVENTS: [(&str, &str); 4] = [
    ("insert", "REFERENCING NEW TABLE AS qbo_new "),
    (
        "update",
        "REFERENCING OLD TABLE AS qbo_old NEW TABLE AS qbo_new ",
    ),
    ("delete", "REFERENCING OLD TABLE AS qbo_old "),
    ("truncate", ""),
];

/// Failures that pass, or that the caller has asked for, keep their state.
const PASSES: &str = "transaction_rollback OR insufficient_resources OR operator_intervention OR system_error \
     OR lock_not_available OR read_only_sql_transaction";

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    /// Name without the schema.
    pub name: String,
    /// Comment with its mark.
    pub comment: String,
    /// Statements that make or replace it.
    pub sql: String,
}

/// The functions and triggers that keep tables fresh.
#[derive(Debug, Clone, Copy)]
pub(super) struct Followers<'a> {
    /// Schema of the raw tables.
    pub schema: &'a str,
    /// Schema of the tables.
    pub into: &'a str,
    /// All tables.
    pub tables: &'a [Table<'a>],
    /// All entities.
    pub sources: &'a [Source<'a>],
}

impl<'a> Followers<'a> {
    /// Returns the tables that hold rows of an entity.
    pub(super) fn tables_of(&self, source: &Source<'_>) -> Vec<&'a Table<'a>> {
        let tables = self.tables.iter();
        tables
            .filter(|table| !table.parts_of(source).is_empty())
            .collect()
    }

    /// Returns the functions of an entity.
    pub(super) fn functions_of(&self, source: &Source<'_>) -> [Function; 2] {
        [self.refresh(source), self.follow(source)]
    }

    /// Makes the rows of some records anew. New ones have no rows yet, unless a trigger of others has
    /// changed them meanwhile.
    fn refresh(&self, source: &Source<'_>) -> Function {
        let tables = self.tables_of(source);
        let mut own = tables.iter();
        let own = own.find(|table| table.view.name == source.entity.name);
        let own = own.map_or(String::new(), |table| {
            format!(
                "IF NOT are_new OR EXISTS (SELECT FROM {} AS t WHERE t.id = ANY (changed_ids)) THEN\n",
                table.name()
            )
        });
        let deletes = tables.iter();
        let deletes: String = deletes
            .map(|table| table.delete(source, Some("t.id = ANY (changed_ids)")))
            .collect();
        let end = if own.is_empty() { "" } else { "END IF;\n" };
        let body = format!("BEGIN\n{own}{deletes}{end}{}END", fill(source, &tables));
        let settings = PLANNER_SETTINGS.map(|(name, value)| format!("SET {name} = {value}"));
        self.function(
            &self.refresh_name(source),
            "changed_ids text[], are_new boolean",
            "void",
            &settings.join(" "),
            &body,
        )
    }

    /// Returns the statements that fill tables of an entity, which have no rows of it yet. The records
    /// are found in the order in which they were stored, and taken apart like those of a trigger.
    pub(super) fn first_fill(&self, source: &Source<'_>, tables: &[&Table<'_>]) -> String {
        let settings =
            PLANNER_SETTINGS.map(|(name, value)| format!("SET LOCAL {name} = {value};\n"));
        format!(
            "{}SET LOCAL enable_seqscan = on;\nDO $qbo_rs$\nDECLARE changed_ids text[];\nBEGIN\n\
             FOR changed_ids IN SELECT array_agg(s.id) FROM (\n\
             SELECT r.id, (row_number() OVER () - 1) / {SLICE} AS slice FROM {}\n) AS s GROUP BY s.slice LOOP\n\
             PERFORM set_config('enable_seqscan', 'off', true);\n{}END LOOP;\nEND\n$qbo_rs$;\n",
            settings.concat(),
            table_name(self.schema, source.entity) + " AS r",
            fill(source, tables)
        )
    }

    /// Gathers the ids of the records that a statement has touched.
    fn follow(&self, source: &Source<'_>) -> Function {
        let raw = table_name(self.schema, source.entity);
        // Only a partition may have been truncated.
        let gone = format!("NOT EXISTS (SELECT FROM {raw} AS r WHERE r.id = t.id)");
        let tables = self.tables_of(source).into_iter();
        let emptied: String = tables
            .map(|table| table.delete(source, Some(&gone)))
            .collect();
        let lock = match is_mergeable(source.entity) {
            // A webhook that says at the same moment that the record was merged does not see its row.
            true => format!(
                "IF TG_OP IN ('INSERT', 'UPDATE') THEN\n\
                 IF EXISTS (SELECT FROM qbo_new WHERE deleted_at_utc IS NOT NULL) THEN\n\
                 PERFORM pg_advisory_xact_lock_shared({});\nEND IF;\nEND IF;\n",
                self.merges_key()
            ),
            false => String::new(),
        };
        let body = format!(
            "DECLARE changed_ids text[];\nBEGIN\nCASE TG_OP\n\
             WHEN 'INSERT' THEN changed_ids := ARRAY(SELECT id FROM qbo_new);\n\
             WHEN 'UPDATE' THEN changed_ids := ARRAY(SELECT id FROM qbo_new UNION SELECT id FROM qbo_old);\n\
             WHEN 'DELETE' THEN changed_ids := ARRAY(SELECT id FROM qbo_old);\n\
             ELSE\n{emptied}RETURN NULL;\nEND CASE;\n{lock}\
             FOR place IN 1 .. cardinality(changed_ids) BY {SLICE} LOOP\n\
             PERFORM {}(changed_ids[place : place + {}], TG_OP = 'INSERT');\nEND LOOP;\nRETURN NULL;\n{}END",
            self.function_name(&self.refresh_name(source)),
            SLICE - 1,
            self.explained(&raw),
        );
        let name = format!("{OURS}follow_{}", source.entity.name);
        self.function(&name, "", "trigger", "", &body)
    }

    /// Adds to an error what cannot follow, and what helps.
    fn explained(&self, table: &str) -> String {
        let mut flags = String::new();
        if self.schema != DEFAULT_SCHEMA {
            flags.push_str(&format!(" --schema {}", self.schema));
        }
        if self.into != super::ViewStyle::Books.default_into() {
            flags.push_str(&format!(" --into {}", self.into));
        }
        let cause = literal(&format!(
            "the tables in {} cannot follow {table}: ",
            self.into
        ));
        let help = literal(&format!(
            "; nothing was stored; `qbo-rs db views --materialize{flags}` mends the tables, and \
             `qbo-rs db views --materialize=false{flags}` turns them back into views"
        ));
        format!(
            "EXCEPTION\nWHEN {PASSES} THEN RAISE;\nWHEN OTHERS THEN\n\
             RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',\n\
             MESSAGE = {cause} || SQLERRM || {help};\n"
        )
    }

    /// Writes the id of a company that the schema is bound to later.
    pub(super) fn follow_company(&self) -> Function {
        let schema = literal(self.schema);
        let realm_id = format!(
            "(SELECT s.realm_id FROM qbo.schema_realms AS s WHERE s.schema_name = {schema})"
        );
        let updates = self.tables.iter().map(|table| {
            format!(
                "UPDATE {} SET realm_id = {realm_id} WHERE realm_id IS DISTINCT FROM {realm_id};\n",
                table.name()
            )
        });
        let updates: String = updates.collect();
        let body = format!(
            "BEGIN\nIF TG_OP = 'TRUNCATE' OR {schema} IN (OLD.schema_name, NEW.schema_name) THEN\n\
             {updates}END IF;\nRETURN NULL;\n{}END",
            self.explained("qbo.schema_realms")
        );
        self.function(&format!("{OURS}follow_company"), "", "trigger", "", &body)
    }

    /// Marks records as merged, or not any more, as webhooks come and go. Rows that are written at
    /// the same moment are waited for: those that are there by their locks, new ones by that of all
    /// who write deleted ones. An event is stored in any case: the next load says what is wrong.
    pub(super) fn follow_merges(&self) -> Function {
        let merged = |events: &str| {
            format!(
                "SELECT e.entity, gone.id FROM {events} AS e CROSS JOIN LATERAL (VALUES \
                 (e.event #>> '{{data,deletedId}}'), (e.event ->> 'deletedId'), \
                 (e.event ->> 'deletedID')) AS gone(id)\n\
                 WHERE e.operation IN ('merge', 'merged') AND gone.id IS NOT NULL"
            )
        };
        let (old, new) = (merged("qbo_old"), merged("qbo_new"));
        let gather = |query: &str| {
            format!(
                "SELECT array_agg(m.entity), array_agg(m.id) INTO entities, merged_ids FROM ({query}) AS m;\n"
            )
        };
        let both = format!("({new} EXCEPT {old}) UNION ({old} EXCEPT {new})");
        let mut body = format!(
            "DECLARE\nentities text[];\nmerged_ids text[];\nchanged_ids text[];\nBEGIN\nCASE TG_OP\n\
             WHEN 'INSERT' THEN {}WHEN 'UPDATE' THEN {}WHEN 'DELETE' THEN {}ELSE NULL;\nEND CASE;\n\
             IF entities IS NULL AND TG_OP <> 'TRUNCATE' THEN RETURN NULL; END IF;\n",
            gather(&new),
            gather(&both),
            gather(&old),
        );
        for source in self.mergeable() {
            let (entity, table) = (source.entity, table_name(self.schema, source.entity));
            let own = format!(
                "{}.{}",
                quote_identifier(self.into),
                quote_identifier(entity.name)
            );
            body.push_str(&format!(
                "IF TG_OP = 'TRUNCATE' THEN changed_ids := ARRAY(SELECT id FROM {own} WHERE is_merged);\n\
                 ELSE changed_ids := ARRAY(SELECT m.id FROM unnest(entities, merged_ids) AS m(entity, id) \
                 WHERE m.entity = {});\nEND IF;\nIF cardinality(changed_ids) > 0 THEN\n\
                 PERFORM 1 FROM {table} AS r WHERE r.id = ANY (changed_ids) ORDER BY r.id FOR NO KEY UPDATE;\n\
                 PERFORM pg_advisory_xact_lock({});\nPERFORM {}(changed_ids, false);\nEND IF;\n",
                literal(entity.name),
                self.merges_key(),
                self.function_name(&self.refresh_name(&source)),
            ));
        }
        body.push_str(&format!(
            "RETURN NULL;\nEXCEPTION\nWHEN {PASSES} THEN RAISE;\nWHEN OTHERS THEN\n\
             RAISE WARNING 'the event is stored; %', SQLERRM;\nRETURN NULL;\nEND"
        ));
        self.function(&format!("{OURS}follow_merges"), "", "trigger", "", &body)
    }

    /// Returns the entities whose records say whether they were merged.
    pub(super) fn mergeable(&self) -> Vec<Source<'a>> {
        let sources = self.sources.iter().copied();
        sources
            .filter(|source| is_mergeable(source.entity))
            .collect()
    }

    /// Number of the lock between those who write deleted records and webhooks of merges.
    fn merges_key(&self) -> i64 {
        let hash = digest(&SHA256, format!("qbo_rs merges {}", self.schema).as_bytes());
        let bytes = hash.as_ref().iter().take(8);
        bytes.fold(0, |key, byte| (key << 8) | i64::from(*byte))
    }

    /// Returns the names of the triggers of a table, and the statements that make them. They run in
    /// sessions that replicate too, which restores and other tools use.
    pub(super) fn triggers(&self, table: &str, function: &Function) -> Vec<(String, String)> {
        let calls = self.function_name(&function.name);
        let trigger = |event: &str, rows: &str, each: &str| {
            let mut name = format!("{OURS}{event}_{}", self.into);
            if name.len() > LONGEST_NAME {
                name = format!("{OURS}{event}_{}", digest_of(self.into));
            }
            let quoted = quote_identifier(&name);
            let event = event.replace("change", "INSERT OR UPDATE OR DELETE");
            let sql = format!(
                "CREATE TRIGGER {quoted} AFTER {} ON {table} {rows}FOR EACH {each} EXECUTE FUNCTION {calls}();\n\
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER {quoted};\n",
                event.to_uppercase()
            );
            (name, sql)
        };
        match function.name.ends_with("_company") {
            true => vec![
                trigger("change", "", "ROW"),
                trigger("truncate", "", "STATEMENT"),
            ],
            false => EVENTS
                .iter()
                .map(|(event, rows)| trigger(event, rows, "STATEMENT"))
                .collect(),
        }
    }

    fn refresh_name(&self, source: &Source<'_>) -> String {
        format!("{OURS}renew_{}", source.entity.name)
    }

    fn function_name(&self, name: &str) -> String {
        format!("{}.{}", quote_identifier(self.into), quote_identifier(name))
    }

    fn function(
        &self,
        name: &str,
        arguments: &str,
        returns: &str,
        settings: &str,
        body: &str,
    ) -> Function {
        let full = format!("{}({arguments})", self.function_name(name));
        let create = format!(
            "CREATE OR REPLACE FUNCTION {full} RETURNS {returns}\nLANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = pg_catalog, pg_temp {settings}\nAS $qbo_rs$\n{body}\n$qbo_rs$;\n\
             REVOKE ALL ON FUNCTION {full} FROM PUBLIC;\n"
        );
        let comment = format!(
            "Keeps the tables of this schema equal to their views.\n{}{}]",
            mark_of(MARK, self.schema),
            digest_of(&create)
        );
        Function {
            name: name.to_owned(),
            sql: format!(
                "{create}COMMENT ON FUNCTION {full} IS {};\n",
                literal(&comment)
            ),
            comment,
        }
    }
}
