//! HAS helpers read what may hang ([`helper`]), and takes their answers; what helpers do is in `helping`.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    time::{Duration, Instant},
};

use nix::unistd::Pid;
use tokio::{io::unix::AsyncFd, sync::mpsc, time::timeout_at};

use super::{Supervisor, boot::BAD_SETTINGS, environment::Files, generation::Main, probing::Message};
use crate::{
    machine::{Event, Fault, Role},
    process::{
        file_type::FileType,
        files,
        helper::{Helper, is_one, job},
        inherited::Inherited,
        mounts::Mounts,
        sigset::SignalSet,
    },
    telemetry::termination,
    watch::{Notice, wire},
};

/// So long a file system may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Before a helper that has ended too soon is replaced.
const PAUSE: Duration = Duration::from_secs(1);

/// So long PID 1 itself waits, where something cannot be done later: for a helper to begin, and for each of its answers.
const BEGINS: Duration = Duration::from_secs(1);
const ANSWERS: Duration = Duration::from_millis(100);

/// So often it asks again for the rest of the processes, without the one that did not answer.
const ROUNDS: usize = 4;

/// What the files of `SEGUE_ENV_FILES` said, as far as a helper had to read them.
#[derive(Debug, Default)]
pub(super) struct FilesRead {
    /// Were they read for a generation that is about to begin?
    fresh_for: Option<u64>,
    pub(super) entries: Vec<(OsString, OsString)>,
}

impl Supervisor {
    fn helper(&self, job: &str, words: &[OsString]) -> io::Result<Helper> {
        Helper::start(&self.inherited, self.changed, job, words)
    }

    /// Are files read by helpers?
    pub(super) fn reads_apart(&self) -> bool {
        let any = !self.settings.env_files.is_empty() || !self.settings.secrets.is_empty();
        any && Mounts::read().may_hang()
    }

    /// Has a helper read the files for a generation, if they may hang and were not read yet. Until it has answered, it is the main
    /// process of the generation: it is ended like one.
    pub(super) fn waits_for_files(&mut self, generation: u64, which: Files) -> Result<bool, Fault> {
        if self.files_read.fresh_for.take() == Some(generation) || !self.reads_apart() {
            return Ok(false);
        }
        let words: &[OsString] = if which == Files::All {
            &[]
        } else {
            &["those that are there".into()]
        };
        let helper = self.helper(job::ENVIRONMENT, words).map_err(|error| fault(&error))?;
        let pid = helper.pid;
        self.childless = false;
        if let Some(it) = self.generations.get_mut(&generation) {
            it.main = Some(Main {
                pid,
                pidfd: None,
                alive: true,
            });
        }
        tokio::spawn(follow(Ok(helper), Some(generation), self.sender.clone()));
        Ok(true)
    }

    /// A helper has read the files, or has not come back.
    pub(super) fn on_files(&mut self, generation: u64, pid: Pid, answer: Option<Vec<u8>>) {
        let main = self.generations.get_mut(&generation).and_then(|it| it.main.as_mut());
        let Some(main) = main.filter(|main| main.pid == pid) else {
            return;
        };
        main.alive = false;
        let role = self
            .state
            .generations()
            .iter()
            .find(|it| it.number == generation)
            .map(|it| it.role);
        let goes_on = match role {
            Some(Role::Preparing | Role::Starting) => answer.map_or_else(
                || {
                    Err(fault(&format!(
                        "they did not come within {PATIENCE:?}: does their file system answer?"
                    )))
                },
                |answer| {
                    entries(&answer).map_err(|why| Fault {
                        code: BAD_SETTINGS,
                        reason: why,
                    })
                },
            ),
            Some(Role::Serving | Role::Standby | Role::Draining | Role::Leaving | Role::Terminating | Role::Killed)
            | None => Err(fault(&"the generation was called off")),
        };
        let preparing = role == Some(Role::Preparing);
        let began = goes_on.and_then(|entries| {
            self.files_read = FilesRead {
                // A hook may make others.
                fresh_for: (!preparing).then_some(generation),
                entries,
            };
            if preparing {
                self.prepare_at_once(generation)
            } else {
                self.start_program(generation)
            }
        });
        match began {
            Ok(()) => {}
            Err(fault) if preparing => self.events.push_back(Event::Prepared {
                generation,
                outcome: Err(fault),
            }),
            Err(fault) => self.events.push_back(Event::NotStarted { generation, fault }),
        }
    }

    /// Has the files watched by a helper.
    pub(super) fn watch_apart(&mut self, own: Vec<OsString>) {
        let helper = self.helper(job::WATCH, &own);
        self.childless = false;
        tokio::spawn(follow(helper, None, self.sender.clone()));
    }

    /// Which generations processes belong to, by their environments. Of one that is not told now nothing is known for good if a helper
    /// has waited for it in vain.
    pub(super) fn ask_for_markers(&self, pids: &[i32]) -> Vec<(i32, Option<u64>)> {
        let (mut found, mut asked): (Vec<_>, Vec<i32>) = (Vec::new(), Vec::new());
        for pid in pids.iter().copied() {
            if is_one(pid) {
                found.push((pid, None))
            } else {
                asked.push(pid)
            }
        }
        for _ in 0..ROUNDS {
            if asked.is_empty() {
                break;
            }
            let words: Vec<OsString> = asked.iter().map(|pid| pid.to_string().into()).collect();
            let answers = self.helper(job::MARKERS, &words).and_then(|helper| answers(&helper));
            let answers = match answers {
                Ok(answers) => answers,
                Err(error) => {
                    tracing::debug!(%error, "cannot ask whose processes they are");
                    break;
                }
            };
            let told = answers.len().min(asked.len());
            found.extend(asked.drain(..told).zip(answers));
            if !asked.is_empty() {
                let silent = asked.remove(0);
                tracing::debug!(
                    pid = silent,
                    "whose process it is cannot be told: it waits for a file system"
                );
                found.push((silent, None));
            }
        }
        found
    }

