//! What holds for every list of patterns of files that do not count.

use std::path::{Path, PathBuf};

use segue::watch::rules::Rules;

/// Of the three parts of the text, the first is what the user says, the second a `.gitignore`, and the third paths.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, "\n--\n");
    let [user, patterns, paths] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let user: Vec<String> = user.lines().map(str::to_owned).collect();
    let (root, file) = (Path::new("/w"), Path::new("/w/a/.gitignore"));
    let with = |user: &[String], patterns: &str| {
        let mut rules = Rules::new(user, vec!["/w/own".into()]);
        rules.add(file, patterns.as_bytes());
        rules
    };
    let rules = with(&user, patterns);
    let mut twice = rules.clone();
    twice.add(file, b"*\n");
    let commented = with(
        &[&["# *".to_owned()][..], &user].concat(),
        &format!("# *\n\n{patterns}"),
    );
    let none = with(&user, "");
    let all = with(&[&user[..], &["*".to_owned()]].concat(), patterns);
    let nothing = with(&[&user[..], &["!*".to_owned()]].concat(), patterns);
    for path in paths.lines().filter(|it| it.len() < 200).take(20) {
        // As the watch has them: with one slash between two parts.
        let path: PathBuf = root.join(path.trim_start_matches('/')).components().collect();
        for is_directory in [false, true] {
            let verdict = rules.ignores(root, &path, is_directory);
            assert_eq!(
                twice.ignores(root, &path, is_directory),
                verdict,
                "a file counts once: {path:?}"
            );
            assert_eq!(
                commented.ignores(root, &path, is_directory),
                verdict,
                "a comment is none: {path:?}"
            );
            if !path.starts_with("/w/a") {
                assert_eq!(
                    none.ignores(root, &path, is_directory),
                    verdict,
                    "not below it: {path:?}"
                );
            }
            let is_below = path != root && path.file_name().is_some();
            let is_own = path == Path::new("/w/own");
            if is_below && !path.components().any(|it| it == std::path::Component::ParentDir) {
                assert!(
                    all.ignores(root, &path, is_directory),
                    "the last word is the user's: {path:?}"
                );
                assert_eq!(
                    nothing.ignores(root, &path, is_directory),
                    is_own,
                    "and to take back: {path:?}"
                );
            }
        }
    }
    assert!(
        rules.ignores(root, Path::new("/w/own"), false),
        "segue's own never counts"
    );
}
