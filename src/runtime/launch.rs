//! LAUNCHES processes: the program of a generation, and segue's own commands for it (hooks, probes).

use std::{
    ffi::{CString, OsStr, OsString},
    os::fd::AsRawFd,
    task::{Context, Poll},
};

use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use super::{
    Supervisor,
    boot::{BAD_SETTINGS, SYSTEM_REFUSED},
    children::Task,
    environment::{Environment, Files},
    generation::{Generation, Main},
};
use crate::{
    machine::{Event, Fault},
    process::{
        files,
        identity::Identity,
        program, send,
        sigset::SignalSet,
        spawn::{self, LISTEN_PID, Launch, Plan, Verdict},
    },
    readiness::notify::{self, NotifySocket},
    settings::value::{Command, Hook, Ready, WatchAction},
};

/// A process that was forked, whose exec has not come out yet.
pub(super) struct Launching {
    pub(super) pid: Pid,
    verdict: AsyncFd<Verdict>,
}

/// The first number of a passed socket.
const FIRST_FILE: i32 = 3;

impl Supervisor {
    /// Starts the program as a generation.
    pub(super) fn start_program(&mut self, generation: u64) -> Result<(), Fault> {
        let refused = |what: &str, error: &dyn std::fmt::Display| Fault {
            code: SYSTEM_REFUSED,
            reason: format!("{what}: {error}"),
        };
        if self.waits_for_files(generation, Files::All)? {
            return Ok(());
        }
        let (mut environment, identity) = self.environment_of(generation, Files::All)?;
        let mut notify = None;
        let auto = self.settings.ready == Ready::Auto && (self.trapping.is_on() || self.front.is_some());
        if self.settings.ready == Ready::Notify || auto {
            let address = notify::Address::open();
            let address = address.map_err(|error| refused("cannot make a notification socket", &error))?;
            environment.set("NOTIFY_SOCKET", &address.name);
            notify = Some(address);
        }
        let count = self.sockets.count();
        let above = FIRST_FILE + i32::try_from(count).unwrap_or(0);
        let files = self.sockets.for_generation(generation, above);
        let files = files.map_err(|error| refused("cannot make its sockets", &error))?;
        let mut entries = environment.entries();
        if count > 0 {
            environment.set("LISTEN_FDS", count.to_string());
            environment.set("LISTEN_FDNAMES", self.sockets.names());
            entries = environment.entries();
            entries.extend(CString::new(LISTEN_PID));
        }
        let words = self.program.clone();
        let name = words.first().map_or(OsStr::new(""), OsString::as_os_str);
        self.spare_privileges(|| program::candidates(name, environment.get("PATH")));
        let expendable = self.is_expendable(generation);
        let plan = Plan {
            files: files.iter().map(AsRawFd::as_raw_fd).collect(),
            foreground: self.inherited.foreground && !self.generations.values().any(|it| it.living().is_some()),
            no_input: false,
            trap: self.trapping.trap(!self.paths.is_empty()),
            expendable,
            ..self.plan(generation, &words, &environment, entries, identity)?
        };
        let launch = spawn::spawn(&plan).map_err(|error| refused("cannot fork", &error))?;
        // The program runs already: the rest is done beside it.
        self.sockets.begin(generation);
        self.paths.begin(generation);
        self.watch(launch, Task::Program(generation));
        match (
            notify.map(NotifySocket::hear).transpose(),
            self.generations.get_mut(&generation),
        ) {
            (Ok(socket), Some(it)) => it.notify = socket,
            (Err(error), _) => self.call_off(generation, refused("cannot hear notifications", &error)),
            (Ok(_), None) => {}
        }
        Ok(())
    }

    /// What the program needs of segue cannot be had: it is ended, and counts as not started.
    fn call_off(&mut self, generation: u64, fault: Fault) {
        let Some(main) = self.generations.get(&generation).and_then(Generation::living) else {
            return;
        };
        let pid = main.pid;
        if let Err(error) = send::to_held(pid, main.pidfd.as_ref(), libc::SIGKILL) {
            tracing::warn!(generation, %error, "cannot end what was called off");
        }
        if let Some(task) = self.tasks.remove(&pid) {
            self.tasks.insert(pid, Task::Failed(Box::new(task), fault));
        }
        self.kill(generation);
    }

