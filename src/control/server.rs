//! SERVES the control socket: lines in, lines out, a task per client. Knows nothing of what the commands do.
//!
//! Only root and segue's own user are listened to. A client that says nothing makes way for one that comes, a line has a
//! longest length and a longest time, and whoever does not read what it asked for is left.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Question,
    protocol::{self, Answer, LONGEST_REQUEST},
};

/// How many are served at once.
const MOST: usize = 64;
/// How long a client may take to say something, or to take what it is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before the next try where a connection could not be accepted, for want of files most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// A client that is connected.
struct Client {
    /// Does it wait for an answer?
    waits: Arc<AtomicBool>,
    task: tokio::task::AbortHandle,
}

/// Serves clients without end. Dropped, it drops them too.
pub async fn run(listener: &UnixListener, user: u32, questions: &mpsc::Sender<Question>) {
    let mut clients: Vec<Client> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a client of the control socket");
                    sleep(PAUSE).await;
                    continue;
                }
            },
            // Only to forget it. A panic in a task was logged by the hook, and ends that task alone.
            Some(_) = tasks.join_next() => continue,
        };
        clients.retain(|it| !it.task.is_finished());
        if clients.len() >= MOST {
            let silent = clients.iter().position(|it| !it.waits.load(Ordering::Relaxed));
            match silent {
                Some(oldest) => clients.remove(oldest).task.abort(),
                None => {
                    refuse(
                        stream,
                        format!("{MOST} clients wait for answers already, try again later"),
                    );
                    continue;
                }
            }
        }
        let waits = Arc::new(AtomicBool::new(false));
        let talk = talk(stream, user, questions.clone(), Arc::clone(&waits));
        let task = tasks.spawn(async move {
            if let Err(error) = talk.await {
                tracing::debug!(%error, "a client of the control socket is gone");
            }
        });
        clients.push(Client { waits, task });
    }
}

/// One try: somebody who is refused is not waited for.
fn refuse(stream: UnixStream, why: String) {
    stream
        .try_write(protocol::answer_line(&Answer::Error(why)).as_bytes())
        .ok();
}

async fn talk(
    stream: UnixStream,
    user: u32,
    questions: mpsc::Sender<Question>,
    waits: Arc<AtomicBool>,
) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let believed = peer == 0 || peer == user;
    let (reading, mut writing) = stream.into_split();
    let client = Arc::new(());
    let mut reading = BufReader::with_capacity(1024, reading);
    loop {
        let mut line = Vec::new();
        let most = u64::try_from(LONGEST_REQUEST).unwrap_or(u64::MAX);
        let read = timeout(PATIENCE, (&mut reading).take(most).read_until(b'\n', &mut line)).await;
        let Ok(read) = read else {
            return tell(
                &mut writing,
                &Answer::Error(format!("no whole line within {PATIENCE:?}")),
            )
            .await;
        };
        if read? == 0 {
            return Ok(());
        }
        let ended = line.ends_with(b"\n");
        if !ended && line.len() >= LONGEST_REQUEST {
            let why = format!("a request has at most {LONGEST_REQUEST} bytes");
            return tell(&mut writing, &Answer::Error(why)).await;
        }
        // Not before it has said something: whoever is still writing would not hear why.
        if !believed {
            let why = format!("this segue belongs to user {user}: ask as that user or as root, not as user {peer}");
            tracing::warn!(user = peer, "refused a client of the control socket");
            return tell(&mut writing, &Answer::Error(why)).await;
        }
        waits.store(true, Ordering::Relaxed);
        let answer = match protocol::request(line.trim_ascii()) {
            Err(why) => Answer::Error(why),
            Ok(command) => {
                let (answer, answered) = oneshot::channel();
                // The loop outlives its tasks; if it drops the question it is about to end.
                questions
                    .send(Question::Command {
                        command,
                        answer,
                        client: Arc::clone(&client),
                    })
                    .await
                    .ok();
                let gone = || Answer::Error("segue ends".into());
                answered.await.unwrap_or_else(|_| gone())
            }
        };
        tell(&mut writing, &answer).await?;
        waits.store(false, Ordering::Relaxed);
        if !ended {
            return Ok(());
        }
    }
}

async fn tell(writing: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let line = protocol::answer_line(answer);
    let written = timeout(PATIENCE, writing.write_all(line.as_bytes())).await;
    written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
