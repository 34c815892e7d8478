//! What the documents say is what the code does. With `UPDATE_DOCS=1` the printed parts are written anew.
#![cfg(feature = "entrypoint")]

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
