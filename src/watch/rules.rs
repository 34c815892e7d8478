//! DECIDES which files do not count: built-in names, `.gitignore` and `.ignore` files, and what the user says, each in git's
//! own patterns, the last one first. It reads only what it is given.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use gix_ignore::{Search, glob::pattern::Case, search::Ignore};

/// Names of files that hold such patterns.
pub(super) const FILES: [&str; 2] = [".gitignore", ".ignore"];

/// What never restarts a program, unless the user takes it back with a `!`: what tools keep beside the sources, and what editors
/// leave there for a moment.
const BUILT_IN: &str = "\
.git/
.hg/
.svn/
.jj/
.idea/
.vscode/
node_modules/
target/
__pycache__/
.venv/
.tox/
.mypy_cache/
.pytest_cache/
.ruff_cache/
.next/
.cache/
*.pyc
*.swp
*.swo
*.swx
*.swpx
4913
*~
.#*
\\#*#
*.tmp
*.crswap
*___jb_tmp___
*___jb_old___
.DS_Store
";

const PLAIN: Ignore = Ignore {
    support_precious: false,
};

/// The rules.
#[derive(Debug, Clone)]
pub struct Rules {
    search: Search,
    /// Patterns of the user, which are asked first.
    user: Search,
    /// Files that are segue's own.
    own: Vec<PathBuf>,
}

impl Rules {
    /// `user`: patterns, as in a `.gitignore` in each watched directory.
    #[must_use]
    pub fn new(user: &[String], own: Vec<PathBuf>) -> Rules {
        let mut search = Search::default();
        let source = |name: &str| PathBuf::from(format!("/{name}"));
        // Without a root the patterns hold everywhere.
        let added = search.add_patterns_buffer(BUILT_IN.as_bytes(), source("built-in"), None, PLAIN);
        let mut asked_first = Search::default();
        let user = user.join("\n");
        let added = added.and(asked_first.add_patterns_buffer(user.as_bytes(), source("user"), None, PLAIN));
        if let Err(error) = added {
            tracing::warn!(%error, "the patterns of files that do not count are not understood");
        }
        Rules {
            search,
            user: asked_first,
            own,
        }
    }

    /// The patterns of such a file hold for its directory and below. Its path is absolute.
    pub fn add(&mut self, file: &Path, patterns: &[u8]) {
        let known = self
            .search
            .patterns
            .iter()
            .any(|list| list.source.as_deref() == Some(file));
        if known {
            return;
        }
        let added = self
            .search
            .add_patterns_buffer(patterns, file, Some(Path::new("/")), PLAIN);
        if let Err(error) = added {
            tracing::warn!(file = %file.display(), %error, "the patterns of this file are not understood");
        }
    }

    /// Does this path, an absolute one below a watched directory, not count? Of directories above it nothing is asked: below one
    /// that does not count nobody looks.
    #[must_use]
    pub fn ignores(&self, root: &Path, path: &Path, is_directory: bool) -> bool {
        if self.own.iter().any(|own| own == path) {
            return true;
        }
        // What a watched directory itself is called does not matter.
        let below = path.strip_prefix(root).unwrap_or(path);
        let whole = path.strip_prefix("/").unwrap_or(path);
        let by_user = find(&self.user, below.as_os_str(), is_directory);
        by_user
            .or_else(|| find(&self.search, whole.as_os_str(), is_directory))
            .unwrap_or(false)
    }
}

/// Does a file of this name hold patterns?
pub(super) fn is_patterns(name: &OsStr) -> bool {
    FILES.iter().any(|file| name == *file)
}

/// Kubernetes' own entries of a mounted ConfigMap or Secret begin so. What is in them is seen through the links beside them.
pub(super) fn is_bookkeeping(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"..")
}

fn find(search: &Search, path: &OsStr, is_directory: bool) -> Option<bool> {
    let found = search.pattern_matching_relative_path(path.as_bytes().into(), Some(is_directory), Case::Sensitive)?;
    Some(!found.pattern.is_negative())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Rules, is_bookkeeping};

    #[test]
    fn what_does_not_count() {
        let user = ["docs/", "!target/", "/only-here", "*.log", "!keep.log"].map(str::to_owned);
        let mut rules = Rules::new(&user, vec!["/w/run/app.pid".into()]);
        rules.add(Path::new("/w/src/.gitignore"), b"*.gen\n/build/\n!important.gen\n");
        rules.add(Path::new("/w/src/.gitignore"), b"everything\n");
        for (path, is_directory, ignored) in [
            ("/w/src/main.rs", false, false),
            ("/w/.git", true, true),
            ("/w/a/node_modules", true, true),
            ("/w/node_modules", false, false),
            ("/w/target", true, false),
            ("/w/docs", true, true),
            ("/w/docs", false, false),
            ("/w/only-here", false, true),
            ("/w/a/only-here", false, false),
            ("/w/a/b.log", false, true),
            ("/w/a/keep.log", false, false),
            ("/w/src/a.gen", false, true),
            ("/w/src/b/important.gen", false, false),
            ("/w/a.gen", false, false),
            ("/w/src/build", true, true),
            ("/w/src/b/build", true, false),
            ("/w/src/everything", false, false),
            ("/w/src/.main.rs.swp", false, true),
            ("/w/src/4913", false, true),
            ("/w/src/main.rs~", false, true),
            ("/w/src/#main.rs#", false, true),
            ("/w/run/app.pid", false, true),
            ("/w/run/other.pid", false, false),
        ] {
            assert_eq!(
                rules.ignores(Path::new("/w"), Path::new(path), is_directory),
                ignored,
                "{path}"
            );
        }
    }

    #[test]
    fn a_watched_directory_may_be_called_anything() {
        let rules = Rules::new(&["target/".to_owned()], Vec::new());
        let root = Path::new("/w/target");
        assert!(!rules.ignores(root, Path::new("/w/target/app"), false));
    }

    #[test]
    fn kubernetes_own_entries() {
        for (name, own) in [
            ("..data", true),
            ("..2026_01_01", true),
            (".env", false),
            ("a..b", false),
        ] {
            assert_eq!(is_bookkeeping(name.as_ref()), own, "{name}");
        }
    }
}
