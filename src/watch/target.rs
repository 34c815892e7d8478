//! KEEPS one of the watched paths: the files in it as they were seen last, and what it takes to see them again. It finds out
//! what has changed and does nothing about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Bound,
    path::{Path, PathBuf},
};

use super::{
    changes::{Changes, Kind},
    mark::{Look, Mark},
    pace::Pace,
    rules::Rules,
    walk::{Entry, walk},
};

/// One of the watched paths.
#[derive(Debug)]
pub struct Target {
    /// As the user wrote it.
    shown: PathBuf,
    pub(super) path: PathBuf,
    files: BTreeMap<PathBuf, Mark>,
    /// Those in which something may happen, from the top.
    pub(super) directories: BTreeSet<PathBuf>,
    /// Files whose content is to be read when there is time.
    unread: Vec<PathBuf>,
    /// Links to files elsewhere, with where they lead.
    pub(super) links: BTreeMap<PathBuf, PathBuf>,
    /// Links to directories elsewhere, which are not followed.
    pub(super) outside: BTreeSet<PathBuf>,
    /// Is there anything at this path?
    pub(super) is_there: bool,
    /// Why it is looked at again and again, if it is.
    pub(super) polled: Option<String>,
    /// All that the system says of its files, in one number.
    last_look: Sum,
}

/// What the system says of any number of files, in whatever order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, path: &Path, look: Option<Look>) {
        let mut hasher = DefaultHasher::new();
        (path, look).hash(&mut hasher);
        self.0 = self.0.wrapping_add(hasher.finish());
    }
}

/// So many files are read at the beginning; what is in the others is read when there is time.
const READ_AT_ONCE: usize = 1_000;

impl Target {
    /// Nothing is looked at yet; `shown` is how the user wrote the path.
    #[must_use]
    pub fn new(shown: PathBuf, path: PathBuf) -> Target {
        Target {
            shown,
            path,
            files: BTreeMap::new(),
            directories: BTreeSet::new(),
            unread: Vec::new(),
            links: BTreeMap::new(),
            outside: BTreeSet::new(),
            is_there: false,
            polled: None,
            last_look: Sum::default(),
        }
    }

    /// Files that it knows.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Looks at all of it for the first time; `hear` is told of each directory before it is looked into.
    /// A small tree is read at once, so that it is known what its files hold before any of them changes.
    pub async fn begin(&mut self, rules: &mut Rules, hear: &mut (dyn FnMut(&Path) + Send)) {
        let found = self.look(&self.path, rules, hear).await;
        self.unread = found.files.keys().cloned().collect();
        self.is_there = found.is_there;
        self.files = found.files;
        self.directories = found.directories;
        (self.links, self.outside) = (found.links, found.outside);
        let mut sum = Sum::default();
        self.files
            .iter()
            .for_each(|(path, mark)| sum.add(path, Some(mark.look)));
        self.directories.iter().for_each(|path| sum.add(path, None));
        self.last_look = sum;
        let mut pace = Pace::default();
        for _ in 0..READ_AT_ONCE {
            if !self.read_some(1) {
                break;
            }
            pace.step().await;
        }
    }

    /// Reads some of what was not read yet; is there more?
    pub(super) fn read_some(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some(path) = self.unread.pop() else { return false };
            if let Some(mark) = self.files.get_mut(&path) {
                mark.read(&path);
            }
        }
        !self.unread.is_empty()
    }

    /// Looks again at this path of it and everything below, and says what has changed.
    pub async fn compare(&mut self, start: &Path, rules: &mut Rules, hear: &mut (dyn FnMut(&Path) + Send)) -> Changes {
        let found = self.look(start, rules, hear).await;
        if start == self.path {
            self.is_there = found.is_there;
            if !found.is_there {
                // Whoever replaces it takes it away first. What it was is kept, to be compared with what comes.
                return Changes::default();
            }
        }
        let mut changes = Changes::default();
        let mut pace = Pace::default();
        let mut files = found.files;
        for (path, mark) in &mut files {
            pace.step().await;
            let kind = match self.files.get(path) {
                Some(before) if mark.differs(before, path) => Some(Kind::Changed),
                // It has no content that could change: whoever names it means its time.
                Some(before) if *path == self.path && mark.is_touched(before) => Some(Kind::Changed),
                Some(_) => None,
                None => Some(Kind::Added),
            };
            if let Some(kind) = kind {
                mark.read(path);
                changes.add(self.shown(path), kind);
            }
        }
        // Paths are in the order of their parts: those below one stand together, and the others need not be looked at.
        let from = (Bound::Included(start), Bound::Unbounded);
        let known = self.files.range::<Path, _>(from).map(|it| it.0);
        let known = known.take_while(|path| path.starts_with(start));
        let gone: Vec<PathBuf> = known.filter(|it| !files.contains_key(*it)).cloned().collect();
        for path in gone {
            self.files.remove(&path);
            changes.add(self.shown(&path), Kind::Removed);
        }
        // Not by append, which goes through all that is there.
        self.files.extend(files);
        let known = self.directories.range::<Path, _>(from);
        let known: Vec<PathBuf> = known.take_while(|path| path.starts_with(start)).cloned().collect();
        for path in known {
            self.directories.remove(&path);
        }
        self.directories.extend(found.directories);
        self.links.retain(|path, _| !path.starts_with(start));
        self.links.extend(found.links);
        self.outside.retain(|path| !path.starts_with(start));
        self.outside.extend(found.outside);
        changes
    }

    /// Has anything changed since the last time that this was asked, as far as the system says? It reads nothing.
    pub(super) async fn has_moved(&mut self, rules: &mut Rules) -> bool {
        let mut sum = Sum::default();
        walk(&self.path, &self.path, rules, &mut |entry| match entry {
            Entry::File(path, metadata) => sum.add(&path, Some(Look::of(&metadata))),
            Entry::Directory(path) => sum.add(path, None),
            Entry::Link(..) | Entry::Outside(_) => {}
        })
        .await;
        let before = std::mem::replace(&mut self.last_look, sum);
        self.last_look != before
    }

    async fn look(&self, start: &Path, rules: &mut Rules, hear: &mut (dyn FnMut(&Path) + Send)) -> Found {
        let mut found = Found::default();
        walk(&self.path, start, rules, &mut |entry| match entry {
            Entry::File(path, metadata) => {
                found.files.insert(path, Mark::new(&metadata));
            }
            Entry::Directory(path) => {
                hear(path);
                found.directories.insert(path.to_owned());
            }
            Entry::Link(path, leads) => {
                found.links.insert(path, leads);
            }
            Entry::Outside(path) => {
                found.outside.insert(path);
            }
        })
        .await;
        found.is_there = fs::metadata(start).is_ok();
        found
    }

    /// The path as the user would write it.
    fn shown(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.path) {
            Ok(below) if below.as_os_str().is_empty() => self.shown.clone(),
            Ok(below) if self.shown == Path::new(".") => below.to_owned(),
            Ok(below) => self.shown.join(below),
            Err(_) => path.to_owned(),
        }
    }
}

/// What a look has found.
#[derive(Debug, Default)]
struct Found {
    files: BTreeMap<PathBuf, Mark>,
    directories: BTreeSet<PathBuf>,
    links: BTreeMap<PathBuf, PathBuf>,
    outside: BTreeSet<PathBuf>,
    is_there: bool,
}
