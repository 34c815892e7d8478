//! LISTS who looks at files, and why PID 1's thread does not hang in it.

/// The files that open, read or look up others, and why PID 1's thread does not hang in them when a file system has stopped answering. What
/// is not here asks no file system anything.
pub(super) const LOOKS_AT_FILES: [(&str, &[&str]); 6] = [
    (
        "files of the kernel's own (/proc, /sys, cgroups), which wait for no file system and no process's memory",
        &[
            "control/metrics/own.rs",
            "evidence/cgroup.rs",
            "handover/census/table.rs",
            "handover/datagrams/table.rs",
            "handover/exchange.rs",
            "handover/open_files.rs",
            "handover/steering.rs",
            "handover/trapped/mod.rs",
            "process/inherited.rs",
            "process/mounts.rs",
            "process/status.rs",
            "runtime/children.rs",
            "runtime/exchanging.rs",
            "runtime/memory.rs",
            "runtime/port.rs",
            "runtime/unseen.rs",
            "runtime/watching.rs",
        ],
    ),
    (
        "by a helper, or where no mount may hang",
        &[
            "evidence/look.rs",
            "process/pid_file.rs",
            "process/regular.rs",
            "process/tree.rs",
            "runtime/environment.rs",
            "runtime/helpers.rs",
            "telemetry/termination.rs",
            "watch/guards.rs",
            "watch/mark.rs",
            "watch/target.rs",
            "watch/walk.rs",
            "watch/watcher.rs",
            "watch/watcher/polling.rs",
        ],
    ),
    (
        "before the first start, or for a program that would hang there itself",
        &["process/lookup.rs", "process/privileges.rs"],
    ),
    (
        "where the program's own bind has been, or in the threads that answer calls",
        &[
            "handover/paths/directory.rs",
            "handover/trapped/path_calls.rs",
            "handover/trapped/task.rs",
        ],
    ),
    (
        "at places that a setting names: these must not be on a mount that hangs",
        &[
            "control/place.rs",
            "control/search.rs",
            "handover/listener.rs",
            "handover/sockets/mod.rs",
            "readiness/file.rs",
            "runtime/front.rs",
        ],
    ),
    (
        "by commands, which are no PID 1",
        &[
            "cli/check.rs",
            "cli/check/address.rs",
            "cli/install.rs",
            "cli/start.rs",
            "verify/subject.rs",
        ],
    ),
];

/// How a file is looked at.
pub(super) const LOOKS: [&str; 20] = [
    ".exists()",
    ".is_dir()",
    ".is_file()",
    "File::open",
    "File::options",
    "FileType::of(",
    "OpenOptions::new",
    "fs::canonicalize",
    "fs::copy",
    "fs::create_dir",
    "fs::hard_link",
    "fs::metadata",
    "fs::read",
    "fs::remove_file",
    "fs::rename",
    "fs::set_permissions",
    "fs::symlink_metadata",
    "fs::write",
    "read_link(",
    "regular::",
];
