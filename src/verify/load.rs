//! KEEPS the program busy: requests at fixed times, however long the answers take, half of them over connections of
//! their own and half over kept ones.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, mpsc::UnboundedSender, watch},
    time::{sleep_until, timeout_at},
};

use super::{
    client::{Link, Question},
    tally::{Failure, Kind, Sample},
};

/// How long after it was due a request may still be answered.
const PATIENCE: Duration = Duration::from_secs(20);
/// Half of that: who is asked later than this is told apart.
const LATE: Duration = Duration::from_secs(10);
/// Connections that are kept.
const KEPT: u32 = 8;
/// Connections for one request that may be open at once; what is due beyond that waits.
const FRESH: usize = 512;
/// How often the first success is tried.
const INTERVAL: Duration = Duration::from_millis(50);

/// What the clients tell.
#[derive(Debug)]
pub(super) enum Message {
    /// The first success, or why there was none.
    First(Result<Question, String>),
    /// A request is over.
    Sample(Sample),
}

/// The clients, while they are at work.
pub(super) struct Load {
    /// From when on nothing is due any more.
    end: watch::Sender<Option<Instant>>,
}

/// The times at which a client's requests are due.
struct Schedule {
    next: Instant,
    step: Duration,
    end: watch::Receiver<Option<Instant>>,
}

