//! READS what the memory controllers of cgroups say (cgroup v2: Documentation/admin-guide/cgroup-v2.rst; v1:
//! cgroup-v1/memory.rst), for segue's own cgroup and those around it, as far as a container sees them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::memory::Level;

/// The memory controller's directories, from segue's own cgroup outwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    version: Version,
    directories: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// No level has more above it.
const DEEPEST: usize = 32;

impl Memory {
    /// Where this process is; `None`: no memory controller can be seen. `root` is `/`, but for tests.
    #[must_use]
    pub fn find(root: &Path) -> Option<Memory> {
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
        let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let found = mounts.lines().filter_map(|line| Mount::parse(line, &own));
        // Where both are mounted, the controller belongs to one of them: that whose files are there.
        let memories = found.map(|mount| Memory {
            version: mount.version,
            directories: mount.directories(root),
        });
        memories.into_iter().find(|it| it.kills().is_some())
    }

    /// What limits it, at each level that has a limit.
    #[must_use]
    pub fn levels(&self, swap_free: u64) -> Vec<Level> {
        let level = |directory: &PathBuf| match self.version {
            Version::One => level_1(directory, swap_free),
            Version::Two => level_2(directory, swap_free),
        };
        self.directories.iter().filter_map(level).collect()
    }

    /// How many processes the kernel has killed here because memory was short. Before Linux 4.13 it does not say.
    #[must_use]
    pub fn kills(&self) -> Option<u64> {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let directory = self.directories.first()?;
        Table::read(&directory.join(file))?.get("oom_kill")
    }

    /// The lowest limit.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.levels(0).iter().map(|level| level.limit).min()
    }
}

/// A mounted hierarchy in which the memory controller may be.
struct Mount<'a> {
    version: Version,
    /// What of the hierarchy is mounted.
    root: &'a str,
    /// Where.
    point: &'a str,
    /// Where this process is in the hierarchy.
    own: &'a str,
}

impl<'a> Mount<'a> {
    /// A line of /proc/self/mountinfo (proc(5)), and the whole of /proc/self/cgroup (cgroups(7)).
    fn parse(line: &'a str, own: &'a str) -> Option<Mount<'a>> {
        let (left, right) = line.split_once(" - ")?;
        let (mut left, mut right) = (left.split(' ').skip(3), right.split(' '));
        let (root, point) = (left.next()?, left.next()?);
        let (kind, options) = (right.next()?, right.nth(1)?);
        let version = match kind {
            "cgroup2" => Version::Two,
            "cgroup" if options.split(',').any(|it| it == "memory") => Version::One,
            _ => return None,
        };
        let own = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let is_it = match version {
                Version::Two => controllers.is_empty(),
                Version::One => controllers.split(',').any(|it| it == "memory"),
            };
            is_it.then_some(path)
        })?;
        Some(Mount {
            version,
            root,
            point,
            own,
        })
    }

    fn directories(&self, root: &Path) -> Vec<PathBuf> {
        let point = root.join(self.point.trim_start_matches('/'));
        let below = Path::new(self.own).strip_prefix(self.root);
        // A path that leads out of what is mounted here is that of a process which was moved in from elsewhere.
        let below = below
            .ok()
            .filter(|path| !path.components().any(|it| it.as_os_str() == ".."));
        let innermost = below.map_or_else(|| point.clone(), |below| point.join(below));
        let up = innermost
            .ancestors()
            .take_while(|directory| directory.starts_with(&point));
        up.take(DEEPEST).map(Path::to_owned).collect()
    }
}

fn level_2(directory: &Path, swap_free: u64) -> Option<Level> {
    let limit = number(&directory.join("memory.max"))?;
    let current = number(&directory.join("memory.current"))?;
    let stat = Table::read(&directory.join("memory.stat"))?;
    let of = |name: &str| stat.get(name).unwrap_or(0);
    let dropped = ["active_file", "inactive_file", "slab_reclaimable"].map(of);
    // Without a swap controller there is no limit but the machine's own.
    let swap = number(&directory.join("memory.swap.max"));
    let swapped = number(&directory.join("memory.swap.current")).unwrap_or(0);
    Some(Level {
        limit,
        kept: dropped.iter().fold(current, |rest, it| rest.saturating_sub(*it)),
        swap: swap.map_or(swap_free, |swap| swap.saturating_sub(swapped).min(swap_free)),
        kills_all: number(&directory.join("memory.oom.group")) == Some(1),
    })
}

/// What v1 has where there is no limit: the largest number of pages.
const NO_LIMIT: u64 = i64::MAX as u64 / 4096 * 4096 - (64 << 10);

fn level_1(directory: &Path, swap_free: u64) -> Option<Level> {
    let limit = number(&directory.join("memory.limit_in_bytes")).filter(|limit| *limit < NO_LIMIT)?;
    let current = number(&directory.join("memory.usage_in_bytes"))?;
    let stat = Table::read(&directory.join("memory.stat"))?;
    let of = |name: &str| stat.get(name).unwrap_or(0);
    let dropped = of("total_active_file").saturating_add(of("total_inactive_file"));
    // Memory and swap together.
    let both = number(&directory.join("memory.memsw.limit_in_bytes")).filter(|limit| *limit < NO_LIMIT);
    let used = number(&directory.join("memory.memsw.usage_in_bytes")).unwrap_or(current);
    let swap = both.map_or(swap_free, |both| {
        let (swap, swapped) = (both.saturating_sub(limit), used.saturating_sub(current));
        swap.saturating_sub(swapped).min(swap_free)
    });
    Some(Level {
        limit,
        kept: current.saturating_sub(dropped),
        swap,
        kills_all: false,
    })
}

