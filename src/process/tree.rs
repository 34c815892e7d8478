//! FINDS the processes that belong to a generation, its daemonised grandchildren too. Only looks; signals nobody.
//!
//! Candidates are segue's own descendants and nobody else (as PID 1 or subreaper it inherits every orphan), so that a
//! neighbour's process is never taken for one of ours. Among them a process belongs to the generation whose main
//! process it descends from; an orphan to the one that its environment names (`SEGUE_GENERATION`); one whose
//! environment cannot be read or was overwritten to the one whose session or group it is in. Of the rest those that are proved to be
//! the program's ([`Unmarked`]) belong to the newest generation that had begun when they began, which errs on the side of the living;
//! others are nobody's.

use std::{cell::RefCell, collections::HashMap, fs, io::Read};

use nix::unistd::Pid;

/// A process, as /proc/PID/stat tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its state's letter: `Z` a zombie, `T` stopped.
    pub state: u8,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// When it began, in clock ticks since boot.
    pub began: u64,
}

/// What is known of a generation, living or just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The generation's number.
    pub generation: u64,
    /// Its main process, or its pre-start command.
    pub main: i32,
    /// Is the main process not reaped yet?
    pub alive: bool,
    /// When it began, in clock ticks since boot.
    pub began: u64,
}

/// Whose an orphan is that has neither a generation in its environment nor kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmarked {
    /// The program's: as a subreaper, segue inherits nothing else.
    Program,
    /// The newest generation's, however old it is: everything is to go.
    Newest,
    /// Nobody's, such as a job that a shell of `docker exec` has left, which PID 1 inherits, too. It is the program's if it has more seccomp
    /// filters than segue: the one more is segue's own.
    Nobody {
        /// As many as segue has.
        filters: u32,
    },
}

impl Unmarked {
    fn is_the_program_s(self, pid: i32) -> bool {
        match self {
            Unmarked::Program | Unmarked::Newest => true,
            Unmarked::Nobody { filters } => super::status::of(pid).is_some_and(|status| status.filters > filters),
        }
    }
}

/// The generations that processes' environments name, by number and begin: what is known of them stays true.
pub type Markers = HashMap<(i32, u64), Option<u64>>;

/// The living descendants of `ancestor` that belong to `generation`; those in `ours` (main processes of other
/// generations, hooks, probes) and below them do not. `ask` reads the markers of processes of which they are not known yet; it may
/// leave some out, which are asked again the next time.
pub fn members(
    generation: u64,
    known: &[Known],
    ancestor: Pid,
    unmarked: Unmarked,
    markers: &mut Markers,
    ask: impl FnOnce(&[i32]) -> Vec<(i32, Option<u64>)>,
) -> Vec<Process> {
    let processes = processes();
    let began: HashMap<i32, u64> = processes.iter().map(|it| (it.pid, it.began)).collect();
    markers.retain(|(pid, since), _| began.get(pid) == Some(since));
    let newest = known.iter().map(|it| it.generation).max();
    let owner = |process: &Process| {
        if unmarked == Unmarked::Newest {
            return newest;
        }
        let had_begun = known.iter().filter(|it| it.began <= process.began);
        let newest = had_begun.map(|it| it.generation).max();
        newest.filter(|_| unmarked.is_the_program_s(process.pid))
    };
    // Where there is one generation, and everything is some generation's, no marker says anything else.
    let matters = known.len() > 1 || matches!(unmarked, Unmarked::Nobody { .. });
    let unknown = RefCell::new(Vec::new());
    let marked = |markers: &Markers, pid: i32| {
        let found = markers.get(&(pid, *began.get(&pid)?));
        if found.is_none() && matters {
            unknown.borrow_mut().push(pid);
        }
        found.copied().flatten()
    };
    let ancestor = ancestor.as_raw();
    let mut found = attribute(&processes, known, ancestor, |pid| marked(markers, pid), owner);
    let unknown = unknown.take();
    if !unknown.is_empty() {
        for (pid, marker) in ask(&unknown) {
            markers.extend(began.get(&pid).map(|since| ((pid, *since), marker)));
        }
        let marked = |pid| markers.get(&(pid, *began.get(&pid)?)).copied().flatten();
        found = attribute(&processes, known, ancestor, marked, owner);
    }
    found
        .into_iter()
        .filter(|(process, owner)| *owner == generation && !matches!(process.state, b'Z' | b'X'))
        .map(|(process, _)| process)
        .collect()
}

