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
    ), '') AS grants
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind NOT IN ('i', 'I')
