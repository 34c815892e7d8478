//! REMEMBERS the directories in which a watched path itself comes and goes: its parent, or where that is not there, the nearest
//! that is. Touches no file but to find those.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use super::rules::is_bookkeeping;

/// Which names in which directories matter to which of the watched paths.
#[derive(Debug, Default)]
pub(super) struct Guards(BTreeMap<PathBuf, BTreeSet<(OsString, usize)>>);

impl Guards {
    /// The directories to hear of for this path, which is the one of that index.
    pub(super) fn set(&mut self, index: usize, path: &Path) -> Vec<PathBuf> {
        for names in self.0.values_mut() {
            names.retain(|(_, of)| *of != index);
        }
        self.0.retain(|_, names| !names.is_empty());
        let mut all: Vec<(PathBuf, OsString)> = nearest(path).into_iter().collect();
        // What a link points to may change as well as the link.
        if let Ok(real) = fs::canonicalize(path)
            && real != path
        {
            all.extend(nearest(&real));
        }
        for (directory, name) in &all {
            let names = self.0.entry(directory.clone()).or_default();
            names.insert((name.clone(), index));
        }
        all.into_iter().map(|(directory, _)| directory).collect()
    }

    /// Whose path it may be that has come or gone.
    pub(super) fn concerned(&self, directory: &Path, name: &OsStr) -> Vec<usize> {
        let names = self.0.get(directory).into_iter().flatten();
        names
            .filter(|(known, _)| known == name || is_bookkeeping(name))
            .map(|(_, index)| *index)
            .collect()
    }

    /// Is this one of the directories?
    pub(super) fn has(&self, directory: &Path) -> bool {
        self.0.contains_key(directory)
    }
}

/// The nearest directory above that is there, and the name below it that leads to the path.
fn nearest(path: &Path) -> Option<(PathBuf, OsString)> {
    let mut below = path;
    for above in path.ancestors().skip(1) {
        if above.is_dir() {
            return Some((above.to_owned(), below.file_name()?.to_owned()));
        }
        below = above;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, fs};

    use super::Guards;

    #[test]
    fn a_path_that_is_not_there_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/c");
        let mut guards = Guards::default();
        assert_eq!(guards.set(7, &path), [directory.path()]);
        assert_eq!(guards.concerned(directory.path(), OsStr::new("a")), [7]);
        assert!(guards.concerned(directory.path(), OsStr::new("b")).is_empty());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert_eq!(guards.set(7, &path), [path.parent().unwrap()]);
        assert!(!guards.has(directory.path()));
        assert_eq!(guards.concerned(path.parent().unwrap(), OsStr::new("c")), [7]);
        assert_eq!(guards.concerned(path.parent().unwrap(), OsStr::new("..data")), [7]);
    }

    #[test]
    fn both_ends_of_a_link_matter() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir_all(root.join("there")).unwrap();
        fs::create_dir_all(root.join("here")).unwrap();
        fs::write(root.join("there/file"), "x").unwrap();
        std::os::unix::fs::symlink("../there/file", root.join("here/link")).unwrap();
        let mut guards = Guards::default();
        guards.set(0, &root.join("here/link"));
        assert_eq!(guards.concerned(&root.join("here"), OsStr::new("link")), [0]);
        assert_eq!(guards.concerned(&root.join("there"), OsStr::new("file")), [0]);
    }
}
