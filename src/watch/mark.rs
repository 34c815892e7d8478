//! TELLS one file's content from another: by what the system says of it first, and where that differs, by reading it. It never
//! keeps what it reads.

use std::{
    fs::Metadata,
    hash::{DefaultHasher, Hasher},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::process::regular;

/// A larger file, in bytes, is not read: it has changed if the system says so.
const LARGEST: u64 = 16 << 20;

/// A file as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) look: Look,
    /// Of its content, once that was read.
    pub(super) hash: Option<u64>,
}

/// What the system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Look {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Look {
    pub(super) fn of(metadata: &Metadata) -> Look {
        Look {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Is it worth while to read it?
    pub(super) fn is_readable(&self) -> bool {
        self.size <= LARGEST
    }
}

impl Mark {
    pub(super) fn new(metadata: &Metadata) -> Mark {
        Mark {
            look: Look::of(metadata),
            hash: None,
        }
    }

    /// Reads the content, if it is still what was looked at.
    pub(super) fn read(&mut self, path: &Path) {
        if self.hash.is_none() && self.look.is_readable() {
            self.hash = hash(path, &self.look).ok().flatten();
        }
    }

    /// An empty file, then and now: was it given another time meanwhile?
    pub(super) fn is_touched(&self, before: &Mark) -> bool {
        self.look.size == 0 && before.look.size == 0 && self.look.modified != before.look.modified
    }

    /// Is it another content than before? Where that cannot be told it is.
    pub(super) fn differs(&mut self, before: &Mark, path: &Path) -> bool {
        if self.look == before.look {
            // Nobody has written: the content is the same, whatever was told.
            self.hash = before.hash;
            return false;
        }
        self.read(path);
        self.hash.is_none() || self.hash != before.hash
    }
}

fn hash(path: &Path, look: &Look) -> io::Result<Option<u64>> {
    // It may grow while it is read.
    let mut file = regular::open(path)?.take(LARGEST + 1);
    let mut hasher = DefaultHasher::new();
    let mut bytes = [0; 16 * 1024];
    loop {
        let count = file.read(&mut bytes)?;
        if count == 0 {
            break;
        }
        hasher.write(bytes.get(..count).unwrap_or_default());
    }
    let same = Look::of(&file.get_ref().metadata()?) == *look;
    Ok(same.then(|| hasher.finish()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::Mark;

    #[test]
    fn the_content_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "one").unwrap();
        let mark = || Mark::new(&fs::metadata(&path).unwrap());
        let mut first = mark();
        first.read(&path);
        assert!(first.hash.is_some());
        // Touched.
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(!mark().differs(&first, &path));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!mark().differs(&first, &path));
        // Replaced by the same.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "one").unwrap();
        assert!(!mark().differs(&first, &path));
        fs::write(&path, "two").unwrap();
        assert!(mark().differs(&first, &path));
    }

    #[test]
    fn what_was_not_read_is_believed_to_differ() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "one").unwrap();
        let unread = Mark::new(&fs::metadata(&path).unwrap());
        assert!(!Mark::new(&fs::metadata(&path).unwrap()).differs(&unread, &path));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "one").unwrap();
        let mut later = Mark::new(&fs::metadata(&path).unwrap());
        assert!(later.look == unread.look || later.differs(&unread, &path));
    }
}
