#!/bin/sh
# Adds to .env the secrets that it lacks, and changes none that is there: sh deploy/make-secrets.sh [FILE]
set -eu
umask 077
file=${1:-.env}
touch "$file"
if [ -n "$(tail -c 1 "$file")" ]; then echo >> "$file"; fi
for name in SECRET_KEY MUNDAP_TOKEN_KEY MUNDAP_CACHE_KEY MUNDAP_EMBEDDING_API_KEY MUNDAP_METRICS_TOKEN POSTGRES_PASSWORD; do
    if grep -q "^$name=." "$file"; then continue; fi
    printf '%s=%s\n' "$name" "$(od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n')" >> "$file"
    echo "$file: made $name" >&2
done
if ! grep -q "^DATABASE_URL=." "$file"; then
    password=$(sed -n 's/^POSTGRES_PASSWORD=//p' "$file" | tail -n 1)
    echo "DATABASE_URL=postgresql://mundap:$password@postgres:5432/mundap" >> "$file"
    echo "$file: made DATABASE_URL" >&2
fi
