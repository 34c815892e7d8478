//! What the documents say is what the code does. With `UPDATE_DOCS=1` the printed parts are written anew.
#![cfg(feature = "entrypoint")]

use std::fs;
use std::path::Path;

use segue::settings::{faults_example, full_table, short_table};

/// Compares, or with `UPDATE_DOCS=1` replaces, what is between `<!-- NAME -->` and `<!-- /NAME -->`.
fn printed(file: &str, name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let Ok(text) = fs::read_to_string(&path) else { return };
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let Some((before, rest)) = text.split_once(&start) else {
        return;
    };
    let (found, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{file}: {end} is missing"));
    let expected = format!("\n{expected}\n");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{start}{expected}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, expected, "{file}: run UPDATE_DOCS=1 cargo test --test promises");
    }
}

#[test]
fn the_configuration_page_is_printed_from_the_table() {
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs/configuration.md")
            .exists()
    );
    printed("docs/configuration.md", "settings", &full_table());
    printed("docs/configuration.md", "faults", &faults_example());
}

#[test]
fn the_table_in_the_readme_is_printed_from_the_table() {
    printed("README.md", "settings", &short_table());
}