/// What the machine has, as if it were a cgroup around all of them; and how much swap is free. From /proc/meminfo.
#[must_use]
pub fn machine(meminfo: &str) -> Option<(Level, u64)> {
    let stat = Table(meminfo.to_owned());
    let bytes = |name: &str| stat.get(name).map(|kilobytes| kilobytes.saturating_mul(1024));
    let swap = bytes("SwapFree").unwrap_or(0);
    let (limit, available) = (bytes("MemTotal")?, bytes("MemAvailable")?);
    let level = Level {
        limit,
        kept: limit.saturating_sub(available),
        swap,
        kills_all: false,
    };
    Some((level, swap))
}

/// A file with one number; `None` too for `max`.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A file with a name and a number in each line, and maybe a unit.
struct Table(String);

impl Table {
    fn read(path: &Path) -> Option<Table> {
        Some(Table(fs::read_to_string(path).ok()?))
    }

    fn get(&self, name: &str) -> Option<u64> {
        let number = |line: &str| {
            line.strip_prefix(name)?
                .strip_prefix([' ', ':'])?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        };
        self.0.lines().find_map(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A root with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn version_2_in_a_container_that_sees_no_more_than_its_own() {
        let root = root(&[
            ("proc/self/cgroup", "0::/\n"),
            (
                "proc/self/mountinfo",
                "30 29 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n",
            ),
            ("sys/fs/cgroup/memory.max", "83886080\n"),
            ("sys/fs/cgroup/memory.current", "62914560\n"),
            (
                "sys/fs/cgroup/memory.stat",
                "anon 41943040\nfile 20971520\nshmem 10485760\ninactive_file 4194304\nactive_file 4194304\nslab_reclaimable 2097152\n",
            ),
            ("sys/fs/cgroup/memory.swap.max", "0\n"),
            ("sys/fs/cgroup/memory.swap.current", "0\n"),
            ("sys/fs/cgroup/memory.oom.group", "1\n"),
            (
                "sys/fs/cgroup/memory.events",
                "low 0\nhigh 0\nmax 5\noom 2\noom_kill 2\noom_group_kill 0\n",
            ),
        ]);
        let memory = Memory::find(root.path()).unwrap();
        let expected = Level {
            limit: 80 * MIB,
            kept: 50 * MIB,
            swap: 0,
            kills_all: true,
        };
        assert_eq!(memory.levels(MIB), [expected]);
        assert_eq!((memory.kills(), memory.limit()), (Some(2), Some(80 * MIB)));
    }

    #[test]
    fn version_2_with_limits_around_it() {
        let files = |directory: &str, max: &str, current: u64| {
            vec![
                (format!("{directory}/memory.max"), format!("{max}\n")),
                (format!("{directory}/memory.current"), format!("{current}\n")),
                (format!("{directory}/memory.stat"), "inactive_file 0\n".to_owned()),
                (format!("{directory}/memory.events"), "oom_kill 0\n".to_owned()),
            ]
        };
        let mut all = files("sys/fs/cgroup/pod/app", "max", 10 * MIB);
        all.extend(files("sys/fs/cgroup/pod", "104857600", 90 * MIB));
        all.push(("proc/self/cgroup".into(), "0::/pod/app\n".into()));
        all.push((
            "proc/self/mountinfo".into(),
            "30 29 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n".into(),
        ));
        let all: Vec<(&str, &str)> = all.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
        let root = root(&all);
        let levels = Memory::find(root.path()).unwrap().levels(7 * MIB);
        let expected = Level {
            limit: 100 * MIB,
            kept: 90 * MIB,
            swap: 7 * MIB,
            kills_all: false,
        };
        assert_eq!(levels, [expected], "the inner one has no limit");
    }

    #[test]
    fn version_1_beside_an_empty_version_2() {
        let root = root(&[
            (
                "proc/self/cgroup",
                "9:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc\n",
            ),
            (
                "proc/self/mountinfo",
                "41 40 0:38 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n\
                 42 40 0:39 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n\
                 43 40 0:40 /docker/abc /sys/fs/cgroup/memory ro master:1 - cgroup cgroup rw,memory\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "83886080\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "73400320\n"),
            (
                "sys/fs/cgroup/memory/memory.stat",
                "inactive_file 1\ntotal_inactive_file 10485760\ntotal_active_file 10485760\n",
            ),
            ("sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "94371840\n"),
            ("sys/fs/cgroup/memory/memory.memsw.usage_in_bytes", "75497472\n"),
            (
                "sys/fs/cgroup/memory/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            ),
        ]);
        let memory = Memory::find(root.path()).unwrap();
        let expected = Level {
            limit: 80 * MIB,
            kept: 50 * MIB,
            swap: 8 * MIB,
            kills_all: false,
        };
        assert_eq!(memory.levels(100 * MIB), [expected]);
        assert_eq!(memory.kills(), Some(3));
        fs::write(
            root.path().join("sys/fs/cgroup/memory/memory.limit_in_bytes"),
            "9223372036854771712\n",
        )
        .unwrap();
        assert_eq!(memory.levels(0), [], "no limit");
    }

    #[test]
    fn a_machine_is_a_level_too_and_nothing_may_be_there() {
        let text =
            "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    400 kB\nSwapTotal: 9 kB\nSwapFree:  5 kB\n";
        let (level, swap) = machine(text).unwrap();
        assert_eq!(
            (level.limit, level.kept, level.swap, swap),
            (1000 << 10, 600 << 10, 5 << 10, 5 << 10)
        );
        assert_eq!(machine(""), None);
        assert_eq!(Memory::find(root(&[]).path()), None);
        let cgroup = [("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", "nonsense\n")];
        assert_eq!(Memory::find(root(&cgroup).path()), None);
    }
}
