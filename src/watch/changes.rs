//! TELLS what has changed, in a line. Plain data.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Files whose content is another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Their paths, as far as they are kept: a burst may have very many.
    pub paths: Vec<PathBuf>,
    /// How many there are.
    pub count: usize,
    /// What the first of them is.
    pub(super) kind: Option<Kind>,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Added,
    Changed,
    Removed,
}

/// So many paths are kept.
const KEPT: usize = 1_000;

impl Changes {
    /// One more; `path` as people know it.
    pub(super) fn add(&mut self, path: PathBuf, kind: Kind) {
        self.count = self.count.saturating_add(1);
        if self.paths.len() < KEPT {
            self.paths.push(path);
            self.kind.get_or_insert(kind);
        }
    }

    /// Both.
    pub(super) fn merge(&mut self, other: Changes) {
        self.count = self.count.saturating_add(other.count);
        self.kind = self.kind.or(other.kind);
        let room = KEPT.saturating_sub(self.paths.len());
        self.paths.extend(other.paths.into_iter().take(room));
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.paths.first().map_or(Path::new("nothing"), PathBuf::as_path);
        let verb = match self.kind {
            Some(Kind::Added) => "appeared",
            Some(Kind::Changed) | None => "changed",
            Some(Kind::Removed) => "disappeared",
        };
        write!(f, "{} {verb}", first.display())?;
        match self.count.saturating_sub(1) {
            0 => Ok(()),
            more => write!(f, ", {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Changes, Kind};

    #[test]
    fn the_first_is_named_and_the_others_are_counted() {
        let mut changes = Changes::default();
        assert!(changes.is_empty());
        changes.add("config/app.toml".into(), Kind::Changed);
        assert_eq!(changes.to_string(), "config/app.toml changed");
        for number in 0..2_000 {
            changes.add(format!("{number}").into(), Kind::Added);
        }
        assert_eq!(changes.to_string(), "config/app.toml changed, 2000 more");
        let mut gone = Changes::default();
        gone.add("a".into(), Kind::Removed);
        gone.merge(changes);
        assert_eq!(
            (gone.to_string().as_str(), gone.paths.len()),
            ("a disappeared, 2001 more", 1_000)
        );
    }
}
