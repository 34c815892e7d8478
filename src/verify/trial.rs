//! WAITS while a trial goes on: notes what the log, the clients and signals tell until what is waited for is there.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    Cut,
    client::Question,
    journal::{self, Heard, Journal},
    load::Message,
    progress::{Progress, Stage},
    subject::{Happening, Subject},
    tally::Tally,
};
use crate::process::terminal;

/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(200);
/// How long it may take until nothing is left of what was killed.
const KILLED: Duration = Duration::from_secs(2);

/// Why waiting ended without what was waited for.
pub(super) enum Halt {
    Late,
    Ended(u8),
    Interrupted(i32),
}

/// A claim while it is being proved.
pub(super) struct Trial {
    pub(super) subject: Subject,
    pub(super) journal: Journal,
    pub(super) tally: Tally,
    pub(super) progress: Progress,
    pub(super) messages: UnboundedReceiver<Message>,
    /// Have all clients gone?
    pub(super) load_over: bool,
    pub(super) first: Option<Result<Question, String>>,
    /// The generation that a restart under way is to replace, and the outcomes before it.
    pub(super) replacing: Option<(Option<u64>, usize)>,
    pub(super) stage: Stage,
    /// When each restart was asked for.
    pub(super) asked: Vec<Instant>,
    pub(super) faults: Vec<String>,
}

impl Trial {
    pub(super) fn new(subject: Subject, messages: UnboundedReceiver<Message>, restarts: u32) -> Trial {
        Trial {
            subject,
            journal: Journal::default(),
            tally: Tally::default(),
            progress: Progress::new(Box::new(io::stderr()), terminal::is_stderr()),
            messages,
            load_over: false,
            first: None,
            replacing: None,
            stage: Stage {
                restarts: (0, restarts),
                requests: (0, 0),
            },
            asked: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Leaves nothing behind. A second signal ends it by force.
    pub(super) async fn end(&mut self) {
        if self.subject.ended.is_none() {
            // If it was not let end, it is ended now.
            self.stop().await.ok();
        }
        self.kill().await;
        self.progress.clear();
    }

    pub(super) async fn kill(&mut self) {
        let deadline = Instant::now() + KILLED;
        while !self.subject.kill() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn pause(&mut self, time: Duration) -> Result<(), Halt> {
        match self.until(time, |_| None::<()>).await {
            Ok(()) | Err(Halt::Late) => Ok(()),
            Err(halt) => Err(halt),
        }
    }

    /// Goes on until `found` finds something.
    pub(super) async fn until<T>(
        &mut self,
        limit: Duration,
        mut found: impl FnMut(&mut Trial) -> Option<T>,
    ) -> Result<T, Halt> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = found(self) {
                return Ok(found);
            }
            if let Some(code) = self.subject.ended {
                return Err(Halt::Ended(code));
            }
            self.turn(deadline).await?;
        }
    }

    /// Takes note of the next thing that happens.
    pub(super) async fn turn(&mut self, deadline: Instant) -> Result<(), Halt> {
        let now = Instant::now();
        if now >= deadline {
            return Err(Halt::Late);
        }
        tokio::select! {
            happening = self.subject.next() => match happening {
                Happening::Line(line) => self.hear(&line),
                Happening::Ended(lines) => lines.iter().for_each(|line| self.hear(line)),
                Happening::Signal(signal) => return Err(Halt::Interrupted(signal)),
            },
            message = self.messages.recv(), if !self.load_over => match message {
                Some(Message::Sample(sample)) => {
                    self.tally.add(&sample);
                    self.stage.requests.0 += 1;
                    self.stage.requests.1 = self.tally.failed();
                }
                Some(Message::First(first)) => self.first = Some(first),
                None => self.load_over = true,
            },
            () = tokio::time::sleep_until(deadline.min(now + TICK).into()) => self.progress.draw(self.stage),
        }
        Ok(())
    }

    fn hear(&mut self, line: &str) {
        let now = Instant::now();
        let (foreign, own) = journal::split(line);
        if !foreign.is_empty() || own.is_empty() {
            self.progress.line(foreign);
        }
        match self.journal.hear(own, now) {
            Heard::Noted => {}
            Heard::Warning(warning) => self.progress.line(&format!("segue: {warning}")),
            Heard::Foreign if own.is_empty() => {}
            Heard::Foreign => self.progress.line(own),
        }
        if let Some((old, before)) = self.replacing
            && let Some(outcome) = self.journal.outcomes.get(before)
            && (!outcome.is_replaced() || old.is_none_or(|old| self.journal.gone.contains(&old)))
        {
            self.replacing = None;
            self.tally.restart_over(now);
        }
    }

    pub(super) fn cut(&self, halt: Halt, what: &str, limit: Duration) -> Cut {
        let trouble = self.journal.trouble.as_ref();
        let trouble = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        match halt {
            Halt::Interrupted(signal) => Cut::Interrupted(signal),
            Halt::Late => Cut::Failed(format!("it took more than {limit:?} until {what}{trouble}")),
            Halt::Ended(code) => Cut::Failed(format!("segue ended with code {code} before {what}{trouble}")),
        }
    }
}
