//! HAS files watched, and translates their changes into what `SEGUE_WATCH_ACTION` says. It looks at no file itself.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use super::{Supervisor, children::Task, doors::again, probing::Message};
use crate::{
    control::status,
    machine::{Event, Phase, Reason},
    process::mounts::Mounts,
    settings::{
        Settings,
        value::{Command, TerminationLog, WatchAction, WatchBackend},
    },
    telemetry::termination,
    watch::{self, Backend, Changes, Loops, Notice, Plan, Verdict, Watching},
};

/// What is known of the watched files.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Watching,
    loops: Loops,
    /// Does the command of the action run?
    runs: bool,
    /// Files have changed while it ran.
    again: bool,
}

/// What the settings say of it.
pub(super) fn plan(settings: &Settings, directory: Option<&Path>, own: Vec<PathBuf>) -> Plan {
    let paths = settings.watch.iter();
    Plan {
        paths: paths.map(|it| (it.0.clone(), absolute(directory, &it.0))).collect(),
        ignore: settings.watch_ignore.clone(),
        own,
        debounce: settings.watch_debounce,
        max_delay: settings.watch_max_delay,
        backend: match settings.watch_backend {
            WatchBackend::Auto => Backend::Auto,
            WatchBackend::Inotify => Backend::Inotify,
            WatchBackend::Poll => Backend::Poll,
        },
        poll_interval: settings.watch_poll_interval,
        check_interval: settings.watch_check_interval,
        jitter: settings.watch_jitter,
    }
}

/// Without the dots in between, by which no other path would be known. (The last part may be a link.)
fn absolute(directory: Option<&Path>, path: &Path) -> PathBuf {
    let path = directory.map_or_else(|| path.to_owned(), |it| it.join(path));
    let parts = path.components();
    parts.filter(|it| *it != std::path::Component::CurDir).collect()
}

impl Supervisor {
    /// Has the files watched from now on, if any are to be.
    pub(super) fn start_watching(&mut self) {
        if self.settings.watch.is_empty() {
            return;
        }
        let own = self.own_files();
        if Mounts::read().may_hang() {
            return self.watch_apart(own.into_iter().map(PathBuf::into_os_string).collect());
        }
        let plan = plan(&self.settings, self.inherited.directory().as_deref(), own);
        let messages = self.sender.clone();
        tokio::spawn(again("watch", messages.clone(), async move || {
            let messages = messages.clone();
            // The loop outlives its tasks.
            let tell = move |notice| drop(messages.send(Message::Watch(notice)));
            match watch::run(plan.clone(), Box::new(tell)).await {}
        }));
    }

    /// Files that never count: where segue and the program write to.
    fn own_files(&self) -> Vec<PathBuf> {
        let settings = &self.settings;
        let directory = self.inherited.directory();
        let absolute = |path: &Path| absolute(directory.as_deref(), path);
        let mut own: Vec<PathBuf> = settings.pid_file.iter().map(|path| absolute(path)).collect();
        own.extend(self.doors.control_path());
        own.push(match &settings.termination_log {
            TerminationLog::Path(path) => absolute(path),
            TerminationLog::Auto | TerminationLog::Off => termination::DEFAULT.into(),
        });
        own.extend((1..=2).filter_map(|stream| std::fs::read_link(format!("/proc/self/fd/{stream}")).ok()));
        own
    }

    pub(super) fn on_watch(&mut self, notice: Notice) {
        match notice {
            Notice::State(state) => {
                if state.backend != self.watch.state.backend {
                    let Watching {
                        backend,
                        files,
                        directories,
                        ..
                    } = &state;
                    tracing::info!(backend, files, directories, "watching files");
                }
                self.watch.state = state;
            }
            Notice::Changed(changes) => self.on_changes(&changes),
            Notice::Silent(true) => {
                let why = "a watched file system does not answer";
                tracing::warn!("{why}: changes are not seen until it does");
                self.watch.state.why = Some(why.to_owned());
            }
            Notice::Silent(false) => tracing::info!("the watched file system answers again"),
            Notice::Ended => {
                *self.desk.faults.entry("watch".to_owned()).or_default() += 1;
                self.start_watching();
            }
        }
    }

    fn on_changes(&mut self, changes: &Changes) {
        let cause = changes.to_string();
        self.desk.tally.count(|metrics| metrics.watched_files_changed());
        let now = Instant::now();
        let began = self.state.generations().iter().map(|it| it.since).max().unwrap_or(now);
        match self.watch.loops.note(&changes.paths, began, now) {
            Verdict::Restart => {}
            Verdict::Suspended => {
                return tracing::debug!(cause, "these files do not restart the program any more");
            }
            Verdict::Found(paths) => {
                let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
                return tracing::warn!(
                    paths = paths.join(", "),
                    remedy = "SEGUE_WATCH_IGNORE",
                    "a loop: the program itself changes what restarts it; these files are suspended until it is restarted by hand"
                );
            }
        }
        if self.state.phase() != Phase::Running {
            return tracing::debug!(cause, "watched files have changed; nothing is started any more");
        }
        tracing::info!(cause, "watched files have changed");
        match self.settings.watch_action.clone() {
            WatchAction::Restart => {
                self.choose_mode();
                self.events.push_back(Event::RestartRequested {
                    reason: Reason::Watch(cause),
                });
            }
            WatchAction::Signal(signal) => self.events.push_back(Event::SignalReceived {
                signal: signal.number(),
                value: None,
            }),
            WatchAction::Exec(command) => self.run_watch_command(&command),
        }
    }

    /// One at a time; what comes meanwhile is for one more.
    fn run_watch_command(&mut self, command: &Command) {
        if self.watch.runs {
            self.watch.again = true;
            return;
        }
        let generation = self.state.current().unwrap_or_else(|| self.state.last_generation());
        match self.start_command(generation, command, Task::Watch) {
            Ok(()) => self.watch.runs = true,
            Err(fault) => tracing::warn!(reason = fault.reason, "SEGUE_WATCH_ACTION failed"),
        }
    }

    /// The command of the action has ended; why it failed, if it did.
    pub(super) fn on_watch_command_ended(&mut self, failure: Option<String>) {
        if let Some(reason) = failure {
            tracing::warn!(reason, "SEGUE_WATCH_ACTION failed");
        }
        self.watch.runs = false;
        if std::mem::take(&mut self.watch.again)
            && let WatchAction::Exec(command) = self.settings.watch_action.clone()
        {
            self.run_watch_command(&command);
        }
    }

    /// Somebody restarts the program by hand: what it changes itself may have been mended.
    pub(super) fn forget_loops(&mut self, reason: &Reason) {
        match reason {
            Reason::Hup | Reason::Command => self.watch.loops.forget(),
            Reason::Watch(_) | Reason::Crash => {}
        }
    }

    /// For status.
    pub(super) fn watch_status(&self) -> Option<status::Watch> {
        let shown = |path: &Path| path.display().to_string();
        let state = &self.watch.state;
        (!self.settings.watch.is_empty()).then(|| status::Watch {
            backend: state.backend.clone(),
            why: state.why.clone(),
            files: u64::try_from(state.files).unwrap_or(u64::MAX),
            directories: u64::try_from(state.directories).unwrap_or(u64::MAX),
            missing: state.missing.iter().map(|path| shown(path)).collect(),
            suspended: self.watch.loops.suspended().map(shown).collect(),
        })
    }
}
