//! READS the kernel's list of mounts, and DECIDES where inotify is blind, and what may hang: on file systems whose files are kept by
//! somebody else than this kernel. Asks no file system anything, and changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Kinds of file systems, as the list names them, on which others change files unseen: FUSE in all its forms (Docker Desktop's
/// mounts among them), those of virtual machines, and those of other machines.
const BLIND: [&str; 20] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "drvfs",
    "fakeowner",
    "fuse",
    "fuseblk",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "osxfs",
    "prl_fs",
    "smb3",
    "vboxsf",
    "virtiofs",
    "vmhgfs",
];

/// A mount: its number, its place, and its kind.
#[derive(Debug)]
struct Mount(u64, PathBuf, String);

/// The mounts of this process.
#[derive(Debug, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// As they are now; none where they cannot be read.
    #[must_use]
    pub fn read() -> Mounts {
        Mounts(parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()))
    }

    /// Is there any that hangs whoever asks it for something, once nobody answers any more? Which paths lead there is not asked: a
    /// link may, and to follow one is to ask.
    #[must_use]
    pub fn may_hang(&self) -> bool {
        self.0.iter().any(|it| is_blind(&it.2))
    }

    /// May the mount with this number hang, as `mnt_id` of proc_pid_fdinfo(5) has it?
    #[must_use]
    pub fn may_number_hang(&self, number: u64) -> bool {
        self.0.iter().any(|it| it.0 == number && is_blind(&it.2))
    }

    /// May what is at this path hang, if no link leads elsewhere?
    #[must_use]
    pub fn may_path_hang(&self, path: &Path) -> bool {
        self.blind(path).is_some()
    }

    /// The kind of file system that this path is on.
    fn kind(&self, path: &Path) -> Option<&str> {
        let over = self.0.iter().filter(|it| path.starts_with(&it.1));
        // Of several on the same place the last hides the others.
        let deepest = over.max_by_key(|it| it.1.as_os_str().len());
        deepest.map(|it| it.2.as_str())
    }

    /// The kind, if inotify is blind there.
    #[must_use]
    pub fn blind(&self, path: &Path) -> Option<&str> {
        self.kind(path).filter(|kind| is_blind(kind))
    }

    /// Is it a mount by itself?
    #[must_use]
    pub fn is_mount(&self, path: &Path) -> bool {
        self.0.iter().any(|it| it.1 == path)
    }
}

fn is_blind(kind: &str) -> bool {
    BLIND.contains(&kind) || kind.starts_with("fuse.")
}

/// proc_pid_mountinfo(5): the first field is the number, the fifth the place, the one after the lone dash the kind.
fn parse(text: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let (number, place) = (before.split(' ').next()?, before.split(' ').nth(4)?);
        Some(Mount(
            number.parse().ok()?,
            unescape(place),
            after.split(' ').next()?.to_owned(),
        ))
    };
    text.lines().filter_map(line).collect()
}

/// Space, tab, newline and backslash are written in octal.
fn unescape(text: &str) -> PathBuf {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let plain = plain
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    plain.into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Mounts, is_blind, parse};

    const LIST: &str = "\
        22 1 0:21 / / rw,relatime - overlay overlay rw,lowerdir=/a\n\
        30 22 0:30 / /mnt/with\\040space rw shared:1 master:2 - 9p host rw\n\
        31 22 0:31 / /src rw - fuse.grpcfuse grpcfuse rw\n\
        32 31 0:32 / /src/node_modules rw - ext4 /dev/a rw\n\
        33 22 0:33 /c/app.toml /etc/app.toml ro - virtiofs x rw\n\
        34 22 0:34 / /hidden rw - ext4 /dev/a rw\n\
        35 34 0:35 / /hidden rw - nfs4 host:/ rw\n";

    #[test]
    fn where_inotify_is_blind() {
        let mounts = Mounts(parse(LIST));
        for (path, blind) in [
            ("/app", None),
            ("/mnt/with space/a", Some("9p")),
            ("/mnt/with", None),
            ("/src/main.rs", Some("fuse.grpcfuse")),
            ("/srcx", None),
            ("/src/node_modules/a", None),
            ("/etc/app.toml", Some("virtiofs")),
            ("/hidden/a", Some("nfs4")),
        ] {
            assert_eq!(mounts.blind(Path::new(path)), blind, "{path}");
        }
        assert!(mounts.is_mount(Path::new("/etc/app.toml")) && !mounts.is_mount(Path::new("/etc")));
        assert_eq!(Mounts::default().blind(Path::new("/a")), None);
        assert!(mounts.may_hang() && mounts.may_number_hang(30) && !mounts.may_number_hang(22));
        assert!(mounts.may_path_hang(Path::new("/src/a")) && !mounts.may_path_hang(Path::new("/srcx")));
        assert!(!Mounts(parse(LIST.lines().next().unwrap())).may_hang());
        assert!(!is_blind("fusectl") && !is_blind("overlay") && !is_blind("tmpfs"));
    }

    #[test]
    fn this_machines_own_list_is_read() {
        let mounts = Mounts::read();
        assert!(mounts.kind(Path::new("/")).is_some());
        assert_eq!(mounts.kind(Path::new("/proc/self")), Some("proc"));
    }
}
