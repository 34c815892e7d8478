//! LOOKS at the processes of a generation for what a second one beside it would harm. Only looks; what cannot be looked at is
//! none of its findings.

use std::{
    cell::{Cell, RefCell},
    fs, io,
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use super::{
    Evidence, cgroup,
    cgroup::Memory,
    files::{Kind, OpenFile},
    memory::{self, Use},
};
use crate::{
    handover::open_files,
    process::{file_type::FileType, mounts::Mounts, status},
};

/// A program with more open files than that is not looked through to the end: it would keep everything else waiting.
const MOST_FILES: usize = 20_000;

/// The first thing that speaks against a second generation beside these processes.
#[must_use]
pub fn at(processes: &[i32], memory: Option<&Memory>) -> Option<Evidence> {
    at_files(processes).or_else(|| at_memory(processes, memory).map(Evidence::Memory))
}

fn at_files(processes: &[i32]) -> Option<Evidence> {
    let mounts = Mounts::read();
    // Files that are somebody's standard output or standard error: segue's, or that of any process.
    let own = [1, 2].map(|number| file_type("self", number, &mounts));
    let mut outputs: Vec<(u64, u64)> = own.into_iter().flatten().map(|it| it.0.identity).collect();
    let mut left = MOST_FILES;
    let mut seen = Vec::new();
    for process in processes.iter().copied() {
        match seen_of(process, &mounts, &mut left, &mut outputs) {
            Ok(files) if files.is_empty() => {}
            Ok(files) => seen.push((process, status::numbers(process), files)),
            // It is gone, or closed to segue. (/proc/locks would tell the locks of such a one, and is not asked: to read it waits for
            // all processors, up to a minute on a busy machine.)
            Err(error) => tracing::debug!(process, %error, "cannot look at the files of a process"),
        }
    }
    seen.iter().find_map(|(process, numbers, files)| {
        files.iter().find_map(|file| {
            let file = OpenFile {
                process: *process,
                numbers,
                path: &file.path,
                kind: file.kind,
                deleted: file.deleted,
                is_output: outputs.contains(&file.identity),
                fdinfo: &file.fdinfo,
            };
            file.evidence()
        })
    })
}

/// A file that may be data.
struct Seen {
    path: PathBuf,
    kind: Kind,
    deleted: bool,
    identity: (u64, u64),
    fdinfo: String,
}

/// What a file is, and what /proc/PID/fdinfo says of it. Where a mount may hang nothing is asked of it: the file is taken for data, unless
/// it was opened as a directory.
fn file_type(process: &str, number: RawFd, mounts: &Mounts) -> Option<(FileType, String)> {
    // One that is closed meanwhile is not held.
    let fdinfo = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}")).ok()?;
    let field = |name: &str| fdinfo.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mount = field("mnt_id:").and_then(|it| it.parse().ok()).unwrap_or(0);
    if !mounts.may_number_hang(mount) {
        let it = FileType::of(Path::new(&format!("/proc/{process}/fd/{number}"))).ok()?;
        return Some((it, fdinfo));
    }
    let flags = field("flags:")
        .and_then(|it| i32::from_str_radix(it, 8).ok())
        .unwrap_or(0);
    let is_directory = flags & libc::O_DIRECTORY != 0;
    let it = FileType {
        mode: if is_directory { libc::S_IFDIR } else { libc::S_IFREG },
        links: 1,
        // (fdinfo tells the inode since 5.14.)
        identity: (u64::MAX - mount, field("ino:").and_then(|it| it.parse().ok())?),
    };
    Some((it, fdinfo))
}

fn seen_of(process: i32, mounts: &Mounts, left: &mut usize, outputs: &mut Vec<(u64, u64)>) -> io::Result<Vec<Seen>> {
    let (most, own_outputs) = (Cell::new(*left), RefCell::new(Vec::new()));
    let seen = open_files::of(process, |number: RawFd, link: &Path| {
        if !link.is_absolute() || most.get() == 0 {
            return Ok(None);
        }
        most.set(most.get() - 1);
        let Some((it, fdinfo)) = file_type(&process.to_string(), number, mounts) else {
            return Ok(None);
        };
        if is_output(number) {
            own_outputs.borrow_mut().push(it.identity);
        }
        let kind = match it.mode & libc::S_IFMT {
            libc::S_IFREG | libc::S_IFBLK => Kind::Data,
            libc::S_IFDIR => Kind::Directory,
            _ => return Ok(None),
        };
        Ok(Some(Seen {
            path: link.to_owned(),
            kind,
            deleted: it.links == 0,
            identity: it.identity,
            fdinfo,
        }))
    })?;
    *left = most.get();
    outputs.extend(own_outputs.into_inner());
    Ok(seen)
}

/// Standard output, or standard error.
fn is_output(number: RawFd) -> bool {
    matches!(number, 1 | 2)
}

fn at_memory(processes: &[i32], memory: Option<&Memory>) -> Option<memory::Shortage> {
    let generation = processes.iter().fold(Use::default(), |sum, process| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        sum.and(Use::of(&status))
    });
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = cgroup::machine(&meminfo);
    let swap_free = machine.map_or(0, |it| it.1);
    let mut levels = memory.map(|memory| memory.levels(swap_free)).unwrap_or_default();
    levels.extend(machine.map(|it| it.0));
    memory::shortage(&levels, generation)
}
