//! TIES everything together: one thread, one loop; something happens → the machine decides → it is done → it is told.
//!
//! After the first start nothing leaves the loop as an error: every fault becomes an event. Nothing here decides.

mod boot;
mod brokering;
mod children;
mod counting;
mod desk;
mod doors;
mod draining;
pub mod environment;
mod front;
mod generation;
mod launch;
mod leftovers;
mod life;
mod panics;
mod perform;
mod picture;
mod port;
mod probing;
mod signalled;
mod story;
mod tally;
mod upstream;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ffi::OsString,
    task::{Context, Poll},
    time::Instant,
};

use nix::unistd::Pid;
use tokio::sync::mpsc;

pub use self::life::run;
use self::{
    brokering::Trapping,
    children::Task,
    desk::Desk,
    doors::Doors,
    front::Front,
    generation::Generation,
    launch::Launching,
    panics::{survive, survive_wait},
    probing::Message,
    story::Turn,
    upstream::Upstream,
    watching::Watch,
};
use crate::{
    control::Question,
    handover::{broker::Broker, refuser::Refuser, sockets::Sockets},
    machine::{self, Event, Limits, State},
    process::{
        inherited::Inherited,
        rest::Rest,
        signals::{Received, Signals},
        sigset::SignalSet,
    },
    settings::Settings,
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
    /// The public side of proxy mode.
    front: Option<Front>,
    trapping: Trapping,
    /// Who answers the binds of a generation.
    brokers: BTreeMap<u64, Broker>,
    refusers: Vec<Refuser>,
    /// Where the program was last known to listen.
    known_ports: BTreeSet<u16>,
    /// Generations whose connections are to be looked at as soon as the turn is told.
    to_note: Vec<u64>,
    state: State,
    upstream: Upstream,
    doors: Doors,
    /// When people are let in; `None` once they are.
    let_in_at: Option<Instant>,
    watch: Watch,
    /// Given to those who ask.
    asking: mpsc::Sender<Question>,
    /// What is remembered for whoever asks.
    desk: Desk,
    generations: BTreeMap<u64, Generation>,
    /// Who every child of ours is.
    tasks: HashMap<Pid, Task>,
    launches: Vec<Launching>,
    /// Signals whose disposition segue has changed.
    changed: SignalSet,
    /// Did the last look for dead children find that there are no children?
    childless: bool,
    more_children: bool,
    /// Between two looks for dead children.
    rest: Rest,
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

/// What comes to the loop from outside of it.
struct Inbox {
    signals: Signals,
    messages: mpsc::UnboundedReceiver<Message>,
    questions: mpsc::Receiver<Question>,
}

/// What the loop wakes up for.
enum Happening {
    Signal(Received),
    /// The events are in the queue already.
    Events,
    Message(Message),
    Question(Question),
    MoreChildren,
    /// There are connections to be counted.
    Count,
    Look,
    LetIn,
    Deadline,
}

impl Supervisor {
    async fn run(&mut self, mut inbox: Inbox) -> u8 {
        loop {
            while let Some(event) = self.events.pop_front() {
                let told = survive(|| {
                    let turn = self.turn(event);
                    self.tell(&turn);
                    self.remember(&turn.event);
                    self.tell_upstream();
                    self.note_what_is_due();
                });
                told.await;
            }
            if let Some(code) = self.exit {
                self.leave_reason();
                return code;
            }
            if let Some(happening) = survive_wait(self.next(&mut inbox)).await {
                if matches!(happening, Happening::LetIn) {
                    self.handle_signals(&mut inbox.signals);
                }
                let asked = matches!(happening, Happening::Question(_) | Happening::Count);
                survive(|| self.translate(happening)).await;
                if asked {
                    // Whoever asks has time: what has happened outside meanwhile comes first.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    async fn next(&mut self, inbox: &mut Inbox) -> Happening {
        let deadline = self.state.deadline().map(tokio::time::Instant::from_std);
        let wait = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let let_in_at = self.let_in_at.map(tokio::time::Instant::from_std);
        let let_in = async {
            match let_in_at {
                Some(at) => tokio::time::sleep_until(at).await,
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
        let rested = self.rest.due().map(tokio::time::Instant::from_std);
        let rest = async {
            match rested {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let Inbox {
            signals,
            messages,
            questions,
        } = inbox;
        let (more_children, counts) = (self.more_children, self.desk.counting.is_under_way());
        // What is due comes before what a busy program can make happen without end.
        let now = Some(Instant::now());
        let overdue = deadline.is_some() && self.state.deadline() <= now;
        let look_overdue = next_look.is_some() && self.next_look() <= now;
        tokio::select! {
            biased;
            signal = std::future::poll_fn(|context| signals.poll_next(context)) => Happening::Signal(signal),
            () = std::future::ready(()), if overdue => Happening::Deadline,
            () = std::future::ready(()), if look_overdue => Happening::Look,
            // Whose turn it is among these is left to chance, so that none of them can keep the others waiting.
            happening = async {
                tokio::select! {
                    () = std::future::poll_fn(|context| self.poll_generations(context)) => Happening::Events,
                    Some(message) = messages.recv() => Happening::Message(message),
                    Some(question) = questions.recv() => Happening::Question(question),
                    () = std::future::ready(()), if more_children => Happening::MoreChildren,
                    () = std::future::ready(()), if counts => Happening::Count,
                }
            } => happening,
            () = look => Happening::Look,
            () = rest => Happening::MoreChildren,
            () = let_in => Happening::LetIn,
            () = wait => Happening::Deadline,
        }
    }

    /// What happened, as the machine's events.
    fn translate(&mut self, happening: Happening) {
        match happening {
            Happening::Signal(received) => self.on_signal(received),
            Happening::Events => {}
            Happening::Message(message) => self.on_message(message),
            Happening::Question(question) => self.on_question(question),
            Happening::MoreChildren => self.reap(),
            Happening::Count => self.count(),
            Happening::LetIn => self.let_in(),
            Happening::Look => self.look_at_connections(),
            Happening::Deadline => self.events.push_back(Event::TimePassed),
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
}