    /// Starts a hook. What it is to make ready may be missing yet: files of variables, secrets.
    pub(super) fn start_hook(&mut self, generation: u64, hook: &Hook, task: Task) -> Result<(), Fault> {
        self.start(
            generation,
            &hook.command,
            task,
            Files::ThoseThatAreThere,
            hook.is_privileged,
        )
    }

    /// Starts one of segue's own commands, with the environment of the generation that it is for.
    pub(super) fn start_command(&mut self, generation: u64, command: &Command, task: Task) -> Result<(), Fault> {
        self.start(generation, command, task, Files::All, false)
    }

    fn start(
        &mut self,
        generation: u64,
        command: &Command,
        task: Task,
        files: Files,
        is_privileged: bool,
    ) -> Result<(), Fault> {
        let words: Vec<OsString> = command.words.iter().map(OsString::from).collect();
        let (environment, identity) = self.environment_of(generation, files)?;
        let probes = matches!(task, Task::Probe { .. });
        if probes {
            self.prepare_to_reach(generation, command);
        }
        let plan = Plan {
            trap: self.trap_connects(generation).filter(|_| probes),
            identity: identity.clone().filter(|_| !is_privileged),
            ..self.plan(generation, &words, &environment, environment.entries(), identity)?
        };
        let launch = spawn::spawn(&plan).map_err(|error| Fault {
            code: SYSTEM_REFUSED,
            reason: format!("cannot fork: {error}"),
        })?;
        self.watch(launch, task);
        Ok(())
    }

    /// The variables of a generation, and who it is to be.
    fn environment_of(&self, generation: u64, files: Files) -> Result<(Environment, Option<Identity>), Fault> {
        let mut environment = Environment::inherited(&self.environment, self.settings.keep_env, self.given_sockets);
        let (identity, home) = self.identity()?.unzip();
        if let Some(home) = home {
            environment.set("HOME", home);
        }
        let (paths, secrets) = (&self.settings.env_files, &self.settings.secrets);
        let read = if self.reads_apart() {
            environment.extend(&self.files_read.entries);
            environment.remove_files_of(secrets);
            Ok(())
        } else {
            environment.read(paths, secrets, self.inherited.directory().as_deref(), files)
        };
        read.map_err(|fault| Fault {
            code: BAD_SETTINGS,
            reason: fault.to_string(),
        })?;
        environment.set("SEGUE_GENERATION", generation.to_string());
        if let Some(port) = self.generations.get(&generation).and_then(Generation::port) {
            environment.set("PORT", port.to_string());
        }
        Ok((environment, identity))
    }

