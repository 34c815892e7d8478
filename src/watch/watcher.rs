//! WAITS for hints, and looks where they point when a burst is over. Everything that is told has another content.

mod links;
mod polling;

use std::{
    collections::BTreeSet,
    future::poll_fn,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::time::{sleep_until, timeout_at};

use super::{
    Backend, Changes, Plan, Watching,
    debounce::Debounce,
    ear::Ear,
    guards::Guards,
    inotify::{Deaf, Hearing, Hint},
    rules::{Rules, is_bookkeeping, is_patterns},
    target::Target,
};

/// Files that are read in one go where nothing waits for it.
const BATCH: usize = 16;

/// With so many files that a look takes long, it rests so many times as long.
const SHARE: u32 = 12;

/// A look that takes longer than this waits for somebody.
const LONGEST: Duration = Duration::from_secs(10);

/// All that is watched.
pub(super) struct Watcher {
    plan: Plan,
    rules: Rules,
    targets: Vec<Target>,
    hearing: Option<Hearing>,
    guards: Guards,
    /// Directories elsewhere, with the links that lead to files in them.
    links: links::Links,
    /// Were links that are not followed told of?
    told_of_links: bool,
    /// Where to look when the burst is over.
    suspects: BTreeSet<(usize, PathBuf)>,
    /// Files that are being written, as far as that is heard.
    written: BTreeSet<PathBuf>,
    debounce: Debounce,
    next_poll: Option<Instant>,
    next_check: Option<Instant>,
    unread: bool,
    why: Option<String>,
}

impl Watcher {
    /// Looks at everything, so that what changes from now on is seen.
    pub(super) async fn begin(plan: Plan) -> Watcher {
        let polls = plan.backend == Backend::Poll;
        let mut watcher = Watcher {
            rules: Rules::new(&plan.ignore, plan.own.clone()),
            targets: plan
                .paths
                .iter()
                .map(|(shown, path)| Target::new(shown.clone(), path.clone()))
                .collect(),
            hearing: None,
            guards: Guards::default(),
            links: links::Links::default(),
            told_of_links: false,
            suspects: BTreeSet::new(),
            written: BTreeSet::new(),
            debounce: Debounce::new(plan.debounce, plan.max_delay),
            next_poll: None,
            next_check: None,
            unread: true,
            why: None,
            plan,
        };
        if !polls {
            watcher.hearing = Hearing::new().map_err(|deaf| watcher.fall_back(&deaf)).ok();
        }
        watcher.choose();
        for index in 0..watcher.targets.len() {
            watcher.guard(index);
            let hearing = watcher.hearing.as_mut();
            let Some(target) = watcher.targets.get_mut(index) else {
                continue;
            };
            let mut ear = Ear {
                hearing: hearing.filter(|_| target.polled.is_none()),
                deaf: None,
            };
            target.begin(&mut watcher.rules, &mut |path| ear.hear(path)).await;
            let deaf = ear.deaf;
            if !target.is_there {
                tracing::warn!(path = %target.path.display(), "a watched path is not there; it is waited for");
            }
            if let Some(deaf) = deaf {
                watcher.fall_back(&deaf);
            }
            watcher.hear_of_links(index);
        }
        watcher.set_timers();
        watcher
    }

    /// Waits for changes; there are none if only a watched path has gone or come.
    pub(super) async fn next(&mut self) -> Changes {
        let there = |watcher: &Watcher| watcher.targets.iter().map(|it| it.is_there).collect::<Vec<_>>();
        let before = there(self);
        let mut changes = Changes::default();
        while changes.is_empty() && there(self) == before {
            self.hint().await;
            changes = self.look().await;
        }
        if !changes.is_empty() && !self.plan.jitter.is_zero() {
            // What comes meanwhile is part of it.
            let until = Instant::now() + self.plan.jitter.mul_f64(fastrand::f64());
            while timeout_at(until.into(), self.hint()).await.is_ok() {
                changes.merge(self.look().await);
            }
        }
        changes
    }

    /// How it is, for people.
    pub(super) fn watching(&self) -> Watching {
        let polls = self.targets.iter().any(|target| target.polled.is_some());
        let hears = self.targets.iter().any(|target| target.polled.is_none());
        let backend = match (hears, polls) {
            (true, true) => "inotify and poll",
            (true, false) => "inotify",
            (false, _) => "poll",
        };
        let missing = self.targets.iter().filter(|target| !target.is_there);
        Watching {
            backend: backend.to_owned(),
            why: self.why.clone(),
            files: self.targets.iter().map(Target::len).sum(),
            directories: self.hearing.as_ref().map_or(0, Hearing::len),
            missing: missing.map(|target| target.path.clone()).collect(),
        }
    }

    /// Until a burst is over and there is something to look at.
    async fn hint(&mut self) {
        loop {
            let due = self.debounce.due();
            let (next_poll, next_check, unread) = (self.next_poll, self.next_check, self.unread);
            let hints = async {
                match &mut self.hearing {
                    Some(hearing) => poll_fn(|context| hearing.poll_hints(context)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = at(due.filter(|due| *due <= Instant::now())) => return,
                hints = hints => self.note(hints),
                () = at(due) => return,
                () = at(next_poll) => self.poll().await,
                () = at(next_check) => {
                    self.suspect_all();
                    self.set_timers();
                    return;
                }
                () = tokio::task::yield_now(), if unread => {
                    let more = self.targets.iter_mut().map(|target| target.read_some(BATCH));
                    self.unread = more.fold(false, |any, more| any | more);
                }
            }
        }
    }

    fn note(&mut self, hints: Vec<Hint>) {
        for hint in hints {
            match hint {
                Hint::Lost => {
                    tracing::debug!("events were lost: everything is compared");
                    self.suspect_all();
                    self.debounce.note(Instant::now());
                }
                Hint::Gone(path) => {
                    self.written.retain(|it| !it.starts_with(&path));
                    self.note_path(&path, None);
                }
                Hint::In(directory, name) => {
                    self.written.remove(&directory.join(&name));
                    let named = (!name.is_empty()).then_some(name.as_os_str());
                    self.note_path(&directory, named);
                }
                Hint::Written(directory, name) => {
                    // Of a file that does not count nobody knows when it is closed.
                    if self.note_path(&directory, Some(&name)) {
                        self.written.insert(directory.join(&name));
                    }
                }
            }
        }
        self.debounce.hold(!self.written.is_empty());
    }

    /// Does anything that is watched come of it?
    fn note_path(&mut self, directory: &Path, name: Option<&std::ffi::OsStr>) -> bool {
        let mut suspects = Vec::new();
        let path = name.map_or_else(|| directory.to_owned(), |name| directory.join(name));
        let concerned = match name {
            Some(name) => self.guards.concerned(directory, name),
            None => Vec::new(),
        };
        for (index, target) in self.targets.iter().enumerate() {
            if concerned.contains(&index) || path == target.path {
                suspects.push((index, target.path.clone()));
            }
            suspects.extend(self.linked(index, directory, name));
            if !target.directories.contains(directory) {
                continue;
            }
            match name {
                // Kubernetes has swapped all of it.
                Some(name) if is_bookkeeping(name) => suspects.push((index, directory.to_owned())),
                // A directory that is ignored is one whether or not it still is a directory.
                Some(_) if self.rules.ignores(&target.path, &path, path.is_dir()) => {}
                Some(_) | None => suspects.push((index, path.clone())),
            }
        }
        let any = !suspects.is_empty();
        if any {
            self.suspects.extend(suspects);
            self.debounce.note(Instant::now());
        }
        any
    }

    fn suspect_all(&mut self) {
        let all = self.targets.iter().enumerate();
        self.suspects.clear();
        self.suspects
            .extend(all.map(|(index, target)| (index, target.path.clone())));
    }

    async fn poll(&mut self) {
        let begin = Instant::now();
        for index in 0..self.targets.len() {
            let Some(target) = self.targets.get_mut(index) else {
                continue;
            };
            if target.polled.is_some() && target.has_moved(&mut self.rules).await {
                self.suspects.insert((index, target.path.clone()));
                self.debounce.note(Instant::now());
            }
        }
        let took = begin.elapsed();
        // It is not the look that takes so long, but a file system that does not answer.
        let rest = if took > LONGEST {
            took.min(LONGEST * 3)
        } else {
            took.saturating_mul(SHARE)
        };
        self.poll_again_after(rest);
    }

    /// Where it polls, a burst is over when one look finds nothing new.
    fn poll_again_after(&mut self, rest: Duration) {
        let interval = self.plan.poll_interval.max(rest);
        self.next_poll = Instant::now().checked_add(interval);
        let quiet = interval.saturating_add(interval / 4);
        self.debounce.set_quiet(self.plan.debounce.max(quiet));
    }

    /// Compares what is suspected with what was known.
    async fn look(&mut self) -> Changes {
        self.debounce.over();
        self.written.clear();
        let mut changes = self.look_at_suspects().await;
        if changes
            .paths
            .iter()
            .any(|path| path.file_name().is_some_and(is_patterns))
        {
            // What was hidden may count now, and the other way round.
            self.rules = Rules::new(&self.plan.ignore, self.plan.own.clone());
            self.suspect_all();
            changes.merge(self.look_at_suspects().await);
        }
        changes
    }

    async fn look_at_suspects(&mut self) -> Changes {
        let mut changes = Changes::default();
        let mut last: Option<(usize, PathBuf)> = None;
        for (index, path) in std::mem::take(&mut self.suspects) {
            // In order, so that what is above comes before what is below it.
            if last
                .as_ref()
                .is_some_and(|(of, above)| *of == index && path.starts_with(above))
            {
                continue;
            }
            changes.merge(self.look_at(index, &path).await);
            last = Some((index, path));
        }
        changes
    }

    async fn look_at(&mut self, index: usize, path: &Path) -> Changes {
        let whole = self.targets.get(index).is_some_and(|target| target.path == path);
        if whole {
            self.guard(index);
        }
        let hearing = self.hearing.as_mut();
        let Some(target) = self.targets.get_mut(index) else {
            return Changes::default();
        };
        let (before, was_there) = (target.directories.clone(), target.is_there);
        let mut ear = Ear {
            hearing: hearing.filter(|_| target.polled.is_none()),
            deaf: None,
        };
        let changes = target.compare(path, &mut self.rules, &mut |path| ear.hear(path)).await;
        let deaf = ear.deaf;
        if was_there != target.is_there {
            tracing::info!(path = %target.path.display(), is_there = target.is_there, "a watched path has gone or come");
        }
        let gone: Vec<PathBuf> = before.difference(&target.directories).cloned().collect();
        self.hear_of_links(index);
        if let Some(hearing) = &mut self.hearing {
            let heard = |path: &PathBuf| {
                self.targets.iter().any(|it| it.directories.contains(path))
                    || self.guards.has(path)
                    || self.links.contains_key(path)
            };
            gone.iter()
                .filter(|path| !heard(path))
                .for_each(|path| hearing.remove(path));
        }
        if let Some(deaf) = deaf {
            self.fall_back(&deaf);
            self.set_timers();
        }
        changes
    }

    /// Hears of the places where the path itself comes and goes.
    fn guard(&mut self, index: usize) {
        let Some(target) = self.targets.get(index).filter(|it| it.polled.is_none()) else {
            return;
        };
        let places = self.guards.set(index, &target.path);
        let mut ear = Ear {
            hearing: self.hearing.as_mut(),
            deaf: None,
        };
        places.iter().for_each(|place| ear.hear(place));
        // A mount of a single file: its directory does not hear of it.
        if target.path.is_file() {
            ear.hear(&target.path);
        }
        if let Some(deaf) = ear.deaf {
            self.fall_back(&deaf);
        }
    }

    fn set_timers(&mut self) {
        let now = Instant::now();
        let polls = self.targets.iter().any(|target| target.polled.is_some());
        let hears = self.targets.iter().any(|target| target.polled.is_none());
        let after = |wait: Duration| now.checked_add(wait).filter(|_| !wait.is_zero());
        self.next_check = after(self.plan.check_interval).filter(|_| hears);
        if polls {
            self.poll_again_after(Duration::ZERO);
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
