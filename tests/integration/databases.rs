//! Databases, tables and roles as people have them: each is loaded exactly, or refused before the
//! first request with words that help.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::DateTime;
use qbo_rs::Error;
use qbo_rs::app::{
    App, ArchiveRequest, BooksRequest, LedgerRequest, MigrateRequest, StatusRequest, VerifyRequest,
};
use qbo_sandbox::Sandbox;

use crate::support::{
    Database, app, assert_complete, connect, everything, small_sandbox, syncing_app, truth,
    until_it_holds, whole_range,
};

/// The columns of a table that is right.
const COLUMNS: &str = "id text PRIMARY KEY, payload jsonb NOT NULL, ingested_at_utc timestamptz, \
    extract_window_start_utc timestamptz, extract_window_end_utc timestamptz, page_number int, \
    page_size int, request_payload jsonb, deleted_at_utc timestamptz";

async fn parts() -> (Sandbox, Database, App) {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let app = app(&sandbox, &database);
    (sandbox, database, app)
}

fn with(app: &App, name: &str, value: &str) -> App {
    let mut app = app.clone();
    app.settings.set(name, value).unwrap();
    app
}

/// Asserts that loading is refused, as bad settings are, before anything was asked of QuickBooks.
async fn refused(sandbox: &Sandbox, app: &App, entity: &str) -> String {
    let request = whole_range(&[entity], "year", 1000);
    let before = sandbox.stats();
    let error = match app.backfill(&request).await {
        Ok(report) => panic!("loaded: {:?}", report.runs[0].totals),
        Err(error) => error,
    };
    let after = sandbox.stats();
    assert_eq!(
        (after.token_requests, after.data_requests),
        (before.token_requests, before.data_requests)
    );
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    error.to_string()
}

