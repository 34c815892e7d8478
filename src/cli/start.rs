//! `segue start`: runs segue in the background, in a session of its own, and returns when its program is ready. One that runs
//! already is left alone.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::{ArgMatches, Command as Clap};
use nix::unistd::{AccessFlags, Pid, access, geteuid};

use super::{duration, say::short, settings::finish};
use crate::{
    control::{place::DIRECTORIES, search},
    process::{
        again::Again,
        inherited::Inherited,
        pid_file::PidFile,
        reaper::{self, Look},
        sigset::SignalSet,
    },
    readiness::notify::{self, NotifySocket},
    settings::{self, Settings},
};

/// It does not run.
const FAILED: u8 = 1;
/// It is not ready yet (EX_TEMPFAIL of sysexits.h).
const NOT_YET: u8 = 75;
const BAD_SETTINGS: u8 = 78;
/// Between two looks whether it has ended.
const INTERVAL: Duration = Duration::from_millis(20);
/// Of what it wrote before it ended, so much is shown.
const LAST_WORDS: u64 = 4096;

/// Its part of the command line, without the program.
pub(super) fn command() -> Clap {
    Clap::new("start")
        .about("Run PROGRAM in the background, and return when it is ready")
        .after_help(
            "Its number goes to SEGUE_PID_FILE, which is locked while it runs; without that setting, to a file beside the \
             control socket. What it writes goes where this command's own output goes if that is a file, else to a file \
             beside the pid file.\n\
             Exit code: 0 it runs (also if it did already), 75 it is not ready at the limit, else why it ended.\n\
             Example: SEGUE_PID_FILE=/run/app.pid segue start -- ./server --port 8080",
        )
        .arg(duration("timeout", "Wait at most so long [default: SEGUE_READY_TIMEOUT]"))
}

/// The limit on the command line.
pub(super) fn limit(matches: &ArgMatches) -> Option<Duration> {
    matches.get_one::<Duration>("timeout").copied()
}

/// Starts it; the exit code.
pub(super) fn start(
    program: &[OsString],
    limit: Option<Duration>,
    mut environment: Vec<(OsString, OsString)>,
    inherited: &Inherited,
    out: &mut dyn Write,
) -> u8 {
    let complain = |text: &str, code| finish(&mut io::stderr(), &format!("segue start: {text}\n"), code);
    let settings = match settings::read(environment.iter().cloned()) {
        Ok(reading) => reading.settings,
        Err(faults) => return finish(&mut io::stderr(), &format!("{faults}\n"), BAD_SETTINGS),
    };
    let Some(pid_file) = settings.pid_file.clone().or_else(automatic) else {
        let looked = DIRECTORIES.join(", ");
        let text = format!("no place for a pid file in {looked}; give one by SEGUE_PID_FILE");
        return complain(&text, FAILED);
    };
    match PidFile::living(&pid_file) {
        Ok(Some(pid)) => return already(pid, out),
        Ok(None) => {}
        Err(error) => return complain(&format!("{}: {error}", pid_file.display()), FAILED),
    }
    environment.retain(|(name, _)| name != "SEGUE_PID_FILE" && name != "NOTIFY_SOCKET");
    environment.push(("SEGUE_PID_FILE".into(), pid_file.clone().into()));
    let begun = begin(program, environment, inherited, &pid_file.with_extension("log"));
    let mut started = match begun {
        Ok(started) => started,
        Err(error) => return complain(&error.to_string(), FAILED),
    };
    let limit = limit.or_else(|| settings.ready_timeout.limit(None));
    match started.wait(limit) {
        Ok(Outcome::Ready) => {
            let log = started.log.as_ref().map(|log| format!("log: {}\n", log.path.display()));
            finish(
                out,
                &format!("running, pid {}\n{}", started.pid, log.unwrap_or_default()),
                0,
            )
        }
        // Another was quicker.
        Ok(Outcome::Ended(_)) if matches!(PidFile::living(&pid_file), Ok(Some(_))) => {
            already(PidFile::living(&pid_file).ok().flatten().flatten(), out)
        }
        Ok(Outcome::Ended(code)) => {
            let words = started.log.as_ref().map(Log::last_words).unwrap_or_default();
            complain(
                &format!("it has ended with code {code}\n{words}"),
                if code == 0 { FAILED } else { code },
            )
        }
        Ok(Outcome::Late) => complain(&started.late(&settings), NOT_YET),
        Err(error) => complain(&error.to_string(), FAILED),
    }
}

