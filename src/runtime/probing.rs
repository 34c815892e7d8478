//! ASKS after readiness while a generation is not ready: a task per generation, which talks to the loop by messages.

use std::task::{Context, Poll};

use nix::unistd::Pid;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use super::{
    Supervisor,
    children::{Task, user_of},
    front,
    generation::Generation,
    listens::wait_for_listening,
    unseen,
};
use crate::{
    handover::listening,
    readiness::{
        file,
        probe::{self, Door, Knock, Question, Target},
    },
    settings::value::{Address, HttpProbe, Ready},
    watch::Notice,
};

/// How long a command that asks after readiness may take.
const COMMAND_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Between two attempts to connect to a program that begins.
const SHORTEST_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// What a task wants of the loop.
#[derive(Debug)]
pub(super) enum Message {
    /// The generation has answered.
    Ready(u64),
    /// A connection is about to be made, and means this generation.
    Probing {
        generation: u64,
        knock: Knock,
        door: oneshot::Sender<Door>,
    },
    /// What a helper has read, if it came back.
    Files(u64, Pid, Option<Vec<u8>>),
    /// Of watched files.
    Watch(Notice),
    /// A part of segue has begun again.
    BegunAgain(&'static str),
    /// The generation has had enough time to listen.
    Waiting(u64),
    /// Look whether the program listens by now, where its calls are not seen, or some are not.
    Look(u64),
    /// Run the command of `SEGUE_READY=exec:…`.
    Run {
        generation: u64,
        answer: oneshot::Sender<Result<(), String>>,
    },
}

impl Supervisor {
    /// The program was executed: what shows that it is ready?
    pub(super) fn look_for_readiness(&mut self, generation: u64) {
        let port = self.generations.get(&generation).and_then(Generation::port);
        let by_listening = matches!(self.settings.ready, Ready::Auto | Ready::Listening);
        if let Some(port) = port.filter(|_| by_listening) {
            let asks = ask_its_port(generation, port, self.sender.clone());
            return self.set_probing(generation, tokio::spawn(asks).abort_handle());
        }
        let question = match &self.settings.ready {
            Ready::Auto | Ready::Listening if self.is_seen(generation) => {
                let waits = wait_for_listening(generation, self.sender.clone());
                let looks = unseen::look_again_and_again(generation, self.settings.stable_delay, self.sender.clone());
                let both = async { tokio::join!(waits, looks) };
                return self.set_probing(generation, tokio::spawn(both).abort_handle());
            }
            Ready::Listening if self.sockets.is_empty() => {
                let looks = look_again_and_again(generation, self.sender.clone());
                return self.set_probing(generation, tokio::spawn(looks).abort_handle());
            }
            // Where nothing can be seen a program is ready when it runs.
            Ready::Auto | Ready::Started | Ready::Listening => {
                return self.became_ready(generation);
            }
            Ready::Notify => return,
            Ready::Tcp(address) => Some(Question {
                target: self.target(address, port),
                http: None,
            }),
            Ready::Http(HttpProbe { address, host, path }) => Some(Question {
                target: self.target(address, port),
                http: Some((host.clone(), path.clone())),
            }),
            Ready::Exec(_) => None,
            Ready::File(path) => {
                let directory = self.inherited.directory().unwrap_or_default();
                let began = self.generations.get(&generation).map(|it| it.began_at);
                let began = began.unwrap_or_else(std::time::SystemTime::now);
                let asks = ask_file(generation, directory.join(path), began, self.sender.clone());
                return self.set_probing(generation, tokio::spawn(asks).abort_handle());
            }
        };
        let sender = self.sender.clone();
        let task = match question {
            Some(question) => tokio::spawn(ask(generation, question, sender)),
            None => tokio::spawn(run(generation, sender)),
        };
        self.set_probing(generation, task.abort_handle());
    }

    /// Hears what programs say of themselves.
    pub(super) fn poll_notices(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let own = nix::unistd::geteuid().as_raw();
        let mut ready = Vec::new();
        for (number, generation) in &mut self.generations {
            let program = generation.main.as_ref().map(|main| main.pid);
            let Some(notify) = &mut generation.notify else { continue };
            let believes = |user| user == own || program.and_then(user_of) == Some(user);
            while let Poll::Ready(notice) = notify.poll_next(context, believes) {
                tracing::debug!(
                    generation = number,
                    pid = notice.pid,
                    text = notice.text,
                    "heard a notification"
                );
                if notice.is_ready() {
                    ready.push(*number);
                }
            }
        }
        if ready.is_empty() {
            return Poll::Pending;
        }
        ready.into_iter().for_each(|number| self.became_ready(number));
        Poll::Ready(())
    }

    fn set_probing(&mut self, generation: u64, task: AbortHandle) {
        if let Some(it) = self.generations.get_mut(&generation) {
            it.stop_probing();
            it.probing = Some(task);
        }
    }

    /// Whoever is asked at a public address of the proxy is the generation behind it, as with the other ways to hand over.
    fn target(&self, address: &Address, port: Option<u16>) -> Target {
        let public = self
            .settings
            .proxy
            .iter()
            .any(|it| it.port().is_some() && it.port() == address.port());
        match port {
            Some(port) if public => Target::Tcp(probe::loopbacks(port)),
            Some(_) | None => target(address),
        }
    }

