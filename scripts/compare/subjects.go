package main

import (
	"os/exec"
	"path/filepath"
	"strings"
)

// subject is one gateway in one configuration.
type subject struct {
	name   string
	family string // its own proxy without authentication is the subject named so
	does   string // for the table
	conns  int
	// program is looked for in our folder, in PATH and where Debian hides it.
	program string
	args    []string
	config  string // text of the file {CONFIG}
	basic   bool   // keys are user names
	plain   bool   // no authentication: an unknown key is let in
	service bool   // it asks the auth service
	imports bool   // keys are brought in through the admin API
	scale   *scale // it has more of something than the others
}

// Connections that the load keeps open.
const (
	usual = 64
	many  = 256
)

// The names of proxies that others are compared with.
const (
	bareCaddy  = "Caddy"
	stockCaddy = "stock Caddy"
	bareNginx  = "nginx"
	bareHAP    = "HAProxy"
)

func caddyfile(global, site string) string {
	return "{\n\tadmin off\n\tpersist_config off\n" + global + "}\nhttp://{FRONT} {\n" + site + "}\n"
}

const (
	proxy = "\treverse_proxy {UPSTREAM}\n"
	// idle keeps as many connections to the upstream as callers have to us.
	idle    = "\treverse_proxy {UPSTREAM} {\n\t\ttransport http {\n\t\t\tkeepalive_idle_conns_per_host 512\n\t\t}\n\t}\n"
	ourKeys = "\tapi_keys {\n\t\tstore sqlite {DIR}/keys.db\n\t\tadmin_key {ADMINKEY}\n\t}\n"
	auth    = "\tapi_key_auth {\n\t\tapi rest {\n\t\t\tpath /rest/*\n\t\t}\n\t}\n"
	ourSite = "http://{BACK} {\n\tapi_key_admin\n}\n"
)

var caddyRun = []string{"run", "--config", "{CONFIG}", "--adapter", "caddyfile"}

// subjects are what is measured, in the order of the table.
func subjects() []subject {
	return []subject{
		{name: bareCaddy, family: bareCaddy, does: "`reverse_proxy` alone: the limit (the same binary)", program: "keywarden", plain: true, args: caddyRun, config: caddyfile("", proxy)},
		{name: "Keywarden", family: bareCaddy, does: "`api_key_auth`", program: "keywarden", args: caddyRun, config: caddyfile(ourKeys, auth+proxy) + ourSite, imports: true},
		{name: "Caddy basic_auth", family: bareCaddy, does: "bcrypt (cost 4), its results cached", program: "keywarden", basic: true, args: caddyRun, config: caddyfile("", "\tbasic_auth {\n{BCRYPT}\t}\n"+proxy)},
		{name: "Caddy forward_auth", family: bareCaddy, does: "a request to a small service for each request", program: "keywarden", service: true, args: caddyRun, config: caddyfile("", "\tforward_auth {AUTH} {\n\t\turi /check\n\t}\n"+proxy)},
		{name: bareNginx, family: bareNginx, does: "`proxy_pass` alone", program: "nginx", plain: true, args: nginxRun, config: nginx("", "")},
		{name: "nginx map", family: bareNginx, does: "a map of keys in its configuration", program: "nginx", args: nginxRun, config: nginx("map_hash_max_size 65536; map_hash_bucket_size 128;\nmap $http_x_api_key $known { default 0; include {MAP}; }\n", "if ($known = 0) { return 401; }\n")},
		{name: "nginx auth_request", family: bareNginx, does: "a request to a small service for each request", program: "nginx", service: true, args: nginxRun, config: nginx("", "auth_request /check;\n")},
		{name: bareHAP, family: bareHAP, does: "a proxy alone", program: "haproxy", plain: true, args: []string{"-f", "{CONFIG}", "-db"}, config: haproxy("")},
		{name: "HAProxy map", family: bareHAP, does: "a map file of keys", program: "haproxy", args: []string{"-f", "{CONFIG}", "-db"}, config: haproxy("  http-request deny deny_status 401 unless { req.hdr(x-api-key),map_str({HAMAP}) -m found }\n")},
		{name: stockCaddy, family: stockCaddy, does: "`reverse_proxy` alone, Caddy's own binary and defaults", conns: many, program: "caddy", plain: true, args: caddyRun, config: caddyfile("", proxy)},
		{name: "Keywarden, as set up", family: stockCaddy, does: "`api_key_auth`, with this binary's pace of collection and the idle connections of Caddyfile.example", conns: many, program: "keywarden", args: caddyRun, config: caddyfile(ourKeys, auth+idle) + ourSite, imports: true},
	}
}

var nginxRun = []string{"-c", "{CONFIG}", "-p", "{DIR}", "-g", "daemon off; pid {DIR}/nginx.pid; error_log stderr;"}

func nginx(global, location string) string {
	return `worker_processes auto;
events { worker_connections 4096; }
http {
access_log off;
client_body_temp_path {DIR}/body; proxy_temp_path {DIR}/proxy; fastcgi_temp_path {DIR}/fastcgi; uwsgi_temp_path {DIR}/uwsgi; scgi_temp_path {DIR}/scgi;
keepalive_requests 1000000;
` + global + `upstream api { server {UPSTREAM}; keepalive 512; keepalive_requests 1000000; }
upstream check { server {AUTH}; keepalive 512; keepalive_requests 1000000; }
server {
listen {FRONT};
location / { ` + location + `proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }
location = /check { internal; proxy_pass http://check; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass_request_body off; proxy_set_header Content-Length ""; }
}
}
`
}

func haproxy(rule string) string {
	return `global
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend front
  bind {FRONT}
` + rule + `  default_backend api
backend api
  http-reuse always
  server one {UPSTREAM}
`
}

// find returns where a program is, "" for nowhere.
func find(bin, program string) string {
	for _, name := range []string{filepath.Join(bin, program), program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func (s *subject) connections() int {
	if s.conns == 0 {
		return usual
	}
	return s.conns
}

// id is the name as a file's.
func (s *subject) id() string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, strings.ToLower(s.name)), "-")
}
