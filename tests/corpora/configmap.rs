//! What holds for a watched volume that is written as kubelet writes one, and in ways in which nobody should.

use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use segue::watch::{rules::Rules, target::Target};

/// So many lines count.
const LINES: usize = 40;

/// A line is a step: `set KEY TEXT` prepares a file of the next version, `publish` swaps it in, `write`, `remove`, `link` and
/// `directory` meddle with the volume. After each `publish` and at the end it is looked at: what is told has changed, what has
/// changed is told, and what was told once is not told again.
pub fn check(bytes: &[u8]) {
    // In memory, where it is quick.
    let directory = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let mut volume = Volume::new(directory.path().join("volume"));
    let mut watch = Watch::new(&volume.path);
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines().take(LINES) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (path, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let path = tame(path);
        match verb {
            "set" => drop(volume.next.insert(path, text.to_owned())),
            "publish" => {
                volume.publish();
                watch.look(volume.is_tangled);
            }
            "write" => volume.write(&path, text),
            "remove" => volume.remove(&path),
            "link" => volume.link(&path, text),
            "directory" => volume.directory(&path),
            _ => {}
        }
    }
    watch.look(volume.is_tangled);
}

/// At most three words of small letters and digits: never out of the volume, and never what no watch counts.
fn tame(path: &str) -> PathBuf {
    let word = |it: &str| -> String {
        it.chars()
            .filter(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
            .take(8)
            .collect()
    };
    let words = path
        .split('/')
        .map(word)
        .filter(|it| !it.is_empty() && it != "target" && it != "4913")
        .take(3);
    let path: PathBuf = words.collect();
    if path.as_os_str().is_empty() {
        "key".into()
    } else {
        path
    }
}

struct Volume {
    path: PathBuf,
    /// What the next version holds.
    next: BTreeMap<PathBuf, String>,
    version: u64,
    /// No two files are written at the same time, however quick that is.
    clock: u64,
    /// May two links lead to one directory?
    is_tangled: bool,
}

impl Volume {
    fn new(path: PathBuf) -> Volume {
        fs::create_dir(&path).unwrap();
        Volume {
            path,
            next: BTreeMap::new(),
            version: 0,
            clock: 0,
            is_tangled: false,
        }
    }

    fn put(&mut self, path: &Path, text: &str) {
        // A file in the place of a directory, or the other way around, is refused by the system.
        if path.parent().is_some_and(|it| fs::create_dir_all(it).is_ok()) && fs::write(path, text).is_ok() {
            self.clock += 1;
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.clock);
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
    }

    /// What kubelet does, in its order.
    fn publish(&mut self) {
        self.version += 1;
        let name = format!("..version_{}", self.version);
        let whole = self.path.join(&name);
        fs::create_dir(&whole).unwrap();
        for (key, text) in self.next.clone() {
            self.put(&whole.join(key), &text);
        }
        let (data, temporary) = (self.path.join("..data"), self.path.join("..data_tmp"));
        let before = fs::read_link(&data).ok();
        symlink(&name, &temporary).unwrap();
        fs::rename(&temporary, &data).unwrap();
        let keys: Vec<_> = fs::read_dir(&whole)
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        for key in keys {
            // It may be there already.
            drop(symlink(Path::new("..data").join(&key), self.path.join(&key)));
        }
        if let Some(before) = before {
            fs::remove_dir_all(self.path.join(before)).unwrap();
        }
    }

    fn write(&mut self, path: &Path, text: &str) {
        let path = self.path.join(path);
        // Through a link it would be a file of a published version, which nobody writes.
        if is_plain(&self.path, &path) {
            self.put(&path, text);
        }
    }

    fn remove(&mut self, path: &Path) {
        self.next.remove(path);
        let path = self.path.join(path);
        if is_plain(&self.path, path.parent().unwrap_or(&path)) {
            // Whatever it is, if it is anything.
            drop(fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)));
        }
    }

    /// Links lead to the volume, to what is in it, or nowhere; also round in circles.
    fn link(&mut self, path: &Path, to: &str) {
        let to = if to == "volume" {
            self.path.clone()
        } else {
            self.path.join(tame(to))
        };
        let path = self.path.join(path);
        if is_plain(&self.path, path.parent().unwrap_or(&path)) {
            drop(symlink(to, path));
            self.is_tangled = true;
        }
    }

    fn directory(&mut self, path: &Path) {
        let path = self.path.join(path);
        if is_plain(&self.path, &path) {
            drop(fs::create_dir_all(path));
        }
    }
}

/// Leads no link to it?
fn is_plain(root: &Path, path: &Path) -> bool {
    let is_link = |it: &&Path| fs::symlink_metadata(it).is_ok_and(|it| it.is_symlink());
    path.ancestors()
        .take_while(|it| it.starts_with(root))
        .find(is_link)
        .is_none()
}

struct Watch {
    target: Target,
    rules: Rules,
    root: PathBuf,
    seen: BTreeMap<PathBuf, Vec<u8>>,
}

impl Watch {
    fn new(root: &Path) -> Watch {
        let mut watch = Watch {
            target: Target::new("volume".into(), root.to_owned()),
            rules: Rules::new(&[], Vec::new()),
            root: root.to_owned(),
            seen: BTreeMap::new(),
        };
        done(watch.target.begin(&mut watch.rules, &mut |_| {}));
        watch
    }

    fn look(&mut self, is_tangled: bool) {
        let told = self.compare();
        let mut now = BTreeMap::new();
        contents(&self.root, &mut Vec::new(), &mut now);
        // Of two links to one directory only one is followed: what is told of such files is not foretold here.
        let known = |path: &&PathBuf| !is_tangled || path.parent().is_some_and(|it| is_plain(&self.root, it));
        for path in told.iter().chain(self.seen.keys()).chain(now.keys()).filter(known) {
            let is_told = told.contains(path);
            assert_eq!(self.seen.get(path) != now.get(path), is_told, "{}", path.display());
        }
        assert_eq!(self.compare(), [] as [PathBuf; 0], "told once");
        assert!(self.target.len() <= now.len());
        self.seen = now;
    }

    fn compare(&mut self) -> Vec<PathBuf> {
        let changes = done(self.target.compare(&self.root, &mut self.rules, &mut |_| {}));
        assert_eq!(changes.count, changes.paths.len());
        let below = |path: &PathBuf| self.root.join(path.strip_prefix("volume").unwrap());
        changes.paths.iter().map(below).collect()
    }
}

/// Every file there is a way to, except by names that are kubelet's own.
fn contents(directory: &Path, above: &mut Vec<PathBuf>, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(real) = fs::canonicalize(directory) else { return };
    if above.contains(&real) {
        return;
    }
    above.push(real);
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with("..") {
            continue;
        }
        if path.is_dir() {
            contents(&path, above, found);
        } else if let Ok(text) = fs::read(&path) {
            found.insert(path, text);
        }
    }
    above.pop();
}

/// What looks at files gives others their turn and waits for nobody.
fn done<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
