//! TIES everything together: one thread, one loop; something happens → the machine decides → it is done → it is told.
//!
//! After the first start nothing leaves the loop as an error: every fault becomes an event. Nothing here decides.

mod boot;
mod brokering;
mod children;
mod draining;
mod environment;
mod generation;
mod launch;
mod leftovers;
mod panics;
mod perform;
mod probing;
mod story;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ffi::OsString,
    io::Write,
    mem::ManuallyDrop,
    path::Path,
    task::{Context, Poll},
    time::Instant,
};

use nix::unistd::Pid;
use tokio::sync::mpsc;

use self::{
    boot::{Booted, SYSTEM_REFUSED},
    brokering::Trapping,
    children::Task,
    generation::Generation,
    launch::Launching,
    panics::{survive, survive_wait},
    probing::Message,
    story::Turn,
};
use crate::{
    handover::{broker::Broker, refuser::Refuser, sockets::Sockets},
    machine::{self, Event, Limits, Reason, State},
    process::{
        inherited::Inherited,
        signals::{self, Received, Signals},
        sigset::SignalSet,
    },
    settings::{
        Settings,
        value::{OnHup, Signal, TerminationLog},
    },
    telemetry::{log, stderr::Stderr, termination},
};

/// Dead children reaped in one go, so that a storm of them does not keep a stop waiting.
const REAP_BATCH: usize = 1_000;

/// Segue while it runs a program.
struct Supervisor {
    settings: Settings,
    limits: Limits,
    inherited: Inherited,
    program: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    given_sockets: bool,
    sockets: Sockets,
    trapping: Trapping,
    /// Who answers the binds of a generation.
    brokers: BTreeMap<u64, Broker>,
    refusers: Vec<Refuser>,
    /// Generations whose connections are to be looked at as soon as the turn is told.
    to_note: Vec<u64>,
    state: State,
    generations: BTreeMap<u64, Generation>,
    /// Who every child of ours is.
    tasks: HashMap<Pid, Task>,
    launches: Vec<Launching>,
    /// Signals whose disposition segue has changed.
    changed: SignalSet,
    /// Did the last look for dead children find that there are no children?
    childless: bool,
    more_children: bool,
    orphans_reaped: u64,
    events: VecDeque<Event>,
    sender: mpsc::UnboundedSender<Message>,
    told_no_handover: bool,
    told_sealed: bool,
    /// Why segue ends, for the termination log.
    last_reason: String,
    /// The signal that asked for the end.
    stopped_by: Option<String>,
    exit: Option<u8>,
}

/// What the loop wakes up for.
enum Happening {
    Signal(Received),
    /// The events are in the queue already.
    Events,
    Message(Message),
    MoreChildren,
    Look,
    Deadline,
}

/// Runs the program until its end; segue's exit code. `adjust` has the last word on the settings.
#[must_use]
pub fn run(inherited: Inherited, program: Vec<OsString>, adjust: impl FnOnce(&mut Settings)) -> u8 {
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let booted = match boot::boot(&environment, adjust) {
        Ok(booted) => booted,
        Err(refusal) => {
            refuse(&refusal.lines);
            return refusal.code;
        }
    };
    match tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
    {
        Ok(runtime) => {
            let code = runtime.block_on(supervise(inherited, program, environment, booted));
            // The end of the process frees it all at once.
            std::mem::forget(runtime);
            code
        }
        Err(error) => {
            refuse(&[format!("cannot set up an event loop: {error}")]);
            SYSTEM_REFUSED
        }
    }
}

/// Tells why nothing was started, to a person as well as to Kubernetes.
fn refuse(lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("segue: {line}\n")).collect();
    let written = Stderr.write_all(text.as_bytes());
    debug_assert!(written.is_ok(), "stderr takes or drops every line");
    termination::write(Path::new(termination::DEFAULT), false, &text);
}

async fn supervise(
    inherited: Inherited,
    program: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    booted: Booted,
) -> u8 {
    let Booted {
        settings,
        limits,
        sockets,
        trapping,
        given_sockets,
        no_handover,
        warnings,
        is_init,
    } = booted;
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut supervisor = ManuallyDrop::new(Supervisor {
        settings,
        limits,
        inherited,
        program,
        environment,
        given_sockets,
        sockets,
        trapping,
        brokers: BTreeMap::new(),
        refusers: Vec::new(),
        to_note: Vec::new(),
        state: State::new(),
        generations: BTreeMap::new(),
        tasks: HashMap::new(),
        launches: Vec::new(),
        changed: SignalSet::of([libc::SIGCHLD]),
        childless: false,
        more_children: false,
        orphans_reaped: 0,
        events: VecDeque::new(),
        sender,
        told_no_handover: false,
        told_sealed: false,
        last_reason: String::new(),
        stopped_by: None,
        exit: None,
    });
    // Whatever can wait until the program has been started does: the program starts as soon as it would without us.
    let first = supervisor.turn(Event::Booted);
    log::set_up(
        boot::form(&supervisor.settings),
        supervisor.settings.log.targets.clone(),
    );
    if let Some(why) = no_handover {
        brokering::tell_no_handover(&why);
    }
    for warning in warnings {
        tracing::warn!(warning, "a setting is probably not what was meant");
    }
    if !is_init {
        tracing::info!(pid = std::process::id(), "not PID 1: gathering orphans as a subreaper");
    }
    supervisor.tell(&first);
    let adopted = supervisor.sockets.adopted();
    supervisor.inherited.let_go(&adopted);
    supervisor.inherited.raise_files_limit();
    supervisor.changed = SignalSet::of(signals::handled().iter().chain([libc::SIGCHLD]));
    match Signals::install() {
        Ok(signals) => supervisor.run(signals, receiver).await,
        Err(error) => {
            tracing::error!(%error, "cannot listen to signals");
            supervisor.kill(1);
            SYSTEM_REFUSED
        }
    }
}

