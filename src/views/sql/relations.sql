SELECT c.relname::text AS name, c.relkind::text AS kind,
    coalesce(obj_description(c.oid, 'pg_class'), '') AS comment,
    ARRAY(
        SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
    ) AS columns,
    coalesce((
        SELECT string_agg(format('GRANT %s ON %I.%I TO %s%s;', x.privilege_type, n.nspname, c.relname,
            CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(g.rolname) END,
            CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), chr(10)) || chr(10)
        FROM aclexplode(c.relacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
        WHERE x.grantee <> c.relowner
    ), '') AS grants,
    -- Of a table: our indexes, those of others, and what else would go with the table.
    ARRAY(
        SELECT x.relname::text FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisvalid
            AND (i.indisprimary OR starts_with(x.relname::text, 'qbo_rs_'))
    ) AS indexes,
    ARRAY(
        SELECT pg_get_indexdef(x.oid) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND NOT i.indisprimary AND NOT starts_with(x.relname::text, 'qbo_rs_')
            AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid)
        ORDER BY 1
    ) AS indexes_of_others,
    ARRAY(
        SELECT 'trigger ' || t.tgname FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
        UNION ALL
        SELECT 'policy ' || p.polname FROM pg_policy p WHERE p.polrelid = c.oid
        UNION ALL
        SELECT 'rule ' || r.rulename FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'
        UNION ALL
        SELECT 'constraint ' || k.conname FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype NOT IN ('p', 'n')
        UNION ALL
        SELECT 'statistics ' || s.stxname FROM pg_statistic_ext s WHERE s.stxrelid = c.oid
        UNION ALL
        SELECT 'publication ' || b.pubname
        FROM pg_publication_rel m JOIN pg_publication b ON b.oid = m.prpubid
        WHERE m.prrelid = c.oid
        ORDER BY 1
    ) AS additions_of_others
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind NOT IN ('i', 'I')
