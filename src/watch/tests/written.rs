//! Files that are written in pieces are complete when they are looked at.

use std::{fs::File, io::Write};

use super::*;

/// Pauses much longer than the debounce, as of a compiler or a slow copy.
async fn in_pieces(file: &mut File, pieces: u32) {
    for _ in 0..pieces {
        file.write_all(b"piece").unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test]
async fn a_file_in_pieces_is_one_change() {
    let mut trial = Trial::new(Backend::Inotify, &["."], |root| {
        fs::write(root.join("proof"), "").unwrap();
        fs::write(root.join("old"), "").unwrap();
    })
    .await;
    for name in ["old", "new"] {
        let mut file = File::create(trial.path(name)).unwrap();
        in_pieces(&mut file, 6).await;
        // Others may change meanwhile.
        trial.write("other", name);
        in_pieces(&mut file, 2).await;
        while let Ok(notice) = trial.notices.try_recv() {
            assert!(!matches!(notice, Notice::Changed(_)), "half of {name} is told");
        }
        drop(file);
        let changes = trial.changes().await;
        assert_eq!(changes.count, 2, "{changes}");
        trial.nothing("proof").await;
    }
}

#[tokio::test]
async fn one_that_is_never_closed_is_waited_for_no_longer_than_the_setting_says() {
    let prepare = |root: &Path| fs::write(root.join("proof"), "").unwrap();
    let mut trial = Trial::with(Backend::Inotify, &["."], prepare, |plan| {
        plan.max_delay = Duration::from_millis(500);
    })
    .await;
    let mut file = File::create(trial.path("log")).unwrap();
    file.write_all(b"one").unwrap();
    let begin = std::time::Instant::now();
    assert_eq!(trial.changes().await.count, 1);
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    file.write_all(b"two").unwrap();
    assert_eq!(trial.changes().await.count, 1);
}

/// Moved away or removed, it is not waited for any more.
#[tokio::test]
async fn one_that_goes_is_not_waited_for() {
    let prepare = |root: &Path| fs::write(root.join("proof"), "").unwrap();
    let mut trial = Trial::with(Backend::Inotify, &["."], prepare, |plan| {
        plan.max_delay = Duration::from_secs(600);
    })
    .await;
    for number in 0..2 {
        let mut file = File::create(trial.path("part")).unwrap();
        file.write_all(b"one").unwrap();
        if number == 0 {
            fs::rename(trial.path("part"), trial.path("whole")).unwrap();
        } else {
            fs::remove_file(trial.path("part")).unwrap();
        }
        trial.write("other", &number.to_string());
        assert!(trial.changes().await.count >= 1);
    }
}

/// `touch tmp/restart.txt`, as for Passenger: an empty file that is named has nothing but its time.
#[tokio::test]
async fn an_empty_file_that_is_named_can_be_touched() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["restart.txt", "full.txt", "directory", "proof"], |root| {
            fs::create_dir(root.join("directory")).unwrap();
            for (name, text) in [
                ("restart.txt", ""),
                ("full.txt", "text"),
                ("directory/empty", ""),
                ("proof", ""),
            ] {
                fs::write(root.join(name), text).unwrap();
            }
        })
        .await;
        for _ in 0..2 {
            touch(&trial.path("restart.txt"));
            assert_eq!(trial.told().await, "restart.txt changed");
            touch(&trial.path("full.txt"));
            touch(&trial.path("directory/empty"));
            trial.nothing("proof").await;
        }
    }
}

fn touch(path: &Path) {
    let done = std::process::Command::new("touch").arg(path).status().unwrap();
    assert!(done.success());
}
