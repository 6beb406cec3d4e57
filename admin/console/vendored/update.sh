#!/bin/sh
# Copies from npm what the console and its tests embed, with versions in the
# names. What it writes is committed, so that building needs Go alone.
set -eu
cd "$(dirname "$0")"
npm ci --silent
version() { sed -n 's/^  "version": "\(.*\)",$/\1/p' "node_modules/$1/package.json"; }
htmx=$(version htmx.org)
axe=$(version axe-core)
tests=../../../internal/consoletest/testdata
rm -f ../assets/htmx-*.min.js "$tests"/axe-*.min.js.gz
cp node_modules/htmx.org/dist/htmx.min.js "../assets/htmx-$htmx.min.js"
gzip -9nc node_modules/axe-core/axe.min.js > "$tests/axe-$axe.min.js.gz"
cp node_modules/htmx.org/LICENSE LICENSE-htmx
cp node_modules/axe-core/LICENSE "$tests/LICENSE-axe"
sha256sum "../assets/htmx-$htmx.min.js" "$tests/axe-$axe.min.js.gz" > SHA256SUMS
