//! HELPS: the other side of `helpers`, in a process of its own, which may hang. It ends with the segue that has started it.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    boot,
    environment::{Environment, Files},
    watching,
};
use crate::{
    process::{files, helper::job, inherited::Inherited, pid_file::PidFile, sigset::SignalSet, tree},
    settings::{self, Settings},
    telemetry::{log, termination},
    watch::{self, Notice, wire},
};

/// A look that takes so many times [`TICK`] is one at a file system that does not answer.
const LONG: u32 = 2;
/// In milliseconds.
const TICK: u16 = 5_000;

/// Does a job, as `process::helper` has asked for it.
pub fn help(mut inherited: Inherited, words: &[OsString]) -> u8 {
    // Nothing that segue was started with is for the helper.
    inherited.let_go(&[]);
    let vars: Vec<_> = std::env::vars_os().collect();
    let Ok(reading) = settings::read(vars) else { return 1 };
    let settings = reading.settings;
    let [job, directory, words @ ..] = words else { return 1 };
    let directory = Some(Path::new(directory)).filter(|it| it.is_absolute());
    let job = job.to_str().unwrap_or_default();
    if job != job::MARKERS {
        log::set_up(
            boot::form(&settings),
            settings.log.targets.clone(),
            settings.log.by_module,
        );
    }
    let said = match job {
        job::ENVIRONMENT => {
            // A stop ends it, but no signal that is for the program.
            inherited.mask = SignalSet::of((1..65).filter(|it| *it != libc::SIGTERM));
            inherited.restore();
            let files = if words.is_empty() {
                Files::All
            } else {
                Files::ThoseThatAreThere
            };
            say(&environment(&settings, directory, files))
        }
        job::WATCH => {
            let own = words.iter().map(PathBuf::from).collect();
            watch_files(watching::plan(&settings, directory, own))
        }
        job::MARKERS => markers(words),
        job::REASON => {
            if let [path, created, reason] = words {
                termination::write(Path::new(path), !created.is_empty(), &reason.to_string_lossy());
            }
            Ok(())
        }
        job::PID_FILE => keep(words),
        _ => return 1,
    };
    u8::from(said.is_err())
}

fn say(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// What the files add to the environment, which is segue's.
fn environment(settings: &Settings, directory: Option<&Path>, files: Files) -> Vec<u8> {
    let all: Vec<_> = std::env::vars_os().collect();
    let before = Environment::inherited(&all, true, false);
    let mut environment = before.clone();
    match environment.read(&settings.env_files, &settings.secrets, directory, files) {
        Ok(()) => {
            let before = before.entries();
            let entries = environment
                .entries()
                .into_iter()
                .filter(|entry| !before.contains(entry));
            let entries: Vec<_> = entries.collect();
            let entries = entries.iter().flat_map(|it| it.to_bytes_with_nul().iter().copied());
            [b'='].into_iter().chain(entries).chain([0]).collect()
        }
        Err(fault) => format!("!{fault}").into_bytes(),
    }
}

/// Those that wait for a file system come last, so that the others are told.
fn markers(pids: &[OsString]) -> io::Result<()> {
    say(b"\n")?;
    for pid in pids {
        let marker = pid.to_str().and_then(|pid| tree::marker(pid.parse().ok()?));
        say(format!("{}\n", marker.map(|it| it.to_string()).unwrap_or_default()).as_bytes())?;
    }
    Ok(())
}

fn keep(words: &[OsString]) -> io::Result<()> {
    let [path, pid] = words else { return Ok(()) };
    let pid = pid.to_str().and_then(|pid| pid.parse().ok()).unwrap_or(0);
    match PidFile::write(Path::new(path), pid) {
        Ok(_kept) => {
            say(b"=")?;
            // Until segue is gone, or has no use for it any more.
            io::stdin().lock().read_to_end(&mut Vec::new()).map(drop)
        }
        Err(why) => say(format!("!{why}").as_bytes()),
    }
}

/// Watches in a thread of its own, which may hang, and tells if it does.
fn watch_files(plan: watch::Plan) -> io::Result<()> {
    // Odd while it looks at files.
    let turns = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&turns);
    let thread = std::thread::Builder::new().spawn(move || watch_counted(plan, &counted))?;
    let (mut before, mut same, mut silent) = (0, 0_u32, false);
    while !thread.is_finished() {
        let input = files::stream(0);
        match poll(&mut [PollFd::new(input, PollFlags::POLLIN)], PollTimeout::from(TICK)) {
            Ok(0) => {}
            Err(nix::Error::EINTR) => continue,
            // Segue is gone.
            _ => return Ok(()),
        }
        let now = turns.load(Ordering::Relaxed);
        same = if now == before && now % 2 == 1 {
            same.saturating_add(1)
        } else {
            0
        };
        before = now;
        if silent != (same >= LONG) {
            silent = !silent;
            say(&wire::encode(&Notice::Silent(silent)))?;
        }
    }
    Ok(())
}

fn watch_counted(plan: watch::Plan, turns: &Arc<AtomicU64>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let Ok(runtime) = runtime else { return };
    let tell = |notice| {
        say(&wire::encode(&notice)).ok();
    };
    let mut watching = Box::pin(watch::run(plan, Box::new(tell)));
    let turns = Arc::clone(turns);
    let watching = std::future::poll_fn(move |context| {
        turns.fetch_add(1, Ordering::Relaxed);
        let polled = watching.as_mut().poll(context);
        turns.fetch_add(1, Ordering::Relaxed);
        polled.map(|never| match never {})
    });
    super::life::block_on(&runtime, Box::pin(watching));
}

/// Is the binary to help? Then these are its words.
#[must_use]
pub fn words(arguments: &[OsString]) -> Option<&[OsString]> {
    let (name, words) = arguments.split_first()?;
    (name.as_os_str() == OsStr::from_bytes(crate::process::helper::NAME.as_bytes())).then_some(words)
}
