//! TRIES the watch on real files, by both backends. That nothing is seen is shown by what is seen next.

mod kubernetes;
mod links;
mod trees;
mod written;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{sync::mpsc, task::AbortHandle, time::timeout};

use super::{Backend, Changes, Notice, Plan, Watching, run};

/// No step of a test takes that long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A watch that is being tried.
struct Trial {
    directory: tempfile::TempDir,
    notices: mpsc::UnboundedReceiver<Notice>,
    task: AbortHandle,
    state: Watching,
}

impl Trial {
    /// Watches `paths` below a directory of its own, which `prepare` fills.
    async fn new(backend: Backend, paths: &[&str], prepare: impl FnOnce(&Path)) -> Trial {
        Trial::with(backend, paths, prepare, |_| {}).await
    }

    async fn with(
        backend: Backend,
        paths: &[&str],
        prepare: impl FnOnce(&Path),
        adjust: impl FnOnce(&mut Plan),
    ) -> Trial {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let absolute = |path: &&str| (PathBuf::from(path), directory.path().join(path));
        let mut plan = Plan {
            paths: paths.iter().map(absolute).collect(),
            ignore: Vec::new(),
            own: Vec::new(),
            debounce: Duration::from_millis(50),
            max_delay: Duration::from_secs(5),
            backend,
            poll_interval: Duration::from_millis(40),
            check_interval: Duration::ZERO,
            jitter: Duration::ZERO,
        };
        adjust(&mut plan);
        let (sender, notices) = mpsc::unbounded_channel();
        let watch = async move { match run(plan, Box::new(move |notice| drop(sender.send(notice)))).await {} };
        let mut trial = Trial {
            directory,
            notices,
            task: tokio::spawn(watch).abort_handle(),
            state: Watching::default(),
        };
        trial.state = trial.state().await;
        trial
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    async fn notice(&mut self) -> Notice {
        timeout(DEADLINE, self.notices.recv())
            .await
            .expect("nothing is seen")
            .expect("it has ended")
    }

    async fn state(&mut self) -> Watching {
        loop {
            match self.notice().await {
                Notice::State(state) => return state,
                Notice::Changed(_) | Notice::Silent(_) | Notice::Ended => {}
            }
        }
    }

    async fn changes(&mut self) -> Changes {
        loop {
            match self.notice().await {
                Notice::Changed(changes) => return changes,
                Notice::State(state) => self.state = state,
                Notice::Silent(_) | Notice::Ended => {}
            }
        }
    }

    /// The next changes, in words.
    async fn told(&mut self) -> String {
        self.changes().await.to_string()
    }

    /// Shows that nothing is seen but what this does: a file is written that counts.
    async fn nothing(&mut self, path: &str) {
        self.write(path, &format!("{:?}", std::time::Instant::now()));
        let changes = self.changes().await;
        assert_eq!((changes.count, changes.paths), (1, vec![PathBuf::from(path)]));
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const BOTH: [Backend; 2] = [Backend::Inotify, Backend::Poll];

#[tokio::test]
async fn a_save_is_seen_once_however_it_is_done() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["w"], |root| {
            fs::create_dir(root.join("w")).unwrap();
            fs::write(root.join("w/a"), "one").unwrap();
            fs::write(root.join("w/b"), "one").unwrap();
        })
        .await;
        assert_eq!((trial.state.files, trial.state.missing.len()), (2, 0));
        // In place.
        trial.write("w/a", "two");
        assert_eq!(trial.told().await, "w/a changed");
        // By renaming, as most editors do.
        trial.write("w/a.new", "three");
        fs::rename(trial.path("w/a.new"), trial.path("w/a")).unwrap();
        assert_eq!(trial.told().await, "w/a changed");
        // As vim does: a probe, a backup, a new file, and the backup goes.
        trial.write("w/4913", "");
        fs::remove_file(trial.path("w/4913")).unwrap();
        fs::rename(trial.path("w/a"), trial.path("w/a~")).unwrap();
        trial.write("w/.a.swp", "x");
        trial.write("w/a", "four");
        fs::remove_file(trial.path("w/a~")).unwrap();
        assert_eq!(trial.told().await, "w/a changed");
        fs::remove_file(trial.path("w/b")).unwrap();
        assert_eq!(trial.told().await, "w/b disappeared");
        trial.write("w/c", "");
        assert_eq!(trial.told().await, "w/c appeared");
    }
}

#[tokio::test]
async fn what_leaves_the_content_as_it_is_is_not_seen() {
    use std::os::unix::fs::PermissionsExt;
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["."], |root| {
            for name in ["touched", "again", "moded", "opened", "proof"] {
                fs::write(root.join(name), name).unwrap();
            }
        })
        .await;
        // The contents are read when there is nothing else to do: that is so once something was seen.
        trial.nothing("proof").await;
        let touched = fs::File::options().append(true).open(trial.path("touched")).unwrap();
        touched.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        trial.write("again", "again");
        fs::set_permissions(trial.path("moded"), fs::Permissions::from_mode(0o400)).unwrap();
        drop(fs::File::options().write(true).open(trial.path("opened")).unwrap());
        fs::create_dir(trial.path("empty")).unwrap();
        trial.nothing("proof").await;
    }
}

