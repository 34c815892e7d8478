//! Name servers, asked over TCP.

use crate::{ask::Ask, table::Package};

const HELLO: Ask = Ask::Dns {
    name: "hello.test",
    address: [192, 0, 2, 7],
};

more! {
    unbound {
        title: "Unbound",
        package: Package::Debian("unbound"),
        command: "unbound -d -c {dir}/unbound.conf",
        files: &[("unbound.conf", "
server:
  interface: 127.0.0.1
  port: {port}
  username: ''
  chroot: ''
  pidfile: ''
  use-syslog: no
  incoming-num-tcp: 1000
  local-zone: 'test.' static
  local-data: 'hello.test. A 192.0.2.7'
remote-control:
  control-enable: no")],
        ask: HELLO,
        version: "unbound -V",
    }
}