/// Asks each of these until one answers with success, or the time is over.
pub(super) async fn first_success(questions: Vec<Question>, within: Duration, sender: UnboundedSender<Message>) {
    let deadline = Instant::now() + within;
    let mut last = String::from("nobody was asked");
    while Instant::now() < deadline {
        for question in &questions {
            let answer = timeout_at(deadline.into(), question.ask_once()).await;
            match answer.unwrap_or_else(|_| Err(timed_out(Duration::ZERO))) {
                Ok(()) => return tell(&sender, Message::First(Ok(question.clone()))),
                Err(Failure { kind, detail }) => last = format!("{}: {kind} {detail}", question.address),
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
    tell(&sender, Message::First(Err(last.trim_end().to_owned())));
}

/// A listener who is gone wants to know nothing.
fn tell(sender: &UnboundedSender<Message>, message: Message) {
    sender.send(message).ok();
}

impl Load {
    /// Starts so many requests per second. The channel closes when the last is over.
    pub(super) fn start(question: &Question, rate: u32, sender: &UnboundedSender<Message>) -> Load {
        let (end, ended) = watch::channel(None);
        let between = Duration::from_secs(1) / rate.max(1);
        let schedule = |first: u32, step: u32| Schedule {
            next: Instant::now() + between * first,
            step: between * step,
            end: ended.clone(),
        };
        tokio::spawn(ask_fresh(question.clone(), schedule(0, 2), sender.clone()));
        for client in 0..KEPT {
            let schedule = schedule(2 * client + 1, 2 * KEPT);
            tokio::spawn(ask_kept(question.clone(), schedule, sender.clone()));
        }
        Load { end }
    }

    /// What is due by now is still asked and waited for.
    pub(super) fn stop(&self) {
        self.end.send_replace(Some(Instant::now()));
    }
}

impl Schedule {
    /// Waits until the next request is due; since when it is to be counted, and when it is given up. A client that was
    /// kept from asking in time counts from when it should have asked, so that a stall is seen by all who would have
    /// met it; one that had nothing to do counts from when its timer woke it, since a late timer is no fault of the
    /// program's.
    async fn next(&mut self, link: Option<&mut Link>) -> Option<(Instant, Instant)> {
        let due = self.next;
        self.next += self.step;
        let is_over = |end: Option<Instant>| end.is_some_and(|end| end <= due);
        if is_over(*self.end.borrow()) {
            return None;
        }
        if due <= Instant::now() {
            return Some((due, due + PATIENCE));
        }
        tokio::select! {
            () = rest(link, due) => Some((Instant::now(), due + PATIENCE)),
            _ = self.end.wait_for(|end| is_over(*end)) => None,
        }
    }
}

/// Waits, and notices when the program closes the connection meanwhile.
async fn rest(link: Option<&mut Link>, due: Instant) {
    if let Some(link) = link {
        tokio::select! {
            () = sleep_until(due.into()) => return,
            () = link.closed() => {}
        }
    }
    sleep_until(due.into()).await;
}

async fn ask_fresh(question: Question, mut schedule: Schedule, sender: UnboundedSender<Message>) {
    let room = Arc::new(Semaphore::new(FRESH));
    while let Some((begun, until)) = schedule.next(None).await {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (question, sender) = (question.clone(), sender.clone());
        tokio::spawn(async move {
            let late = begun.elapsed();
            let answer = timeout_at(until.into(), question.ask_once()).await;
            let outcome = answer.unwrap_or_else(|_| Err(timed_out(late)));
            tell(&sender, sample(begun, true, false, outcome));
            drop(place);
        });
    }
}

async fn ask_kept(question: Question, mut schedule: Schedule, sender: UnboundedSender<Message>) {
    let mut link: Option<Link> = None;
    while let Some((begun, until)) = schedule.next(link.as_mut()).await {
        let late = begun.elapsed();
        let answer = timeout_at(until.into(), question.ask_over(&mut link)).await;
        let (outcome, retried) = answer.unwrap_or_else(|_| (Err(timed_out(late)), false));
        tell(&sender, sample(begun, false, retried, outcome));
    }
}

/// Asked so late, because those before it were not answered, that it may not have had a chance.
fn timed_out(late: Duration) -> Failure {
    let detail = if late >= LATE {
        format!(
            "asked {LATE:?} late or more, because those before it took so long: a lower --rate may be what the program can do"
        )
    } else {
        String::new()
    };
    Failure {
        kind: Kind::TimedOut,
        detail,
    }
}

fn sample(begun: Instant, fresh: bool, retried: bool, outcome: Result<(), Failure>) -> Message {
    Message::Sample(Sample {
        begun,
        ended: Instant::now(),
        fresh,
        retried,
        outcome,
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(future)
    }

    /// At an address where nobody listens, for as long as the socket lives.
    fn nobody() -> (Question, tokio::net::TcpSocket) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let question = Question {
            address,
            host: address.to_string(),
            path: "/".into(),
        };
        (question, socket)
    }

    #[test]
    fn nobody_there_is_told_after_a_time() {
        run(async {
            let (sender, mut messages) = mpsc::unbounded_channel();
            let (question, _socket) = nobody();
            let expected = format!("{}: refused", question.address);
            first_success(vec![question], Duration::from_millis(80), sender).await;
            let Some(Message::First(Err(last))) = messages.recv().await else {
                panic!("no error")
            };
            assert_eq!(last, expected);
        });
    }

    #[test]
    fn who_was_asked_late_says_so() {
        let told = |late: u64| timed_out(Duration::from_secs(late)).detail;
        assert_eq!(told(9), "");
        assert!(
            told(10).starts_with("asked 10s late") && told(19) == told(10),
            "{}",
            told(19)
        );
    }

    #[test]
    fn requests_come_at_their_rate_and_end_when_told() {
        run(async {
            let (sender, mut messages) = mpsc::unbounded_channel();
            let (question, _socket) = nobody();
            let begin = Instant::now();
            let load = Load::start(&question, 1000, &sender);
            drop(sender);
            let mut samples = Vec::new();
            while let Some(message) = messages.recv().await {
                let Message::Sample(sample) = message else { continue };
                samples.push(sample);
                if samples.len() == 100 {
                    load.stop();
                }
            }
            let fresh = samples.iter().filter(|it| it.fresh).count();
            assert!(begin.elapsed() >= Duration::from_millis(90), "{:?}", begin.elapsed());
            assert!(
                fresh.abs_diff(samples.len() - fresh) <= 2 * 8,
                "{fresh} of {}",
                samples.len()
            );
            assert!(samples.iter().all(|it| it.begun <= it.ended && !it.retried));
        });
    }
}
