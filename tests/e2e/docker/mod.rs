//! The main job on real input: nginx, Python and the example in real containers, restarted by `docker kill -s HUP` and
//! stopped by `docker stop`.

mod env_file;
mod exec;
mod final_stop;
mod init;
mod kubelet;
mod memory;

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::support::{
    client::{self, Load},
    directory,
    docker::{Container, RESTRICTED, docker, empty_image, is_there, run, unique, with_machine},
    program,
    segue::{children, descendants},
    servers::Server,
    wait,
};

const NGINX: &str = "worker_processes 2; daemon off; pid /tmp/nginx.pid; error_log stderr warn;\n\
    # Passed sockets block, as systemd's do: workers must not race for one connection.\n\
    events { worker_connections 256; accept_mutex on; }\n\
    http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;\n\
    uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\n\
    server { listen 0.0.0.0:8080; location / { return 200 \"hello\\n\"; } } }\n";

/// Restarts under load of fresh connections: not one request fails.
fn restarts_lose_nothing(container: &Container, restarts: usize) {
    container.line("generation became ready", 1);
    let address = container.address(8080);
    wait::until("it answers", || client::get(address, "/").ok());
    let load = Load::start(address, "/", 4);
    for restart in 1..=restarts {
        container.signal("HUP");
        container.line("restart succeeded", restart);
        load.more(20);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    let begin = Instant::now();
    assert_eq!(container.stop(), 0);
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

/// The machine's own programs in a container, with these options besides.
fn machine(options: &[&str], words: &[&str]) -> Container {
    let mut all: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    with_machine(&mut all);
    Container::start(&all, empty_image(), words)
}

#[test]
fn nginx_restarts_under_load() {
    if !is_there() {
        return;
    }
    let files = directory();
    fs::set_permissions(files.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(files.path().join("nginx.conf"), NGINX).unwrap();
    let volume = format!("--volume={}:/conf:ro", files.path().display());
    let options = [
        volume.as_str(),
        "--publish=127.0.0.1::8080",
        "--env=SEGUE_LISTEN=0.0.0.0:8080",
        "--env=NGINX=3;",
        "--env=SEGUE_STOP_SIGNAL=QUIT",
        "--env=SEGUE_PROBATION=100ms",
        "--tmpfs=/var/log/nginx",
        "--tmpfs=/var/lib/nginx",
    ];
    let nginx = machine(&options, &["--", "nginx", "-c", "/conf/nginx.conf"]);
    restarts_lose_nothing(&nginx, 20);
}

#[test]
fn a_python_server_restarts_under_load_with_no_privilege_at_all() {
    if !is_there() {
        return;
    }
    let options = [
        "--publish=127.0.0.1::8080",
        "--env=SEGUE_LISTEN=:8080",
        "--env=SEGUE_PROBATION=200ms",
    ];
    let options: Vec<&str> = options.into_iter().chain(RESTRICTED).collect();
    let python = machine(&options, &["--", "/usr/bin/python3", "/programs/server.py"]);
    restarts_lose_nothing(&python, 20);
}

#[test]
fn the_example_restarts_under_load_in_either_profile() {
    if !is_there() {
        return;
    }
    for restricted in [false, true] {
        let mut options = vec![
            "--publish=127.0.0.1::8080",
            "--env=SEGUE_LISTEN=:8080",
            "--env=SEGUE_READY=notify",
        ];
        options.push("--env=SEGUE_PROBATION=50ms");
        options.extend(RESTRICTED.iter().filter(|_| restricted));
        let hello = machine(&options, &["--", "/hello"]);
        restarts_lose_nothing(&hello, 10);
    }
}

/// A server that binds its own sockets and knows nothing of segue: 50 restarts by `docker kill -s HUP` under load.
fn fifty_restarts(server: Server, restricted: bool) {
    if !is_there() {
        return;
    }
    let files = directory();
    fs::set_permissions(files.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let words = server.words(8080, files.path(), "/files");
    let words: Vec<&str> = std::iter::once("--").chain(words.iter().map(String::as_str)).collect();
    let volume = format!("--volume={}:/files:ro", files.path().display());
    let settings: Vec<String> = server
        .settings()
        .iter()
        .map(|(name, value)| format!("--env={name}={value}"))
        .collect();
    let mut options = vec![
        volume.as_str(),
        "--publish=127.0.0.1::8080",
        "--env=SEGUE_PROBATION=100ms",
    ];
    options.extend(["--tmpfs=/var/log/nginx", "--tmpfs=/var/lib/nginx"]);
    options.extend(settings.iter().map(String::as_str));
    options.extend(RESTRICTED.iter().filter(|_| restricted));
    let container = machine(&options, &words);
    container.line("generation became ready", 1);
    let address = container.address(8080);
    wait::until("it answers", || client::get(address, "/").ok());
    let load = Load::start(address, "/", 4);
    for restart in 1..=50 {
        container.signal("HUP");
        let line = container.line("restart succeeded", restart);
        assert_eq!(line["generation"], restart + 1);
        load.more(10);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    assert_eq!(container.stop(), server.code());
}

#[test]
fn an_unmodified_nginx_restarts_50_times_in_either_profile() {
    fifty_restarts(Server::Nginx, false);
    fifty_restarts(Server::Nginx, true);
}

#[test]
fn an_unmodified_node_restarts_50_times_in_either_profile() {
    fifty_restarts(Server::Node, false);
    fifty_restarts(Server::Node, true);
}

#[test]
fn an_unmodified_python_restarts_50_times_in_either_profile() {
    fifty_restarts(Server::Python, false);
    fifty_restarts(Server::Python, true);
}

#[test]
fn an_example_that_binds_its_port_restarts_50_times_in_either_profile() {
    fifty_restarts(Server::Hello, false);
    fifty_restarts(Server::Hello, true);
}

#[test]
fn docker_stop_lets_a_request_finish() {
    if !is_there() {
        return;
    }
    let options = [
        "--publish=127.0.0.1::8080",
        "--env=SEGUE_LISTEN=:8080",
        "--env=SEGUE_READY=notify",
    ];
    let hello = machine(&options, &["--", "/hello"]);
    hello.line("generation became ready", 1);
    let address = hello.address(8080);
    let slow = client::begin(address, "/slow?ms=1500").unwrap();
    client::get(address, "/").unwrap();
    assert_eq!(hello.stop(), 0);
    client::answer(slow).unwrap();
}

#[test]
fn docker_run_ends_with_the_program_s_code() {
    if !is_there() {
        return;
    }
    for (words, expected) in [
        (&["--", "true"][..], 0),
        (&["sh", "-c", "exit 3"], 3),
        (&["--", "sh", "-c", "kill -TERM $$"], 143),
        (&["--", "/etc"], 126),
        (&["--", "nonexistent"], 127),
        (&["--"], 64),
    ] {
        assert_eq!(machine(&[], words).code(), expected, "{words:?}");
    }
    let stopped = machine(&["--env=SEGUE_SUCCESS_CODES=stop"], &["--", "sleep", "1000"]);
    stopped.line("generation started", 1);
    assert_eq!(stopped.stop(), 0);
}

#[test]
fn orphans_in_a_container_leave_no_zombie() {
    if !is_there() {
        return;
    }
    let busy = "for i in 1 2 3 4 5 6 7 8 9; do (sh -c 'sleep 0.05 & exit 0' &); done; echo done; exec sleep 1000";
    let container = machine(&[], &["--", "sh", "-c", busy]);
    wait::until("it is done", || container.stdout().contains("done").then_some(()));
    let pid = container.pid();
    wait::until("only the program is left", || {
        (descendants(pid).len() == 1 && children(pid).len() == 1).then_some(())
    });
    assert_eq!(container.stop(), 143);
}

/// With `--init` another init is PID 1: segue is a subreaper beside it, and says so.
#[test]
fn beside_another_init_it_works_all_the_same() {
    if !is_there() {
        return;
    }
    let options = [
        "--init",
        "--publish=127.0.0.1::8080",
        "--env=SEGUE_LISTEN=:8080",
        "--env=SEGUE_READY=notify",
    ];
    let hello = machine(&options, &["--", "/hello"]);
    hello.line("not PID 1: gathering orphans as a subreaper", 1);
    restarts_lose_nothing(&hello, 3);
}

#[test]
fn a_shell_in_docker_run_it_has_its_terminal() {
    if !is_there() {
        return;
    }
    for (scenario, words) in [
        ("interrupt", &["sh", "-c", "echo up; exec sleep 1000"][..]),
        (
            "size",
            &[
                "sh",
                "-c",
                "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done",
            ],
        ),
        ("shell", &["bash", "--norc", "--noprofile", "-i"]),
    ] {
        let name = unique();
        let mut options = vec!["--env=SEGUE_LOG=off".to_owned(), "--env=TERM=dumb".to_owned()];
        with_machine(&mut options);
        let mut python = std::process::Command::new("/usr/bin/python3");
        python.arg(program("terminal.py")).arg(scenario);
        python
            .args(["docker", "run", "--rm", "--interactive", "--tty", "--name", &name])
            .args(options);
        let output = python.arg(empty_image()).arg("--").args(words).output().unwrap();
        run(["rm", "--force", &name]);
        assert!(
            output.status.success(),
            "{scenario}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_termination_message_is_where_kubernetes_reads_it() {
    if !is_there() {
        return;
    }
    let files = directory();
    let message = files.path().join("message");
    fs::write(&message, "").unwrap();
    fs::set_permissions(&message, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let volume = format!("--volume={}:/dev/termination-log", message.display());
    let options: Vec<&str> = [volume.as_str()].into_iter().chain(RESTRICTED).collect();
    assert_eq!(machine(&options, &["--", "sh", "-c", "exit 3"]).code(), 3);
    assert_eq!(fs::read_to_string(&message).unwrap(), "the program exited with code 3");
    docker(["version"]);
}
