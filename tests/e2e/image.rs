//! The Dockerfile and the compose file as they stand: built, run, restarted, stopped.

use std::{path::Path, process::Command};

use crate::support::{
    client::{self, Load},
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
    assert!(size <= 4_000_000, "{size} bytes");
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

fn compose() {
    let project = unique();
    let port = free_port();
    let compose = |words: &[&str]| {
        let mut command = Command::new("docker-compose");
        let output = command
            .current_dir(root())
            .args(["--project-name", &project])
            .args(words)
            .env("PORT", port.to_string());
        output.output().unwrap()
    };
    let done = |words: &[&str]| {
        let output = compose(words);
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let outcome = std::panic::catch_unwind(|| {
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
    });
    compose(&["down", "--rmi", "local", "--volumes"]);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
