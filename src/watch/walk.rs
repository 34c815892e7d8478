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
    /// A link to a file that is not below the watched path: told before the file, with where it leads.
    Link(PathBuf, PathBuf),
    /// A link to a directory that is not below the watched path, and is not followed.
    Outside(PathBuf),
}

/// Walks from `start`, which is `root` or below it. What disappears meanwhile was not there.
pub(super) async fn walk(root: &Path, start: &Path, rules: &mut Rules, found: &mut (dyn FnMut(Entry<'_>) + Send)) {
    let Ok(metadata) = fs::metadata(start) else { return };
    let is_counted = start == root || !rules.ignores(root, start, metadata.is_dir());
    if !is_counted {
        return;
    }
    // A link to a directory is followed within the watched path only, and none twice.
    let real = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    // Where a link leads, if that is not below.
    let outside = |path: &Path| fs::canonicalize(path).ok().filter(|it| !it.starts_with(&real));
    let is_link = fs::symlink_metadata(start).is_ok_and(|it| it.is_symlink());
    // What the watched path itself leads to is another matter.
    let leads = Some(start).filter(|it| is_link && *it != root).and_then(outside);
    if !metadata.is_dir() {
        if metadata.is_file() {
            if let Some(leads) = leads {
                found(Entry::Link(start.to_owned(), leads));
            }
            found(Entry::File(start.to_owned(), metadata));
        }
        return;
    }
    if leads.is_some() {
        return found(Entry::Outside(start.to_owned()));
    }
    let mut pace = Pace::default();
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
            let leads = if kind.is_symlink() { outside(&path) } else { None };
            if metadata.is_file() {
                if let Some(leads) = leads {
                    found(Entry::Link(path.clone(), leads));
                }
                found(Entry::File(path, metadata));
            } else if metadata.is_dir() {
                let identity = (metadata.dev(), metadata.ino());
                if leads.is_some() {
                    found(Entry::Outside(path));
                } else if !kind.is_symlink() || followed.insert(identity) {
                    left.push(path);
                }
            }
        }
    }
}
