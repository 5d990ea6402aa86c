//! Functions and operators that somebody else has made, in schemas that are looked through for names:
//! none of them is called by the role that loads.

use qbo_rs::app::{
    App, ArchiveRequest, BooksRequest, ExtractRequest, LedgerRequest, LoadRequest, PrepareRequest,
    RejectsRequest, ReportsRequest, ShowRequest, StatusRequest, VerifyRequest, ViewStyle,
    ViewsRequest,
};
use qbo_rs::domain::{Chunk, Window};
use qbo_rs::port::Secret;
use qbo_rs::server::{Server, ServerOptions};
use qbo_sandbox::{Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};

use crate::sandbox::base64_of;
use crate::support::{
    Database, a_minute_ago, assert_complete, change, everything, small_sandbox, syncing_app, until,
    whole_range,
};

/// The functions and aggregates that our statements call.
const FUNCTIONS: &str = "hashtextextended pg_advisory_xact_lock unnest array_agg jsonb_agg count sum min max \
    string_agg jsonb_build_object jsonb_build_array to_jsonb format md5 length right left power ceil \
    floor round make_interval now clock_timestamp set_config current_setting to_regclass \
    has_table_privilege has_column_privilege has_schema_privilege has_database_privilege pg_has_role \
    pg_get_expr pg_get_viewdef jsonb_path_query_first row_number lag lead date_trunc coalesce \
    cardinality array_length timezone extract text timestamptz int8 to_timestamp lower upper substring";

/// The types of their arguments, and those that fit our arguments better than the system's.
const TYPES: &str = "text|integer|bigint|double precision|numeric|timestamptz|jsonb|boolean|name|oid|regtype|\"char\"|\
    text[]|bigint[]|integer[]|jsonb[]|timestamptz[]|interval";

const OPERATORS: &str = "= <> < > <= >= || -> ->> + - * / ~ @> @@ #>> ?";

/// Makes functions and operators in a schema. Each one, if called, moves a sequence, which stays
/// moved when the transaction fails, and fails.
fn traps(schema: &str) -> String {
    format!(
        r#"
DO $$
DECLARE
    body text := $b$ BEGIN PERFORM pg_catalog.nextval('trap.calls'); RAISE EXCEPTION 'a trap was called'; END $b$;
    types text[] := string_to_array('{types}', '|');
    name text; one text; two text; list text; result text;
BEGIN
    FOREACH name IN ARRAY regexp_split_to_array('{functions}', '\s+') LOOP
        FOREACH list IN ARRAY ARRAY(SELECT a FROM unnest(types) a)
            || ARRAY(SELECT a || ', ' || b FROM unnest(types[:8]) a, unnest(types[:8]) b)
            || ARRAY['text, text, boolean', 'text, integer, integer', 'name, text, text', '']
        LOOP
            BEGIN
                EXECUTE format('CREATE FUNCTION {schema}.%I(%s) RETURNS text LANGUAGE plpgsql AS %L', name, list, body);
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
        END LOOP;
    END LOOP;
    FOREACH one IN ARRAY ARRAY['integer', 'bigint', 'numeric', 'double precision'] LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION {schema}.make_interval(secs %s) RETURNS interval LANGUAGE plpgsql AS %L', one, body);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    FOREACH name IN ARRAY string_to_array('{operators}', ' ') LOOP
        FOREACH one IN ARRAY types[:11] LOOP
            FOREACH two IN ARRAY types[:11] LOOP
                BEGIN
                    EXECUTE format('CREATE FUNCTION {schema}.trap(%s, %s) RETURNS boolean LANGUAGE plpgsql AS %L', one, two, body);
                EXCEPTION WHEN OTHERS THEN NULL;
                END;
                BEGIN
                    EXECUTE format('CREATE OPERATOR {schema}.%s (FUNCTION = {schema}.trap, LEFTARG = %s, RIGHTARG = %s)', name, one, two);
                EXCEPTION WHEN OTHERS THEN NULL;
                END;
            END LOOP;
        END LOOP;
    END LOOP;
END $$"#,
        types = TYPES,
        functions = FUNCTIONS,
        operators = OPERATORS,
    )
}

/// Makes a role that loads, and traps in the schemas that it looks through.
async fn role_among_traps(database: &Database) -> String {
    let role = database
        .with_role("GRANT CREATE ON DATABASE {database} TO {role}")
        .await;
    database
        .client
        .batch_execute(&format!(
            "CREATE SCHEMA trap; CREATE SEQUENCE trap.calls; GRANT USAGE ON SCHEMA trap TO PUBLIC; \
             GRANT ALL ON SEQUENCE trap.calls TO PUBLIC; CREATE SCHEMA {role}; \
             GRANT USAGE ON SCHEMA {role} TO {role}"
        ))
        .await
        .unwrap();
    // The traps must not be called by their own making.
    database
        .client
        .batch_execute("SET search_path = pg_catalog")
        .await
        .unwrap();
    for schema in ["public", &role] {
        database.client.batch_execute(&traps(schema)).await.unwrap();
    }
    let made = "SELECT count(*) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
                WHERE n.nspname = 'public'";
    assert!(database.number(made).await > 2000);
    role
}