    /// Are the program's calls seen?
    fn is_seen(&self, generation: u64) -> bool {
        self.hears(generation)
    }

    pub(super) fn on_message(&mut self, message: Message) {
        match message {
            Message::Ready(generation) => {
                if let Err(error) = self.sockets.probe(None) {
                    tracing::warn!(%error, "cannot take the readiness probe's own way back");
                }
                self.became_ready(generation);
            }
            Message::Files(generation, pid, answer) => self.on_files(generation, pid, answer),
            Message::Watch(notice) => self.on_watch(notice),
            Message::BegunAgain(part) => {
                *self.desk.faults.entry(part.to_owned()).or_default() += 1;
                if part == front::PART {
                    self.serve_public();
                }
            }
            Message::Waiting(generation) => self.tell_what_is_waited_for(generation),
            Message::Look(generation) if self.hears(generation) => {
                self.look_for_unseen_listeners(generation);
                self.tell_who_listens_on_nothing(generation);
            }
            Message::Look(generation) => {
                if listening::any(&self.program_processes(generation), &[]) {
                    self.became_ready(generation);
                }
            }
            Message::Probing {
                generation,
                knock,
                door,
            } => {
                let by = self.door(generation, knock);
                // The task may have been ended meanwhile.
                door.send(by).ok();
            }
            Message::Run { generation, answer } => {
                let Ready::Exec(command) = self.settings.ready.clone() else {
                    return;
                };
                let lives = self
                    .generations
                    .get(&generation)
                    .is_some_and(|it| it.living().is_some());
                if !lives {
                    return;
                }
                if let Err(fault) = self.start_command(generation, &command, Task::Probe { generation, answer }) {
                    tracing::debug!(generation, reason = fault.reason, "cannot run the readiness command");
                }
            }
        }
    }
}

fn target(address: &Address) -> Target {
    match address {
        Address::Tcp(address) if address.ip().is_unspecified() => Target::Tcp(probe::loopbacks(address.port())),
        Address::Tcp(address) => Target::Tcp(vec![*address]),
        Address::AnyInterface(port) | Address::Localhost(port) => Target::Tcp(probe::loopbacks(*port)),
        Address::Unix(path) => Target::Unix(path.clone()),
    }
}

/// In proxy mode: connects to where the program is to listen, often at first, so that nobody waits longer than it takes.
async fn ask_its_port(generation: u64, port: u16, sender: mpsc::UnboundedSender<Message>) {
    let question = Question {
        target: Target::Tcp(probe::loopbacks(port)),
        http: None,
    };
    let asks = async {
        let mut pause = SHORTEST_PAUSE;
        while let Err(why) = question.ask(|_| std::future::ready(Door::Open)).await {
            tracing::trace!(generation, why, "not ready");
            tokio::time::sleep(pause).await;
            pause = probe::INTERVAL.min(pause * 2);
        }
        // The loop outlives its tasks.
        sender.send(Message::Ready(generation)).ok();
    };
    tokio::join!(asks, wait_for_listening(generation, sender.clone()));
}

async fn ask(generation: u64, question: Question, sender: mpsc::UnboundedSender<Message>) {
    let announce = |knock| {
        let (door, by) = oneshot::channel();
        let message = Message::Probing {
            generation,
            knock,
            door,
        };
        // The loop outlives its tasks.
        sender.send(message).ok();
        async move { by.await.unwrap_or(Door::Open) }
    };
    loop {
        match question.ask(announce).await {
            Ok(()) => break,
            Err(why) => tracing::debug!(generation, why, "not ready"),
        }
        tokio::time::sleep(probe::INTERVAL).await;
    }
    sender.send(Message::Ready(generation)).ok();
}

/// Where the program's calls are not seen: asks the loop to look whether it listens, until it does and ends this task.
async fn look_again_and_again(generation: u64, sender: mpsc::UnboundedSender<Message>) {
    loop {
        sender.send(Message::Look(generation)).ok();
        tokio::time::sleep(probe::INTERVAL).await;
    }
}

/// Looks at a file until it is newer than the generation.
async fn ask_file(
    generation: u64,
    path: std::path::PathBuf,
    began: std::time::SystemTime,
    sender: mpsc::UnboundedSender<Message>,
) {
    let mut told = None;
    while let Err(why) = file::is_newer(&path, began) {
        if told != Some(why) {
            tracing::info!(generation, path = %path.display(), why, "not ready by its file");
        }
        told = Some(why);
        tokio::time::sleep(probe::INTERVAL).await;
    }
    sender.send(Message::Ready(generation)).ok();
}

async fn run(generation: u64, sender: mpsc::UnboundedSender<Message>) {
    loop {
        let (answer, answered) = oneshot::channel();
        sender.send(Message::Run { generation, answer }).ok();
        match tokio::time::timeout(COMMAND_PATIENCE, answered).await {
            Ok(Ok(Ok(()))) => break,
            Ok(Ok(Err(why))) => tracing::debug!(generation, why, "not ready"),
            Ok(Err(_)) => tracing::debug!(generation, "the readiness command could not be run"),
            Err(_) => tracing::debug!(generation, "the readiness command takes long"),
        }
        tokio::time::sleep(probe::INTERVAL).await;
    }
    sender.send(Message::Ready(generation)).ok();
}
