-- Triggers that call our functions of a schema ($1), and whether they run in every session.
SELECT rn.nspname::text AS schema, c.relname::text AS relation, t.tgname::text AS name,
    t.tgenabled = 'A' AS runs
FROM pg_trigger t
    JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace rn ON rn.oid = c.relnamespace
WHERE n.nspname = $1 AND starts_with(p.proname::text, 'qbo_rs_') AND NOT t.tgisinternal
ORDER BY 1, 2, 3