async fn assert_nothing_was_called(database: Database, role: &str) {
    let calls = "SELECT count(*) FROM trap.calls WHERE is_called";
    assert_eq!(database.number(calls).await, 0, "a trap was called");
    database
        .client
        .batch_execute(&format!("DROP SCHEMA {role} CASCADE"))
        .await
        .unwrap();
    database.drop_role(role).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_others_have_made_is_called() {
    let (sandbox, database) = (small_sandbox(), Database::create().await);
    let role = role_among_traps(&database).await;
    let mut app = syncing_app(&sandbox, &database);
    let url = database.url_as(&format!("{role}:x"));
    app.settings.set("DATABASE_URL", &url).unwrap();
    app.settings.set("QBO_LAG_S", "0").unwrap();

    let entities = ["customers", "invoices"];
    let report = app.backfill(&whole_range(&entities, "quarter", 1000)).await;
    assert_complete(&report.unwrap());
    let id = sandbox.company().truth("Invoice", i64::MIN, i64::MAX)[0]
        .0
        .clone();
    let edit = json!({"entity": "Invoice", "id": id, "at": a_minute_ago()});
    change(&sandbox, "edit", edit);
    let (id, _) = sandbox.company().truth("Customer", i64::MIN, i64::MAX)[3].clone();
    change(
        &sandbox,
        "delete",
        json!({"entity": "Invoice", "id": "newest"}),
    );
    change(
        &sandbox,
        "corrupt",
        json!({"entity": "Customer", "id": id, "blemish": "surrogate"}),
    );
    let before = chrono::DateTime::from_timestamp(1_717_200_000, 0).unwrap();
    let range = Window::parse("2024-01-01", "2026-01-01").unwrap();
    let synced = app.sync(&everything(&entities)).await.unwrap();
    assert!(synced.is_ok(), "{synced:?}");
    let verify = VerifyRequest::new(entities, range).chunk(Chunk::Months(12));
    app.verify(&verify).await.unwrap();
    app.rejects(&RejectsRequest::default()).await.unwrap();
    let status = StatusRequest::default().validate(true);
    assert_eq!(app.status(&status).await.unwrap().entities.len(), 2);
    let directory = tempfile::tempdir().unwrap();
    let archive = ArchiveRequest::new(entities, before, directory.path().join("old.jsonl"));
    app.archive(&archive).await.unwrap();
    are_denied_and_forgotten(&app, &sandbox).await;
    assert_nothing_was_called(database, &role).await;
}

/// Lets companies that are none lose their schemas: after a denial, to each other, when they are forgotten, and when they are
/// revoked.
async fn are_denied_and_forgotten(app: &App, sandbox: &Sandbox) {
    let realm_id = sandbox.realm_ids().next().unwrap();
    let mut wrong = Vec::new();
    for wrong_id in ["121", "122"] {
        let mut of_none = app.clone();
        of_none.settings.set("QBO_REALM_ID", wrong_id).unwrap();
        let token = Secret::new(sandbox.refresh_token(realm_id).unwrap());
        of_none.import_token(&token).await.unwrap();
        let own = format!("raw_{wrong_id}");
        let denied = whole_range(&["items"], "year", 1000).schema(&*own);
        assert!(!of_none.backfill(&denied).await.unwrap().is_complete());
        // One schema is taken by the second of them.
        for schema in ["raw_of_several", &own] {
            let prepare = PrepareRequest::new(["items"]).schema(schema);
            of_none.prepare(&prepare).await.unwrap();
        }
        wrong.push(of_none);
    }
    wrong[0].forget(true).await.unwrap();
    wrong[1].revoke(true).await.unwrap();
}

/// Returns the answer to a request, which must have this status.
async fn answer(request: reqwest::RequestBuilder, status: u16) -> String {
    let answer = request.send().await.unwrap();
    let url = answer.url().clone();
    assert_eq!(answer.status().as_u16(), status, "{url}: {answer:?}");
    answer.text().await.unwrap()
}

/// Lets a service do a job, and answer callers.
async fn is_served(app: &App, database: &Database, realm_id: &str) {
    let options = ServerOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        api_key: None,
        verifier_token: Some("verifier".to_owned()),
        entities: vec!["items".to_owned()],
        workers: 1,
        every: None,
        per_address: None,
    };
    let server = Server::start(app.clone(), options).await.unwrap();
    let url = format!("http://{}", server.address().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let ended = tokio::spawn(server.run(async move {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::new();
    let post = |path: &str, body: String| {
        client
            .post(format!("{url}{path}"))
            .header("content-type", "application/json")
            .body(body)
    };
    let job = answer(post("/api/qbo/sync/", "{}".to_owned()), 202).await;
    let job: Value = serde_json::from_str(&job).unwrap();
    let job = job["job_id"].as_str().unwrap();
    until(
        database,
        "SELECT count(*) FROM qbo.jobs WHERE status = 'done'",
    )
    .await;
    for path in [
        "/".to_owned(),
        "/healthz".to_owned(),
        "/readyz".to_owned(),
        "/metrics".to_owned(),
        "/api/qbo/accounts".to_owned(),
        "/api/qbo/sync/status".to_owned(),
        format!("/api/qbo/jobs/{job}"),
        format!("/api/qbo/items?realm_id={realm_id}"),
    ] {
        answer(client.get(format!("{url}{path}")), 200).await;
    }
    // It says whether somebody is needed, too.
    let deep = client.get(format!("{url}/healthz?deep")).send().await;
    assert!([200, 503].contains(&deep.unwrap().status().as_u16()));
    let event = json!([{"specversion": "1.0", "id": "e", "source": "s", "type": "qbo.item.updated.v1",
        "time": a_minute_ago(), "intuitentityid": "1", "intuitaccountid": realm_id}]);
    let event = event.to_string();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"verifier");
    let signature = base64_of(ring::hmac::sign(&key, event.as_bytes()).as_ref());
    let webhook = post("/webhooks/qbo", event).header("intuit-signature", signature);
    answer(webhook, 200).await;
    let since = json!({"since": a_minute_ago()});
    answer(post("/api/qbo/webhooks/replay/", since.to_string()), 202).await;
    until(database, "SELECT count(*) - 1 FROM qbo.jobs").await;
    let cancel = post(&format!("/api/qbo/jobs/{job}/cancel/"), String::new());
    answer(cancel, 202).await;
    stop.send(()).unwrap();
    ended.await.unwrap();
}

/// What is made is found before the system's own here: functions of the same parameters, and tables of
/// the names of the catalog.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_others_have_made_is_called_though_it_is_found_first() {
    let sandbox = Sandbox::start(SandboxOptions {
        books: Some(60),
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    })
    .unwrap();
    let database = Database::create().await;
    let role = role_among_traps(&database).await;
    let statements = format!(
        "ALTER ROLE {role} SET search_path = \"$user\", public, pg_catalog; \
         CREATE TABLE public.pg_class (a int); CREATE TABLE public.pg_namespace (a int); \
         CREATE TABLE public.pg_attribute (a int)"
    );
    database.client.batch_execute(&statements).await.unwrap();
    for clock in ["now", "clock_timestamp"] {
        // A result of another type would make a statement fail before it calls.
        let statements = format!(
            "DROP FUNCTION public.{clock}(); CREATE FUNCTION public.{clock}() RETURNS timestamptz \
             LANGUAGE plpgsql AS $$BEGIN PERFORM pg_catalog.nextval('trap.calls'); \
             RETURN pg_catalog.{clock}(); END$$; DROP FUNCTION {role}.{clock}()"
        );
        database.client.batch_execute(&statements).await.unwrap();
    }
    let mut app = syncing_app(&sandbox, &database);
    let url = database.url_as(&format!("{role}:x"));
    app.settings.set("DATABASE_URL", &url).unwrap();

    let items = whole_range(&["items"], "year", 1000);
    assert_complete(&app.backfill(&items).await.unwrap());
    // Tables in place of views are kept fresh by triggers of every load.
    for tables in [None, Some(true)] {
        app.views(&ViewsRequest::default().materialize(tables))
            .await
            .unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("items.jsonl");
    let range = Window::parse("2018-01-01", "2026-01-01").unwrap();
    let extract = ExtractRequest::new(["items"], [range]).out(Some(file.clone()));
    assert_complete(&app.extract(&extract).await.unwrap());
    assert_complete(&app.load(&LoadRequest::new(&file)).await.unwrap());
    let synced = app.sync(&everything(&[])).await.unwrap();
    assert!(synced.is_ok(), "{synced:?}");
    for _ in 0..2 {
        // The second one reads what the first has written.
        let ledger = app.post_ledger(&LedgerRequest::default()).await.unwrap();
        assert!(ledger.entries > 0, "{ledger:?}");
    }
    let books = BooksRequest::new("2025-12-31".parse().unwrap());
    app.verify_books(&books).await.unwrap();
    let status = StatusRequest::default().validate(true);
    assert!(!app.status(&status).await.unwrap().entities.is_empty());
    let shown = app.show(&ShowRequest::new("items")).await.unwrap();
    assert!(!shown.rows.is_empty());
    let days = ["2025-01-01", "2025-03-31"].map(|day| day.parse().unwrap());
    for _ in 0..2 {
        let reports = ReportsRequest::new(["TrialBalance", "GeneralLedger"], days[0], days[1]);
        let reports = app.reports(&reports).await.unwrap();
        assert!(reports.is_complete(), "{reports:?}");
    }
    let fivetran = ViewsRequest::default().style(ViewStyle::Fivetran);
    app.views(&fivetran).await.unwrap();
    app.views(&ViewsRequest::default().materialize(Some(false)))
        .await
        .unwrap();
    let realm_id = sandbox.realm_ids().next().unwrap();
    // So that the job of an event does not wait for what a read may not see yet.
    app.settings.set("QBO_LAG_S", "0").unwrap();
    is_served(&app, &database, realm_id).await;
    are_denied_and_forgotten(&app, &sandbox).await;
    assert_nothing_was_called(database, &role).await;
}
