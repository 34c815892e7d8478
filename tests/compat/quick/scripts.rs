//! Servers of Node, Ruby and Perl.

use crate::table::Package;

quick! {
    node_http {
        title: "Node.js http",
        package: Package::Debian("nodejs"),
        command: "node hello.js {port}",
        version: "node --version",
    }

    node_cluster {
        title: "Node.js cluster, two workers",
        package: Package::Debian("nodejs"),
        command: "node hello.js {port} 2",
        version: "node --version",
    }

    unicorn {
        title: "Unicorn",
        package: Package::Debian("unicorn"),
        command: "unicorn --listen 127.0.0.1:{port} config.ru",
        version: "unicorn --version",
    }

    puma {
        title: "Puma",
        package: Package::Debian("puma"),
        command: "puma --bind tcp://127.0.0.1:{port} config.ru",
        version: "puma --version",
    }

    thin {
        title: "Thin",
        package: Package::Debian("thin"),
        command: "thin start --address 127.0.0.1 --port {port} --rackup config.ru",
        version: "thin --version",
    }

    starman {
        title: "Starman",
        package: Package::Debian("starman"),
        command: "starman --listen 127.0.0.1:{port} --workers 8 app.psgi",
        // On SIGTERM its workers end within an answer.
        settings: &[("SEGUE_STOP_SIGNAL", "QUIT")],
        version: "starman --version",
    }
}
