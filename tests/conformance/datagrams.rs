//! UDP servers over restarts, on each way to a copy, by nobody and by root: no datagram is lost; and where there is no copy to be
//! had, the program is restarted stop-first, which is said.

use std::{
    ffi::OsString,
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use nix::sched::{CloneFlags, setns};

use crate::{
    support::{
        datagrams::{Stream, socket},
        segue::{As, Segue, children},
        wait,
    },
    ways::{PLAIN, Refused, Stage, User, Way},
};

/// In a network namespace of its own.
const PORT: u16 = 9_053;

fn serve(way: Way, stage: &Stage) -> Segue {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/programs/datagrams.py");
    let words: [OsString; 4] = [
        "/usr/bin/python3".into(),
        stage.copy(&program).into(),
        "0".into(),
        format!("0.0.0.0:{PORT}").into(),
    ];
    let settings = [("SEGUE_PROBATION", "50ms"), ("SEGUE_DRAIN_IDLE", "100ms")];
    let mut segue = way.start(stage, true, &words, &settings);
    segue.ready(1);
    segue
}

/// A load from within the namespace that the program is in.
fn load(segue: &Segue) -> Stream {
    let within = wait::until("the program is there", || children(segue.pid()).first().copied());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    Stream::of(3, move || {
        let namespace = File::open(format!("/proc/{within}/ns/net")).unwrap();
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        socket(to)
    })
}

#[test]
fn restarts_lose_none_on_each_way_to_a_copy() {
    for user in [User::Root, User::Nobody, User::Other] {
        for refused in [Refused::Nothing, Refused::Getfd] {
            let how = if user == User::Nobody { As::Init } else { As::Subreaper };
            let (way, stage) = (
                Way {
                    how,
                    user,
                    refused,
                    ..PLAIN
                },
                Stage::new(),
            );
            let mut segue = serve(way, &stage);
            let load = load(&segue);
            load.more(50);
            for _ in 0..4 {
                let line = segue.restart();
                assert_eq!(line["outcome"], "replaced", "{way:?} {line}\n{}", segue.stderr());
                load.more(50);
            }
            let answers = load.stop();
            answers.assert_whole();
            assert_eq!(answers.answered.keys().max(), Some(&5), "{way:?} {answers:?}");
            assert!(
                !segue.stderr().contains("stops the program first"),
                "{}",
                segue.stderr()
            );
        }
    }
}

#[test]
fn without_a_copy_the_restart_stops_the_program_first_and_says_why() {
    let (way, stage) = (
        Way {
            refused: Refused::GetfdAndPtrace,
            ..PLAIN
        },
        Stage::new(),
    );
    let mut segue = serve(way, &stage);
    let line = segue.restart();
    assert_eq!(line["outcome"], "replaced", "{line}\n{}", segue.stderr());
    let said = segue.line(
        "restarting stop-first: two generations at once would get in each other's way",
        1,
    );
    let why = said["evidence"].as_str().unwrap();
    assert!(why.contains("udp:0.0.0.0:9053") && why.contains("pidfd_getfd"), "{why}");
    let load = load(&segue);
    load.more(20);
    let answers = load.stop();
    answers.assert_whole();
    assert_eq!(answers.answered.keys().collect::<Vec<_>>(), [&2]);
}
