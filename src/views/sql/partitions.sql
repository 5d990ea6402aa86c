-- The tables of a schema ($1), and each once more for every partition of it: a statement that names a
-- partition fires no trigger of the table.
SELECT c.relname::text AS of, pn.nspname::text AS schema, part.relname::text AS relation
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        SELECT c.oid AS member
        UNION
        SELECT relid FROM pg_partition_tree(c.oid) WHERE c.relkind = 'p'
    ) AS tree
    JOIN pg_class part ON part.oid = tree.member
    JOIN pg_namespace pn ON pn.oid = part.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND part.relkind IN ('r', 'p')
ORDER BY 1, 2, 3