async fn is_loaded(sandbox: &Sandbox, database: &Database, app: &App) {
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    assert_eq!(database.rows("raw.qb_items").await, truth(sandbox, "Item"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_wrong_place_is_shown_by_no_verb() {
    let (sandbox, database, app) = parts().await;
    let password = "Hidden@Word/Of?Mine#One%2";
    for setting in [
        "postgresql://etl:{}@127.0.0.1:1/d",
        "postgresql+psycopg2://etl:{}@127.0.0.1:1/d?password={}",
        "postgresql://127.0.0.1:1/d?user=etl&password={}",
        "postgresql://etl:{}@[::1]:1/d",
        "host=127.0.0.1 port=1 user=etl dbname=d password={}",
        "etl:{}@127.0.0.1/d",
        "postgresql://etl:{}",
    ] {
        let app = with(&app, "DATABASE_URL", &setting.replace("{}", password));
        let shown = [
            refused(&sandbox, &app, "items").await,
            app.status(&StatusRequest::default())
                .await
                .unwrap_err()
                .to_string(),
            format!("{:?}", app.sync(&everything(&["items"])).await.unwrap_err()),
            format!("{:?} {:?}", app.settings, app.settings.postgres().unwrap()),
        ];
        for text in shown {
            for part in ["Hidden", "Word", "Mine", "One"] {
                assert!(!text.contains(part), "{setting}: {text}");
            }
        }
    }
    for (name, value, part) in [
        (
            "PG_HOST",
            "postgresql://etl:Hidden@127.0.0.1/d",
            "DATABASE_URL",
        ),
        ("PG_HOST", "127.0.0.1:5432", "PG_PORT"),
        (
            "PG_DB",
            "postgresql://etl:Hidden@127.0.0.1/d",
            "DATABASE_URL",
        ),
        ("PG_USER", "etl:Hidden", "PG_PASSWORD"),
    ] {
        let mut app = with(&app, "DATABASE_URL", "");
        for (name, value) in [("PG_HOST", "127.0.0.1"), ("PG_DB", "d"), ("PG_USER", "etl")] {
            app.settings.set(name, value).unwrap();
        }
        let said = refused(&sandbox, &with(&app, name, value), "items").await;
        assert!(said.starts_with(&format!("{name}: ")), "{said}");
        assert!(said.contains(part) && !said.contains("Hidden"), "{said}");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_password_is_named_and_completes_a_url_from_its_setting() {
    let (sandbox, database, app) = parts().await;
    let role = database
        .with_role("GRANT CREATE ON DATABASE {database} TO {role}")
        .await;
    let without = with(&app, "DATABASE_URL", &database.url_as(&role));
    let said = refused(&sandbox, &without, "items").await;
    assert!(said.starts_with("PG_PASSWORD: not set"), "{said}");
    let wrong = with(
        &app,
        "DATABASE_URL",
        &database.url_as(&format!("{role}:secret")),
    );
    let said = refused(&sandbox, &wrong, "items").await;
    assert!(said.contains("%40") && !said.contains("secret"), "{said}");
    is_loaded(&sandbox, &database, &with(&without, "PG_PASSWORD", "x")).await;
    // The URL of an ORM behind a pooler.
    let url = format!(
        "{}?pgbouncer=true&connection_limit=1&schema=books",
        database.url
    );
    let url = url.replace("postgresql://", "postgresql+asyncpg://");
    is_loaded(&sandbox, &database, &with(&app, "DATABASE_URL", &url)).await;
    database
        .client
        .batch_execute(&format!("REASSIGN OWNED BY {role} TO CURRENT_USER"))
        .await
        .unwrap();
    database.drop_role(&role).await;
    database.drop().await;
}

/// What is between an app and its server, and counts connections.
struct Relay {
    address: std::net::SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Relay {
    async fn start(url: &str) -> Self {
        let server = place(url).split_once('/').unwrap().0.to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
        };
        let connections = relay.connections.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = tokio::net::TcpStream::connect(&server).await.unwrap();
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        relay
    }

    fn url(&self, credentials: &str, url: &str) -> String {
        let (_, rest) = place(url).split_once('/').unwrap();
        format!("postgresql://{credentials}@{}/{rest}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Returns the host, the port and the database of an address.
fn place(url: &str) -> &str {
    url.split_once('@').unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_waited_for_and_blamed_on_no_setting() {
    let (sandbox, database, app) = parts().await;
    let role = database
        .with_role(
            "GRANT CREATE ON DATABASE {database} TO {role}; ALTER ROLE {role} CONNECTION LIMIT 0",
        )
        .await;
    let app = with(&app, "DATABASE_URL", &database.url_as(&format!("{role}:x")));
    let request = whole_range(&["items"], "year", 1000);
    let error = app.backfill(&request).await.unwrap_err();
    let Error::Database {
        reason, sqlstate, ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(sqlstate.as_deref(), Some("53300"));
    assert!(reason.contains("has no connection left"), "{reason}");
    let said = error.to_string();
    assert!(
        !said.contains("PG_HOST") && !said.contains("DATABASE_URL"),
        "{said}"
    );
    assert_eq!(sandbox.stats().token_requests, 0);
    let more = format!("ALTER ROLE {role} CONNECTION LIMIT -1");
    // The server keeps no trace of an attempt that a test could wait for, and what is before it does.
    let relay = Relay::start(&database.url).await;
    let app = with(
        &app,
        "DATABASE_URL",
        &relay.url(&format!("{role}:x"), &database.url),
    );
    let raise = async {
        until_it_holds("a second attempt", || relay.connections() >= 2).await;
        database.client.batch_execute(&more).await.unwrap();
    };
    let (loaded, ()) = tokio::join!(app.backfill(&request), raise);
    assert_complete(&loaded.unwrap());
    let statement = format!("REASSIGN OWNED BY {role} TO CURRENT_USER");
    database.client.batch_execute(&statement).await.unwrap();
    database.drop_role(&role).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lacks_letters_or_cannot_be_written_is_refused_before_any_request() {
    let sandbox = small_sandbox();
    for encoding in ["LATIN1", "SQL_ASCII", "WIN1252", "EUC_JP"] {
        let options =
            format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        let database = Database::create_with(&options).await;
        let app = app(&sandbox, &database);
        let said = refused(&sandbox, &app, "items").await;
        assert!(said.contains(encoding) && said.contains("UTF8"), "{said}");
        let report = syncing_app(&sandbox, &database)
            .sync(&everything(&["items"]))
            .await;
        assert!(report.is_err_and(|error| error.to_string().contains(encoding)));
        assert!(app.migrate(&MigrateRequest::default()).await.is_err());
        let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('raw', 'qbo')";
        assert_eq!(database.number(schemas).await, 0);
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_table_is_named_and_left_alone() {
    let (sandbox, database, app) = parts().await;
    for (kind, create, drop) in [
        (
            "a view",
            "VIEW raw.qb_items AS SELECT '1'::text AS id",
            "VIEW",
        ),
        (
            "a materialised view",
            "MATERIALIZED VIEW raw.qb_items AS SELECT '1'::text AS id",
            "MATERIALIZED VIEW",
        ),
        (
            "a foreign table",
            "FOREIGN TABLE raw.qb_items (id text) SERVER afar",
            "FOREIGN TABLE",
        ),
        ("a sequence", "SEQUENCE raw.qb_items", "SEQUENCE"),
        ("a composite type", "TYPE raw.qb_items AS (id text)", "TYPE"),
    ] {
        let statements = format!(
            "CREATE SCHEMA IF NOT EXISTS raw; DROP SERVER IF EXISTS afar; \
             DROP FOREIGN DATA WRAPPER IF EXISTS afar; CREATE FOREIGN DATA WRAPPER afar; \
             CREATE SERVER afar FOREIGN DATA WRAPPER afar; CREATE {create}"
        );
        database.client.batch_execute(&statements).await.unwrap();
        let said = refused(&sandbox, &app, "items").await;
        assert!(
            said.starts_with(&format!("raw.qb_items: is {kind}, not a table")),
            "{said}"
        );
        let error = app.migrate(&MigrateRequest::default()).await.unwrap_err();
        assert!(error.to_string().contains(kind), "{error}");
        let drop = format!("DROP {drop} raw.qb_items");
        database.client.batch_execute(&drop).await.unwrap();
    }
    is_loaded(&sandbox, &database, &app).await;
    database.drop().await;
}

const FUNCTION: &str = "CREATE FUNCTION public.mine() RETURNS trigger LANGUAGE plpgsql AS \
    'BEGIN IF NEW.id = ''7'' THEN RETURN NULL; END IF; RETURN NEW; END'";

/// Statements that make a table into which records cannot be loaded exactly, with the words that
/// name it. `{role}` is the role that loads.
const OBSTACLES: [(&str, &str); 15] = [
    (
        "ALTER TABLE raw.qb_items ADD CONSTRAINT later UNIQUE (id) DEFERRABLE",
        "later",
    ),
    (
        "CREATE TRIGGER eater BEFORE INSERT ON raw.qb_items FOR EACH ROW EXECUTE FUNCTION public.mine()",
        "eater",
    ),
    (
        "CREATE TRIGGER eater BEFORE UPDATE ON raw.qb_items FOR EACH ROW EXECUTE FUNCTION public.mine()",
        "eater",
    ),
    (
        "CREATE RULE eater AS ON INSERT TO raw.qb_items WHERE NEW.id = '7' DO INSTEAD NOTHING",
        "eater",
    ),
    (
        "ALTER TABLE raw.qb_items ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY a_part ON raw.qb_items TO {role} USING (id <> '7')",
        "row-level security",
    ),
    (
        "CREATE UNIQUE INDEX names ON raw.qb_items ((payload ->> 'Name'))",
        "names",
    ),
    (
        "CREATE UNIQUE INDEX starts ON raw.qb_items (extract_window_start_utc)",
        "starts",
    ),
    ("ALTER TABLE raw.qb_items SET UNLOGGED", "UNLOGGED"),
    ("{parted}; ALTER TABLE raw.piece SET UNLOGGED", "raw.piece"),
    (
        "{parted}; CREATE UNIQUE INDEX names ON raw.piece ((payload ->> 'Name'))",
        "names",
    ),
    (
        "{parted}; CREATE UNIQUE INDEX starts ON raw.piece (extract_window_start_utc)",
        "starts",
    ),
    (
        "{parted}; ALTER TABLE raw.piece ADD CONSTRAINT later UNIQUE (id) DEFERRABLE",
        "later",
    ),
    (
        "CREATE TABLE raw.more () INHERITS (raw.qb_items)",
        "inheritance",
    ),
    (
        "REVOKE UPDATE ON raw.qb_items FROM {role}",
        "may not UPDATE",
    ),
    ("REVOKE USAGE ON SCHEMA raw FROM {role}", "USAGE"),
];

/// Statements that make the table unusual and harmless.
const HARMLESS: [&str; 11] = [
    "CREATE TRIGGER watcher AFTER INSERT OR UPDATE ON raw.qb_items FOR EACH ROW EXECUTE FUNCTION public.mine()",
    "CREATE TRIGGER off BEFORE INSERT ON raw.qb_items FOR EACH ROW EXECUTE FUNCTION public.mine(); \
     ALTER TABLE raw.qb_items DISABLE TRIGGER off",
    "CREATE UNIQUE INDEX same ON raw.qb_items ((payload ->> 'Id'))",
    "CREATE UNIQUE INDEX pairs ON raw.qb_items (id, page_number)",
    "ALTER TABLE raw.qb_items ADD row_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE",
    "ALTER TABLE raw.qb_items ADD name text GENERATED ALWAYS AS (payload ->> 'Name') STORED",
    "ALTER TABLE raw.qb_items ENABLE ROW LEVEL SECURITY; \
     CREATE POLICY all_of_it ON raw.qb_items TO {role} USING (true)",
    "ALTER TABLE raw.qb_items ALTER deleted_at_utc SET DEFAULT now()",
    "CREATE INDEX fresh ON raw.qb_items (ingested_at_utc)",
    "{parted}; CREATE UNIQUE INDEX pairs ON raw.piece (id, page_number)",
    "{parted}; CREATE UNIQUE INDEX same ON raw.piece ((payload ->> 'Id'))",
];

/// Statements that turn the table into a partitioned one, whose partition numbers its columns
/// otherwise.
const PARTED: &str = "CREATE TABLE raw.parted (LIKE raw.qb_items INCLUDING ALL) PARTITION BY HASH (id); \
    CREATE TABLE raw.piece (extra int, LIKE raw.qb_items INCLUDING ALL); \
    ALTER TABLE raw.piece DROP COLUMN extra; DROP TABLE raw.qb_items; \
    ALTER TABLE raw.parted ATTACH PARTITION raw.piece FOR VALUES WITH (MODULUS 1, REMAINDER 0); \
    ALTER TABLE raw.parted RENAME TO qb_items; \
    GRANT SELECT, INSERT, UPDATE ON raw.qb_items TO {role}";

/// The rights of `docs/loading.md`.
const RIGHTS: &str = "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role}; \
    GRANT USAGE ON SCHEMA raw, qbo TO {role}; \
    GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA raw TO {role}; \
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA qbo TO {role}";

async fn with_table(statements: &str) -> (Sandbox, Database, App, String) {
    let (sandbox, database, app) = parts().await;
    app.migrate(&MigrateRequest::default()).await.unwrap();
    let statements = format!(
        "DROP TABLE raw.qb_items; CREATE TABLE raw.qb_items ({COLUMNS}); {FUNCTION}; {RIGHTS}; \
         {statements}"
    );
    let role = database
        .with_role(&statements.replace("{parted}", PARTED))
        .await;
    let app = with(&app, "DATABASE_URL", &database.url_as(&format!("{role}:x")));
    (sandbox, database, app, role)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_change_hide_or_lose_records_is_refused_by_name() {
    for (statements, words) in OBSTACLES {
        let (sandbox, database, app, role) = with_table(statements).await;
        let said = refused(&sandbox, &app, "items").await;
        assert!(said.contains(words), "{statements}: {said}");
        database.drop_role(&role).await;
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unusual_and_harmless_is_loaded_exactly() {
    for statements in HARMLESS {
        let (sandbox, database, app, role) = with_table(statements).await;
        is_loaded(&sandbox, &database, &app).await;
        database.drop_role(&role).await;
        database.drop().await;
    }
}

/// Statements that hide, change or refuse rows of the schema `qbo`, with the table and the words that
/// name them, and statements that remove them.
const GUARDS: [(&str, &str, &str, &str); 6] = [
    (
        "ALTER TABLE qbo.migrations ENABLE ROW LEVEL SECURITY",
        "qbo.migrations: row-level security hides rows",
        "CREATE POLICY loading ON qbo.\"migrations\" TO",
        "CREATE POLICY loading ON qbo.migrations FOR SELECT TO {role} USING (true)",
    ),
    (
        "ALTER TABLE qbo.accounts ENABLE ROW LEVEL SECURITY",
        "qbo.accounts: row-level security hides rows",
        "BYPASSRLS",
        "ALTER TABLE qbo.accounts DISABLE ROW LEVEL SECURITY",
    ),
    (
        "ALTER TABLE qbo.windows ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY a_part ON qbo.windows TO {role} USING (attempts > 1)",
        "qbo.windows: row-level security hides rows",
        "BYPASSRLS",
        "CREATE POLICY loading ON qbo.windows TO {role} USING (true)",
    ),
    (
        "CREATE TRIGGER eater BEFORE INSERT ON qbo.windows FOR EACH ROW EXECUTE FUNCTION public.eats()",
        "qbo.windows: a trigger runs before rows are stored",
        "eater",
        "ALTER TABLE qbo.windows DISABLE TRIGGER eater",
    ),
    (
        "CREATE TRIGGER keeper BEFORE DELETE ON qbo.runs FOR EACH ROW EXECUTE FUNCTION public.eats()",
        "qbo.runs: a trigger runs before rows are stored",
        "keeper",
        "DROP TRIGGER keeper ON qbo.runs",
    ),
    (
        "CREATE RULE eater AS ON INSERT TO qbo.windows DO INSTEAD NOTHING",
        "qbo.windows: a rule rewrites what is stored",
        "DROP RULE",
        "DROP RULE eater ON qbo.windows",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_hides_or_drops_rows_of_the_operational_tables_is_refused_by_name() {
    let (sandbox, database, app) = parts().await;
    app.migrate(&MigrateRequest::default()).await.unwrap();
    let eats = "CREATE FUNCTION public.eats() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    let role = database.with_role(&format!("{RIGHTS}; {eats}")).await;
    let mine = with(&app, "DATABASE_URL", &database.url_as(&format!("{role}:x")));
    for (guard, named, helps, removed) in GUARDS {
        let run = |statements: &str| {
            let statements = statements.replace("{role}", &role);
            let client = &database.client;
            async move { client.batch_execute(&statements).await.unwrap() }
        };
        run(guard).await;
        let said = refused(&sandbox, &mine, "items").await;
        assert!(said.starts_with(named), "{guard}: {said}");
        assert!(said.contains(helps), "{guard}: {said}");
        run(removed).await;
    }
    is_loaded(&sandbox, &database, &mine).await;
    database.drop_role(&role).await;
    database.drop().await;
}

/// What a role can make that has the right TRIGGER alone: `{f}` is a function of its own.
const TRIGGERS_OF_OTHERS: [(&str, &str); 6] = [
    (
        "raw.qb_items",
        "AFTER INSERT OR UPDATE ON raw.qb_items FOR EACH ROW",
    ),
    (
        "raw.qb_items",
        "AFTER INSERT ON raw.qb_items FOR EACH STATEMENT",
    ),
    (
        "raw.qb_items",
        "BEFORE UPDATE ON raw.qb_items FOR EACH STATEMENT",
    ),
    ("raw.qb_items", "AFTER DELETE ON raw.qb_items FOR EACH ROW"),
    (
        "qbo.windows",
        "AFTER INSERT OR UPDATE ON qbo.windows FOR EACH ROW",
    ),
    ("qbo.runs", "BEFORE INSERT ON qbo.runs FOR EACH STATEMENT"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_of_a_role_that_does_not_own_the_table_is_refused_and_never_called() {
    let (sandbox, database, app) = parts().await;
    is_loaded(&sandbox, &database, &app).await;
    let analyst = database
        .with_role(
            "GRANT USAGE ON SCHEMA raw, qbo TO {role}; CREATE SCHEMA {role} AUTHORIZATION {role}; \
             GRANT ALL ON ALL TABLES IN SCHEMA raw, qbo TO {role}",
        )
        .await;
    let theirs = connect(&database.url_as(&format!("{analyst}:x"))).await;
    let function = format!(
        "CREATE SEQUENCE {analyst}.calls; CREATE FUNCTION {analyst}.f() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM nextval('{analyst}.calls'); RETURN NULL; END $$"
    );
    theirs.batch_execute(&function).await.unwrap();
    let calls = format!("SELECT count(*) FROM {analyst}.calls WHERE is_called");
    let directory = tempfile::tempdir().unwrap();
    let later = chrono::Utc::now();
    for (table, event) in TRIGGERS_OF_OTHERS {
        let trigger = format!("CREATE TRIGGER peeks {event} EXECUTE FUNCTION {analyst}.f()");
        theirs.batch_execute(&trigger).await.unwrap();
        let said = refused(&sandbox, &app, "items").await;
        let names = ["peeks", "REVOKE TRIGGER", &analyst, table];
        assert!(
            names.iter().all(|name| said.contains(name)),
            "{event}: {said}"
        );
        if table.starts_with("raw") {
            let file = directory.path().join("old.jsonl");
            let archive = ArchiveRequest::new(["items"], later, &file);
            let error = app.archive(&archive).await.unwrap_err().to_string();
            assert!(error.contains("peeks"), "{event}: {error}");
            assert!(!file.exists());
        }
        let drop = format!("DROP TRIGGER peeks ON {table}");
        database.client.batch_execute(&drop).await.unwrap();
    }
    assert_eq!(database.number(&calls).await, 0, "the function was called");
    // Its owner alone matters: a function of the table's owner is trusted, whoever made the trigger.
    let (_, event) = TRIGGERS_OF_OTHERS[1];
    let trusted = format!(
        "ALTER FUNCTION {analyst}.f() OWNER TO CURRENT_USER; \
         CREATE TRIGGER counts {event} EXECUTE FUNCTION {analyst}.f()"
    );
    database.client.batch_execute(&trusted).await.unwrap();
    is_loaded(&sandbox, &database, &app).await;
    assert_eq!(database.number(&calls).await, 1);
    let drop = format!("DROP SCHEMA {analyst} CASCADE");
    database.client.batch_execute(&drop).await.unwrap();

    database.drop_role(&analyst).await;
    database.drop().await;
}

/// Asserts that an archive is refused as bad settings are.
async fn archive_refused(app: &App) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.jsonl");
    let before = DateTime::parse_from_rfc3339("2025-01-01T00:00:00Z").unwrap();
    let request = ArchiveRequest::new(["items"], before.into(), path.clone());
    let error = app.archive(&request).await.unwrap_err();
    assert!(
        matches!(error, Error::Config { .. }) && !path.exists(),
        "{error:?}"
    );
    error.to_string()
}

/// Asserts that a comparison of the books is refused as bad settings are, before anything was asked of
/// QuickBooks.
async fn books_refused(sandbox: &Sandbox, app: &App) -> String {
    let before = sandbox.stats().data_requests;
    let request = BooksRequest::new("2025-01-31".parse().unwrap());
    let error = app.verify_books(&request).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    assert_eq!(sandbox.stats().data_requests, before);
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_a_right_of_the_database_is_told_which() {
    let (sandbox, database, app) = parts().await;
    assert_complete(
        &app.backfill(&whole_range(&["items"], "year", 1000))
            .await
            .unwrap(),
    );
    let public = "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC";
    let role = database
        .with_role(&format!(
            "{RIGHTS}; {public}; REVOKE TEMPORARY ON DATABASE {{database}} FROM {{role}}"
        ))
        .await;
    let mine = with(&app, "DATABASE_URL", &database.url_as(&format!("{role}:x")));
    let said = refused(&sandbox, &mine, "items").await;
    assert!(said.contains("GRANT TEMPORARY ON DATABASE"), "{said}");
    for (right, grant) in [
        (
            "DELETE ON qbo.windows",
            "DELETE ON ALL TABLES IN SCHEMA qbo",
        ),
        (
            "SELECT ON qbo.migrations",
            "SELECT ON ALL TABLES IN SCHEMA qbo",
        ),
        ("USAGE ON SCHEMA qbo", "USAGE ON SCHEMA qbo"),
    ] {
        let revoke = format!("REVOKE {right} FROM {role}");
        database.client.batch_execute(&revoke).await.unwrap();
        let said = refused(&sandbox, &mine, "items").await;
        assert!(said.contains(&format!("GRANT {grant} TO")), "{said}");
        for said in [
            archive_refused(&mine).await,
            books_refused(&sandbox, &mine).await,
        ] {
            assert!(said.contains(&format!("GRANT {grant} TO")), "{said}");
        }
        let grant = format!("GRANT {right} TO {role}");
        database.client.batch_execute(&grant).await.unwrap();
    }
    // An archive takes rows away, which a load never does.
    let said = archive_refused(&mine).await;
    let grant = format!("GRANT DELETE ON \"raw\".\"qb_items\" TO \"{role}\"");
    assert!(said.contains(&grant), "{said}");
    let drop = "DROP TABLE raw.qb_items; GRANT TEMPORARY ON DATABASE {database} TO PUBLIC";
    let other = database.with_role(drop).await;
    let said = refused(&sandbox, &mine, "items").await;
    assert!(said.contains("`qbo-rs db migrate`"), "{said}");
    let mut request = whole_range(&["items"], "year", 1000);
    request.schema = "elsewhere".to_owned();
    let error = mine.backfill(&request).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
    request.schema = "pg_mine".to_owned();
    assert!(
        app.backfill(&request)
            .await
            .unwrap_err()
            .to_string()
            .contains("pg_")
    );
    for role in [role, other] {
        database.drop_role(&role).await;
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_the_server_fills_are_upgraded_and_loaded() {
    for columns in [
        "id text GENERATED ALWAYS AS (payload ->> 'Id') STORED PRIMARY KEY, payload jsonb",
        "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb, page_number int \
         GENERATED ALWAYS AS IDENTITY",
        "id text PRIMARY KEY, payload jsonb, deleted_at_utc text",
    ] {
        let (sandbox, database, app) = parts().await;
        let create = format!("CREATE SCHEMA raw; CREATE TABLE raw.qb_items ({columns})");
        database.client.batch_execute(&create).await.unwrap();
        let said = refused(&sandbox, &app, "items").await;
        assert!(said.contains("`qbo-rs db migrate`"), "{columns}: {said}");
        app.migrate(&MigrateRequest::default()).await.unwrap();
        is_loaded(&sandbox, &database, &app).await;
        database.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_that_prevent_an_upgrade_are_named_in_the_order_to_drop_them() {
    let (sandbox, database, app) = parts().await;
    let create = "CREATE SCHEMA raw; CREATE SCHEMA books; \
        CREATE TABLE raw.qb_items (id varchar PRIMARY KEY, payload jsonb, note text); \
        INSERT INTO raw.qb_items VALUES ('a', '{\"Id\":\"a\"}'); \
        CREATE VIEW books.items AS SELECT id, payload FROM raw.qb_items; \
        CREATE MATERIALIZED VIEW books.names AS SELECT id FROM books.items; \
        CREATE VIEW books.notes AS SELECT note FROM raw.qb_items";
    database.client.batch_execute(create).await.unwrap();
    for dry_run in [true, false] {
        let request = MigrateRequest::default().dry_run(dry_run);
        let said = app.migrate(&request).await.unwrap_err().to_string();
        assert!(said.contains("books.names, books.items; "), "{said}");
        assert!(!said.contains("books.notes"), "{said}");
    }
    let drop = "DROP MATERIALIZED VIEW books.names; DROP VIEW books.items";
    database.client.batch_execute(drop).await.unwrap();
    app.migrate(&MigrateRequest::default()).await.unwrap();
    assert_eq!(
        database.number("SELECT count(*) FROM raw.qb_items").await,
        1
    );
    database
        .client
        .batch_execute("DELETE FROM raw.qb_items")
        .await
        .unwrap();
    is_loaded(&sandbox, &database, &app).await;
    database.drop().await;
}

/// Posts the ledger twice, and asserts that the second posting finds the entries of the first.
async fn is_posted_once(sandbox: &Sandbox, database: &Database) {
    let app = syncing_app(sandbox, database);
    assert!(app.sync(&everything(&[])).await.unwrap().is_ok());
    let posted = async || {
        let ledger = app.post_ledger(&LedgerRequest::default()).await.unwrap();
        assert!(ledger.entries > 0, "{ledger:?}");
        let since = "SELECT count(DISTINCT xmin::text), max(posted_at)::text FROM books.gl_entries";
        let row = database.client.query_one(since, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, String>(1))
    };
    let (first, second) = (posted().await, posted().await);
    assert_eq!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_database_change_nothing_of_what_is_stored_and_compared() {
    for (name, value) in [
        ("standard_conforming_strings", "off"),
        ("DateStyle", "SQL, DMY"),
        ("search_path", "pg_temp"),
        ("IntervalStyle", "sql_standard"),
        ("quote_all_identifiers", "on"),
        ("TimeZone", "Asia/Kathmandu"),
        ("extra_float_digits", "-15"),
        ("bytea_output", "escape"),
        ("default_transaction_isolation", "repeatable read"),
    ] {
        let (sandbox, database, app) = parts().await;
        let here: String = database
            .client
            .query_one("SELECT current_database()::text", &[])
            .await
            .unwrap()
            .get(0);
        let set = format!("ALTER DATABASE {here} SET {name} = '{value}'");
        let set = set.replace("'SQL, DMY'", "SQL, DMY");
        database.client.batch_execute(&set).await.unwrap();
        is_loaded(&sandbox, &database, &app).await;
        let range = whole_range(&["items"], "year", 1000);
        let request = VerifyRequest::new(range.entities, range.range).chunk(range.chunk);
        let report = app.verify(&request).await.unwrap();
        assert!(report.is_ok(), "{name}: {report:?}");
        let upgrade = app.migrate(&MigrateRequest::default()).await.unwrap();
        assert!(upgrade.tables.is_empty(), "{name}: {upgrade:?}");
        let (syncing, items) = (syncing_app(&sandbox, &database), everything(&["items"]));
        let synced = syncing.sync(&items).await.unwrap();
        assert!(synced.is_ok(), "{name}: {synced:?}");
        if name == "DateStyle" {
            is_posted_once(&sandbox, &database).await;
        }
        database.drop().await;
    }
}
