package attack

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nginxUpstreams are three servers of one nginx: locations by prefix with
// doubled slashes merged, by regular expressions in any letter case without
// that, and files by aliases that lack the slash at the end of the location,
// nginx's best known trap.
func nginxUpstreams(t testing.TB) []upstream {
	t.Helper()
	nginx, dir := program(t, "nginx"), openDir(t)
	tree := plantFiles(t, dir)
	addresses := serve(t, 3, func(ports []string) *exec.Cmd {
		config := strings.NewReplacer("@MERGING@", ports[0], "@PLAIN@", ports[1], "@ALIASES@", ports[2], "@DIR@", dir, "@TREE@", tree).Replace(nginxConfig)
		return exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", write(t, filepath.Join(dir, "nginx.conf"), config)) // it ends with the test
	})
	return []upstream{
		{name: "nginx", address: addresses[0]},
		{name: "nginx without merge_slashes", address: addresses[1]},
		{name: "nginx with aliases", address: addresses[2], serves: fileHandler(tree)},
	}
}

// plantFiles makes a file for each handler, in a folder of the handler's name.
func plantFiles(t testing.TB, dir string) string {
	t.Helper()
	tree := filepath.Join(dir, "tree")
	for _, file := range []string{
		"public/a", "open/a", "secret/a", "v2/abc/status/a", "v2/abc/purge", "v2/abc/run", "v2/def/status/a", "v2/def/purge", "v2/def/run",
		"rest/a", "rest/users/7", "rest/orders/7", "rest/search", "rest/purge", "else",
	} {
		write(t, filepath.Join(tree, file), "served\n")
	}
	return tree
}

// fileHandler returns the handler to which a file in the tree belongs.
func fileHandler(tree string) func(string) string {
	return func(served string) string {
		inside, ok := strings.CutPrefix(filepath.Clean(served), tree)
		if !ok {
			return "secret" // outside of the tree is worse than any handler
		}
		return handlerOf(strings.Split(strings.Trim(inside, "/"), "/"))
	}
}

const nginxConfig = `
daemon off;
master_process off;
pid @DIR@/nginx.pid;
error_log stderr crit;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path @DIR@/body;
	proxy_temp_path @DIR@/proxy;
	fastcgi_temp_path @DIR@/fastcgi;
	uwsgi_temp_path @DIR@/uwsgi;
	scgi_temp_path @DIR@/scgi;
	keepalive_requests 1000000;
	large_client_header_buffers 16 128k;
	underscores_in_headers on;
	ignore_invalid_headers off;
	add_header X-Served $served always;
	add_header X-Method $request_method always;
	add_header X-Attack $http_x_attack always;
	add_header X-Who "$http_x_auth_key_id|$http_x_auth_key_owner|$http_x_auth_api|$http_x_auth_endpoint|$http_x_auth_access" always;

	server {
		listen 127.0.0.1:@MERGING@;
		merge_slashes on;
		set $served "";
		location / { set $served site; return 200 served; }
		location /public/ { set $served public; return 200 served; }
		location = /public { set $served public; return 200 served; }
		location /open/ { set $served open; return 200 served; }
		location = /open { set $served open; return 200 served; }
		location /secret/ { set $served secret; return 200 served; }
		location = /secret { set $served secret; return 200 served; }
		location ~ ^/v2/(?<endpoint>[^/]+)/status(/|$) { set $served v2/$endpoint/status; return 200 served; }
		location ~ ^/v2/(?<endpoint>[^/]+)/purge$ { set $served v2/$endpoint/purge; return 200 served; }
		location ~ ^/v2/(?<endpoint>[^/]+)/ { set $served v2/$endpoint/run; return 200 served; }
		location /rest/ { set $served rest; return 200 served; }
		location /rest/users/ { set $served rest/users; return 200 served; }
		location = /rest/users { set $served rest/users; return 200 served; }
		location /rest/orders/ { set $served rest/orders; return 200 served; }
		location = /rest/orders { set $served rest/orders; return 200 served; }
		location = /rest/search { set $served rest/search; return 200 served; }
		location = /rest/purge { set $served rest/purge; return 200 served; }
	}

	server {
		listen 127.0.0.1:@PLAIN@;
		merge_slashes off;
		set $served "";
		location ~* ^/public(/|$) { set $served public; return 200 served; }
		location ~* ^/open(/|$) { set $served open; return 200 served; }
		location ~* ^/secret(/|$) { set $served secret; return 200 served; }
		location ~* ^/v2/(?<endpoint>[^/]+)/status(/|$) { set $served v2/$endpoint/status; return 200 served; }
		location ~* ^/v2/(?<endpoint>[^/]+)/purge/?$ { set $served v2/$endpoint/purge; return 200 served; }
		location ~* ^/v2/(?<endpoint>[^/]+)/ { set $served v2/$endpoint/run; return 200 served; }
		location ~* ^/rest/users(/|$) { set $served rest/users; return 200 served; }
		location ~* ^/rest/orders(/|$) { set $served rest/orders; return 200 served; }
		location ~* ^/rest/search/?$ { set $served rest/search; return 200 served; }
		location ~* ^/rest/purge/?$ { set $served rest/purge; return 200 served; }
		location ~* ^/rest/ { set $served rest; return 200 served; }
		location / { set $served site; return 200 served; }
	}

	server {
		listen 127.0.0.1:@ALIASES@;
		default_type text/plain;
		add_header X-Served $request_filename always;
		add_header X-Method $request_method always;
		add_header X-Attack $http_x_attack always;
		add_header X-Who "$http_x_auth_key_id|$http_x_auth_key_owner|$http_x_auth_api|$http_x_auth_endpoint|$http_x_auth_access" always;
		location /public { alias @TREE@/public/; }
		location /open { alias @TREE@/open/; }
		location /secret { alias @TREE@/secret/; }
		location /v2 { alias @TREE@/v2/; }
		location /rest { alias @TREE@/rest/; }
		location / { root @TREE@; }
	}
}
`
