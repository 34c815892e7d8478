//! Servers of Ruby, Perl, PHP, Node and Java.

use crate::{
    ask::Ask,
    table::Package,
    talk::{TALK, Talk},
};

more! {
    puma_cluster {
        title: "Puma, two workers",
        package: Package::Debian("puma"),
        command: "puma --workers 2 --bind tcp://127.0.0.1:{port} config.ru",
        version: "puma --version",
    }

    webrick {
        title: "WEBrick",
        package: Package::Debian("ruby-webrick"),
        command: "ruby hello.rb {port}",
    }

    twiggy {
        title: "Twiggy",
        package: Package::Debian("twiggy"),
        command: "twiggy --listen 127.0.0.1:{port} app.psgi",
    }

    plackup {
        title: "plackup (HTTP::Server::PSGI)",
        package: Package::Debian("libplack-perl"),
        command: "plackup --no-default-middleware --host 127.0.0.1 --port {port} app.psgi",
    }

    mojolicious {
        title: "Mojolicious daemon",
        package: Package::Debian("libmojolicious-perl"),
        command: "perl app.pl daemon --listen http://127.0.0.1:{port}",
    }

    php {
        title: "PHP's own server",
        package: Package::Debian("php-cli"),
        command: "php -q -S 127.0.0.1:{port} hello.php",
        version: "php --version",
    }

    php_workers {
        title: "PHP's own server, two workers",
        package: Package::Debian("php-cli"),
        command: "php -q -S 127.0.0.1:{port} hello.php",
        settings: &[("PHP_CLI_SERVER_WORKERS", "2")],
        version: "php --version",
    }

    node_net {
        title: "Node.js net",
        package: Package::Debian("nodejs"),
        command: "node echo.js {port}",
        ask: Ask::Talk(Talk { ask: "are you there?\n", answer: "are you there?\n", ..TALK }),
        version: "node --version",
    }

    jetty {
        title: "Jetty",
        package: Package::Debian("jetty9"),
        command: "java -jar /usr/share/jetty9/start.jar jetty.home=/usr/share/jetty9 jetty.base={dir}/base",
        prepare: "mkdir -p base/webapps/ROOT; echo hello > base/webapps/ROOT/index.html
            printf '%s\\n' --module=http --module=deploy --module=servlet jetty.http.host=127.0.0.1 jetty.http.port={port} > base/start.ini",
    }

    tomcat {
        title: "Tomcat",
        package: Package::Debian("tomcat10"),
        command: "/usr/share/tomcat10/bin/catalina.sh run",
        files: &[("server.xml", "
            <Server port='-1'><Service name='Catalina'><Connector port='{port}' address='127.0.0.1'/>
            <Engine name='Catalina' defaultHost='localhost'><Host name='localhost' appBase='webapps'/></Engine></Service></Server>")],
        prepare: "mkdir -p conf logs temp work webapps/ROOT; mv server.xml conf; echo hello > webapps/ROOT/index.html
            cp /etc/tomcat10/web.xml conf",
        settings: &[("CATALINA_BASE", "{dir}"), ("CATALINA_HOME", "/usr/share/tomcat10")],
    }
}
