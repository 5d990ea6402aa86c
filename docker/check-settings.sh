#!/bin/sh
# Ends with an error while a password of the stack is one that everybody knows or would try first, or is short.
set -u
outcome=0
users="${PG_USER-} ${MAGE_OWNER_EMAIL-} ${PGADMIN_EMAIL-}"
known='password passwort secret geheim admin root postgres mage pgadmin qbo quickbooks intuit welcome letmein login user test demo
default master monkey dragon football iloveyou sunshine princess trustno hunter spring summer autumn winter
january february march april june july august september october november december enero febrero marzo abril mayo junio
julio agosto septiembre octubre noviembre diciembre verano invierno otono primavera'
rows='abcdefghijklmnopqrstuvwxyz zyxwvutsrqponmlkjihgfedcba 01234567890123456789 98765432109876543210
qwertyuiopasdfghjklzxcvbnm qwertzuiopasdfghjklyxcvbnm azertyuiopqsdfghjklmwxcvbn qazwsxedcrfvtgbyhnujmikolp 1qaz2wsx3edc4rfv5tgb 1q2w3e4r5t6y7u8i9o0p'

# Prints the value without what everybody tries: words, the name of a user, rows of keys, and letters repeated; nothing
# of one that repeats fewer than eight characters.
rest_of() {
    printf '%s' "$1" | awk -v known="$known $users" -v rows="$rows" '
    { text = text tolower($0) }
    END {
        for (size = 1; size < 8 && size < length(text); size++) {
            for (again = ""; length(again) < length(text);)
                again = again substr(text, 1, size)
            if (again == text)
                exit
        }
        count = split(known, words, /[ \n@]+/)
        for (i = 1; i <= count; i++)
            while (words[i] != "" && (at = index(text, tolower(words[i]))))
                text = substr(text, 1, at - 1) " " substr(text, at + length(words[i]))
        count = split(rows, runs)
        for (size = length(text); size >= 4; size--)
            for (at = 1; at + size - 1 <= length(text); at++)
                for (i = 1; i <= count; i++)
                    if (index(runs[i], substr(text, at, size)))
                        text = substr(text, 1, at - 1) " " substr(text, at + size)
        for (at = 1; at <= length(text); at++)
            if ((one = substr(text, at, 1)) != " " && !(one in seen)) {
                seen[one]
                printf "%s", one
            }
    }'
}

for name in PG_PASSWORD JWT_SECRET MAGE_OWNER_PASSWORD PGADMIN_PASSWORD; do
    eval "value=\${$name-}"
    rest=$(rest_of "$value")
    # Letters as those write them who must use a digit and a sign.
    plain=$(rest_of "$(printf '%s' "$value" | sed 'y/@$013457/asoleast/')")
    test ${#plain} -lt ${#rest} && rest=$plain
    case $value in
    *[Cc][Hh][Aa][Nn][Gg][Ee]*[Mm][Ee]* | password* | admin* | postgres | mage)
        problem="is a value that everybody knows" ;;
    ????????*)
        case $rest in
        ?????*) continue ;;
        *) problem="is made of words, rows of keys or repeated letters that are tried first" ;;
        esac ;;
    *) problem="has fewer than eight characters" ;;
    esac
    echo "$name $problem; set another in .env, or remove .env and run: sh docker/new-env.sh" >&2
    outcome=1
done
exit $outcome
