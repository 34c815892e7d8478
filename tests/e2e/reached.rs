//! A readiness probe reaches the generation that it is made for, whatever asks, and however the address is handed over.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use crate::support::{
    client::Load,
    directory, free_port, loopback, program, refusing,
    segue::{As, BOTH, Recipe, Segue},
};

const UNREACHED: &str = "connections of the readiness command may be answered by the generation that is to be replaced";

/// Where a server listens and whom it has been asked as.
struct Place {
    home: tempfile::TempDir,
    port: u16,
    path: PathBuf,
}

impl Place {
    fn new() -> Place {
        let home = directory();
        Place {
            port: free_port(),
            path: home.path().join("app.sock"),
            home,
        }
    }

    fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    fn asked(&self) -> PathBuf {
        self.home.path().join("asked")
    }

    fn words(&self, where_: &[&str]) -> Vec<String> {
        let words = ["/usr/bin/python3".to_owned(), program("warms.py").display().to_string()];
        words
            .into_iter()
            .chain(where_.iter().map(|word| self.filled(word)))
            .collect()
    }

    fn filled(&self, text: &str) -> String {
        text.replace("PORT", &self.port.to_string())
            .replace("PATH", &self.path.display().to_string())
    }

    fn recipe(&self, how: As, listens: &[&str], ready: &str) -> Recipe {
        Recipe::plain(how, self.words(listens))
            .set("SEGUE_READY", self.filled(ready))
            .set("SEGUE_PROBATION", "50ms")
            .set("ASKED", self.asked())
    }

    /// Restarts under load: only the newcomer is asked, and it serves once it says so.
    fn restarts(&self, segue: &mut Segue) {
        segue.ready(1);
        for generation in 2..=3 {
            fs::write(self.asked(), "").unwrap();
            let load = (!self.path.exists()).then(|| Load::start(self.address(), "/", 2));
            let told = segue.restart();
            assert_eq!(told["outcome"], "replaced", "{told}\n{}", segue.stderr());
            let asked = fs::read_to_string(self.asked()).unwrap();
            let own = asked.lines().all(|line| line.starts_with(&format!("{generation} ")));
            assert!(own && asked.contains("503") && asked.ends_with("200\n"), "{asked}");
            if let Some(load) = load {
                let tally = load.stop();
                assert_eq!(tally.failed(), 0, "{tally}");
            }
        }
    }
}

/// By clients that wait for the connection and by one that does not, by address and by name.
const COMMANDS: [&str; 4] = [
    "exec:curl -fsS -o /dev/null http://127.0.0.1:PORT/ready",
    "exec:curl -fsS -o /dev/null http://localhost:PORT/ready",
    "exec:python3 -c 'import urllib.request as it; it.urlopen(\"http://127.0.0.1:PORT/ready\")'",
    "exec:bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT; printf \"GET /ready HTTP/1.0\\r\\n\\r\\n\" >&3; read -r line <&3; [[ $line == *200* ]]'",
];

#[test]
fn a_command_asks_the_new_generation_of_a_program_that_binds_itself() {
    for (command, how) in COMMANDS.into_iter().zip(BOTH.into_iter().cycle()) {
        let place = Place::new();
        let mut segue = place.recipe(how, &["PORT"], command).start();
        place.restarts(&mut segue);
        assert!(segue.lines(UNREACHED).is_empty(), "{}", segue.stderr());
    }
}

#[test]
fn a_command_asks_the_new_generation_at_a_socket_that_was_passed() {
    for how in BOTH {
        let place = Place::new();
        let mut segue = place
            .recipe(how, &["fd"], COMMANDS[0])
            .set("SEGUE_LISTEN", format!("127.0.0.1:{}", place.port))
            .start();
        place.restarts(&mut segue);
    }
}

/// A path leads to the old one until the new one is ready.
#[test]
fn a_unix_socket_is_asked_of_the_new_generation() {
    let by_command = "exec:curl -fsS -o /dev/null --unix-socket PATH http://x/ready";
    for how in BOTH {
        let place = Place::new();
        let mut segue = place.recipe(how, &["PATH"], by_command).start();
        place.restarts(&mut segue);
    }
}

/// Segue's own probe, too: the old one would accept at once, and the new one does not listen for a while.
#[test]
fn segue_s_own_probe_of_a_unix_socket_waits_for_the_new_generation() {
    for how in BOTH {
        let place = Place::new();
        let recipe = place.recipe(how, &["PATH"], "tcp:unix:PATH");
        let mut segue = recipe.set("LATE", "0.6").start();
        segue.ready(1);
        let told = segue.restart();
        assert_eq!(told["outcome"], "replaced", "{told}\n{}", segue.stderr());
        assert!(told["took_ms"].as_u64().unwrap() >= 600, "{told}");
    }
}

fn refused(place: &Place, calls: &[&str], user: &[&str]) -> Segue {
    let files = directory();
    let mut command = Command::new(refusing());
    command.args(calls).arg("--").args(user);
    command.arg(env!("CARGO_BIN_EXE_segue")).arg("--");
    command.args(place.words(&["PORT"]));
    command
        .env("SEGUE_LOG", "debug")
        .env("SEGUE_LOG_FORMAT", "json")
        .env("SEGUE_READY", place.filled(COMMANDS[0]))
        .env("SEGUE_PROBATION", "50ms")
        .env("ASKED", place.asked());
    command.stdout(fs::File::create(files.path().join("out")).unwrap());
    command.stderr(fs::File::create(files.path().join("log")).unwrap());
    Segue::spawn(As::Subreaper, command, files)
}

#[test]
fn in_each_way_to_a_copy_as_root_and_as_nobody() {
    let nobody =
        "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs --";
    let nobody: Vec<&str> = nobody.split(' ').collect();
    for user in [&[][..], &nobody] {
        for calls in [&[][..], &["getfd"], &["ptrace"]] {
            let place = Place::new();
            if !user.is_empty() {
                std::os::unix::fs::chown(place.home.path(), Some(65534), Some(65534)).unwrap();
            }
            let mut segue = refused(&place, calls, user);
            place.restarts(&mut segue);
            assert!(segue.lines(UNREACHED).is_empty(), "{calls:?} {}", segue.stderr());
        }
    }
}

/// Where no copy can be had the old one may answer: that is said once, with what helps.
#[test]
fn what_cannot_be_directed_is_said() {
    let place = Place::new();
    let mut segue = refused(&place, &["getfd", "ptrace"], &[]);
    segue.ready(1);
    for _ in 0..2 {
        let told = segue.restart();
        assert_eq!(told["outcome"], "replaced", "{told}");
    }
    assert_eq!(segue.lines(UNREACHED).len(), 1, "{}", segue.stderr());
}

/// What the command connects to beside that is none of segue's business.
#[test]
fn other_connections_of_a_command_are_left_alone() {
    let place = Place::new();
    let other = free_port();
    let _stranger = std::net::TcpListener::bind(loopback(other)).unwrap();
    let script = format!(
        "exec:bash -c 'exec 4<>/dev/tcp/127.0.0.1/{other} && ! (exec 5<>/dev/tcp/127.0.0.1/1) && python3 -c \"import socket; \
         it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); it.connect((\\\"127.0.0.1\\\", PORT)); \
         it = socket.socket(); it.bind((\\\"127.0.0.1\\\", 0)); it.connect((\\\"127.0.0.1\\\", PORT))\" && \
         curl -fsS -o /dev/null http://127.0.0.1:PORT/ready'"
    );
    let mut segue = place.recipe(As::Init, &["PORT"], &script).start();
    place.restarts(&mut segue);
}
