#!/bin/sh
# Fetches the assets of the docs page anew. What it writes is committed, so
# that a build needs no network; run it only to change the version.
set -eu
version=5.35.0
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "swagger-ui-dist@$version" && tar xzf "swagger-ui-dist-$version.tgz")
for name in swagger-ui.css swagger-ui-bundle.js; do
	# The maps are not shipped; without the line browsers don't ask for them.
	sed '/^\/[/*]# sourceMappingURL=/d' "$work/package/$name" | gzip -9n > "$name.gz"
done
cp "$work/package/LICENSE" LICENSE
cp "$work/package/NOTICE" NOTICE
cp "$work/package/swagger-ui-bundle.js.LICENSE.txt" swagger-ui-bundle.js.LICENSE.txt
sha256sum LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt ./*.gz | sed 's| \./| |' > SHA256SUMS
