//! `segue install FILE`: copies this very binary, for an init container that brings it into a volume: the image has no cp.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command as Clap, value_parser};

use super::settings::finish;

/// Its part of the command line.
pub(super) fn command() -> Clap {
    Clap::new("install")
        .about("Copy this binary to FILE")
        .after_help("For init containers, where the image has no cp.\nExample: segue install /target/segue")
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .help("Where to")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
}

/// Where to?
pub(super) fn target(matches: &ArgMatches) -> Option<PathBuf> {
    matches.get_one::<PathBuf>("file").cloned()
}

/// Copies it; the file is there whole or not at all.
pub(super) fn install(target: &Path, out: &mut dyn Write) -> u8 {
    match copy(target) {
        Ok(()) => finish(out, &format!("installed {}\n", target.display()), 0),
        Err(error) => finish(
            &mut io::stderr(),
            &format!("segue install: {}: {error}\n", target.display()),
            1,
        ),
    }
}

fn copy(target: &Path) -> io::Result<()> {
    if target.is_dir() {
        return Err(io::Error::other(
            "it is a directory; name the file in it, such as segue",
        ));
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = target.with_file_name(name);
    let written = (|| {
        let mut binary = fs::File::open("/proc/self/exe")?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&new)?;
        io::copy(&mut binary, &mut file)?;
        fs::rename(&new, target)
    })();
    if written.is_err() {
        // Nothing half is left behind.
        fs::remove_file(&new).ok();
    }
    written
}
