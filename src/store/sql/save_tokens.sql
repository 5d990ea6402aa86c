INSERT INTO qbo.accounts AS account (realm_id, state, reason, sealed_tokens,
    access_token_expires_at_utc, refresh_token_expires_at_utc, connection_expires_at_utc,
    refreshed_at_utc, refresh_begun_at_utc)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (realm_id) DO UPDATE SET
    state = EXCLUDED.state,
    reason = EXCLUDED.reason,
    sealed_tokens = EXCLUDED.sealed_tokens,
    access_token_expires_at_utc = EXCLUDED.access_token_expires_at_utc,
    refresh_token_expires_at_utc = EXCLUDED.refresh_token_expires_at_utc,
    connection_expires_at_utc = EXCLUDED.connection_expires_at_utc,
    refreshed_at_utc = EXCLUDED.refreshed_at_utc,
    refresh_begun_at_utc = EXCLUDED.refresh_begun_at_utc,
    changed_at_utc = now()
