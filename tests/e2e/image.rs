//! The Dockerfile and the compose file as they stand: built, run, restarted, stopped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::{
    client::{self, Load},
    directory,
    docker::{Container, RESTRICTED, docker, is_there, run, unique},
    free_port, wait,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds a stage; where the base image cannot be pulled, a stand-in of the same name is made first.
fn build(target: &str, tag: &str) {
    let stand_in = Command::new(root().join("scripts/stand-in-image"))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        stand_in.status.success(),
        "{}",
        String::from_utf8_lossy(&stand_in.stderr)
    );
    let built = Command::new("docker")
        .current_dir(root())
        .args(["build", "--target", target, "--tag", tag, "."])
        .output();
    let built = built.unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

fn inspect(image: &str, what: &str) -> String {
    docker(["image", "inspect", "--format", what, image])
}

/// One test, because the builds share their cache and nothing is gained by two at once.
#[test]
fn the_dockerfile_and_the_compose_file_do_what_they_say() {
    if !is_there() {
        return;
    }
    let (plain, example) = (unique(), unique());
    build("segue", &plain);
    build("example", &example);
    what_is_in_the_image(&plain);
    the_example_image_restarts(&example);
    compose();
    compose_dev();
    run(["rmi", &plain, &example]);
}

fn what_is_in_the_image(image: &str) {
    assert_eq!(inspect(image, "{{.Config.User}}"), "65532:65532");
    assert_eq!(inspect(image, "{{json .Config.Entrypoint}}"), r#"["/segue","--"]"#);
    assert_eq!(
        inspect(image, "{{len .RootFS.Layers}}"),
        "1",
        "FROM scratch, and the binary"
    );
    for label in ["title", "description", "licenses", "version"] {
        let value = inspect(
            image,
            &format!("{{{{index .Config.Labels \"org.opencontainers.image.{label}\"}}}}"),
        );
        assert!(!value.is_empty(), "no label {label}");
    }
    let size: u64 = inspect(image, "{{.Size}}").parse().unwrap();
    assert!(size <= 4_500_000, "{size} bytes");
    let version = docker(["run", "--rm", "--entrypoint", "/segue", image, "--version"]);
    assert_eq!(version, format!("segue {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(
        run(["run", "--rm", image]).status.code(),
        Some(64),
        "there is no program in it"
    );
}

fn the_example_image_restarts(image: &str) {
    let mut options: Vec<String> = RESTRICTED.iter().map(|option| (*option).to_owned()).collect();
    options.extend(["--publish=127.0.0.1::8080".into(), "--env=SEGUE_PROBATION=100ms".into()]);
    let container = Container::start(&options, image, &[]);
    container.line("generation became ready", 1);
    let address = container.address(8080);
    wait::until("it answers", || client::get(address, "/").ok());
    let load = Load::start(address, "/", 4);
    for restart in 1..=10 {
        container.signal("HUP");
        container.line("restart succeeded", restart);
        load.more(20);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    assert_eq!(container.stop(), 0);
}

/// A compose file's project, taken down with the test.
struct Project {
    name: String,
    file: PathBuf,
    port: u16,
}

impl Project {
    fn new(file: PathBuf) -> Project {
        Project {
            name: unique(),
            file,
            port: free_port(),
        }
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("docker-compose");
        let command = command
            .current_dir(root())
            .args(["--project-name", &self.name, "--project-directory"])
            .arg(root())
            .arg("--file")
            .arg(&self.file)
            .args(words)
            .env("PORT", self.port.to_string());
        command.output().unwrap()
    }

    fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.run(&["down", "--rmi", "local", "--volumes"]);
    }
}

/// Every compose file that the oldest tool in use has to read is read by it, as it stands.
#[test]
fn docker_compose_1_29_reads_the_files() {
    if !is_there() {
        return;
    }
    for name in ["docker-compose.yml", "docker-compose.dev.yml"] {
        let project = Project::new(root().join(name));
        let read = project.done(&["config"]);
        assert!(read.contains("stop_grace_period: 35s"), "{name}: {read}");
    }
    // It knows no `develop`, which is why that is in a file of its own.
    let text = fs::read_to_string(root().join("docker-compose.watch.yml")).unwrap();
    let file: serde_json::Value = serde_norway::from_str(&text).unwrap();
    for rule in file["services"]["hello"]["develop"]["watch"].as_array().unwrap() {
        let path = root().join(rule["path"].as_str().unwrap());
        assert!(path.exists() && rule["action"] == "rebuild", "{rule}");
    }
}

/// The file for development, with a directory that may be written to.
fn compose_dev() {
    let files = directory();
    let text = fs::read_to_string(root().join("docker-compose.dev.yml")).unwrap();
    let mut file: serde_json::Value = serde_norway::from_str(&text).unwrap();
    let hello = &mut file["services"]["hello"];
    let config = files.path().join("config");
    fs::create_dir(&config).unwrap();
    fs::copy(root().join("examples/config/hello.env"), config.join("hello.env")).unwrap();
    assert_eq!(hello["volumes"][0], "./examples/config:/config:ro");
    hello["volumes"][0] = format!("{}:/config:ro", config.display()).into();
    for path in [files.path(), &config] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let written = files.path().join("compose.json");
    fs::write(&written, file.to_string()).unwrap();
    let project = Project::new(written);
    project.done(&["up", "--detach", "--build"]);
    let address = crate::support::loopback(project.port);
    let answers = |wanted: &str| {
        let got = || {
            client::get(address, "/generation")
                .ok()
                .filter(|it| it.trim() == wanted)
        };
        wait::until(&format!("generation {wanted} answers"), got);
    };
    answers("1");
    let id = project.done(&["ps", "--quiet", "hello"]);
    wait::until("it watches", || {
        let log = run(["logs", &id]).stderr;
        String::from_utf8_lossy(&log).contains("watching files").then_some(())
    });
    let load = Load::start(address, "/", 2);
    // As an editor saves.
    fs::write(config.join("new"), "HELLO_WORK=3\n").unwrap();
    fs::rename(config.join("new"), config.join("hello.env")).unwrap();
    answers("2");
    // It is told once the new one has proved itself.
    wait::until("the restart is told", || {
        docker(["exec", &id, "/segue", "status"])
            .contains("/config/hello.env changed")
            .then_some(())
    });
    // Broken: the old one goes on.
    fs::write(config.join("hello.env"), "HELLO_WORK=many\n").unwrap();
    wait::until("it is rolled back", || {
        docker(["exec", &id, "/segue", "status"])
            .contains("rolled back")
            .then_some(())
    });
    load.more(10);
    answers("2");
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
}

fn compose() {
    let project = Project::new(root().join("docker-compose.yml"));
    let port = project.port;
    let done = |words: &[&str]| project.done(words);
    done(&["up", "--detach", "--build"]);
    let id = done(&["ps", "--quiet", "hello"]);
    wait::until("it is healthy", || {
        (docker(["inspect", "--format", "{{.State.Health.Status}}", &id]) == "healthy").then_some(())
    });
    let address = crate::support::loopback(port);
    assert_eq!(client::get(address, "/generation").unwrap().trim(), "1");
    done(&["kill", "-s", "HUP", "hello"]);
    wait::until("generation 2 answers", || {
        client::get(address, "/generation")
            .ok()
            .filter(|generation| generation.trim() == "2")
    });
    done(&["stop"]);
    assert_eq!(docker(["inspect", "--format", "{{.State.ExitCode}}", &id]), "0");
}