    /// The last thing that is done.
    pub(super) fn write_reason(&self, path: &Path, created: bool, reason: &str) {
        // The default one is in /dev, which does not hang, and mostly is not there.
        let missing = || FileType::of(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if !created && missing() || !Mounts::read().may_hang() {
            return termination::write(path, created, reason);
        }
        let words = [path.into(), if created { "created" } else { "" }.into(), reason.into()];
        match self.helper(job::REASON, &words) {
            Ok(helper) => helper.end(BEGINS),
            Err(error) => tracing::warn!(%error, "cannot write the termination log"),
        }
    }
}

/// A pid file that a helper keeps.
pub(super) fn keep_pid_file(inherited: &Inherited, path: &Path) -> Result<Helper, String> {
    let words = [path.into(), std::process::id().to_string().into()];
    let helper = Helper::start(inherited, SignalSet::EMPTY, job::PID_FILE, &words);
    let helper = helper.map_err(|error| error.to_string())?;
    let answer = helper.wait(Instant::now() + PATIENCE / 2);
    match answer.as_deref() {
        Ok(b"=") => Ok(helper),
        Ok([b'!', why @ ..]) => Err(String::from_utf8_lossy(why).into_owned()),
        Ok(_) => Err("its helper has ended".to_owned()),
        Err(_) => Err("its file system does not answer".to_owned()),
    }
}

/// Tells the loop what a helper says: one that reads files for a generation all at once and in time, one that watches files as it comes.
/// One task for both, as each kind of task is code of its own.
async fn follow(helper: io::Result<Helper>, reads_for: Option<u64>, sender: mpsc::UnboundedSender<Message>) {
    let end = tokio::time::Instant::now() + PATIENCE;
    let (mut heard, mut pid) = (Vec::new(), None);
    let mut in_time = true;
    match helper.and_then(|helper| {
        pid = Some(helper.pid);
        files::watch(helper)
    }) {
        Ok(helper) => loop {
            let more = more(&helper);
            let bytes = match reads_for {
                Some(_) => timeout_at(end, more).await,
                None => Ok(more.await),
            };
            in_time = bytes.is_ok();
            let Some(bytes) = bytes.ok().flatten() else { break };
            heard.extend(bytes);
            while reads_for.is_none()
                && let Some(notice) = wire::decode(&mut heard)
            {
                // The loop outlives its tasks.
                sender.send(Message::Watch(notice)).ok();
            }
        },
        Err(error) => tracing::error!(%error, "cannot start a helper"),
    }
    let last = match (reads_for, pid) {
        (Some(generation), Some(pid)) => Message::Files(generation, pid, in_time.then_some(heard)),
        (Some(_) | None, _) => {
            tokio::time::sleep(PAUSE).await;
            Message::Watch(Notice::Ended)
        }
    };
    sender.send(last).ok();
}

/// The next that a helper says; `None`: it has ended.
async fn more(helper: &AsyncFd<Helper>) -> Option<Vec<u8>> {
    loop {
        let mut ready = helper.readable().await.ok()?;
        match helper.get_ref().hear().ok()? {
            Some(bytes) => return Some(bytes).filter(|bytes| !bytes.is_empty()),
            None => ready.clear_ready(),
        }
    }
}

/// A line for each process, after an empty one once it has begun.
fn answers(helper: &Helper) -> io::Result<Vec<Option<u64>>> {
    let mut text = helper.wait(Instant::now() + BEGINS)?;
    while let Ok(bytes) = helper.wait(Instant::now() + ANSWERS)
        && !bytes.is_empty()
    {
        text.extend(bytes);
    }
    let text = String::from_utf8_lossy(&text);
    let whole = text.rsplit_once('\n').map_or("", |it| it.0);
    Ok(whole.split('\n').skip(1).map(|line| line.parse().ok()).collect())
}

/// `=` and what they say, or `!` and why they cannot be used.
fn entries(answer: &[u8]) -> Result<Vec<(OsString, OsString)>, String> {
    match answer {
        [b'=', said @ .., 0] => {
            let pair = |entry: &[u8]| {
                let at = entry.iter().position(|it| *it == b'=')?;
                let (name, value) = entry.split_at(at);
                let value = value.get(1..).unwrap_or_default().to_vec();
                Some((OsStr::from_bytes(name).to_owned(), OsString::from_vec(value)))
            };
            Ok(said.split(|it| *it == 0).filter_map(pair).collect())
        }
        [b'!', why @ ..] => Err(String::from_utf8_lossy(why).into_owned()),
        _ => Err("SEGUE_ENV_FILES: the helper that reads them has ended".to_owned()),
    }
}

fn fault(why: &dyn std::fmt::Display) -> Fault {
    Fault {
        code: BAD_SETTINGS,
        reason: format!("SEGUE_ENV_FILES: {why}"),
    }
}
