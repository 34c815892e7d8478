//! Random lives of a program on a path, with real sockets in a real directory: whatever is restarted how, and whatever the
//! program takes away, the path leads to whoever is to serve, and nothing else is left beside it.

use std::{
    collections::BTreeMap,
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
};

use nix::sys::stat::fstat;
use proptest::prelude::*;

use super::{Binds, Listening, Paths, Target, directory::Directory, names};

#[derive(Debug, Clone, Copy)]
enum Comes {
    Replaced,
    RolledBackAtStart,
    RolledBackOnProbation,
    Crashed,
    StoppedFirst,
}

/// What the program does with its path.
#[derive(Debug, Clone, Copy)]
struct Habit {
    takes_away_first: bool,
    takes_away_at_the_end: bool,
    renames: bool,
}

struct Life {
    home: tempfile::TempDir,
    paths: Paths,
    listeners: BTreeMap<u64, UnixListener>,
    last: u64,
}

impl Life {
    fn target(&self, name: &str) -> Target {
        let path = self.home.path().join(name).into_os_string().into_encoded_bytes();
        Target {
            directory: Directory::open(self.home.path()).unwrap(),
            name: names::split(&path).unwrap().1.to_vec(),
            path,
        }
    }

    /// As `take_away` of the program: the first generation's is not trapped.
    fn take_away(&mut self, generation: u64) {
        let target = self.target("name");
        let path = self.home.path().join("name");
        if generation == 1 || !self.paths.unlink(generation, &target) {
            std::fs::remove_file(path).ok();
        }
        self.paths.repair();
    }

    fn start(&mut self, habit: Habit) -> u64 {
        self.last += 1;
        let generation = self.last;
        self.paths.begin(generation);
        if habit.takes_away_first && !habit.renames {
            self.take_away(generation);
        }
        let said = if habit.renames { "name.tmp" } else { "name" };
        let bound = match self.paths.bind(generation, &self.target(said)).unwrap() {
            Binds::AsAsked => self.home.path().join(said),
            Binds::Beside(path) => String::from_utf8(path).unwrap().into(),
            Binds::InUse => panic!("nobody of this generation listens there"),
        };
        let listener = UnixListener::bind(&bound).unwrap();
        let mut name = bound.file_name().unwrap().to_str().unwrap().to_owned();
        if habit.renames {
            let (from, to) = (self.target("name.tmp"), self.target("name"));
            name = if self.paths.rename(generation, &from, &to).unwrap() {
                format!(".name.segue-{generation}")
            } else {
                std::fs::rename(&bound, self.home.path().join("name")).unwrap();
                "name".to_owned()
            };
        }
        let listening = Listening {
            generation,
            inode: fstat(&listener).unwrap().st_ino,
            holder: (1, listener.as_raw_fd()),
            socket: listener.try_clone().unwrap().into(),
        };
        self.paths.join(listening, self.target(&name), true).unwrap();
        if self.paths.serves(generation) {
            self.paths.switch();
        }
        listener.set_nonblocking(true).unwrap();
        self.listeners.insert(generation, listener);
        generation
    }

    fn end(&mut self, generation: u64, takes_away: bool) {
        self.listeners.remove(&generation);
        if takes_away {
            self.take_away(generation);
        }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.home.path().join("name")).unwrap()
    }

    fn leads_to(&self, generation: u64) {
        drop(self.connect());
        for (number, listener) in &self.listeners {
            assert_eq!(listener.accept().is_ok(), *number == generation, "{number}");
        }
        let leads = self.paths.lead_to(generation);
        assert!(leads.len() == 1 && leads[0].1.is_ok(), "{leads:?}");
    }

    fn goes_on(&mut self, serving: u64, comes: Comes, habit: Habit) -> u64 {
        self.paths.prepare(serving, self.last + 1).unwrap();
        let next = match comes {
            Comes::Crashed | Comes::StoppedFirst => {
                let stopped = matches!(comes, Comes::StoppedFirst);
                if stopped {
                    self.paths.hold();
                }
                self.end(serving, stopped && habit.takes_away_at_the_end);
                if stopped {
                    // It closes its listener a while before its end.
                    let held: Vec<u64> = self.paths.held().map(|it| it.inode).collect();
                    held.into_iter()
                        .for_each(|inode| assert!(self.paths.abandon(inode).is_none()));
                }
                let waits = self.connect();
                self.paths.release(serving);
                drop(waits);
                drop(self.connect());
                let next = self.start(habit);
                assert_eq!(self.paths.take_lost(), 2, "they are counted");
                self.paths.steer(next);
                next
            }
            Comes::Replaced | Comes::RolledBackAtStart | Comes::RolledBackOnProbation => {
                let next = self.start(habit);
                self.leads_to(serving);
                if !matches!(comes, Comes::RolledBackAtStart) {
                    self.paths.steer(next);
                    self.leads_to(next);
                }
                if matches!(comes, Comes::RolledBackOnProbation) {
                    self.paths.steer(serving);
                }
                let (stays, goes) = if matches!(comes, Comes::Replaced) {
                    (next, serving)
                } else {
                    (serving, next)
                };
                self.leads_to(stays);
                self.end(goes, habit.takes_away_at_the_end);
                self.leads_to(stays);
                self.paths.release(goes);
                assert_eq!(self.paths.take_lost(), 0);
                stays
            }
        };
        self.leads_to(next);
        let left: Vec<_> = std::fs::read_dir(self.home.path())
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        assert_eq!(left, ["name"]);
        next
    }
}

/// A segue that was killed in the middle of a restart leaves hidden names, and the next one counts its generations from 1 again.
#[test]
fn what_was_left_beside_the_path_is_in_nobody_s_way() {
    let mut life = Life {
        home: tempfile::tempdir().unwrap(),
        paths: Paths::default(),
        listeners: BTreeMap::new(),
        last: 0,
    };
    for left in [".name.segue-1", ".name.segue-2", ".name.segue-2~"] {
        drop(UnixListener::bind(life.home.path().join(left)).unwrap());
    }
    let habit = Habit {
        takes_away_first: true,
        takes_away_at_the_end: true,
        renames: false,
    };
    let first = life.start(habit);
    life.paths.steer(first);
    life.goes_on(first, Comes::Replaced, habit);
}

fn habit() -> impl Strategy<Value = Habit> {
    any::<[bool; 3]>().prop_map(|[takes_away_first, takes_away_at_the_end, renames]| Habit {
        takes_away_first,
        takes_away_at_the_end,
        renames,
    })
}

fn comes() -> impl Strategy<Value = Comes> {
    prop_oneof![
        Just(Comes::Replaced),
        Just(Comes::RolledBackAtStart),
        Just(Comes::RolledBackOnProbation),
        Just(Comes::Crashed),
        Just(Comes::StoppedFirst),
    ]
}

proptest! {
    #[test]
    fn the_path_leads_to_whoever_serves(habit in habit(), lives in proptest::collection::vec(comes(), 1..8)) {
        let mut life = Life {
            home: tempfile::tempdir().unwrap(),
            paths: Paths::default(),
            listeners: BTreeMap::new(),
            last: 0,
        };
        let mut serving = life.start(habit);
        life.paths.steer(serving);
        life.leads_to(serving);
        for comes in lives {
            serving = life.goes_on(serving, comes, habit);
        }
        // The last one's own end is its own affair.
        life.paths.close();
        life.end(serving, habit.takes_away_at_the_end);
        let left = std::fs::read_dir(life.home.path()).unwrap().count();
        prop_assert_eq!(left, usize::from(!habit.takes_away_at_the_end));
    }
}
