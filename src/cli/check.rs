//! `segue check`: everything that would go wrong at the start, and can be seen without starting anything. It leaves nothing
//! behind: what it binds it closes, what it opens it does not read to the end.

mod address;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use super::find::{find, status};
use super::settings::finish;
use crate::control::status::Setting;
use crate::process::{lookup, privileges};
use crate::runtime::{boot, environment};
use crate::settings::value::{Address, Admin, Control, Handover, Ready, TerminationLog, WatchAction};
use crate::settings::{Reading, Settings, read, redacted};

const BAD_SETTINGS: u8 = 78;

/// Prints every fault and returns 78, or prints one line that begins with `ok` and returns 0.
///
/// Warnings are printed too, and count as faults if `strict`. `program` is the program's command line, if there is one.
pub fn check(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    strict: bool,
    program: Option<&[OsString]>,
    out: &mut dyn Write,
) -> u8 {
    let vars: Vec<(OsString, OsString)> = vars.into_iter().collect();
    let variable = |name: &str| {
        vars.iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_os_str())
    };
    let path = variable("PATH");
    let mut faults = Vec::new();
    let mut summary = Vec::new();

    let mut missing: Vec<String> = Vec::new();
    let said = match read(vars.iter().cloned()) {
        Ok(Reading {
            settings,
            warnings,
            given,
        }) => {
            summary.push(format!("{} given", plural(given.len(), "setting")));
            let inherited_sockets = variable("LISTEN_FDS").is_some_and(|value| !value.is_empty());
            faults.extend(settings.cross_check(inherited_sockets).iter().map(ToString::to_string));
            surroundings(&settings, &given, path, &mut faults);
            let (wrong, doubtful) = environment::check(&vars, &settings);
            faults.extend(wrong);
            missing.extend(doubtful);
            let paths = settings.watch.iter().map(|it| &it.0).filter(|path| !path.exists());
            missing.extend(paths.map(|path| format!("SEGUE_WATCH={path:?}: not there, it will be waited for")));
            let transparent = match settings.handover {
                Handover::Transparent => true,
                Handover::Auto => settings.listen.is_empty() && settings.proxy.is_empty() && !inherited_sockets,
                Handover::ListenFds | Handover::Proxy | Handover::None => false,
            };
            let forbidden = privileges::nothing_is_read().filter(|_| transparent);
            missing.extend(forbidden.map(|why| format!("no transparent hand-over: {why}")));
            let addresses = settings.listen.len() + settings.proxy.len();
            if addresses > 0 {
                summary.push(format!("{} free", plural(addresses, "address")));
            }
            warnings
        }
        Err(bad) => {
            faults.extend(bad.faults.iter().map(ToString::to_string));
            bad.warnings
        }
    };
    let warnings: Vec<String> = said.iter().map(ToString::to_string).chain(missing).collect();
    if let Some(word) = program.and_then(<[OsString]>::first) {
        match lookup::find(word, path).and_then(|found| lookup::runnable(&found).map(|()| found)) {
            Ok(found) => summary.push(format!("program {}", found.display())),
            Err(error) => faults.push(format!("PROGRAM={word:?}: {error}")),
        }
    }

    let mut text: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
    let label = if strict { "" } else { "warning: " };
    text.extend(warnings.iter().map(|warning| format!("{label}{warning}\n")));
    if !faults.is_empty() || (strict && !warnings.is_empty()) {
        return finish(out, &text, BAD_SETTINGS);
    }
    text.push_str(&format!("ok: {}\n", summary.join(", ")));
    finish(out, &text, 0)
}

