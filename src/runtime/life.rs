//! LIVES segue's life, on one page: boot, start the program, set up what could wait, turn until the end.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    ffi::OsString,
    io::Write,
    mem::ManuallyDrop,
    path::Path,
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    Inbox, Supervisor,
    boot::{self, Booted, SYSTEM_REFUSED},
    desk::Desk,
    doors::Doors,
    endangered::Endangered,
    front,
    leftovers::Orphans,
    letting_go::Queues,
    reaching::Reaching,
    trapping,
    upstream::Upstream,
    watching::Watch,
};
use crate::{
    handover::{bound::Bound, paths::Paths},
    machine::{Event, State},
    process::{inherited::Inherited, rest::Rest, signals::Signals, sigset::SignalSet},
    settings::Settings,
    telemetry::{log, stderr::Stderr, termination},
};

/// After the start of the program, before there is time for people: its own start comes first.
const AT_REST: Duration = Duration::from_millis(5);

/// Before what was refused is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Turns of tasks between two looks at what has happened outside.
const EVENT_INTERVAL: u32 = 4;

/// Questions that wait for the loop; whoever has one more waits for room.
const QUESTIONS: usize = 16;

/// Runs the program until its end; segue's exit code. `adjust` has the last word on the settings.
#[must_use]
pub fn run(inherited: Inherited, program: Vec<OsString>, adjust: impl FnOnce(&mut Settings)) -> u8 {
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let booted = match boot::boot(&environment, &inherited, adjust) {
        Ok(booted) => booted,
        Err(refusal) => {
            refuse(&refusal.lines);
            return refusal.code;
        }
    };
    match tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // After so few turns of tasks it is looked whether something has happened outside: clients who ask without end must not
        // keep a signal waiting.
        .event_interval(if booted.front.is_some() {
            front::EVENT_INTERVAL
        } else {
            EVENT_INTERVAL
        })
        .build()
    {
        Ok(runtime) => {
            let code = block_on(&runtime, Box::pin(supervise(inherited, program, environment, booted)));
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

/// For one kind of future, as the library's code is made anew for each.
pub(super) fn block_on(runtime: &tokio::runtime::Runtime, future: Pin<Box<dyn Future<Output = u8>>>) -> u8 {
    runtime.block_on(future)
}

/// The program runs, so that segue must not give up. What comes meanwhile is blocked, and lost no more than before.
async fn hear_signals() -> Signals {
    loop {
        match Signals::hear() {
            Ok(signals) => return signals,
            Err(error) => tracing::error!(%error, "cannot listen to signals, trying again"),
        }
        tokio::time::sleep(PAUSE).await;
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
        front,
        trapping,
        given_sockets,
        no_handover,
        warnings,
        note,
        given,
        doors,
    } = booted;
    let upstream = Upstream::new(&environment);
    let (sender, messages) = mpsc::unbounded_channel();
    let (asking, questions) = mpsc::channel(QUESTIONS);
    let mut supervisor = ManuallyDrop::new(Supervisor {
        attributes: super::attributes::of(&settings),
        settings,
        limits,
        inherited,
        program,
        environment,
        given_sockets,
        sockets,
        paths: Paths::default(),
        endangered: Endangered::default(),
        front,
        trapping,
        calls: None,
        queues: Queues::default(),
        joined: None,
        bound: Bound::default(),
        takes_only_datagrams: false,
        look_at_passed: None,
        listened_twice: HashSet::new(),
        privileges_taken: None,
        refusers: Vec::new(),
        known_ports: BTreeSet::new(),
        to_note: Vec::new(),
        state: State::new(),
        upstream,
        doors,
        let_in_at: None,
        watch: Watch::default(),
        asking,
        desk: Desk::new(given, no_handover),
        generations: BTreeMap::new(),
        tasks: HashMap::new(),
        launches: Vec::new(),
        changed: SignalSet::of([libc::SIGCHLD]),
        orphans: Orphans::default(),
        markers: RefCell::default(),
        files_read: super::FilesRead::default(),
        childless: false,
        more_children: false,
        rest: Rest::default(),
        events: VecDeque::new(),
        sender,
        chosen: super::Chosen::default(),
        memory: super::MemoryWatch::default(),
        expected: HashSet::new(),
        unconfirmed: VecDeque::new(),
        unserved: Vec::new(),
        next_look_at_served: None,
        sealed: None,
        reaching: Reaching::default(),
        logged_pass_reason: None,
        last_reason: String::new(),
        stopped_by: None,
        exit: None,
    });
    // Whatever can wait until the program has been started does: the program starts as soon as it would without us.
    let first = supervisor.turn(Event::Booted);
    log::set_up(
        boot::form(&supervisor.settings),
        supervisor.settings.log.targets.clone(),
        supervisor.settings.log.by_module,
    );
    if let Some(why) = &supervisor.desk.no_handover {
        trapping::tell_no_handover(why);
    }
    if let Some(why) = &supervisor.privileges_taken {
        trapping::tell_privileges_taken(why);
    }
    if let Some(note) = note {
        tracing::info!(note, "as whom the program runs");
    }
    for warning in warnings {
        tracing::warn!(warning, "a setting is probably not what was meant");
    }
    supervisor.tell(&first);
    let adopted = supervisor.sockets.adopted();
    supervisor.inherited.let_go(&adopted);
    supervisor.inherited.raise_files_limit();
    let signals = hear_signals().await;
    supervisor.let_in_at = Some(Instant::now() + AT_REST);
    supervisor.serve_public();
    let inbox = Inbox {
        signals,
        messages,
        questions,
    };
    let code = supervisor.run(inbox).await;
    supervisor.say_goodbye(code).await;
    // Dropped by hand: its files are removed.
    supervisor.doors = Doors::default();
    supervisor.front = None;
    code
}
