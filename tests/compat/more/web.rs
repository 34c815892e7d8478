//! Web servers and proxies in other shapes, and larger ones.

use crate::{ask::Ask, table::Package};

more! {
    nginx_reuseport {
        title: "nginx with reuseport",
        package: Package::Debian("nginx-light"),
        command: "nginx -c {dir}/nginx.conf",
        files: &[("nginx.conf", "
            daemon off; worker_processes 2; pid {dir}/nginx.pid; error_log stderr;
            events {}
            http {
              access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
              uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
              server { listen 127.0.0.1:{port} reuseport; location / { return 200 'hello\\n'; } }
            }")],
        version: "nginx -v",
    }

    haproxy_master {
        title: "HAProxy, master and worker, two addresses",
        package: Package::Debian("haproxy"),
        command: "haproxy -W -db -f {dir}/haproxy.cfg",
        files: &[("haproxy.cfg", "
            defaults
              mode http
              timeout connect 5s
              timeout client 30s
              timeout server 30s
            frontend web
              bind 127.0.0.1:{port}
              bind 127.0.0.1:{port2}
              http-request return status 200 content-type text/plain string hello")],
        version: "haproxy -v",
    }

    nghttpx {
        title: "nghttpx",
        package: Package::Debian("nghttp2-proxy"),
        command: "nghttpx --conf={dir}/nghttpx.conf",
        files: &[("nghttpx.conf", "
frontend=127.0.0.1,{port};no-tls
backend=127.0.0.1,{upstream}
workers=2")],
        version: "nghttpx --version",
    }

    privoxy {
        title: "Privoxy",
        package: Package::Debian("privoxy"),
        command: "privoxy --no-daemon {dir}/privoxy.conf",
        files: &[("privoxy.conf", "
listen-address 127.0.0.1:{port}
keep-alive-timeout 30")],
        ask: Ask::Http { target: "http://127.0.0.1:{upstream}/", body: "hello" },
        version: "privoxy --version",
    }

    node_exporter {
        title: "Prometheus node exporter",
        package: Package::Debian("prometheus-node-exporter"),
        command: "prometheus-node-exporter --web.listen-address=127.0.0.1:{port} --log.level=error",
        ask: Ask::Page { target: "/", words: "Node Exporter" },
        version: "prometheus-node-exporter --version",
    }

    docker_registry {
        title: "Docker Registry",
        package: Package::Debian("docker-registry"),
        command: "docker-registry serve {dir}/registry.yml",
        files: &[("registry.yml", "
version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: {dir}/registry } }
http: { addr: 127.0.0.1:{port} }")],
        ask: Ask::Http { target: "/v2/", body: "{}" },
        version: "docker-registry --version",
    }

    icecast {
        title: "Icecast",
        package: Package::Debian("icecast2"),
        command: "icecast2 -c {dir}/icecast.xml",
        files: &[("icecast.xml", "
            <icecast>
              <limits><clients>1000</clients></limits>
              <authentication><source-password>x</source-password><admin-user>a</admin-user><admin-password>y</admin-password></authentication>
              <hostname>localhost</hostname>
              <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
              <paths><basedir>{dir}</basedir><logdir>{dir}</logdir><webroot>/usr/share/icecast2/web</webroot><adminroot>/usr/share/icecast2/admin</adminroot></paths>
              <logging><errorlog>-</errorlog><accesslog>-</accesslog><loglevel>1</loglevel></logging>
              <security><changeowner><user>nobody</user><group>nogroup</group></changeowner></security>
            </icecast>")],
        prepare: "chmod 777 .",
        ask: Ask::Page { target: "/status-json.xsl", words: "icestats" },
        rate: 100,
        version: "icecast2 -v",
    }
}
