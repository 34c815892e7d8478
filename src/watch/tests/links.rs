//! Links that lead out of what is watched.

use std::os::unix::fs::symlink;

use super::*;

/// npm link, stow, Bazel: what is edited is elsewhere. (There is no full comparison here that could find it.)
#[tokio::test]
async fn the_file_behind_a_link_is_heard_of_where_it_is() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["app", "proof"], |root| {
            for name in ["app/deeper", "lib", "other"] {
                fs::create_dir_all(root.join(name)).unwrap();
            }
            for name in ["lib/a", "lib/b", "lib/unlinked", "other/c", "proof"] {
                fs::write(root.join(name), "one").unwrap();
            }
            symlink("../lib/a", root.join("app/a")).unwrap();
            symlink("../../lib/b", root.join("app/deeper/b")).unwrap();
        })
        .await;
        trial.write("lib/a", "two");
        assert_eq!(trial.told().await, "app/a changed");
        // As editors save.
        trial.write("lib/new", "three");
        fs::rename(trial.path("lib/new"), trial.path("lib/b")).unwrap();
        assert_eq!(trial.told().await, "app/deeper/b changed");
        trial.write("lib/unlinked", "two");
        trial.write("other/c", "two");
        trial.nothing("proof").await;
        // A link that comes later, one that leads elsewhere then, and one that goes.
        symlink("../other/c", trial.path("app/c")).unwrap();
        assert_eq!(trial.changes().await.count, 1);
        trial.write("other/c", "three");
        assert_eq!(trial.told().await, "app/c changed");
        symlink("../other/c", trial.path("app/link")).unwrap();
        fs::rename(trial.path("app/link"), trial.path("app/a")).unwrap();
        assert_eq!(trial.told().await, "app/a changed");
        trial.write("lib/a", "four");
        trial.nothing("proof").await;
        fs::remove_file(trial.path("app/deeper/b")).unwrap();
        assert_eq!(trial.changes().await.count, 1);
        trial.write("lib/b", "four");
        trial.nothing("proof").await;
    }
}

/// Not followed, so that a link to / does not make all of it watched.
#[tokio::test]
async fn a_directory_behind_a_link_is_not_followed() {
    for backend in BOTH {
        let mut trial = Trial::new(backend, &["app"], |root| {
            fs::create_dir_all(root.join("app")).unwrap();
            fs::create_dir_all(root.join("lib")).unwrap();
            fs::write(root.join("lib/a"), "one").unwrap();
            fs::write(root.join("app/proof"), "one").unwrap();
            symlink("../lib", root.join("app/lib")).unwrap();
        })
        .await;
        trial.write("lib/a", "two");
        trial.nothing("app/proof").await;
        symlink("../lib", trial.path("app/later")).unwrap();
        trial.nothing("app/proof").await;
        trial.write("lib/a", "three");
        trial.nothing("app/proof").await;
    }
}
