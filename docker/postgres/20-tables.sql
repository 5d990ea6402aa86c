CREATE SCHEMA IF NOT EXISTS "raw";
CREATE TABLE IF NOT EXISTS "raw"."qb_customers" (
    id                       text PRIMARY KEY,
    payload                  jsonb NOT NULL,
    ingested_at_utc          timestamptz NOT NULL,
    extract_window_start_utc timestamptz NOT NULL,
    extract_window_end_utc   timestamptz NOT NULL,
    page_number              int NOT NULL,
    page_size                int NOT NULL,
    request_payload          jsonb NOT NULL,
    -- When QuickBooks deleted it; the payload is the last one seen.
    deleted_at_utc           timestamptz
);
CREATE TABLE IF NOT EXISTS "raw"."qb_invoices" (
    id                       text PRIMARY KEY,
    payload                  jsonb NOT NULL,
    ingested_at_utc          timestamptz NOT NULL,
    extract_window_start_utc timestamptz NOT NULL,
    extract_window_end_utc   timestamptz NOT NULL,
    page_number              int NOT NULL,
    page_size                int NOT NULL,
    request_payload          jsonb NOT NULL,
    -- When QuickBooks deleted it; the payload is the last one seen.
    deleted_at_utc           timestamptz
);
CREATE TABLE IF NOT EXISTS "raw"."qb_items" (
    id                       text PRIMARY KEY,
    payload                  jsonb NOT NULL,
    ingested_at_utc          timestamptz NOT NULL,
    extract_window_start_utc timestamptz NOT NULL,
    extract_window_end_utc   timestamptz NOT NULL,
    page_number              int NOT NULL,
    page_size                int NOT NULL,
    request_payload          jsonb NOT NULL,
    -- When QuickBooks deleted it; the payload is the last one seen.
    deleted_at_utc           timestamptz
);
-- Answers of QuickBooks to requests for reports. An answer that says something else than the one before is
-- a new row; the older one stays, with the time at which it was superseded.
CREATE TABLE IF NOT EXISTS "raw".qb_reports (
    id                text PRIMARY KEY,
    realm_id          text NOT NULL,
    -- Intuit's name of the report, such as TrialBalance.
    report            text NOT NULL,
    -- accrual or cash; null for a report that takes no basis.
    basis             text,
    -- The days that were asked for, both included.
    range_start       date,
    range_end         date,
    -- The days of this answer: a long range is asked for in parts.
    period_start      date,
    period_end        date,
    -- Columns and filters that the caller named.
    params            jsonb NOT NULL,
    request           jsonb NOT NULL,
    answer            jsonb NOT NULL,
    -- v3modernResponse and intuit_tid.
    headers           jsonb NOT NULL,
    -- Equal for answers that say the same, in whatever order of rows.
    content_hash      text NOT NULL,
    -- Clock of QuickBooks at the answer, first and last seen.
    answered_at_utc   timestamptz NOT NULL,
    fetched_at_utc    timestamptz NOT NULL,
    last_seen_utc     timestamptz NOT NULL,
    -- Null: QuickBooks said so when it was asked last.
    superseded_at_utc timestamptz
);
CREATE INDEX IF NOT EXISTS qb_reports_by_range ON "raw".qb_reports (report, range_start, range_end);
CREATE SCHEMA IF NOT EXISTS qbo;
CREATE TABLE IF NOT EXISTS qbo.migrations (
    number         int PRIMARY KEY,
    name           text NOT NULL,
    applied_at_utc timestamptz NOT NULL DEFAULT now()
);
-- Which company a schema of raw tables belongs to: QBO ids are per company and collide.
CREATE TABLE IF NOT EXISTS qbo.schema_realms (
    schema_name  text PRIMARY KEY,
    realm_id     text NOT NULL,
    bound_at_utc timestamptz NOT NULL DEFAULT now()
);
-- The ledger: a row is written in the transaction that commits the window's records.
CREATE TABLE IF NOT EXISTS qbo.windows (
    schema_name      text NOT NULL,
    realm_id         text NOT NULL,
    entity           text NOT NULL,
    window_start_utc timestamptz NOT NULL,
    window_end_utc   timestamptz NOT NULL,
    run_id           text NOT NULL,
    pages            int NOT NULL,
    rows             bigint NOT NULL,
    inserted         bigint NOT NULL,
    updated          bigint NOT NULL,
    unchanged        bigint NOT NULL,
    rejected         bigint NOT NULL,
    requests         bigint NOT NULL,
    retries          bigint NOT NULL,
    committed_at_utc timestamptz NOT NULL DEFAULT now(),
    -- What changed after this instant is not in the window; null: the window is whole.
    read_until_utc   timestamptz,
    PRIMARY KEY (schema_name, realm_id, entity, window_start_utc, window_end_utc)
);
-- For ledgers made before it was there.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS read_until_utc timestamptz;
-- Records that could not be had or not be stored. A window's rejects are replaced when it is read again.
CREATE TABLE IF NOT EXISTS qbo.rejects (
    reject_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name      text NOT NULL,
    realm_id         text NOT NULL,
    entity           text NOT NULL,
    window_start_utc timestamptz NOT NULL,
    window_end_utc   timestamptz NOT NULL,
    run_id           text NOT NULL,
    -- Null where the page that held it could not be read.
    id               text,
    -- When it was changed, or a neighbour of it.
    changed_at_utc   timestamptz NOT NULL,
    error            text NOT NULL,
    intuit_tid       text,
    -- As it was received: not always JSON, and nothing that jsonb takes.
    payload          text,
    request_payload  jsonb NOT NULL,
    rejected_at_utc  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS rejects_by_window ON qbo.rejects (schema_name, realm_id, entity, changed_at_utc);
INSERT INTO qbo.migrations (number, name) VALUES (1, 'ledger') ON CONFLICT DO NOTHING;
-- Connections to companies. What is secret is sealed (AES-256-GCM); what people and monitors look at is not secret.
CREATE TABLE IF NOT EXISTS qbo.accounts (
    realm_id                     text PRIMARY KEY,
    -- active, or needs_reauth: a person must connect the company again.
    state                        text NOT NULL CHECK (state IN ('active', 'needs_reauth')),
    -- Why it needs that.
    reason                       text,
    sealed_tokens                text NOT NULL,
    access_token_expires_at_utc  timestamptz,
    refresh_token_expires_at_utc timestamptz,
    connection_expires_at_utc    timestamptz,
    refreshed_at_utc             timestamptz,
    -- Set while a refresh is under way; what stays behind is one that was cut off.
    refresh_begun_at_utc         timestamptz,
    changed_at_utc               timestamptz NOT NULL DEFAULT now()
);
-- What all processes that read a company share: the pace of requests, those in flight, the circuit breaker, the month's
-- reads. One row a company and app.
CREATE TABLE IF NOT EXISTS qbo.admission (
    key            text PRIMARY KEY,
    state          jsonb NOT NULL,
    changed_at_utc timestamptz NOT NULL DEFAULT now()
);
INSERT INTO qbo.migrations (number, name) VALUES (2, 'accounts') ON CONFLICT DO NOTHING;
-- What was started, and what became of it. A run that was killed stays 'running'.
CREATE TABLE IF NOT EXISTS qbo.runs (
    run_id          text PRIMARY KEY,
    schema_name     text NOT NULL,
    realm_id        text NOT NULL,
    entity          text NOT NULL,
    range_start_utc timestamptz NOT NULL,
    range_end_utc   timestamptz NOT NULL,
    status          text NOT NULL CHECK (status IN ('running', 'ok', 'partial', 'failed')),
    started_at_utc  timestamptz NOT NULL DEFAULT now(),
    finished_at_utc timestamptz,
    windows         bigint NOT NULL DEFAULT 0,
    failed_windows  bigint NOT NULL DEFAULT 0,
    pages           bigint NOT NULL DEFAULT 0,
    rows            bigint NOT NULL DEFAULT 0,
    inserted        bigint NOT NULL DEFAULT 0,
    updated         bigint NOT NULL DEFAULT 0,
    unchanged       bigint NOT NULL DEFAULT 0,
    rejected        bigint NOT NULL DEFAULT 0,
    requests        bigint NOT NULL DEFAULT 0,
    retries         bigint NOT NULL DEFAULT 0,
    duration_ms     bigint NOT NULL DEFAULT 0,
    -- The first failure.
    error           text
);
CREATE INDEX IF NOT EXISTS runs_by_start ON qbo.runs (schema_name, entity, started_at_utc);
-- A window now has a row from its first attempt on. It covers its time once committed_at_utc is set, whatever a later
-- attempt comes to: what was committed stays.
ALTER TABLE qbo.windows
    ALTER COLUMN committed_at_utc DROP NOT NULL,
    ALTER COLUMN committed_at_utc DROP DEFAULT,
    -- Of the last attempt: running (or killed), done, failed, or stuck: killed its process too often.
    ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT 'done' CHECK (status IN ('running', 'done', 'failed', 'stuck')),
    -- Attempts in a row that did not end.
    ADD COLUMN IF NOT EXISTS attempts int NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS error text,
    ADD COLUMN IF NOT EXISTS started_at_utc timestamptz,
    -- Of payloads.
    ADD COLUMN IF NOT EXISTS bytes bigint NOT NULL DEFAULT 0,
    -- Waiting for pages, and storing them.
    ADD COLUMN IF NOT EXISTS extract_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS load_ms bigint NOT NULL DEFAULT 0,
    ALTER COLUMN pages SET DEFAULT 0,
    ALTER COLUMN rows SET DEFAULT 0,
    ALTER COLUMN inserted SET DEFAULT 0,
    ALTER COLUMN updated SET DEFAULT 0,
    ALTER COLUMN unchanged SET DEFAULT 0,
    ALTER COLUMN rejected SET DEFAULT 0,
    ALTER COLUMN requests SET DEFAULT 0,
    ALTER COLUMN retries SET DEFAULT 0;
INSERT INTO qbo.migrations (number, name) VALUES (3, 'runs') ON CONFLICT DO NOTHING;
-- How each entity of each company stands with `qbo-rs sync`. The checkpoint is what qbo.windows has as committed; it stands
-- here for people.
CREATE TABLE IF NOT EXISTS qbo.sync_state (
    schema_name          text NOT NULL,
    realm_id             text NOT NULL,
    entity               text NOT NULL,
    status               text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'in_progress', 'success', 'failed')),
    last_attempt_at_utc  timestamptz,
    last_success_at_utc  timestamptz,
    checkpoint_utc       timestamptz,
    -- Deletions up to this instant are in the table.
    deletions_until_utc  timestamptz,
    -- When the ids of the table were last compared with those of QuickBooks.
    reconciled_at_utc    timestamptz,
    consecutive_failures int NOT NULL DEFAULT 0,
    -- Of the last failure.
    message              text,
    PRIMARY KEY (schema_name, realm_id, entity)
);
-- When each company is to be synced next, by `qbo-rs sync --every`.
CREATE TABLE IF NOT EXISTS qbo.sync_accounts (
    realm_id             text PRIMARY KEY,
    next_sync_at_utc     timestamptz NOT NULL,
    consecutive_failures int NOT NULL DEFAULT 0,
    message              text
);
INSERT INTO qbo.migrations (number, name) VALUES (4, 'sync') ON CONFLICT DO NOTHING;
-- What `qbo-rs serve` was asked to do. Whoever works on a job says so now and then; one that falls silent is taken over.
CREATE TABLE IF NOT EXISTS qbo.jobs (
    job_id           text PRIMARY KEY,
    idempotency_key  text UNIQUE,
    request          jsonb NOT NULL,
    status           text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    attempts         int NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    created_at_utc   timestamptz NOT NULL DEFAULT now(),
    started_at_utc   timestamptz,
    alive_at_utc     timestamptz,
    finished_at_utc  timestamptz,
    report           jsonb,
    error            text
);
CREATE INDEX IF NOT EXISTS jobs_unfinished ON qbo.jobs (created_at_utc) WHERE status IN ('queued', 'running');
INSERT INTO qbo.migrations (number, name) VALUES (5, 'jobs') ON CONFLICT DO NOTHING;
-- Events as QuickBooks sent them. They only say what to look at: the truth is asked for.
CREATE TABLE IF NOT EXISTS qbo.webhook_events (
    event_id         text PRIMARY KEY,
    realm_id         text NOT NULL,
    -- Our name; none where we have no such entity.
    entity           text,
    entity_id        text NOT NULL,
    operation        text NOT NULL,
    occurred_at      text NOT NULL,
    event            jsonb NOT NULL,
    received_at_utc  timestamptz NOT NULL DEFAULT now(),
    -- When a sync was asked for on its account; reset it to have that done again.
    processed_at_utc timestamptz
);
CREATE INDEX IF NOT EXISTS webhook_events_waiting ON qbo.webhook_events (received_at_utc) WHERE processed_at_utc IS NULL;
INSERT INTO qbo.migrations (number, name) VALUES (6, 'webhooks') ON CONFLICT DO NOTHING;
-- An entity that a company's plan or country does not have is neither in step nor failed. It is
-- looked at again a day after last_attempt_at_utc.
ALTER TABLE qbo.sync_state DROP CONSTRAINT IF EXISTS sync_state_status_check;
ALTER TABLE qbo.sync_state ADD CONSTRAINT sync_state_status_check
    CHECK (status IN ('pending', 'in_progress', 'success', 'failed', 'unavailable'));
