//! Unix sockets by each way to a copy, and by users who may do little.

use super::*;
use crate::support::refusing;

const NOBODY: [&str; 8] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all",
    "--inh-caps=-all",
    "--no-new-privs",
    "--",
];

/// Root with what a container leaves it of root's rights, less those that open all files to it.
const LITTLE: [&str; 4] = [
    "setpriv",
    "--bounding-set=-all,+setuid,+setgid,+kill",
    "--inh-caps=-all",
    "--",
];
const OTHER: [&str; 5] = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "--"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Root,
    Nobody,
    /// Segue is root, with few rights, and the program another user, in a directory of its own that is closed to others.
    Other,
}

fn refused(calls: &[&str], user: Who) -> Server {
    let (files, home, launch) = (directory(), home(), refusing());
    let styles = "unlink remove chmod";
    let mut command = Command::new(&launch);
    command.args(calls).arg("--");
    match user {
        Who::Root => {}
        Who::Nobody => drop(command.args(NOBODY)),
        Who::Other => drop(command.args(LITTLE)),
    }
    command.arg(env!("CARGO_BIN_EXE_segue")).arg("--");
    if user == Who::Other {
        command.args(OTHER);
        std::os::unix::fs::chown(home.path(), Some(65533), Some(65533)).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
    command.args(words(&home.path().join("app.sock"), styles));
    command
        .env("SEGUE_LOG", "debug")
        .env("SEGUE_LOG_FORMAT", "json")
        .env("SEGUE_PROBATION", "50ms");
    command.stdout(fs::File::create(files.path().join("out")).unwrap());
    command.stderr(fs::File::create(files.path().join("log")).unwrap());
    Server::started(Segue::spawn(As::Subreaper, command, files), home, styles)
}

#[test]
fn in_each_way_to_a_copy_as_root_as_nobody_and_of_another_user() {
    for (who, user) in [(Who::Root, 0), (Who::Nobody, 65534), (Who::Other, 65533)] {
        for calls in [&[][..], &["getfd"], &["ptrace"]] {
            let mut server = refused(calls, who);
            switches(&mut server, 5);
            let file = fs::symlink_metadata(server.path()).unwrap();
            assert_eq!(
                (file.uid(), file.gid(), server.mode()),
                (user, user, 0o666),
                "{calls:?}"
            );
        }
    }
}

#[test]
fn without_a_way_to_a_copy_the_program_is_stopped_first() {
    let mut server = refused(&["getfd", "ptrace"], Who::Root);
    server.restart("replaced");
    let why = server.segue.line(STOPPED_FIRST, 1)["evidence"].to_string();
    assert!(why.contains("app.sock: pidfd_getfd: "), "{why}");
    wait::until("generation 2 answers", || {
        ask(&server.path(), server.kind, "who")
            .is_ok_and(|who| who == "2")
            .then_some(())
    });
}
