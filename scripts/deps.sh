#!/bin/sh
# Installs the programs that tests start besides Go's own: Postgres, pgbouncer,
# a pooler that operators put in front of it, and Chromium, for the console.
# Where all are there, it says and does nothing.
set -eu

has_postgres() {
	for dir in "${PGBIN:-}" /usr/lib/postgresql/*/bin; do
		if [ -n "$dir" ] && [ -x "$dir/initdb" ]; then return 0; fi
	done
	command -v initdb >/dev/null
}
# Debian has it where only root's PATH leads.
has_pgbouncer() { PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null; }
has_chromium() {
	if [ -n "${CHROMIUM:-}" ]; then return 0; fi
	for name in chromium chromium-browser google-chrome google-chrome-stable; do
		if command -v "$name" >/dev/null; then return 0; fi
	done
	return 1
}

missing=
has_postgres || missing="postgresql"
has_pgbouncer || missing="$missing pgbouncer"
has_chromium || missing="$missing chromium"
if [ -z "$missing" ]; then exit 0; fi

if ! command -v apt-get >/dev/null; then
	echo "make deps: not found:$(printf ' %s' $missing). Install PostgreSQL 14 or later with its server programs (initdb)" >&2
	echo "and pgbouncer: brew install postgresql pgbouncer, dnf install postgresql-server pgbouncer, apk add postgresql pgbouncer;" >&2
	echo "where initdb is in no usual place, name its folder in PGBIN. Install Chromium or Chrome, or name it in CHROMIUM." >&2
	exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi

echo "make deps: installing$(printf ' %s' $missing) with apt-get${sudo:+, by sudo}"
# Tests start servers of their own; a cluster that Debian would make is not needed.
$sudo mkdir -p /etc/postgresql-common
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
install() {
	# shellcheck disable=SC2086 # two words are two packages
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold $missing >/dev/null
}
install 2>/dev/null || { $sudo apt-get update -qq && install; }
