//! READS files whose path others may have put something else at: a FIFO, a device, a file without end. Only regular files, only so much,
//! and never waits for somebody to write. (A file system that hangs is another matter: it holds up whoever asks it for anything.)

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use nix::sys::stat::{major, minor};

/// The device that reads as an empty file: `/dev/null`.
const NULL: (u64, u64) = (1, 3);

/// Opens a regular file, or `/dev/null`, to read it. An error of the kind `InvalidInput` says what it is instead.
pub fn open(path: &Path) -> io::Result<File> {
    // Looked at before it is opened, as to open a device can do something (a tape is rewound), and afterwards, as it may be another by then.
    refuse(&std::fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    refuse(&file.metadata()?)?;
    Ok(file)
}

/// All of a regular file, if that is no more than `most` bytes; more is an error of the kind `FileTooLarge`.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        let why = format!("it is longer than the {most} bytes that are read of it");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

fn refuse(metadata: &std::fs::Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let device = (major(metadata.rdev()), minor(metadata.rdev()));
    let what = if kind.is_file() || kind.is_char_device() && device == NULL {
        return Ok(());
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let why = format!("it is {what}, and not a regular file");
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn regular_files_and_no_others() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(at("fifo"), at("link-to-fifo")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (name, most, right) in [
            ("file", 4, Ok("text")),
            ("file", 3, Err("longer than the 3 bytes")),
            ("link", 100, Ok("text")),
            ("fifo", 100, Err("a FIFO")),
            ("link-to-fifo", 100, Err("a FIFO")),
            ("socket", 100, Err("a socket")),
            ("", 100, Err("a directory")),
            ("/dev/null", 100, Ok("")),
            ("/dev/zero", 100, Err("a device")),
            ("nothing", 100, Err("No such file")),
        ] {
            let read = read(&at(name), most).map_err(|error| error.to_string());
            match right {
                Ok(text) => assert_eq!(read.unwrap(), text.as_bytes(), "{name}"),
                Err(why) => assert!(read.as_ref().is_err_and(|error| error.contains(why)), "{name} {read:?}"),
            }
        }
    }
}