    fn plan<'a>(
        &'a self,
        generation: u64,
        words: &[OsString],
        environment: &Environment,
        entries: Vec<CString>,
        identity: Option<Identity>,
    ) -> Result<Plan<'a>, Fault> {
        let name = words.first().map_or(OsStr::new(""), OsString::as_os_str);
        let changed = self.changed;
        let ignored_child = self.inherited.ignored.contains(libc::SIGCHLD);
        let plan = Plan {
            inherited: &self.inherited,
            changed: if ignored_child {
                changed
            } else {
                SignalSet::of(changed.iter().filter(|it| *it != libc::SIGCHLD))
            },
            candidates: program::candidates(name, environment.get("PATH")),
            arguments: words.iter().filter_map(|word| program::c_string(word)).collect(),
            environment: entries,
            streams: [None; 3],
            files: Vec::new(),
            foreground: false,
            session: false,
            at_once: generation == 1,
            no_input: true,
            trap: None,
            expendable: false,
            attributes: &self.attributes,
            identity,
            directory: self.working_directory(environment),
            // A container ends with its PID 1 all the same.
            dies_with_us: std::process::id() != 1,
        };
        if plan.candidates.is_empty() {
            return Err(Fault {
                code: 127,
                reason: format!("cannot run {name:?}: that is no name of a program"),
            });
        }
        Ok(plan)
    }

    fn watch(&mut self, launch: Launch, task: Task) {
        let (pid, pidfd, channel, verdict) = launch.into_parts();
        self.childless = false;
        if let Task::Program(generation) | Task::PreStart(generation) = &task
            && let Some(it) = self.generations.get_mut(generation)
        {
            it.main = Some(Main {
                pid,
                pidfd,
                alive: true,
            });
            it.channel = channel;
        } else if let Task::Probe { generation, .. } = &task
            && let Some(it) = self.generations.get_mut(generation)
        {
            it.probe_channel = channel;
        }
        self.tasks.insert(pid, task);
        match files::watch(verdict) {
            Ok(verdict) => self.launches.push(Launching { pid, verdict }),
            // It is read when the process is reaped, or never missed: without it the program counts as started.
            Err(error) => {
                tracing::warn!(pid = pid.as_raw(), %error, "cannot watch a start");
                self.on_verdict(pid, Ok(()));
            }
        }
    }

    /// Takes note of every exec that has come out.
    pub(super) fn poll_launches(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut done = Vec::new();
        for launching in &self.launches {
            while let Poll::Ready(Ok(mut guard)) = launching.verdict.poll_read_ready(context) {
                match guard.get_inner().read() {
                    Some(verdict) => {
                        done.push((launching.pid, verdict));
                        break;
                    }
                    None => guard.clear_ready(),
                }
            }
        }
        let any = !done.is_empty();
        for (pid, verdict) in done {
            self.launches.retain(|launching| launching.pid != pid);
            self.on_verdict(pid, verdict);
        }
        if any { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The verdict on a process that is dead by now, if it was not taken note of before.
    pub(super) fn take_verdict(&mut self, pid: Pid) {
        let Some(index) = self.launches.iter().position(|launching| launching.pid == pid) else {
            return;
        };
        let launching = self.launches.swap_remove(index);
        if let Some(verdict) = launching.verdict.get_ref().read() {
            self.note_verdict(pid, verdict);
        }
    }

    fn on_verdict(&mut self, pid: Pid, verdict: Result<(), spawn::ExecFault>) {
        let succeeded = verdict.is_ok();
        self.note_verdict(pid, verdict);
        if let (true, Some(Task::Probe { generation, .. })) = (succeeded, self.tasks.get(&pid)) {
            return self.begin_to_reach(*generation);
        }
        if let (true, Some(Task::Program(generation))) = (succeeded, self.tasks.get(&pid)) {
            let generation = *generation;
            if let Err(error) = self.begin_hearing(generation) {
                let reason = format!("cannot answer the program's calls: {error}");
                let code = SYSTEM_REFUSED;
                return self.call_off(generation, Fault { code, reason });
            }
            self.events.push_back(Event::Started { generation });
            self.look_for_readiness(generation);
        }
    }

    /// Keeps what went wrong until the process is reaped: only then is nothing of it left.
    fn note_verdict(&mut self, pid: Pid, verdict: Result<(), spawn::ExecFault>) {
        let Err(fault) = verdict else { return };
        let Some(task) = self.tasks.remove(&pid) else { return };
        let words: Vec<OsString> = match &task {
            Task::Program(_) => self.program.clone(),
            Task::PreStart(_) => self.command_words(self.settings.pre_start.as_ref().map(|hook| &hook.command)),
            Task::PostStop => self.command_words(self.settings.post_stop.as_ref().map(|hook| &hook.command)),
            Task::Watch => match &self.settings.watch_action {
                WatchAction::Exec(command) => self.command_words(Some(command)),
                WatchAction::Restart | WatchAction::Signal(_) => Vec::new(),
            },
            Task::Probe { .. } => match &self.settings.ready {
                Ready::Exec(command) => self.command_words(Some(command)),
                Ready::Auto
                | Ready::Started
                | Ready::Listening
                | Ready::Notify
                | Ready::Tcp(_)
                | Ready::Http(_)
                | Ready::File(_) => Vec::new(),
            },
            Task::Failed(..) => Vec::new(),
        };
        let name = words.first().map_or(OsStr::new(""), OsString::as_os_str);
        let path = self
            .environment
            .iter()
            .find(|it| it.0 == "PATH")
            .map(|it| it.1.as_os_str());
        let by_setting = self.fault_of_a_setting(fault);
        let fault =
            by_setting.unwrap_or_else(|| program::exec_fault(name, path, self.inherited.directory().as_deref(), fault));
        self.tasks.insert(pid, Task::Failed(Box::new(task), fault));
    }

    fn command_words(&self, command: Option<&Command>) -> Vec<OsString> {
        command
            .map(|command| command.words.iter().map(OsString::from).collect())
            .unwrap_or_default()
    }
}
