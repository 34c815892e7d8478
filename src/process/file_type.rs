//! ASKS what a file is, without waiting for a file system that hangs: what the kernel knows of it already is enough (statx(2),
//! AT_STATX_DONT_SYNC).
#![expect(unsafe_code, reason = "neither std nor nix has statx")]

use std::{ffi::CString, io, mem::MaybeUninit, os::unix::ffi::OsStrExt, path::Path};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileType {
    /// Its type and permissions, as in `st_mode`.
    pub mode: u32,
    /// In how many directories it is; 0: it is deleted.
    pub links: u32,
    /// What tells it from others: device and inode.
    pub identity: (u64, u64),
}

impl FileType {
    /// Of the file that the path leads to, links included (those of /proc, too).
    pub fn of(path: &Path) -> io::Result<FileType> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let wanted = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_NLINK | libc::STATX_INO;
        let mut found = MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: a C string that outlives the call, and room for what the kernel fills in.
        let done = unsafe {
            libc::statx(
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::AT_STATX_DONT_SYNC,
                wanted,
                found.as_mut_ptr(),
            )
        };
        if done == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: all zeros are a valid `statx`, and the kernel has filled it in.
        let found = unsafe { found.assume_init() };
        let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
        Ok(FileType {
            mode: u32::from(found.stx_mode),
            links: found.stx_nlink,
            identity: (device, found.stx_ino),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsRawFd, unix::fs::MetadataExt};

    use super::*;

    #[test]
    fn as_stat_has_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        let it = FileType::of(Path::new(&open)).unwrap();
        let expected = file.as_file().metadata().unwrap();
        assert_eq!((it.mode, it.links), (expected.mode(), 1));
        assert_eq!(it.identity.1, expected.ino());
        assert_eq!(FileType::of(file.path()).unwrap(), it);
        let path = file.path().to_owned();
        let kept = file.reopen().unwrap();
        drop(file);
        let it = FileType::of(Path::new(&format!("/proc/self/fd/{}", kept.as_raw_fd()))).unwrap();
        assert_eq!(it.links, 0, "deleted");
        assert_eq!(FileType::of(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(
            FileType::of(Path::new("/dev/null")).unwrap().mode & libc::S_IFMT,
            libc::S_IFCHR
        );
    }
}