INSERT INTO qbo.migrations (number, name) VALUES (7, 'unavailable') ON CONFLICT DO NOTHING;
-- Parts of signed webhook deliveries that are no events, for people: the deliveries are answered
-- with success, since QuickBooks repeats others without end and withholds later events meanwhile.
CREATE TABLE IF NOT EXISTS qbo.webhook_rejects (
    text_md5        text PRIMARY KEY,
    reason          text NOT NULL,
    -- The beginning of the text.
    text            text NOT NULL,
    deliveries      bigint NOT NULL DEFAULT 1,
    -- When it came last.
    received_at_utc timestamptz NOT NULL DEFAULT now()
);
INSERT INTO qbo.migrations (number, name) VALUES (8, 'webhook_rejects') ON CONFLICT DO NOTHING;
-- Status, error, run, start and number of the attempt before the one that is running, so that an
-- attempt that reads and stores nothing can be taken back.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS previous_attempt jsonb;
INSERT INTO qbo.migrations (number, name) VALUES (9, 'previous_attempts') ON CONFLICT DO NOTHING;
-- The instant since which records of the window are known to be missing: it was read whole, and too many
-- of its records failed. What a row of a larger window committed before is not complete there.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS incomplete_since_utc timestamptz;
-- The last attempt failed because of single records, which may cost smaller windows less.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS records_failed boolean NOT NULL DEFAULT false;
INSERT INTO qbo.migrations (number, name) VALUES (10, 'failed_records') ON CONFLICT DO NOTHING;
-- For the jobs that failed a moment ago, and for the webhook events that they give back.
CREATE INDEX IF NOT EXISTS jobs_ended ON qbo.jobs (status, finished_at_utc);
CREATE INDEX IF NOT EXISTS webhook_events_processed ON qbo.webhook_events (processed_at_utc);
INSERT INTO qbo.migrations (number, name) VALUES (11, 'failed_jobs') ON CONFLICT DO NOTHING;
-- What records have and the table of fields does not say: see docs/drift.md. No value is kept.
CREATE TABLE IF NOT EXISTS qbo.schema_drift (
    realm_id       text NOT NULL,
    entity         text NOT NULL,
    -- Names of the members, joined by dots; lists add nothing.
    path           text NOT NULL,
    -- unknown, type, unfit or enum.
    kind           text NOT NULL,
    -- Type of the value, in the words of the table of fields.
    found          text NOT NULL,
    -- Type that the table names; NULL for what it does not know.
    expected       text,
    -- Records that were loaded with it; one that is loaded again counts again.
    records        bigint NOT NULL,
    -- Id of the last of them.
    example_id     text NOT NULL,
    first_seen_utc timestamptz NOT NULL DEFAULT now(),
    last_seen_utc  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (realm_id, entity, path, kind, found)
);
INSERT INTO qbo.migrations (number, name) VALUES (12, 'schema_drift') ON CONFLICT DO NOTHING;
-- The cells of QuickBooks reports; the answers are in qb_reports of the raw tables' schema: see docs/reports.md.
-- Cells that are empty are left out.
CREATE TABLE IF NOT EXISTS qbo.report_rows (
    schema_name   text NOT NULL,
    realm_id      text NOT NULL,
    -- Id of the answer in qb_reports.
    report_id     text NOT NULL,
    -- In the order of the answer, which is not the same in every answer. Blank rows are not counted.
    row_number    int NOT NULL,
    column_number int NOT NULL,
    column_key    text NOT NULL,
    -- header, data or summary.
    row_kind      text NOT NULL,
    -- Labels of the sections that it stands in, from the outermost one.
    path          text[] NOT NULL,
    -- Stable names of these sections; null for a section that has none.
    groups        text[] NOT NULL,
    -- Stable name of a row that is no section, such as NetIncome.
    row_group     text,
    account_id    text,
    txn_date      date,
    -- The report's own word, which may be translated.
    txn_type      text,
    txn_id        text,
    party_id      text,
    -- Id in the cell itself.
    cell_id       text,
    -- Null for a text.
    amount        numeric,
    value         text NOT NULL,
    PRIMARY KEY (report_id, row_number, column_number)
);
INSERT INTO qbo.migrations (number, name) VALUES (13, 'report_rows') ON CONFLICT DO NOTHING;
-- Outcomes of comparisons of the books with QuickBooks's reports.
CREATE TABLE IF NOT EXISTS qbo.tie_outs (
    tie_out_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm_id      text NOT NULL,
    schema_name   text NOT NULL,
    basis         text NOT NULL,
    as_of         date NOT NULL,
    compared_from date NOT NULL,
    checked_utc   timestamptz NOT NULL DEFAULT now(),
    status        text NOT NULL,
    accounts      bigint NOT NULL,
    transactions  bigint NOT NULL,
    -- Sum of the unexplained amounts of all accounts, without their signs.
    unexplained   numeric NOT NULL,
    unverified    text[] NOT NULL,
    requests      bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS tie_outs_of_company ON qbo.tie_outs (realm_id, checked_utc DESC);

-- The transactions that differed in the last comparison. The next one starts from them.
CREATE TABLE IF NOT EXISTS qbo.tie_out_differences (
    realm_id      text NOT NULL,
    schema_name   text NOT NULL,
    basis         text NOT NULL,
    entity        text NOT NULL,
    id            text NOT NULL,
    txn_date      date NOT NULL,
    cause         text NOT NULL,
    -- Arrays of [day, account id, amount] and [day, kind, party id, amount]: reports less records.
    lines         jsonb NOT NULL,
    parties       jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS tie_out_differences_of_company ON qbo.tie_out_differences (realm_id, basis);
INSERT INTO qbo.migrations (number, name) VALUES (14, 'tie_outs') ON CONFLICT DO NOTHING;
-- Who does a run, and when it last said that it is alive: a run that is killed stays 'running', without a pulse.
ALTER TABLE qbo.runs
    ADD COLUMN IF NOT EXISTS alive_at_utc timestamptz,
    ADD COLUMN IF NOT EXISTS host text,
    ADD COLUMN IF NOT EXISTS pid bigint,
    -- One process: ids of processes are used again.
    ADD COLUMN IF NOT EXISTS owner text;
-- 'interrupted': stopped by Ctrl-C, by a signal or by its caller.
ALTER TABLE qbo.runs DROP CONSTRAINT IF EXISTS runs_status_check;
ALTER TABLE qbo.runs ADD CONSTRAINT runs_status_check
    CHECK (status IN ('running', 'ok', 'partial', 'failed', 'interrupted'));
INSERT INTO qbo.migrations (number, name) VALUES (15, 'pulse') ON CONFLICT DO NOTHING;
-- Alerts that somebody was told of, or must be: one row for each place that is told.
CREATE TABLE IF NOT EXISTS qbo.alerts (
    place        text NOT NULL,
    alert_key    text NOT NULL,
    kind         text NOT NULL,
    realm_id     text NOT NULL,
    message      text NOT NULL,
    raised_utc   timestamptz NOT NULL DEFAULT now(),
    -- NULL until the place has taken the message.
    told_utc     timestamptz,
    -- The state is over; the place is told that, too, and then the row goes.
    resolved_utc timestamptz,
    attempts     int NOT NULL DEFAULT 0,
    next_try_utc timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (place, alert_key)
);

-- The outcome of the last comparison of each entity with QuickBooks.
CREATE TABLE IF NOT EXISTS qbo.verifications (
    realm_id     text NOT NULL,
    schema_name  text NOT NULL,
    entity       text NOT NULL,
    status       text NOT NULL,
    different    bigint NOT NULL,
    verified_utc timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (realm_id, schema_name, entity)
);
INSERT INTO qbo.migrations (number, name) VALUES (16, 'alerts') ON CONFLICT DO NOTHING;
-- Syncs that go on: each entity of a company is synced by one sync at a time.
CREATE TABLE IF NOT EXISTS qbo.sync_turns (
    schema_name    text NOT NULL,
    realm_id       text NOT NULL,
    entity         text NOT NULL,
    -- One sync of a company.
    turn_id        text NOT NULL,
    host           text NOT NULL,
    pid            bigint NOT NULL,
    -- One process: ids of processes are used again.
    owner          text NOT NULL,
    started_at_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- A sync that is killed leaves its rows, without a pulse.
    alive_at_utc   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schema_name, realm_id, entity)
);
INSERT INTO qbo.migrations (number, name) VALUES (17, 'sync_turns') ON CONFLICT DO NOTHING;
-- Runs of syncs that changed rows: the last few of each entity.
ALTER TABLE qbo.runs ADD COLUMN IF NOT EXISTS is_sync boolean NOT NULL DEFAULT false;
INSERT INTO qbo.migrations (number, name) VALUES (18, 'sync_runs') ON CONFLICT DO NOTHING;
-- When a process last saw that an alert holds: one that no process sees any more is over.
ALTER TABLE qbo.alerts ADD COLUMN IF NOT EXISTS seen_utc timestamptz NOT NULL DEFAULT now();
-- Places were named by their kind alone. Whatever holds is told once more, under the name of its place.
DELETE FROM qbo.alerts WHERE place IN ('slack', 'webhook', 'mail');

-- Ranges in which a comparison has found differences, and no later one has compared again without any.
CREATE TABLE IF NOT EXISTS qbo.differences (
    realm_id    text NOT NULL,
    schema_name text NOT NULL,
    entity      text NOT NULL,
    start_utc   timestamptz NOT NULL,
    end_utc     timestamptz NOT NULL,
    found_utc   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS differences_entity ON qbo.differences (realm_id, schema_name, entity);
INSERT INTO qbo.migrations (number, name) VALUES (19, 'alert_ranges') ON CONFLICT DO NOTHING;
-- Whether contents were compared: a comparison of numbers does not take back what one of contents has found.
ALTER TABLE qbo.differences ADD COLUMN IF NOT EXISTS is_deep boolean NOT NULL DEFAULT false;
INSERT INTO qbo.migrations (number, name) VALUES (20, 'deep_differences') ON CONFLICT DO NOTHING;
-- Files into which records were moved: a row is written in the transaction that takes them out of the table.
CREATE TABLE IF NOT EXISTS qbo.archives (
    archive_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name     text NOT NULL,
    realm_id        text NOT NULL,
    entity          text NOT NULL,
    -- Records that were last changed before this instant were moved.
    before_utc      timestamptz NOT NULL,
    file            text NOT NULL,
    records         bigint NOT NULL,
    -- Whether no row was left in the table.
    has_emptied     boolean NOT NULL DEFAULT false,
    archived_at_utc timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS archives_of_entity ON qbo.archives (schema_name, realm_id, entity);
-- The records that are in a file and, since then, in no table, in the version that the file has.
CREATE TABLE IF NOT EXISTS qbo.archived_records (
    archive_id     bigint NOT NULL,
    id             text NOT NULL,
    changed_at_utc timestamptz NOT NULL,
    sync_token     bigint NOT NULL,
    PRIMARY KEY (archive_id, id)
);
INSERT INTO qbo.migrations (number, name) VALUES (21, 'archives') ON CONFLICT DO NOTHING;
-- Whether contents were compared is not known of differences from before migration 20, and of those that processes of an earlier version
-- find. A comparison of numbers must not take back what may be one of contents.
ALTER TABLE qbo.differences ALTER COLUMN is_deep SET DEFAULT true;
UPDATE qbo.differences SET is_deep = true
WHERE NOT is_deep AND found_utc < (SELECT applied_at_utc FROM qbo.migrations WHERE number = 20);
INSERT INTO qbo.migrations (number, name) VALUES (22, 'unknown_depth') ON CONFLICT DO NOTHING;
-- A large window is committed in parts. Such a row is complete up to read_until_utc: that instant lay
-- far enough in the past, so that nothing before it can become visible late. A process of an earlier
-- version that commits the window writes read_until_utc alone, and the row is no part any more.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS part_until_utc timestamptz;
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS is_part boolean NOT NULL
    GENERATED ALWAYS AS ((part_until_utc = read_until_utc) IS TRUE) STORED;
INSERT INTO qbo.migrations (number, name) VALUES (23, 'parts_of_windows') ON CONFLICT DO NOTHING;
-- What a run was asked for, so that the command that goes on with it can be told: the range, its chunk and
-- its zone as flags take them. And from when on what is committed counts for it: a run without --resume
-- reads again what was committed before it began. Null for a run that reads what is not committed.
ALTER TABLE qbo.runs
    ADD COLUMN IF NOT EXISTS asked jsonb,
    ADD COLUMN IF NOT EXISTS reads_since_utc timestamptz;
INSERT INTO qbo.migrations (number, name) VALUES (24, 'asked_of_runs') ON CONFLICT DO NOTHING;
-- How many transactions a comparison found to differ, by cause: {"not_landed": 3}. Empty for one of an older version.
ALTER TABLE qbo.tie_outs
    ADD COLUMN IF NOT EXISTS causes jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN qbo.tie_outs.unexplained IS
    'Sum of the unexplained amounts of all accounts, without their signs; where accounts agree, that of customers and vendors, or else of transactions';

-- What the record of a difference was when it was found: {"changed": time, "lines": [[day, account id, amount]]},
-- or null if there was none. A difference whose record is another one by now is not known any more.
ALTER TABLE qbo.tie_out_differences
    ADD COLUMN IF NOT EXISTS record jsonb;
INSERT INTO qbo.migrations (number, name) VALUES (25, 'known_differences') ON CONFLICT DO NOTHING;
-- The times that a run reads of its range, oldest first: a run of gaps does not read what lies between them. Null for a run
-- of an earlier version, which may read all of it.
ALTER TABLE qbo.runs
    ADD COLUMN IF NOT EXISTS read_starts_utc timestamptz[],
    ADD COLUMN IF NOT EXISTS read_ends_utc timestamptz[];
INSERT INTO qbo.migrations (number, name) VALUES (26, 'times_of_runs') ON CONFLICT DO NOTHING;
