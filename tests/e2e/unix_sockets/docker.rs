//! Unix sockets in containers of Docker's default profile.

use super::*;
use crate::support::docker::{self, Container};

/// Docker's own profile refuses pidfd_getfd.
#[test]
fn in_a_container_of_docker_s_default_profile() {
    if !docker::is_there() {
        return;
    }
    for restricted in [false, true] {
        let home = home();
        let mut options = vec![format!("--volume={}:/run/app", home.path().display())];
        docker::with_machine(&mut options);
        options.extend(["--env=SEGUE_LOG_FORMAT=json", "--env=SEGUE_PROBATION=50ms"].map(str::to_owned));
        if restricted {
            options.extend(docker::RESTRICTED.map(str::to_owned));
        }
        let program = [
            "--",
            "/usr/bin/python3",
            "/programs/unix_server.py",
            "/run/app/app.sock",
            "unlink",
            "remove",
        ];
        let container = Container::start(&options, docker::empty_image(), &program);
        let path = home.path().join("app.sock");
        let restart = |number: usize| {
            container.signal("HUP");
            container.line("restart succeeded", number);
        };
        container.line("generation became ready", 1);
        restart(1);
        container.line("generation is gone", 1);
        let load = asking(path.clone(), SockType::Stream, 4);
        for number in 2..8 {
            load.more(20);
            restart(number);
        }
        load.more(20);
        clean(&load.stop());
        assert_eq!(ask(&path, SockType::Stream, "who").unwrap(), "8");
        assert_eq!(container.stop(), 0);
    }
}
