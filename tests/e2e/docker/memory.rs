//! Containers with a limit on memory: where two generations do not fit, one is stopped first; where the new one grows beyond what
//! there is, it is the one that the kernel kills, and the old one never noticed.

use super::machine;
use crate::support::{
    client::{self, Load},
    docker::{Container, RESTRICTED, docker, is_there},
    wait,
};

/// A server in a container of 80 MB and no swap.
fn limited(options: &[&str]) -> Container {
    let limit = ["--memory=80m", "--memory-swap=80m", "--publish=127.0.0.1::8080"];
    let options: Vec<&str> = limit.into_iter().chain(options.iter().copied()).collect();
    machine(&options, &["--", "/usr/bin/python3", "/programs/grows.py"])
}

fn kills(container: &Container) -> u64 {
    // The kernel's own count, of the cgroup that the container has.
    let pid = docker(["inspect", "--format", "{{.State.Pid}}", &container.name]);
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = |line: &str| line.rsplit(':').next().unwrap().to_owned();
    let one = cgroups.lines().find(|line| {
        line.split(':')
            .nth(1)
            .is_some_and(|it| it.split(',').any(|it| it == "memory"))
    });
    let file = match one {
        Some(line) => format!("/sys/fs/cgroup/memory{}/memory.oom_control", path(line)),
        None => format!("/sys/fs/cgroup{}/memory.events", path(cgroups.lines().last().unwrap())),
    };
    let text = std::fs::read_to_string(&file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn where_two_do_not_fit_the_old_one_is_stopped_first() {
    if !is_there() {
        return;
    }
    for restricted in [false, true] {
        let mut options = vec!["--env=BALLAST=40"];
        options.extend(RESTRICTED.iter().filter(|_| restricted));
        let container = limited(&options);
        container.line("generation became ready", 1);
        let address = container.address(8080);
        let load = Load::start(address, "/", 4);
        for restart in 1..=3 {
            load.more(20);
            container.signal("HUP");
            let told = container.line("restart succeeded", restart);
            assert_eq!(told["mode"], "stop-first", "{told}");
            let evidence = told["evidence"].as_str().unwrap();
            assert!(
                evidence.starts_with("no memory for a second one: it needs "),
                "{evidence}"
            );
            assert!(evidence.ends_with("of 80 MiB"), "{evidence}");
        }
        load.more(20);
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}");
        assert_eq!(kills(&container), 0);
        assert_eq!(client::get(address, "/").unwrap(), "4");
    }
}

#[test]
fn where_there_is_room_two_overlap_and_the_kernel_kills_no_one_first_afterwards() {
    if !is_there() {
        return;
    }
    for restricted in [false, true] {
        let mut options = vec!["--env=BALLAST=1"];
        options.extend(RESTRICTED.iter().filter(|_| restricted));
        let container = limited(&options);
        container.line("generation became ready", 1);
        container.signal("HUP");
        let told = container.line("restart succeeded", 1);
        assert_eq!(
            (&told["mode"], told["evidence"].as_str()),
            (&"overlap".into(), None),
            "{told}"
        );
        let score = || {
            let pids = docker(["top", &container.name, "-o", "pid,args"]);
            let program = pids
                .lines()
                .find(|line| line.contains("grows.py") && !line.contains("segue"))
                .unwrap();
            let pid = program.split_whitespace().next().unwrap();
            std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap()
        };
        assert_eq!(score().trim(), "0", "it serves now");
    }
}

#[test]
fn a_newcomer_that_grows_is_killed_and_rolled_back() {
    if !is_there() {
        return;
    }
    for (grows, restricted) in [("early", false), ("late", true), ("early", true), ("late", false)] {
        let grows_so = format!("--env=GROWS={grows}");
        let mut options = vec!["--env=BALLAST=1", &grows_so, "--env=SEGUE_PROBATION=60s"];
        options.extend(RESTRICTED.iter().filter(|_| restricted));
        let container = limited(&options);
        container.line("generation became ready", 1);
        let address = container.address(8080);
        let load = Load::start(address, "/", 2);
        load.more(20);
        container.signal("HUP");
        let told = container.line("restart rolled back", 1);
        let why = told["why"].as_str().unwrap();
        assert!(why.starts_with("it was killed by the kernel: out of memory "), "{why}");
        let warned = container.line("the kernel's OOM killer has killed processes of this container", 1);
        assert_eq!(
            (&warned["level"], &warned["limit_bytes"]),
            (&"WARN".into(), &(80_u64 << 20).into())
        );
        load.more(20);
        let tally = load.stop();
        // A client whose connection the newcomer had accepted cannot be helped; the old one never noticed.
        if grows == "early" {
            assert_eq!(tally.failed(), 0, "{tally}");
        }
        assert_eq!(kills(&container), 1, "{grows}");
        wait::until("the first one serves", || {
            (client::get(address, "/").ok()? == "1").then_some(())
        });
    }
}
