//! TRIES volumes written as kubelet writes them: a directory with a new name, the link `..data` swapped by a rename, and a link
//! beside it for each key.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use super::{BOTH, Trial};

/// What kubelet does, in its order.
fn publish(volume: &Path, time: u32, files: &[(&str, &str)]) {
    let directory = format!("..2026_11_25_{time:02}");
    for (name, text) in files {
        let file = volume.join(&directory).join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    }
    let before = fs::read_link(volume.join("..data")).ok();
    symlink(&directory, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for (name, _) in files {
        let key = name.split('/').next().unwrap();
        if fs::symlink_metadata(volume.join(key)).is_err() {
            symlink(format!("..data/{key}"), volume.join(key)).unwrap();
        }
    }
    if let Some(before) = before {
        fs::remove_dir_all(volume.join(before)).unwrap();
    }
}

fn files(text: &str) -> [(&str, &str); 3] {
    [("app.toml", text), ("same", "same"), ("nested/deep", text)]
}

#[tokio::test]
async fn each_swap_is_seen_and_one_without_a_change_is_not() {
    for backend in BOTH {
        for paths in [&["volume"][..], &["volume/app.toml"]] {
            let mut trial = Trial::new(backend, paths, |root| publish(&root.join("volume"), 0, &files("0"))).await;
            let expected = if paths == ["volume"] { 2 } else { 1 };
            assert_eq!(trial.state.files, expected + usize::from(expected == 2));
            for time in 1..=10 {
                publish(&trial.path("volume"), time, &files(&time.to_string()));
                let changes = trial.changes().await;
                assert_eq!(changes.count, expected, "{paths:?} {time}: {changes}");
                assert!(changes.to_string().starts_with("volume/app.toml changed"), "{changes}");
            }
            publish(&trial.path("volume"), 11, &files("10"));
            publish(&trial.path("volume"), 12, &files("10"));
            publish(&trial.path("volume"), 13, &files("13"));
            assert_eq!(trial.changes().await.count, expected, "{paths:?}");
        }
    }
}

#[tokio::test]
async fn a_key_that_comes_or_goes_is_seen() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["volume"], |root| {
            publish(&root.join("volume"), 0, &[("a", "0")])
        })
        .await;
        publish(&trial.path("volume"), 1, &[("a", "0"), ("b", "1")]);
        assert_eq!(trial.told().await, "volume/b appeared");
        publish(&trial.path("volume"), 2, &[("b", "1")]);
        fs::remove_file(trial.path("volume/a")).unwrap();
        assert_eq!(trial.told().await, "volume/a disappeared");
    }
}
