//! WALKS through a watched path, past what does not count. It reads directories and the files with patterns in them, and gives
//! others their turn between.

use std::{
    collections::HashSet,
    fs::{self, DirEntry, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    pace::Pace,
    rules::{self, Rules, is_bookkeeping},
};
use crate::process::regular;

/// The longest file of patterns that is read: far longer than any is, and what one look at it may take of the memory.
const MOST_PATTERNS: usize = 1 << 20;

/// What it comes by.
pub(super) enum Entry<'a> {
    /// A directory, before it is looked into.
    Directory(&'a Path),
    /// A file, or a link to one.
    File(PathBuf, Metadata),
}

/// Walks from `start`, which is `root` or below it. What disappears meanwhile was not there.
pub(super) async fn walk(root: &Path, start: &Path, rules: &mut Rules, found: &mut (dyn FnMut(Entry<'_>) + Send)) {
    let Ok(metadata) = fs::metadata(start) else { return };
    let is_counted = start == root || !rules.ignores(root, start, metadata.is_dir());
    if !is_counted {
        return;
    }
    if !metadata.is_dir() {
        if metadata.is_file() {
            found(Entry::File(start.to_owned(), metadata));
        }
        return;
    }
    let mut pace = Pace::default();
    // A link to a directory is followed within the watched path only, and none twice.
    let real = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let mut followed = HashSet::from([(metadata.dev(), metadata.ino())]);
    let mut left = vec![start.to_owned()];
    while let Some(directory) = left.pop() {
        found(Entry::Directory(&directory));
        for name in rules::FILES {
            let file = directory.join(name);
            if let Ok(patterns) = regular::read(&file, MOST_PATTERNS) {
                rules.add(&file, &patterns);
            }
        }
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        // Always in the same order, so that of two links to one place it is always the same that is followed.
        let mut entries: Vec<DirEntry> = entries.flatten().collect();
        entries.sort_by_cached_key(DirEntry::file_name);
        for entry in entries {
            pace.step().await;
            if is_bookkeeping(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            let metadata = if kind.is_symlink() {
                fs::metadata(&path)
            } else {
                entry.metadata()
            };
            let Ok(metadata) = metadata else { continue };
            if rules.ignores(root, &path, metadata.is_dir()) {
                continue;
            }
            if metadata.is_file() {
                found(Entry::File(path, metadata));
            } else if metadata.is_dir() {
                let inside = || fs::canonicalize(&path).is_ok_and(|it| it.starts_with(&real));
                let identity = (metadata.dev(), metadata.ino());
                if !kind.is_symlink() || inside() && followed.insert(identity) {
                    left.push(path);
                }
            }
        }
    }
}
