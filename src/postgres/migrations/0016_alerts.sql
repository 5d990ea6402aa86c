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
