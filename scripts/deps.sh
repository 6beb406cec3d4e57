#!/bin/sh
# Installs the programs that tests start besides Go's own: Postgres, pgbouncer,
# a pooler that operators put in front of it, Chromium, for the console, and the
# servers that internal/attack stands behind the gateway: nginx, Apache httpd,
# Python, and Node with the packages of internal/attack/testdata/node.
# Where all are there, it says and does nothing.
#
# deps.sh valgrind installs that as well, by which make costs counts
# instructions. Nothing else needs it: where it is not to be had, it says so.
set -eu
cd "$(dirname "$0")/.."

has_postgres() {
	for dir in "${PGBIN:-}" /usr/lib/postgresql/*/bin; do
		if [ -n "$dir" ] && [ -x "$dir/initdb" ]; then return 0; fi
	done
	command -v initdb >/dev/null
}
# Debian has servers where only root's PATH leads.
has() {
	for name in "$@"; do
		if PATH="$PATH:/usr/sbin" command -v "$name" >/dev/null; then return 0; fi
	done
	return 1
}
has_chromium() {
	[ -n "${CHROMIUM:-}" ] || has chromium chromium-browser google-chrome google-chrome-stable
}

if [ "${1:-}" = valgrind ] && ! has valgrind; then
	sudo=
	if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi
	echo "make deps: installing valgrind with apt-get${sudo:+, by sudo}"
	get() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends valgrind >/dev/null; }
	get 2>/dev/null || { $sudo apt-get update -qq && get; } || echo "make deps: valgrind could not be installed; instructions are not counted" >&2
fi

missing=
has_postgres || missing="postgresql"
has pgbouncer || missing="$missing pgbouncer"
has_chromium || missing="$missing chromium"
has nginx || missing="$missing nginx"
has apache2 httpd || missing="$missing apache2-bin"
has python3 || missing="$missing python3"
has node nodejs || missing="$missing nodejs"
has npm || missing="$missing npm"

modules=internal/attack/testdata/node
has_modules() {
	[ -e "$modules/node_modules/.package-lock.json" ] &&
		[ -z "$(find "$modules/package-lock.json" -newer "$modules/node_modules/.package-lock.json")" ]
}
# What the lock file pins, and no script of theirs is run.
install_modules() {
	echo "make deps: installing the packages of $modules with npm"
	(cd "$modules" && npm ci --ignore-scripts --silent && touch node_modules/.package-lock.json)
}

if [ -z "$missing" ]; then
	has_modules || install_modules
	exit 0
fi

if ! command -v apt-get >/dev/null; then
	echo "make deps: not found:$(printf ' %s' $missing). Install PostgreSQL 14 or later with its server programs (initdb)" >&2
	echo "and pgbouncer: brew install postgresql pgbouncer, dnf install postgresql-server pgbouncer, apk add postgresql pgbouncer;" >&2
	echo "where initdb is in no usual place, name its folder in PGBIN. Install Chromium or Chrome, or name it in CHROMIUM." >&2
	echo "The rest has these names nearly everywhere: nginx, httpd (apache2 on Alpine), python3, nodejs (node with brew), npm." >&2
	exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi

echo "make deps: installing$(printf ' %s' $missing) with apt-get${sudo:+, by sudo}"
# Tests start servers of their own: a cluster, and an nginx on port 80, that
# Debian would make of its own accord, are not needed.
$sudo mkdir -p /etc/postgresql-common
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
	$sudo chmod 755 "$policy"
	trap '$sudo rm -f "$policy"' EXIT
fi
install() {
	# shellcheck disable=SC2086 # two words are two packages
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold $missing >/dev/null
}
install 2>/dev/null || { $sudo apt-get update -qq && install; }
case " $missing " in *" nginx "*)
	$sudo deb-systemd-helper disable nginx.service >/dev/null 2>&1 || true # there may be no systemd
	;;
esac
has_modules || install_modules
