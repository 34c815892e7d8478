//! TRIES many files at once: bursts, new directories, a checkout, lost events.

use std::{fs, path::Path, process::Command};

use super::{BOTH, Backend, Trial};

#[tokio::test]
async fn a_burst_is_one_change() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["."], |root| fs::write(root.join("proof"), "").unwrap()).await;
        for number in 0..500 {
            trial.write(&format!("{number}"), "x");
        }
        let changes = trial.changes().await;
        assert_eq!(changes.count, 500, "{changes}");
        trial.nothing("proof").await;
    }
}

#[tokio::test]
async fn files_in_directories_that_have_just_been_made_are_seen() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["."], |root| fs::write(root.join("proof"), "").unwrap()).await;
        for number in 0..200 {
            let directory = trial.path(&format!("{}/{number}/deeper/still", number % 7));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("file"), "x").unwrap();
        }
        assert_eq!(trial.changes().await.count, 200);
        trial.write("3/3/deeper/still/file", "y");
        assert_eq!(trial.told().await, "3/3/deeper/still/file changed");
        // What is moved away is heard of no more, and what is moved in is.
        fs::rename(trial.path("3"), trial.path("8")).unwrap();
        let changes = trial.changes().await;
        assert_eq!(changes.count, 2 * 29, "{changes}");
        trial.write("8/3/deeper/still/file", "z");
        assert_eq!(trial.told().await, "8/3/deeper/still/file changed");
    }
}

#[tokio::test]
async fn what_is_called_almost_like_what_goes_stays() {
    let names = ["a!/x", "a/b/x", "a/x", "a.b/x", "a0", "ab/x", "b"];
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["."], |root| {
            for name in names {
                fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
                fs::write(root.join(name), "x").unwrap();
            }
        })
        .await;
        assert_eq!(trial.state.files, names.len());
        fs::rename(trial.path("a"), trial.directory.path().with_extension("gone")).unwrap();
        assert_eq!(trial.told().await, "a/b/x disappeared, 1 more");
        for name in names.iter().filter(|it| !it.starts_with("a/")) {
            trial.write(name, "y");
            assert_eq!(trial.told().await, format!("{name} changed"));
        }
        fs::remove_dir_all(trial.directory.path().with_extension("gone")).unwrap();
    }
}

fn git(directory: &Path, arguments: &[&str]) {
    let identity = [
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@example.org",
        "-c",
        "init.defaultBranch=main",
    ];
    let output = Command::new("git")
        .args(identity)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_checkout_is_one_change() {
    let fill = |root: &Path, text: &str| {
        for number in 0..2_000 {
            let directory = root.join(format!("{}", number % 40));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(format!("{number}")), format!("{text} {number}")).unwrap();
        }
    };
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["."], |root| {
            git(root, &["init", "--quiet"]);
            for branch in ["one", "two"] {
                git(root, &["checkout", "--quiet", "-b", branch]);
                fill(root, branch);
                git(root, &["add", "."]);
                git(root, &["commit", "--quiet", "--message", branch]);
            }
        })
        .await;
        assert_eq!(trial.state.files, 2_000);
        git(trial.directory.path(), &["checkout", "--quiet", "one"]);
        assert_eq!(trial.changes().await.count, 2_000);
        trial.nothing("0/0").await;
    }
}

#[tokio::test]
async fn lost_events_make_it_compare_everything() {
    let most: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let mut trial = Trial::new(Backend::Inotify, &["."], |root| {
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/last"), "one").unwrap();
    })
    .await;
    // The runtime of this test has one thread: nothing is heard before all of it has happened.
    let (one, two) = (trial.path("one.tmp"), trial.path("two.tmp"));
    fs::write(&one, "x").unwrap();
    for _ in 0..=most / 4 {
        // Two events each, none of them like the one before.
        fs::rename(&one, &two).unwrap();
        fs::rename(&two, &one).unwrap();
    }
    trial.write("a/last", "two");
    assert_eq!(trial.told().await, "a/last changed");
}

#[tokio::test]
async fn what_nobody_told_is_found_by_comparing_now_and_then() {
    let mut trial = Trial::with(
        Backend::Inotify,
        &["w"],
        |root| {
            fs::create_dir(root.join("w")).unwrap();
            fs::create_dir(root.join("elsewhere")).unwrap();
            fs::write(root.join("elsewhere/a"), "one").unwrap();
            std::os::unix::fs::symlink("../elsewhere/a", root.join("w/a")).unwrap();
        },
        |plan| plan.check_interval = std::time::Duration::from_millis(300),
    )
    .await;
    // Only the link is in a directory that is heard of.
    trial.write("elsewhere/a", "three");
    assert_eq!(trial.told().await, "w/a changed");
}
