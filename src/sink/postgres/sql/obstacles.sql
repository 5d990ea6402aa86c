-- What is known of each relation that may prevent or falsify a load ($1: schema, $2: names, $3: our
-- columns). Lists are null if they are empty.
WITH named AS (
    SELECT c.oid AS relation, c.relname, c.relkind, c.relispartition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = ANY($2)
), tree AS (
    SELECT relation, relation AS member FROM named
    UNION
    SELECT relation, partition.relid FROM named, pg_partition_tree(relation) AS partition
    WHERE named.relkind = 'p'
)
SELECT c.relname::text AS table_name,
    c.relkind::text AS kind,
    current_user::text AS role,
    (SELECT string_agg(m.oid::regclass::text, ', ' ORDER BY m.relname)
     FROM tree JOIN pg_class m ON m.oid = tree.member
     WHERE tree.relation = c.relation AND m.relpersistence = 'u') AS unlogged,
    c.relispartition AS is_partition,
    c.relkind = 'r'
        AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.relation) AS has_children,
    (SELECT string_agg(f.relname::text, ', ' ORDER BY f.relname)
     FROM tree JOIN pg_class f ON f.oid = tree.member
     WHERE tree.relation = c.relation AND f.relkind = 'f') AS foreign_partitions,
    -- Bits of tgtype: 1 for each row, 2 before, 4 insert, 16 update. Enabled for ordinary sessions.
    (SELECT string_agg(DISTINCT t.tgname::text, ', ')
     FROM pg_trigger t JOIN tree ON tree.member = t.tgrelid
     WHERE tree.relation = c.relation AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
        AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0) AS triggers,
    -- Whoever has the right TRIGGER, which GRANT ALL gives, can make one that runs with the rights of
    -- whoever loads. The catalog does not say who made it; whose function it is, it does. A superuser
    -- has every role. 28: insert, update, delete.
    (SELECT string_agg(DISTINCT format('%s calls %s of %I', t.tgname, p.oid::regprocedure,
        pg_get_userbyid(p.proowner)), ', ')
     FROM pg_trigger t JOIN tree ON tree.member = t.tgrelid
        JOIN pg_class m ON m.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE tree.relation = c.relation AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
        AND t.tgtype & 28 <> 0 AND NOT pg_has_role(p.proowner, m.relowner, 'MEMBER')
        AND pg_get_userbyid(p.proowner) <> current_user) AS foreign_triggers,
    (SELECT string_agg(r.rulename::text, ', ' ORDER BY r.rulename)
     FROM pg_rewrite r
     WHERE r.ev_class = c.relation AND r.ev_type IN ('2', '3') AND r.ev_enabled IN ('O', 'A')
    ) AS rules,
    -- No merge works beside an index that is checked at the end of the transaction. A partition can
    -- have indexes of its own, and other numbers of its columns than the table.
    (SELECT string_agg(DISTINCT x.relname::text, ', ')
     FROM tree JOIN pg_index i ON i.indrelid = tree.member JOIN pg_class x ON x.oid = i.indexrelid
        CROSS JOIN LATERAL (
            SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1] AS numbers
        ) AS key
     WHERE tree.relation = c.relation AND (i.indisunique OR i.indisexclusion)
        AND (NOT i.indimmediate OR (
            NOT EXISTS (
                SELECT FROM pg_attribute a
                WHERE a.attrelid = i.indrelid AND a.attname = 'id'
                    AND a.attnum = ANY(key.numbers))
            AND pg_get_expr(i.indexprs, i.indrelid)
                IS DISTINCT FROM '(payload ->> ''Id''::text)'
            AND (0 = ANY(key.numbers) OR EXISTS (
                SELECT FROM pg_attribute a
                WHERE a.attrelid = i.indrelid AND a.attname = ANY($3)
                    AND a.attnum = ANY(key.numbers)))))
    ) AS unique_indexes,
    -- A policy that lets the role see and write everything does no harm.
    row_security_active(c.relation) AND NOT (
        EXISTS (
            SELECT FROM pg_policy p
            WHERE p.polrelid = c.relation AND p.polpermissive AND p.polcmd = '*'
                AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
                AND EXISTS (
                    SELECT FROM unnest(p.polroles) AS member(role)
                    WHERE CASE WHEN role = 0 THEN true ELSE pg_has_role(role, 'USAGE') END))
        AND NOT EXISTS (
            SELECT FROM pg_policy p WHERE p.polrelid = c.relation AND NOT p.polpermissive)
    ) AS is_filtered,
    (SELECT string_agg(wanted, ', ')
     FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS wanted
     WHERE c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.relation, wanted)
        AND NOT (
            SELECT coalesce(bool_and(has_column_privilege(c.relation, a.attnum, wanted)), false)
            FROM pg_attribute a WHERE a.attrelid = c.relation AND a.attname = ANY($3))
    ) AS missing_rights
FROM named c
ORDER BY c.relname
