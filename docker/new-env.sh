#!/bin/sh
# Writes .env from .env.example, with a random value in each place of change-me.
#
#   sh docker/new-env.sh
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo "new-env.sh: .env exists; remove it, or change its passwords" >&2
    exit 1
fi
umask 077
while IFS= read -r line; do
    case $line in
    *=change-me) echo "${line%change-me}$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')" ;;
    *) echo "$line" ;;
    esac
done <.env.example >.env.new
mv .env.new .env
echo "new-env.sh: wrote .env with new passwords"
