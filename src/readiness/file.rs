//! LOOKS at the file by which a program tells that it is ready. It is not opened, so that whatever it is keeps nobody waiting.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

/// The kernel's clock for files moves in steps.
const STEP: Duration = Duration::from_millis(20);
/// A time so far ahead was not written by anybody just now.
const AHEAD: Duration = Duration::from_secs(2);

/// Was the file made or touched since then? If not, why that cannot be said.
pub fn is_newer(path: &Path, since: SystemTime) -> Result<(), &'static str> {
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("it is not there"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err("it may not be looked at"),
        Err(_) => return Err("it cannot be looked at"),
    };
    if !file.is_file() {
        return Err("it is no regular file");
    }
    match file.modified() {
        Ok(touched) if touched > SystemTime::now() + AHEAD => Err("its time is in the future"),
        Ok(touched) if touched + STEP < since => Err("it is older than the generation"),
        Ok(_) => Ok(()),
        Err(_) => Err("it has no time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_the_present_counts() {
        let files = tempfile::tempdir().unwrap();
        let (path, now) = (files.path().join("ready"), SystemTime::now());
        assert_eq!(is_newer(&path, now), Err("it is not there"));
        assert_eq!(is_newer(files.path(), now), Err("it is no regular file"));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(is_newer(&path, now), Err("it is no regular file"));
        fs::remove_file(&path).unwrap();
        let file = fs::File::create(&path).unwrap();
        assert_eq!(is_newer(&path, now), Ok(()));
        file.set_modified(now - Duration::from_secs(1)).unwrap();
        assert_eq!(is_newer(&path, now), Err("it is older than the generation"));
        file.set_modified(now + Duration::from_secs(3_600)).unwrap();
        assert_eq!(is_newer(&path, now), Err("its time is in the future"));
    }
}
