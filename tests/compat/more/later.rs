//! Servers that are not run yet, and why.

use crate::{
    ask::Ask,
    table::{Expects, Package},
};

pub(super) const HELLO: Ask = Ask::Dns {
    name: "hello.test",
    address: [192, 0, 2, 7],
};
pub(super) const ZONE: (&str, &str) = (
    "zone",
    "
$TTL 60
@ IN SOA ns.test. root.test. 1 60 60 60 60
@ IN NS ns.test.
ns IN A 192.0.2.1
hello IN A 192.0.2.7",
);

more! {
    nsd {
        title: "NSD",
        package: Package::Debian("nsd"),
        command: "nsd -d -c {dir}/nsd.conf",
        files: &[ZONE, ("nsd.conf", "
server:
  ip-address: 127.0.0.1
  port: {port}
  username: root
  chroot: \"\"
  pidfile: \"\"
  database: \"\"
  zonesdir: {dir}
  xfrdir: {dir}
  zonelistfile: {dir}/zone.list
  xfrdfile: {dir}/xfrd.state
  tcp-count: 1000
remote-control:
  control-enable: no
zone:
  name: test
  zonefile: zone")],
        ask: HELLO,
        expects: Expects::Later("its UDP socket stands in the way of a second one: when UDP is handed over"),
        version: "nsd -v",
    }

    named {
        title: "BIND",
        package: Package::Debian("bind9"),
        command: "named -f -c {dir}/named.conf",
        files: &[ZONE, ("named.conf", "
options {
  directory \"{dir}\";
  listen-on port {port} { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  lock-file none;
  session-keyfile none;
  recursion no;
  tcp-clients 1000;
};
controls { };
zone \"test\" { type primary; file \"zone\"; };")],
        ask: HELLO,
        expects: Expects::Later("it listens before its zones are loaded, and says SERVFAIL until then: no setting for it yet"),
        version: "named -v",
    }

    robyn {
        title: "Robyn",
        package: Package::PyPi("robyn"),
        command: "{venv}/bin/python robyn_app.py --log-level ERROR",
        expects: Expects::Later("it looks whether anybody answers at its port, and refuses to start then"),
        settings: &[("HELLO_PORT", "{port}")],
    }
}
