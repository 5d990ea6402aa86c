#!/bin/sh
# Ends with an error while a password of the stack is one that everybody knows, or is short.
set -u
outcome=0
for name in PG_PASSWORD JWT_SECRET MAGE_OWNER_PASSWORD PGADMIN_PASSWORD; do
    eval "value=\${$name-}"
    case $value in
    *[Cc][Hh][Aa][Nn][Gg][Ee]*[Mm][Ee]* | password* | admin* | postgres | mage)
        problem="is a value that everybody knows" ;;
    ????????*) continue ;;
    *) problem="has fewer than eight characters" ;;
    esac
    echo "$name $problem; set another in .env, or remove .env and run: sh docker/new-env.sh" >&2
    outcome=1
done
exit $outcome