/// What the settings name and the system must have.
fn surroundings(settings: &Settings, given: &[(&'static str, String)], path: Option<&OsStr>, faults: &mut Vec<String>) {
    doors(settings, given, faults);
    let ready = match &settings.ready {
        Ready::Exec(command) => Some(command),
        Ready::Auto
        | Ready::Started
        | Ready::Listening
        | Ready::Notify
        | Ready::Tcp(_)
        | Ready::Http(_)
        | Ready::File(_) => None,
    };
    let watch = match &settings.watch_action {
        WatchAction::Exec(command) => Some(command),
        WatchAction::Restart | WatchAction::Signal(_) => None,
    };
    let commands = [
        ("SEGUE_READY", ready),
        ("SEGUE_PRE_START", settings.pre_start.as_ref().map(|hook| &hook.command)),
        ("SEGUE_POST_STOP", settings.post_stop.as_ref().map(|hook| &hook.command)),
        ("SEGUE_WATCH_ACTION", watch),
    ];
    for (name, command) in commands {
        let Some(word) = command.and_then(|command| command.words.first()) else {
            continue;
        };
        if let Err(error) = lookup::find(OsStr::new(word), path).and_then(|found| lookup::runnable(&found)) {
            faults.push(format!("{name}={word:?}: {error}"));
        }
    }
    faults.extend(boot::identity(settings).err());
    if let TerminationLog::Path(file) = &settings.termination_log
        && let Err(reason) = writable(file)
    {
        faults.push(format!("SEGUE_TERMINATION_LOG={file:?}: {reason}"));
    }
}

/// What is to be bound and written. A segue that runs already with these very settings is in nobody's way.
fn doors(settings: &Settings, given: &[(&'static str, String)], faults: &mut Vec<String>) {
    let admin = match &settings.admin {
        Admin::At(address) => Some(address),
        Admin::Off => None,
    };
    let control = match &settings.control {
        Control::Path(path) => Some(Address::Unix(path.clone())),
        Control::Auto | Control::Off => None,
    };
    let listen = settings.listen.iter().map(|it| ("SEGUE_LISTEN", &it.address));
    let proxy = settings.proxy.iter().map(|address| ("SEGUE_PROXY", address));
    let admin = admin.map(|address| ("SEGUE_ADMIN", address));
    let control = control.as_ref().map(|address| ("SEGUE_CONTROL", address));
    for (name, address) in listen.chain(proxy).chain(admin).chain(control) {
        match address::bindable(address) {
            Err(reason) if !(reason.starts_with("in use") && is_its_own(settings, name, given)) => {
                faults.push(format!("{name}=\"{address}\": {reason}"));
            }
            Err(_) | Ok(()) => {}
        }
    }
    if let Some(file) = &settings.pid_file
        && let Err(reason) = writable(file)
    {
        faults.push(format!("SEGUE_PID_FILE={file:?}: {reason}"));
    }
}

/// Does a running segue have this setting, with the same text?
fn is_its_own(settings: &Settings, name: &str, given: &[(&'static str, String)]) -> bool {
    let status = find(settings)
        .ok()
        .and_then(|mut client| status(&mut client, false).ok());
    let text = given.iter().find(|it| it.0 == name).map(|it| redacted(it.1.trim()));
    let same = |it: &Setting| it.name == name && Some(&it.value) == text.as_ref();
    status.is_some_and(|status| status.settings.iter().any(same))
}

/// Whether a file could be written there; it is not touched.
fn writable(file: &Path) -> Result<(), String> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    if file.is_dir() {
        return Err("a directory, give a file".to_owned());
    }
    if !directory.is_dir() {
        return Err(format!("{} is not a directory", directory.display()));
    }
    let place = if file.exists() { file } else { &directory };
    faccessat(AT_FDCWD, place, AccessFlags::W_OK, AtFlags::AT_EACCESS)
        .map_err(|error| format!("{} cannot be written: {}", place.display(), error.desc()))
}

fn plural(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('s')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(_)) => format!("{count} {noun}es"),
        (_, None) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(vars: &[(&str, &str)], strict: bool, program: Option<&str>) -> (u8, String) {
        let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
        let program = program.map(|word| vec![OsString::from(word)]);
        let mut out = Vec::new();
        let code = check(vars, strict, program.as_deref(), &mut out);
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn nothing_wrong_is_one_line() {
        assert_eq!(run(&[], true, None), (0, "ok: 0 settings given\n".to_owned()));
        let (code, text) = run(
            &[("PATH", "/bin:/usr/bin"), ("SEGUE_LISTEN", "localhost:65123")],
            true,
            Some("sh"),
        );
        assert_eq!(
            (code, text.as_str()),
            (0, "ok: 1 setting given, 1 address free, program /bin/sh\n")
        );
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let (code, text) = run(
            &[("SEGUE_STOP_TIMEOUT", "30"), ("SEGUE_XLOG", "x")],
            false,
            Some("/nonexistent"),
        );
        assert_eq!(code, 78);
        assert!(text.starts_with("SEGUE_STOP_TIMEOUT=\"30\": "), "{text}");
        assert!(text.contains("PROGRAM=\"/nonexistent\": not found\n"), "{text}");
        assert!(text.contains("warning: SEGUE_XLOG"), "{text}");
    }

    #[test]
    fn warnings_fail_only_when_strict() {
        assert_eq!(run(&[("SEGUE_XLOG", "x")], false, None).0, 0);
        assert_eq!(run(&[("SEGUE_XLOG", "x")], true, None).0, 78);
        let missing = [("SEGUE_WATCH", "/nonexistent")];
        assert_eq!(run(&missing, false, None).0, 0);
        assert_eq!(
            run(&missing, true, None),
            (
                78,
                "SEGUE_WATCH=\"/nonexistent\": not there, it will be waited for\n".to_owned()
            )
        );
    }

    #[test]
    fn passing_on_needs_sockets() {
        assert_eq!(run(&[("SEGUE_HANDOVER", "listen-fds")], false, None).0, 78);
        assert_eq!(
            run(&[("SEGUE_HANDOVER", "listen-fds"), ("LISTEN_FDS", "1")], false, None).0,
            0
        );
    }

    #[test]
    fn what_the_settings_name_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().to_str().unwrap();
        let (code, text) = run(
            &[
                ("SEGUE_ENV_FILES", &format!("{there},{there}/missing.env")),
                ("SEGUE_TERMINATION_LOG", &format!("{there}/missing/log")),
                ("SEGUE_POST_STOP", "/nonexistent now"),
                ("SEGUE_READY", "exec:/nonexistent"),
            ],
            false,
            None,
        );
        assert_eq!((code, text.lines().count()), (78, 4), "{text}");
        let (code, text) = run(&[("SEGUE_TERMINATION_LOG", &format!("{there}/log"))], false, None);
        assert_eq!(code, 0, "{text}");
    }
    #[test]
    fn doors_must_be_openable() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().to_str().unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (code, text) = run(
            &[
                ("SEGUE_ADMIN", &taken.local_addr().unwrap().to_string()),
                ("SEGUE_PROXY", &taken.local_addr().unwrap().to_string()),
                ("SEGUE_CONTROL", &format!("{there}/missing/segue.sock")),
                ("SEGUE_PID_FILE", there),
            ],
            false,
            None,
        );
        assert_eq!((code, text.lines().count()), (78, 4), "{text}");
        for part in [
            "SEGUE_PROXY=\"127.0.0.1:",
            "SEGUE_ADMIN=\"127.0.0.1:",
            "in use",
            "SEGUE_CONTROL=\"unix:",
            "a directory, give a file",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
