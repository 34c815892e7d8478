//! Secrets in files reach the program as variables: read by segue, which is root, afresh for every generation.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{
    command::{command, said},
    directory,
    segue::{As, Recipe, Segue},
    wait,
};

/// Writes what it was given to a file of the generation.
fn program(place: &Path, secret: &Path) -> Recipe {
    let script = format!(
        "printf '%s|' \"$TOKEN\" \"${{TOKEN_FILE-unset}}\" > {0}/new.$SEGUE_GENERATION; \
         mv {0}/new.$SEGUE_GENERATION {0}/$SEGUE_GENERATION; exec sleep 1000",
        place.display()
    );
    fs::set_permissions(place, fs::Permissions::from_mode(0o777)).unwrap();
    Recipe::new(As::Init, ["sh", "-c", &script])
        .set("SEGUE_USER", "daemon")
        .set("SEGUE_SECRETS", "TOKEN")
        .set("SEGUE_PROBATION", "10ms")
        .set("TOKEN_FILE", secret)
}

fn given(place: &Path, generation: u64) -> String {
    wait::until("the program has begun", || {
        fs::read_to_string(place.join(generation.to_string())).ok()
    })
}

fn secret(place: &Path, value: &[u8]) -> std::path::PathBuf {
    let path = place.join("secret");
    fs::write(&path, value).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Makes the file of a secret a bad one.
type Spoil = fn(&Path);

#[test]
fn a_rotated_secret_comes_by_a_restart_and_a_bad_one_never_does() {
    let place = directory();
    let path = secret(place.path(), b"first\n\n");
    let mut segue = program(place.path(), &path).start();
    segue.ready(1);
    assert_eq!(given(place.path(), 1), "first|unset|");
    secret(place.path(), b" second\r\n");
    assert_eq!(segue.restart()["outcome"], "replaced");
    assert_eq!(given(place.path(), 2), " second\r|unset|");
    let bad: [(&str, Spoil); 4] = [
        ("No such file", |path| fs::remove_file(path).unwrap()),
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a FIFO", |path| {
            fs::remove_dir(path).unwrap();
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("a NUL byte", |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, b"a\0b").unwrap();
        }),
    ];
    for (why, spoil) in bad {
        spoil(&path);
        let report = segue.restart();
        let said = report["why"].as_str().unwrap_or_default();
        assert!(
            report["outcome"] == "rolled_back" && said.contains(why),
            "{why}: {report}"
        );
        assert!(
            said.contains("SEGUE_SECRETS: TOKEN") && !said.contains("a\0b"),
            "{said}"
        );
    }
    secret(place.path(), b"third");
    assert_eq!(segue.restart()["outcome"], "replaced");
    let log = segue.stderr();
    assert!(
        !log.contains("first") && !log.contains("third"),
        "a secret is in the log"
    );
}

fn refused(segue: &mut Segue, why: &str) {
    assert_eq!(segue.wait(), 78, "{}", segue.stderr());
    assert!(segue.stderr().contains(why), "{why}: {}", segue.stderr());
}

#[test]
fn what_is_wrong_at_the_start_ends_it_with_the_name_and_never_the_value() {
    let place = directory();
    let path = secret(place.path(), b"hidden");
    let recipe = || program(place.path(), &path);
    refused(
        &mut recipe().set("TOKEN", "plain").start(),
        "SEGUE_SECRETS: TOKEN: it is set, too",
    );
    refused(
        &mut recipe().set("TOKEN_FILE", "").start(),
        "TOKEN_FILE does not name its file",
    );
    refused(
        &mut recipe().set("TOKEN_FILE", "/nonexistent").start(),
        "/nonexistent: No such file",
    );
    let long = vec![b'x'; 200_000];
    fs::write(&path, &long).unwrap();
    refused(&mut recipe().start(), "is longer than the");
    let mut empty = recipe()
        .set("TOKEN", "")
        .set("SEGUE_SECRETS", format!("TOKEN={}", place.path().join("1").display()));
    empty = empty.set("TOKEN_FILE", "/nonexistent");
    fs::write(place.path().join("1"), "of a path").unwrap();
    let mut segue = empty.start();
    segue.ready(1);
    wait::until("it has the one of the path", || {
        (given(place.path(), 1) == "of a path|unset|").then_some(())
    });
}

/// A hook may make the files that the program is given its variables by.
#[test]
fn files_are_read_after_the_hook_that_makes_them() {
    let place = directory();
    let (path, file) = (place.path().join("late"), place.path().join("late.env"));
    let hook = format!(
        "+ sh -c 'echo made > {}; echo COLOUR=red > {}'",
        path.display(),
        file.display()
    );
    let script = format!(
        "echo \"$TOKEN $COLOUR\" > {0}/x; mv {0}/x {0}/seen; exec sleep 1000",
        place.path().display()
    );
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut segue = Recipe::new(As::Init, ["sh", "-c", &script])
        .set("SEGUE_PRE_START", hook)
        .set("SEGUE_ENV_FILES", &file)
        .set("SEGUE_SECRETS", format!("TOKEN={}", path.display()))
        .start();
    segue.ready(1);
    let seen = wait::until("it has begun", || fs::read_to_string(place.path().join("seen")).ok());
    assert_eq!(seen, "made red\n");
}

#[test]
fn check_says_it_beforehand() {
    let place = directory();
    let file = place.path().join("app.env");
    fs::write(&file, "COLOUR=red\nSAME=1\n").unwrap();
    let check = |variables: &[(&str, &str)]| {
        let mut check = command(Path::new("off"), &["check"]);
        said(check.envs(variables.iter().copied()))
    };
    let file = file.to_str().unwrap();
    let said = check(&[("SEGUE_ENV_FILES", file), ("COLOUR", "blue"), ("SAME", "1")]);
    assert!(
        said.code == 0 && said.out.contains("another value of \"COLOUR\"") && !said.out.contains("SAME"),
        "{}",
        said.out
    );
    let said = check(&[
        ("SEGUE_SECRETS", "TOKEN"),
        ("TOKEN_FILE", "/nonexistent"),
        ("SEGUE_USER", "nonexistent"),
    ]);
    assert!(
        said.code == 78 && said.out.contains("SEGUE_SECRETS: TOKEN: /nonexistent"),
        "{}",
        said.out
    );
    assert!(said.out.contains("there is no user \"nonexistent\""), "{}", said.out);
}
