//! What holds for the text of every setting.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use segue::settings::{TABLE, read, redacted};

/// The first byte chooses the setting, the rest is its text: a value, or faults of one line each that name their setting.
pub fn check(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else {
        return;
    };
    let row = &TABLE[usize::from(*first) % TABLE.len()];
    let value: OsString = OsStr::from_bytes(text).to_owned();
    match read([(row.name.into(), value)]) {
        Ok(reading) => assert!(reading.given.len() <= 1),
        Err(faults) => {
            assert!(!faults.faults.is_empty());
            let told = faults.to_string();
            assert_eq!(
                told.lines().count(),
                faults.faults.len() + faults.warnings.len(),
                "{told:?}"
            );
            assert!(told.starts_with("SEGUE_"), "{told:?}");
        }
    }
    if let Ok(text) = std::str::from_utf8(text) {
        assert_eq!(redacted(&redacted(text)), redacted(text));
    }
}