impl Supervisor {
    async fn run(&mut self, mut signals: Signals, mut messages: mpsc::UnboundedReceiver<Message>) -> u8 {
        loop {
            while let Some(event) = self.events.pop_front() {
                let told = survive(|| {
                    let turn = self.turn(event);
                    self.tell(&turn);
                    self.note_what_is_due();
                });
                told.await;
            }
            if let Some(code) = self.exit {
                self.leave_reason();
                return code;
            }
            if let Some(happening) = survive_wait(self.next(&mut signals, &mut messages)).await {
                survive(|| self.translate(happening)).await;
            }
        }
    }

    async fn next(&mut self, signals: &mut Signals, messages: &mut mpsc::UnboundedReceiver<Message>) -> Happening {
        let deadline = self.state.deadline().map(tokio::time::Instant::from_std);
        let wait = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let next_look = self.next_look().map(tokio::time::Instant::from_std);
        let look = async {
            match next_look {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let more_children = self.more_children;
        // What is due comes before what a busy program can make happen without end.
        let now = Some(Instant::now());
        let overdue = deadline.is_some() && self.state.deadline() <= now;
        let look_overdue = next_look.is_some() && self.next_look() <= now;
        tokio::select! {
            biased;
            signal = std::future::poll_fn(|context| signals.poll_next(context)) => Happening::Signal(signal),
            () = std::future::ready(()), if overdue => Happening::Deadline,
            () = std::future::ready(()), if look_overdue => Happening::Look,
            () = std::future::poll_fn(|context| self.poll_generations(context)) => Happening::Events,
            Some(message) = messages.recv() => Happening::Message(message),
            () = std::future::ready(()), if more_children => Happening::MoreChildren,
            () = look => Happening::Look,
            () = wait => Happening::Deadline,
        }
    }

    /// What happened, as the machine's events.
    fn translate(&mut self, happening: Happening) {
        match happening {
            Happening::Signal(received) => self.on_signal(received),
            Happening::Events => {}
            Happening::Message(message) => self.on_message(message),
            Happening::MoreChildren => self.reap(),
            Happening::Look => self.look_at_connections(),
            Happening::Deadline => self.events.push_back(Event::TimePassed),
        }
    }

    fn on_signal(&mut self, received: Received) {
        let Received {
            signal: number,
            sender,
            user,
            from_kernel,
            value,
        } = received;
        if number == libc::SIGCHLD {
            return self.reap();
        }
        let signal = Signal::new(number);
        let named = signal.map_or_else(|| number.to_string(), |signal| signal.to_string());
        tracing::debug!(signal = named, sender, user, "heard a signal");
        let restarts = self.settings.on_hup() == OnHup::Restart;
        match signal {
            Some(signal) if self.settings.stop_on.contains(signal) => {
                tracing::info!(signal = %named, sender, user, "asked to stop");
                self.stopped_by = Some(named);
                self.events.push_back(Event::StopRequested);
            }
            // One from the kernel says that the terminal is gone, which is no wish for a restart.
            Some(Signal::HUP) if restarts && !from_kernel => {
                self.choose_mode();
                self.events.push_back(Event::RestartRequested { reason: Reason::Hup });
            }
            Some(signal) => {
                if let Some(mapped) = self.settings.signal_map.apply(signal) {
                    self.events.push_back(Event::SignalReceived {
                        signal: mapped.number(),
                        value,
                    });
                }
            }
            None => self.events.push_back(Event::SignalReceived { signal: number, value }),
        }
    }

    /// One turn of the machine, with everything that it asks for.
    fn turn(&mut self, event: Event) -> Turn {
        let before = self.state.phase();
        // A clone, so that a panic leaves the state as it was.
        let (state, actions) = machine::step(&self.limits, self.state.clone(), event.clone(), Instant::now());
        self.state = state;
        for action in &actions {
            self.perform(action);
        }
        self.see_who_is_ready();
        Turn {
            event,
            actions,
            before,
            after: self.state.phase(),
        }
    }

    fn poll_generations(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (launched, notified) = (self.poll_launches(context), self.poll_notices(context));
        let (answered, refused) = (self.poll_brokers(context), self.poll_refusers(context));
        if [launched, notified, answered, refused].iter().any(Poll::is_ready) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn poll_notices(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let own = nix::unistd::geteuid().as_raw();
        let mut heard = false;
        for (number, generation) in &mut self.generations {
            let Some(notify) = &generation.notify else { continue };
            let user = generation
                .main
                .as_ref()
                .map_or(own, |main| children::user_of(main.pid).unwrap_or(own));
            while let Poll::Ready(notice) = notify.poll_next(context, &[own, user]) {
                tracing::debug!(
                    generation = number,
                    pid = notice.pid,
                    text = notice.text,
                    "heard a notification"
                );
                if notice.is_ready() {
                    heard = true;
                    self.events.push_back(Event::BecameReady { generation: *number });
                }
            }
        }
        if heard { Poll::Ready(()) } else { Poll::Pending }
    }

    fn leave_reason(&self) {
        let (path, created) = match &self.settings.termination_log {
            TerminationLog::Off => return,
            TerminationLog::Auto => (Path::new(termination::DEFAULT), false),
            TerminationLog::Path(path) => (path.as_path(), true),
        };
        let path = self
            .inherited
            .directory()
            .map_or_else(|| path.to_owned(), |directory| directory.join(path));
        let asked = self
            .stopped_by
            .as_ref()
            .map(|signal| format!("stopped by {signal}; "))
            .unwrap_or_default();
        termination::write(&path, created, &format!("{asked}{}", self.last_reason));
    }
}