/// Every descendant with the generation it belongs to. `marker` reads the number in a process's environment, `unmarked` says whose
/// one is that nothing else tells of.
fn attribute(
    processes: &[Process],
    known: &[Known],
    ancestor: i32,
    marker: impl Fn(i32) -> Option<u64>,
    unmarked: impl Fn(&Process) -> Option<u64>,
) -> Vec<(Process, u64)> {
    let parents: HashMap<i32, &Process> = processes.iter().map(|process| (process.pid, process)).collect();
    // From a process up to the child of the ancestor that it descends from.
    let top = |process: &Process| {
        let mut at = *process;
        for _ in 0..processes.len() {
            if at.parent == ancestor {
                return Some(at);
            }
            at = **parents.get(&at.parent)?;
        }
        None
    };
    let main_of = |pid: i32, alive: bool| known.iter().find(|it| it.main == pid && (it.alive || !alive));
    let owner = |process: &Process, top: &Process| {
        if let Some(known) = main_of(top.pid, true) {
            return Some(known.generation);
        }
        let marked = marker(process.pid).or_else(|| marker(top.pid));
        if let Some(marked) = marked.filter(|marked| known.iter().any(|it| it.generation == *marked)) {
            return Some(marked);
        }
        let kin = main_of(process.session, false).or_else(|| main_of(process.group, false));
        if let Some(kin) = kin {
            return Some(kin.generation);
        }
        unmarked(process)
    };
    let descendants = processes.iter().filter(|process| process.pid != ancestor);
    descendants
        .filter_map(|process| Some((*process, owner(process, &top(process)?)?)))
        .collect()
}

/// The numbers of all processes in sight.
#[must_use]
pub fn all() -> Vec<i32> {
    let listing = fs::read_dir("/proc").into_iter().flatten();
    listing
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn processes() -> Vec<Process> {
    let Ok(listing) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

/// The children of this process's main thread, to which orphans come, in one short look; none where the kernel does not tell
/// (CONFIG_PROC_CHILDREN). Those that are dead and not reaped are among them.
#[must_use]
pub fn children() -> Vec<i32> {
    let own = std::process::id();
    let text = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// One process, if it is there.
#[must_use]
pub fn process(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse(pid, &stat)
}

/// The processor on which a thread ran last.
#[must_use]
pub fn processor(thread: i32) -> Option<usize> {
    let stat = fs::read(format!("/proc/{thread}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(36)?.parse().ok()
}

/// `PID (NAME) STATE PARENT GROUP SESSION …`, where the name may hold anything; the start is field 22 (proc(5)).
fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<i32>().ok();
    Some(Process {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        began: fields.get(19)?.parse().ok()?,
    })
}

/// The generation that a process's environment names. It waits, perhaps for ever, where a thread of that process waits in mmap(2) or
/// munmap(2) for a file system: only for a helper to ask.
#[must_use]
pub fn marker(pid: i32) -> Option<u64> {
    const LARGEST: u64 = 4 << 20;
    let mut environment = Vec::new();
    fs::File::open(format!("/proc/{pid}/environ"))
        .ok()?
        .take(LARGEST)
        .read_to_end(&mut environment)
        .ok()?;
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(b"SEGUE_GENERATION="))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Known, Process, attribute, parse};

    fn process(pid: i32, parent: i32, group: i32, session: i32, began: u64) -> Process {
        Process {
            pid,
            state: b'S',
            parent,
            group,
            session,
            began,
        }
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = b"7 (a) Z 1 (b) R 3 4 5 6 0 0 0 0 0 0 0 0 0 0 0 0 0 0 99 0 0\n";
        let expected = Process {
            pid: 7,
            state: b'R',
            parent: 3,
            group: 4,
            session: 5,
            began: 99,
        };
        assert_eq!(parse(7, stat), Some(expected));
        assert_eq!(parse(7, b"7 (a"), None);
        assert_eq!(parse(7, b""), None);
    }

    #[test]
    fn descent_then_marker_then_kin_then_age() {
        let known = [
            Known {
                generation: 1,
                main: 10,
                alive: false,
                began: 100,
            },
            Known {
                generation: 2,
                main: 20,
                alive: true,
                began: 200,
            },
        ];
        let processes = [
            process(1, 0, 1, 1, 0),
            process(20, 1, 20, 1, 200),
            // Below the living main process, whatever its environment says.
            process(21, 20, 21, 21, 210),
            // Orphans: one marked, one in the group of generation 1, one old, one young.
            process(30, 1, 30, 30, 250),
            process(31, 1, 10, 31, 250),
            process(32, 1, 32, 32, 150),
            process(33, 32, 33, 33, 250),
            // A neighbour, and a neighbour's child.
            process(90, 0, 90, 90, 300),
            process(91, 90, 91, 91, 300),
        ];
        let marker = |pid| [(21, 1), (30, 1), (90, 1)].iter().find(|it| it.0 == pid).map(|it| it.1);
        let owners = |unmarked: &dyn Fn(&Process) -> Option<u64>| -> Vec<(i32, u64)> {
            let all = attribute(&processes, &known, 1, marker, unmarked);
            all.iter().map(|(process, owner)| (process.pid, *owner)).collect()
        };
        let certain = [(20, 2), (21, 2), (30, 1), (31, 1)];
        assert_eq!(owners(&|_| None), certain, "nobody is claimed by a guess");
        let one = |process: &Process| (process.pid == 33).then_some(2);
        assert_eq!(owners(&one), [&certain[..], &[(33, 2)]].concat());
    }

    #[test]
    fn a_stranger_s_marker_is_no_generation_of_ours() {
        let known = [Known {
            generation: 1,
            main: 10,
            alive: false,
            began: 100,
        }];
        let processes = [process(30, 1, 30, 30, 250)];
        assert_eq!(attribute(&processes, &known, 1, |_| Some(77), |_| Some(1))[0].1, 1);
    }
}