#[tokio::test]
async fn what_is_ignored_is_not_seen_and_not_even_watched() {
    for backend in BOTH {
        let prepare = |root: &Path| {
            for directory in ["w/node_modules/deep/er", "w/.git/objects", "w/build", "w/kept"] {
                fs::create_dir_all(root.join(directory)).unwrap();
            }
            fs::write(root.join("w/.gitignore"), "/build/\n*.log\n").unwrap();
            fs::write(root.join("w/proof"), "").unwrap();
        };
        let mut trial = Trial::with(backend, &["w"], prepare, |plan| {
            plan.ignore = vec!["*.ignored".into()];
            plan.own = vec![plan.paths[0].1.join("segue.pid")];
        })
        .await;
        // The directory itself, one in it, and its parent.
        assert_eq!(trial.state.directories, if backend == Backend::Poll { 0 } else { 3 });
        for name in [
            "node_modules/deep/er/a",
            ".git/objects/a",
            "build/a",
            "kept/a.log",
            "a.ignored",
            "segue.pid",
        ] {
            trial.write(&format!("w/{name}"), "x");
        }
        trial.nothing("w/proof").await;
        trial.write("w/.gitignore", "*.log\n");
        let changes = trial.changes().await;
        assert_eq!(
            changes.count, 2,
            "the patterns themselves, and what they had hidden: {changes}"
        );
        trial.write("w/build/a", "y");
        assert_eq!(trial.told().await, "w/build/a changed");
    }
}

#[tokio::test]
async fn a_file_can_be_watched_by_itself() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["app.toml"], |root| {
            fs::write(root.join("app.toml"), "one").unwrap()
        })
        .await;
        trial.write("other", "x");
        trial.write("app.toml", "two");
        assert_eq!(trial.told().await, "app.toml changed");
        trial.write("app.new", "three");
        fs::rename(trial.path("app.new"), trial.path("app.toml")).unwrap();
        assert_eq!(trial.told().await, "app.toml changed");
        trial.nothing("app.toml").await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_waited_for() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["a/b/c"], |_| {}).await;
        assert_eq!(trial.state.missing, [trial.path("a/b/c")]);
        fs::create_dir_all(trial.path("a/b/c")).unwrap();
        trial.write("a/b/c/d", "x");
        assert_eq!(trial.told().await, "a/b/c/d appeared");
        // It goes, and comes back with another content.
        fs::remove_dir_all(trial.path("a")).unwrap();
        fs::create_dir_all(trial.path("a/b/c")).unwrap();
        trial.write("a/b/c/d", "yy");
        assert_eq!(trial.told().await, "a/b/c/d changed");
        trial.nothing("a/b/c/d").await;
    }
}

#[tokio::test]
async fn a_path_that_goes_is_told_to_be_missing() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["w"], |root| fs::create_dir(root.join("w")).unwrap()).await;
        fs::remove_dir(trial.path("w")).unwrap();
        assert_eq!(trial.state().await.missing, [trial.path("w")]);
        fs::create_dir(trial.path("w")).unwrap();
        assert!(trial.state().await.missing.is_empty());
    }
}

#[tokio::test]
async fn what_comes_while_a_change_waits_to_be_told_is_part_of_it() {
    let prepare = |root: &Path| fs::write(root.join("a"), "one").unwrap();
    let jitter = |plan: &mut Plan| plan.jitter = Duration::from_secs(3);
    for _ in 0..20 {
        let mut trial = Trial::with(Backend::Inotify, &["."], prepare, jitter).await;
        trial.write("a", "two");
        let more = trial.notices.recv();
        // The random wait may be short: then there was no time for another.
        if timeout(Duration::from_millis(700), more).await.is_ok() {
            continue;
        }
        trial.write("b", "one");
        let changes = trial.changes().await;
        if changes.count == 2 {
            return;
        }
    }
    panic!("they never came together");
}

#[tokio::test]
async fn a_replaced_directory_is_compared_with_what_was_there() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["link"], |root| {
            for (directory, text) in [("v1", "one"), ("v2", "two")] {
                fs::create_dir(root.join(directory)).unwrap();
                fs::write(root.join(directory).join("changes"), text).unwrap();
                fs::write(root.join(directory).join("stays"), "same").unwrap();
            }
            std::os::unix::fs::symlink("v1", root.join("link")).unwrap();
        })
        .await;
        trial.nothing("link/changes").await;
        std::os::unix::fs::symlink("v2", trial.path("new")).unwrap();
        fs::rename(trial.path("new"), trial.path("link")).unwrap();
        let changes = trial.changes().await;
        assert_eq!(
            (changes.count, changes.to_string().as_str()),
            (1, "link/changes changed")
        );
        trial.nothing("link/stays").await;
    }
}
