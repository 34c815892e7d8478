//! What the documents say is what the code does. With `UPDATE_DOCS=1` the printed parts are written anew.
#![cfg(feature = "entrypoint")]
#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::tests_outside_test_module,
    reason = "a test ends by panicking"
)]

use std::fs;
use std::path::Path;

use segue::settings::{faults_example, full_table, short_table};

/// Compares, or with `UPDATE_DOCS=1` replaces, what is between `<!-- NAME -->` and `<!-- /NAME -->`, if that is there.
fn printed(file: &str, name: &str, expected: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(());
    };
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let Some((before, rest)) = text.split_once(&start) else {
        return Ok(());
    };
    let (found, after) = rest
        .split_once(&end)
        .ok_or_else(|| format!("{file}: {end} is missing"))?;
    let expected = format!("\n{expected}\n");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(&path, format!("{before}{start}{expected}{end}{after}")).map_err(|error| error.to_string());
    }
    let hint = format!("{file} is not what the code says, run UPDATE_DOCS=1 cargo test --test promises");
    (found == expected).then_some(()).ok_or(hint)
}

#[test]
fn the_configuration_page_is_printed_from_the_table() {
    let page = include_str!("../docs/configuration.md");
    assert!(page.contains("<!-- settings -->") && page.contains("<!-- faults -->"));
    assert_eq!(printed("docs/configuration.md", "settings", &full_table()), Ok(()));
    assert_eq!(printed("docs/configuration.md", "faults", &faults_example()), Ok(()));
}

#[test]
fn the_table_in_the_readme_is_printed_from_the_table() {
    assert_eq!(printed("README.md", "settings", &short_table()), Ok(()));
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default()
}

/// Every file below a folder; none where it was not packed.
fn files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let below = |entry: fs::DirEntry| {
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    entries
        .into_iter()
        .flatten()
        .flat_map(|entry| below(entry.unwrap()))
        .collect()
}

/// Every `SEGUE_NAME` in a text.
fn names(text: &str) -> Vec<String> {
    let is_part = |it: char| it.is_ascii_uppercase() || it == '_' || it.is_ascii_digit();
    let word = |at: usize| text[at..].chars().take_while(|it| is_part(*it)).collect::<String>();
    text.match_indices("SEGUE_")
        .map(|(at, _)| word(at))
        .filter(|name| !name.ends_with('_'))
        .collect()
}

#[test]
fn documents_and_examples_name_settings_that_exist() {
    // What segue tells the program, what Kubernetes injects, and what the tests are told.
    let others = [
        "SEGUE_GENERATION",
        "SEGUE_PORT",
        "SEGUE_SERVICE_HOST",
        "TESTS_REQUIRE_DOCKER",
    ];
    let fixed = [
        "README.md",
        "ARCHITECTURE.md",
        "Dockerfile",
        "docker-compose.yml",
        "docs/operations.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "Makefile",
    ];
    let manifests = files("k8s");
    for file in fixed.into_iter().chain(manifests.iter().map(String::as_str)) {
        for name in names(&read(file)) {
            let known = segue::settings::row(&name).is_some() || others.contains(&name.as_str());
            assert!(known, "{file} names {name}, which is no setting");
        }
    }
}

#[test]
fn the_map_names_every_folder_and_no_other() {
    let map = read("ARCHITECTURE.md");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    // One folder is a package, whose folders are rows of their own.
    for package in ["", "http/"] {
        for entry in fs::read_dir(source.join(package)).unwrap() {
            let entry = entry.unwrap();
            let folder = format!("{package}{}/", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() && folder != "http/" {
                let row = format!("| `{folder}` |");
                assert!(map.contains(&row), "ARCHITECTURE.md has no row {row}");
            }
        }
    }
    let rows = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("/` |"));
    for (folder, _) in rows {
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder).is_dir(),
            "{folder}/ is gone"
        );
    }
}

#[test]
fn the_readme_tells_every_exit_code() {
    let readme = read("README.md");
    for code in ["64", "70", "71", "78", "126", "127", "128+N"] {
        assert!(
            readme.contains(&format!("| {code} |")),
            "README.md has no row for exit code {code}"
        );
    }
}
