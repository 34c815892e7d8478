//! Servers of other protocols than HTTP and DNS.

use crate::{
    ask::Ask,
    table::{Expects, Package},
    talk::{TALK, Talk},
};

/// What is said to one that sends every line back.
const ECHO: Ask = Ask::Talk(Talk {
    ask: "are you there?\n",
    answer: "are you there?\n",
    ..TALK
});

more! {
    redis_memory {
        title: "Redis without persistence",
        package: Package::Debian("redis-server"),
        command: "redis-server {dir}/redis.conf",
        files: &[("redis.conf", "
bind 127.0.0.1
port {port}
save \"\"
appendonly no
daemonize no")],
        ask: Ask::Talk(Talk { ask: "PING\r\n", answer: "+PONG", quit: "QUIT\r\n", ..TALK }),
        version: "redis-server --version",
    }

    beanstalkd {
        title: "beanstalkd, in memory",
        package: Package::Debian("beanstalkd"),
        command: "beanstalkd -l 127.0.0.1 -p {port}",
        ask: Ask::Talk(Talk { ask: "list-tube-used\r\n", answer: "USING default", quit: "quit\r\n", ..TALK }),
        version: "beanstalkd -v",
    }

    gearmand {
        title: "Gearman",
        package: Package::Debian("gearman-job-server"),
        command: "gearmand --listen=127.0.0.1 --port={port} --log-file=stderr --pid-file={dir}/gearmand.pid --user=root",
        ask: Ask::Talk(Talk { ask: "version\r\n", answer: "OK ", ..TALK }),
        version: "gearmand --version",
    }

    mosquitto {
        title: "Mosquitto",
        package: Package::Debian("mosquitto"),
        command: "mosquitto -c {dir}/mosquitto.conf",
        files: &[("mosquitto.conf", "
listener {port} 127.0.0.1
allow_anonymous true
persistence false
user root
log_type error")],
        // MQTT: CONNECT with an empty name and a clean session, CONNACK.
        ask: Ask::Bytes { send: b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", answer: b"\x20\x02\x00\x00", kept: false },
    }

    mosquitto_local {
        title: "Mosquitto without a configuration",
        package: Package::Debian("mosquitto"),
        command: "mosquitto -p {port}",
        ask: Ask::Bytes { send: b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", answer: b"\x20\x02\x00\x00", kept: false },
    }

    dropbear {
        title: "Dropbear",
        package: Package::Debian("dropbear-bin"),
        command: "dropbear -F -E -R -P {dir}/dropbear.pid -r {dir}/hostkey -p 127.0.0.1:{port}",
        prepare: "dropbearkey -t ed25519 -f hostkey",
        ask: Ask::Talk(Talk { greeting: "SSH-2.0-dropbear", kept: false, ..TALK }),
        rate: 20,
        version: "dropbear -V",
    }

    rsync {
        title: "rsync daemon",
        package: Package::Debian("rsync"),
        command: "rsync --daemon --no-detach --config={dir}/rsyncd.conf --address=127.0.0.1 --port={port}",
        files: &[("rsyncd.conf", "
pid file =
log file = /dev/stderr
[www]
path = {dir}")],
        ask: Ask::Talk(Talk { greeting: "@RSYNCD: ", kept: false, ..TALK }),
        rate: 100,
        version: "rsync --version",
    }

    xinetd {
        title: "xinetd with its own echo",
        package: Package::Debian("xinetd"),
        command: "xinetd -dontfork -f {dir}/xinetd.conf -filelog /dev/stderr",
        files: &[("xinetd.conf", "
defaults
{
  cps = 10000 1
  instances = UNLIMITED
  per_source = UNLIMITED
}
service echo
{
  type = INTERNAL UNLISTED
  id = echo-stream
  socket_type = stream
  protocol = tcp
  port = {port}
  bind = 127.0.0.1
  user = root
  wait = no
}")],
        ask: ECHO,
        rate: 100,
        version: "xinetd -version",
    }

    tcpserver {
        title: "tcpserver",
        package: Package::Debian("ucspi-tcp"),
        command: "tcpserver -HRDl0 -c 1000 127.0.0.1 {port} cat",
        ask: ECHO,
        rate: 100,
    }

    danted {
        title: "Dante",
        package: Package::Debian("dante-server"),
        command: "danted -f {dir}/danted.conf -p {dir}/danted.pid",
        files: &[("danted.conf", "
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: lo
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }")],
        // SOCKS 5 without a password.
        ask: Ask::Bytes { send: b"\x05\x01\x00", answer: b"\x05\x00", kept: false },
        rate: 50,
        version: "danted -v",
    }

    coturn {
        title: "coturn, STUN over TCP",
        package: Package::Debian("coturn"),
        command: "turnserver -n --listening-ip=127.0.0.1 --relay-ip=127.0.0.1 --listening-port={port} --tls-listening-port={port2} --no-cli --no-tls --no-dtls --log-file=stdout --pidfile={dir}/turn.pid --userdb={dir}/turn.db",
        // A binding request, and its success.
        // It keeps its users in a database.
        expects: Expects::StopFirst("open for writing"),
        ask: Ask::Bytes {
            send: b"\x00\x01\x00\x00\x21\x12\xa4\x42hello, hello",
            answer: b"\x01\x01",
            kept: false,
        },
    }

    ngircd {
        title: "ngIRCd",
        package: Package::Debian("ngircd"),
        command: "ngircd --nodaemon --config {dir}/ngircd.conf",
        files: &[("ngircd.conf", "
[Global]
Name = irc.test
Info = test
Listen = 127.0.0.1
Ports = {port}
ServerUID = root
ServerGID = root
[Limits]
MaxConnectionsIP = 0
[Options]
Ident = no
DNS = no
PAM = no")],
        ask: Ask::Talk(Talk { ask: "JOIN #a\r\n", answer: ":irc.test 451 ", kept: false, ..TALK }),
        version: "ngircd --version",
    }
}