fn already(pid: Option<i32>, out: &mut dyn Write) -> u8 {
    let pid = pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    finish(out, &format!("already running{pid}\n"), 0)
}

/// Where the pid file is if nobody says: where the control socket would be.
fn automatic() -> Option<PathBuf> {
    let writable = |directory: &&&str| access(**directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    let directory = DIRECTORIES.iter().find(writable)?;
    Some(Path::new(directory).join(format!("segue-{}.pid", search::namespace())))
}

/// Where its output goes.
struct Log {
    path: PathBuf,
    /// What was there before.
    begin: u64,
}

impl Log {
    fn last_words(&self) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            let end = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(self.begin.max(end.saturating_sub(LAST_WORDS))))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).trim_end().to_owned())
        };
        read().unwrap_or_default()
    }
}

struct Started {
    pid: Pid,
    notify: NotifySocket,
    runtime: tokio::runtime::Runtime,
    log: Option<Log>,
}

enum Outcome {
    Ready,
    Ended(u8),
    Late,
}

fn begin(
    program: &[OsString],
    mut environment: Vec<(OsString, OsString)>,
    inherited: &Inherited,
    log: &Path,
) -> io::Result<Started> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let address = notify::Address::open()?;
    environment.push(("NOTIFY_SOCKET".into(), address.name.clone().into()));
    let notify = {
        let _guard = runtime.enter();
        NotifySocket::hear(address)?
    };
    let null = OpenOptions::new().read(true).open("/dev/null")?;
    let kept = [is_file(&io::stdout()), is_file(&io::stderr())];
    let file = if kept == [true, true] { None } else { Some(open(log)?) };
    let stream = |kept: bool| file.as_ref().filter(|_| !kept).map(|(file, _)| file.as_raw_fd());
    let streams: [Option<RawFd>; 3] = [Some(null.as_raw_fd()), stream(kept[0]), stream(kept[1])];
    let again = Again {
        program,
        environment: &environment,
        inherited,
        changed: SignalSet::of([]),
        streams,
        session: true,
    };
    let (pid, _) = again.start()?;
    let log = file.map(|(_, begin)| Log {
        path: log.to_owned(),
        begin,
    });
    Ok(Started {
        pid,
        notify,
        runtime,
        log,
    })
}

/// A file that its user alone may read: programs write secrets to their logs.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    let options = options
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW);
    let file = options
        .open(path)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Did the caller choose a file for it? A terminal will be gone, and a pipe's reader waits for the end of it.
fn is_file(stream: &impl AsFd) -> bool {
    let file = stream.as_fd().try_clone_to_owned().map(File::from);
    let metadata = file.and_then(|file| file.metadata());
    metadata.is_ok_and(|it| it.is_file() || it.file_type().is_char_device() && !is_terminal(stream))
}

fn is_terminal(stream: &impl AsFd) -> bool {
    nix::unistd::isatty(stream.as_fd()).unwrap_or(false)
}

impl Started {
    fn wait(&mut self, limit: Option<Duration>) -> io::Result<Outcome> {
        let begin = Instant::now();
        let user = geteuid().as_raw();
        let (notify, pid) = (&mut self.notify, self.pid);
        self.runtime.block_on(async {
            loop {
                let notice = std::future::poll_fn(|context| notify.poll_next(context, |it| it == user));
                if let Ok(notice) = tokio::time::timeout(INTERVAL, notice).await
                    && notice.pid == pid.as_raw()
                    && notice.is_ready()
                {
                    return Ok(Outcome::Ready);
                }
                while let Look::Dead(dead) = reaper::look() {
                    if dead.pid == pid {
                        return Ok(Outcome::Ended(dead.ending.code()));
                    }
                }
                if limit.is_some_and(|limit| begin.elapsed() >= limit) {
                    return Ok(Outcome::Late);
                }
            }
        })
    }

    /// It runs, and is not ready: says what it waits for, if that can be learned.
    fn late(&self, settings: &Settings) -> String {
        let found = super::find::find(settings).ok();
        let reason = found.and_then(|mut client| Some(super::find::status(&mut client, false).ok()?.reason));
        let reason = reason.unwrap_or_else(|| "segue status tells what it waits for".into());
        let after = short(settings.ready_timeout.limit(None).unwrap_or_default());
        let log = self
            .log
            .as_ref()
            .map(|log| format!("; log: {}", log.path.display()))
            .unwrap_or_default();
        format!("running, pid {}, but not ready within {after}: {reason}{log}", self.pid)
    }
}
