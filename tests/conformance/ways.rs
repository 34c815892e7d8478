//! In which ways a program is run, with segue and without it: as whom, as PID 1 or not, and with which calls refused, so that
//! segue has to come by the program's sockets in each way that it knows.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::{
    programs::built,
    support::{
        self,
        segue::{As, Segue},
        wait,
    },
};

/// Longer than any script of calls takes.
const PATIENCE: Duration = Duration::from_secs(40);

/// Whose processes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Segue and the program are root's.
    Root,
    /// Both are nobody's, with no capability and no way to one.
    Nobody,
    /// Segue is root's, and the program changes its user before it is executed.
    Other,
}

/// What segue is not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Nothing,
    /// pidfd_getfd(2), as by the profiles of container engines.
    Getfd,
    /// That and ptrace(2), with process_vm_readv(2).
    GetfdAndPtrace,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub how: As,
    pub user: User,
    pub refused: Refused,
    /// SEGUE_HANDOVER, if that is set.
    pub handover: Option<&'static str>,
}

/// Root's segue as a subreaper, with nothing refused and nothing set.
pub const PLAIN: Way = Way {
    how: As::Subreaper,
    user: User::Root,
    refused: Refused::Nothing,
    handover: None,
};

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
const OTHER: [&str; 5] = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "--"];

/// What came of a program.
#[derive(Debug)]
pub struct Ended {
    pub out: String,
    pub err: String,
    /// `None`: it hung, and was killed.
    pub code: Option<i32>,
}

/// A directory that every user may use, with copies of the binaries there.
pub struct Stage {
    directory: tempfile::TempDir,
}

impl Stage {
    pub fn new() -> Stage {
        let directory = support::directory();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        Stage { directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A copy of a file, which anybody may read and execute.
    pub fn copy(&self, from: &Path) -> PathBuf {
        let to = self.path().join(from.file_name().unwrap());
        if !to.exists() {
            fs::copy(from, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        }
        to
    }
}

impl Way {
    /// The same for each of these.
    pub fn each(how: As, user: User) -> [Way; 3] {
        [Refused::Nothing, Refused::Getfd, Refused::GetfdAndPtrace].map(|refused| Way {
            how,
            user,
            refused,
            ..PLAIN
        })
    }

    /// The words that start a program, in a network namespace of its own.
    pub fn words(self, stage: &Stage, with_segue: bool, program: &[OsString]) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![stage.copy(&built("launch.c")).into(), "net".into()];
        match self.refused {
            Refused::Nothing => {}
            Refused::Getfd => words.push("getfd".into()),
            Refused::GetfdAndPtrace => words.extend(["getfd".into(), "ptrace".into()]),
        }
        words.push("--".into());
        if with_segue && self.how == As::Init {
            words.extend(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"].map(OsString::from));
        }
        if self.user == User::Nobody {
            words.extend(NOBODY.map(OsString::from));
        }
        if with_segue {
            let segue = Path::new(env!("CARGO_BIN_EXE_segue"));
            // Nobody may not go wherever that is.
            let nobody = self.user == User::Nobody;
            words.push(if nobody { stage.copy(segue).into() } else { segue.into() });
            words.push("--".into());
        }
        if self.user == User::Other {
            words.extend(OTHER.map(OsString::from));
        }
        words.extend(program.iter().cloned());
        words
    }

    /// Starts a program within the stage.
    pub fn start(self, stage: &Stage, with_segue: bool, program: &[OsString], settings: &[(&str, &str)]) -> Segue {
        let words = self.words(stage, with_segue, program);
        let files = support::directory();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(stage.path()).env_clear();
        command
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("TESTS_SLOW", wait::slowness().to_string());
        if with_segue {
            command.env("SEGUE_LOG", "debug").envs(settings.iter().copied());
            command.envs(self.handover.map(|mode| ("SEGUE_HANDOVER", mode)));
        }
        command
            .stdin(Stdio::null())
            .stdout(File::create(files.path().join("out")).unwrap())
            .stderr(File::create(files.path().join("log")).unwrap());
        let mut segue = Segue::spawn(self.how, command, files);
        // What segue says of itself is another test's affair.
        segue.may_fault = true;
        segue
    }

    /// Runs it to its end; one that hangs is killed.
    pub fn run(self, stage: &Stage, with_segue: bool, program: &[OsString]) -> Ended {
        ended(
            &mut self.start(stage, with_segue, program, &[]),
            PATIENCE * wait::slowness(),
        )
    }
}

/// Waits for the end of what was started, for so long.
pub fn ended(segue: &mut Segue, patience: Duration) -> Ended {
    let begin = Instant::now();
    let mut code = None;
    while code.is_none() && begin.elapsed() < patience {
        let whole = |status: ExitStatus| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        code = segue.try_wait().map(whole);
        std::thread::sleep(Duration::from_millis(3));
    }
    Ended {
        out: segue.stdout(),
        err: segue.stderr(),
        code,
    }
}
