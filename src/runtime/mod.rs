//! TIES everything together: one thread, one loop; something happens → the machine decides → it is done → it is told.
//!
//! After the first start nothing leaves the loop as an error: every fault becomes an event. Nothing here decides.

mod attributes;
pub mod boot;
mod children;
mod choosing;
mod confirming;
mod counting;
mod datagrams;
mod dedicated;
mod desk;
mod disowning;
mod doors;
pub mod dotenv;
mod drain_report;
mod draining;
mod endangered;
pub mod environment;
mod exchanging;
mod front;
mod generation;
mod helpers;
pub mod helping;
mod identity;
mod launch;
mod leftovers;
mod letting_go;
mod life;
mod listens;
mod memory;
mod noteworthy;
mod own_sockets;
mod panics;
mod perform;
mod picture;
mod port;
mod probing;
mod reaching;
mod refusing;
mod served;
mod signalled;
mod story;
mod strangers;
mod taking;
mod tally;
mod trapping;
mod unix_sockets;
mod unseen;
mod upstream;
mod waiting;
mod watching;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    ffi::OsString,
    task::{Context, Poll},
    time::Instant,
};

use nix::unistd::Pid;
use tokio::sync::mpsc;

pub use self::life::run;
use self::{
    children::Task,
    choosing::Chosen,
    confirming::Unconfirmed,
    desk::Desk,
    doors::Doors,
    endangered::Endangered,
    front::Front,
    generation::Generation,
    helpers::FilesRead,
    launch::Launching,
    leftovers::Orphans,
    letting_go::Queues,
    memory::MemoryWatch,
    own_sockets::{Joined, Listens},
    panics::{survive, survive_wait},
    probing::Message,
    reaching::Reaching,
    story::Turn,
    trapping::{Calls, Notice, Trapping},
    upstream::Upstream,
    watching::Watch,
};
use crate::{
    control::Question,
    handover::{bound::Bound, listener::Place, paths::Paths, refuser::Refuser, sockets::Sockets},
    machine::{self, Event, Limits, State},
    process::{
        attribute::Attribute,
        inherited::Inherited,
        rest::Rest,
        signals::{Received, Signals},
        sigset::SignalSet,
        tree::Markers,
    },
    settings::Settings,
};

/// Dead children reaped in one go, so that a storm of them does not keep a stop waiting.
const REAP_BATCH: usize = 1_000;

/// Segue while it runs a program.
struct Supervisor {
    settings: Settings,
    limits: Limits,
    /// What the settings change of the program's processes.
    attributes: Vec<Attribute>,
    inherited: Inherited,
    program: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    given_sockets: bool,
    sockets: Sockets,
    /// The paths of unix sockets on which programs listen.
    paths: Paths,
    /// Where names of them may be taken away.
    endangered: Endangered,
    /// The public side of proxy mode.
    front: Option<Front>,
    trapping: Trapping,
    /// The calls of the programs that are trapped.
    calls: Option<Calls>,
    /// The queues of their own listening sockets.
    queues: Queues,
    /// A program's socket has just begun to listen.
    joined: Option<Joined>,
    /// Sockets that programs were given at a bind, and that do not listen yet.
    bound: Bound,
    /// Is the program known to take datagrams, and to listen nowhere?
    takes_only_datagrams: bool,
    /// When UDP sockets that could not be handed over are looked at.
    look_at_passed: Option<Instant>,
    /// Addresses on which two generations have listened.
    listened_twice: HashSet<Place>,
    /// What the program's file gives it, and hand-over takes from it because SEGUE_HANDOVER=transparent.
    privileges_taken: Option<String>,
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
    /// Orphans that have died lately.
    orphans: Orphans,
    /// What the environments of processes say.
    markers: RefCell<Markers>,
    files_read: FilesRead,
    /// Did the last look for dead children find that there are no children?
    childless: bool,
    more_children: bool,
    /// Between two looks for dead children.
    rest: Rest,
    events: VecDeque<Event>,
    sender: mpsc::UnboundedSender<Message>,
    /// How the restart under way is done.
    chosen: Chosen,
    memory: MemoryWatch,
    /// Where the last generation was served when new connections began to go elsewhere.
    expected: HashSet<Listens>,
    /// Restarts whose success was not looked at yet.
    unconfirmed: VecDeque<Unconfirmed>,
    /// What of that is not served, although a restart has ended.
    unserved: Vec<String>,
    next_look_at_served: Option<Instant>,
    /// Did the hand-over take `no_new_privs` from the program?
    sealed: Option<Notice>,
    reaching: Reaching,
    /// Why a socket could not be handed over, as last logged.
    logged_pass_reason: Option<String>,
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
                    self.confirm();
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
            Happening::Look => self.look_again(),
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
        self.spare_who_serves();
        Turn {
            event,
            actions,
            before,
            after: self.state.phase(),
        }
    }

    fn poll_generations(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (launched, notified) = (self.poll_launches(context), self.poll_notices(context));
        let (answered, refused) = (self.poll_calls(context), self.poll_refusers(context));
        let waiting = self.poll_queues(context);
        let gone = self.poll_paths(context);
        // There is nothing to do about them.
        let _connected = self.bound.poll_connected(context);
        if [launched, notified, answered, refused, waiting, gone]
            .iter()
            .any(Poll::is_ready)
        {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
