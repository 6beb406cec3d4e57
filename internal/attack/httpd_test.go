package attack

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// httpdUpstreams are three servers of one Apache httpd: one that rewrites every
// path, one that is as lenient as it can be told to be and serves files, and a
// CGI script.
func httpdUpstreams(t testing.TB) []upstream {
	t.Helper()
	httpd, dir := program(t, "apache2", "httpd"), openDir(t)
	tree := plantFiles(t, dir)
	write(t, filepath.Join(tree, "served", "a"), "served\n")
	script := write(t, filepath.Join(dir, "script"), cgiScript)
	addresses := serve(t, 3, func(ports []string) *exec.Cmd {
		config := modules(t) + strings.NewReplacer(
			"@REWRITING@", ports[0], "@LENIENT@", ports[1], "@CGI@", ports[2], "@DIR@", dir, "@TREE@", tree, "@SCRIPT@", script,
		).Replace(httpdConfig)
		if os.Geteuid() == 0 {
			config += "User #65534\nGroup #65534\n" // nobody, whatever its name
		}
		return exec.Command(httpd, "-DFOREGROUND", "-f", write(t, filepath.Join(dir, "httpd.conf"), config)) // it ends with the test
	})
	return []upstream{
		{name: "httpd with rewrites", address: addresses[0]},
		{name: "httpd with files", address: addresses[1], serves: fileHandler(tree)},
		{name: "httpd with CGI", address: addresses[2], requests: 300},
	}
}

// modules loads what the configuration uses and is not compiled in.
func modules(t testing.TB) string {
	t.Helper()
	var config strings.Builder
	for _, folder := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules", "/opt/homebrew/opt/httpd/lib/httpd/modules"} {
		if _, err := os.Stat(folder); err != nil {
			continue
		}
		for _, name := range []string{"mpm_event", "unixd", "authz_core", "rewrite", "headers", "alias", "cgid", "mime", "dir", "negotiation"} {
			file := filepath.Join(folder, "mod_"+name+".so")
			if _, err := os.Stat(file); err == nil {
				config.WriteString("<IfModule !" + name + "_module>\nLoadModule " + name + "_module " + file + "\n</IfModule>\n")
			}
		}
		return config.String()
	}
	t.Fatal("found the modules of Apache httpd nowhere: run make deps")
	return ""
}

const httpdConfig = `
ServerName localhost
ServerRoot @DIR@
DefaultRuntimeDir @DIR@
PidFile @DIR@/httpd.pid
ErrorLog @DIR@/error.log
Mutex fcntl
TypesConfig /dev/null
ScriptSock cgid.sock
StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
LimitRequestLine 65536
LimitRequestFieldSize 65536
LimitRequestFields 1000
Listen 127.0.0.1:@REWRITING@
Listen 127.0.0.1:@LENIENT@
Listen 127.0.0.1:@CGI@
<Directory />
	Require all granted
	AllowOverride None
	Options FollowSymLinks
</Directory>
Header always set X-Attack "expr=%{HTTP:X-Attack}"
Header always set X-Method "expr=%{REQUEST_METHOD}"

<VirtualHost 127.0.0.1:@REWRITING@>
	DocumentRoot @TREE@
	AllowEncodedSlashes On
	Header always set X-Served "%{SERVED}e"
	Header always set X-Who "expr=%{HTTP:X-Auth-Key-Id}|%{HTTP:X-Auth-Key-Owner}|%{HTTP:X-Auth-Api}|%{HTTP:X-Auth-Endpoint}|%{HTTP:X-Auth-Access}"
	RewriteEngine On
	RewriteRule "^/public(/|$)" "/served/a" [L,E=SERVED:public]
	RewriteRule "^/open(/|$)" "/served/a" [L,E=SERVED:open]
	RewriteRule "^/secret(/|$)" "/served/a" [L,NC,E=SERVED:secret]
	RewriteRule "^/v2/([^/]+)/status(/|$)" "/served/a" [L,NC,E=SERVED:v2/$1/status]
	RewriteRule "^/v2/([^/]+)/purge/?$" "/served/a" [L,NC,E=SERVED:v2/$1/purge]
	RewriteRule "^/v2/([^/]+)/" "/served/a" [L,NC,E=SERVED:v2/$1/run]
	RewriteRule "^/rest/(users|orders)(/|$)" "/served/a" [L,E=SERVED:rest/$1]
	RewriteRule "^/rest/(search|purge)/?$" "/served/a" [L,E=SERVED:rest/$1]
	RewriteRule "^/rest/" "/served/a" [L,E=SERVED:rest]
	RewriteRule "^" "/served/a" [L,E=SERVED:site]
</VirtualHost>

<VirtualHost 127.0.0.1:@LENIENT@>
	DocumentRoot @TREE@
	HttpProtocolOptions Unsafe LenientMethods
	AllowEncodedSlashes On
	MergeSlashes Off
	<Directory @TREE@>
		Options FollowSymLinks MultiViews
		AcceptPathInfo Off
	</Directory>
	Header always set X-Served "expr=%{REQUEST_FILENAME}"
	Header always set X-Who "expr=%{HTTP:X-Auth-Key-Id}|%{HTTP:X-Auth-Key-Owner}|%{HTTP:X-Auth-Api}|%{HTTP:X-Auth-Endpoint}|%{HTTP:X-Auth-Access}"
</VirtualHost>

<VirtualHost 127.0.0.1:@CGI@>
	AllowEncodedSlashes On
	ScriptAliasMatch "^" @SCRIPT@
</VirtualHost>
`

// cgiScript reports its environment: CGI makes underscores of dashes.
const cgiScript = `#!/bin/sh
cat >/dev/null
path=${REQUEST_URI%%[?]*}
endpoint=${path#/v2/}
below=${endpoint#*/}
endpoint=${endpoint%%/*}
case $below in
	status|status/*) what=status ;;
	purge) what=purge ;;
	*) what=run ;;
esac
case $path in
	/public|/public/*) served=public ;;
	/open|/open/*) served=open ;;
	/secret|/secret/*) served=secret ;;
	/rest/users|/rest/users/*) served=rest/users ;;
	/rest/orders|/rest/orders/*) served=rest/orders ;;
	/rest/search) served=rest/search ;;
	/rest/purge) served=rest/purge ;;
	/rest/*) served=rest ;;
	/v2/*/*) served=v2/$endpoint/$what ;;
	*) served=site ;;
esac
printf 'Content-Type: text/plain\r\nX-Served: %s\r\n' "$served"
printf 'X-Who: %s|%s|%s|%s|%s\r\n\r\n' "$HTTP_X_AUTH_KEY_ID" "$HTTP_X_AUTH_KEY_OWNER" "$HTTP_X_AUTH_API" "$HTTP_X_AUTH_ENDPOINT" "$HTTP_X_AUTH_ACCESS"
echo served
`
