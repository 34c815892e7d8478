//! DECIDES whether the program itself changes what restarts it. No clock: time is an argument.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A change so soon after a generation has begun may be its own.
const SOON: Duration = Duration::from_secs(5);
/// So many of the same file in a row are. Nobody saves a file so often so soon, each time right after the program has begun
/// again; and so many restarts cost no more than some seconds.
const IN_A_ROW: u32 = 12;

/// What has restarted the program, and what does so no more.
#[derive(Debug, Default)]
pub struct Loops {
    in_a_row: BTreeMap<PathBuf, u32>,
    suspended: BTreeSet<PathBuf>,
}

impl Loops {
    /// Does a change of these files, some time after the last generation began, ask for a restart? Those that come again and
    /// again do not, from then on; they are told once.
    pub fn note(&mut self, paths: &[PathBuf], began: Instant, now: Instant) -> Verdict {
        let paths: Vec<&PathBuf> = paths.iter().filter(|path| !self.suspended.contains(*path)).collect();
        if paths.is_empty() {
            return Verdict::Suspended;
        }
        if now.saturating_duration_since(began) >= SOON {
            self.in_a_row.clear();
            return Verdict::Restart;
        }
        let before = std::mem::take(&mut self.in_a_row);
        for path in paths {
            let times = before.get(path).copied().unwrap_or_default().saturating_add(1);
            self.in_a_row.insert(path.clone(), times);
        }
        let often = self.in_a_row.iter().filter(|(_, times)| **times >= IN_A_ROW);
        let found: Vec<PathBuf> = often.map(|(path, _)| path.clone()).collect();
        if found.is_empty() {
            return Verdict::Restart;
        }
        self.in_a_row.clear();
        self.suspended.extend(found.iter().cloned());
        Verdict::Found(found)
    }

    /// Somebody has restarted the program by hand: everything counts again.
    pub fn forget(&mut self) {
        self.in_a_row.clear();
        self.suspended.clear();
    }

    /// The files that do not restart the program any more.
    pub fn suspended(&self) -> impl Iterator<Item = &Path> {
        self.suspended.iter().map(PathBuf::as_path)
    }
}

/// What a change is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody's change.
    Restart,
    /// It is known to be the program's own.
    Suspended,
    /// It has just been found to be the program's own.
    Found(Vec<PathBuf>),
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_comes_right_after_each_start_is_the_programs_own() {
        let mut loops = Loops::default();
        let (own, other) = (vec![PathBuf::from("own")], vec![PathBuf::from("other")]);
        let mut now = Instant::now();
        for time in 1..=IN_A_ROW {
            let began = now;
            now += SECOND;
            let both = [own.clone(), vec![PathBuf::from(format!("{time}"))]].concat();
            let expected = if time < IN_A_ROW {
                Verdict::Restart
            } else {
                Verdict::Found(own.clone())
            };
            assert_eq!(loops.note(&both, began, now), expected, "{time}");
        }
        assert_eq!(loops.note(&own, now, now + 100 * SECOND), Verdict::Suspended);
        assert_eq!(loops.note(&other, now, now), Verdict::Restart);
        assert_eq!(loops.suspended().collect::<Vec<_>>(), [Path::new("own")]);
        loops.forget();
        assert_eq!(loops.note(&own, now, now), Verdict::Restart);
    }

    #[test]
    fn who_saves_often_is_no_program() {
        let mut loops = Loops::default();
        let path = vec![PathBuf::from("a")];
        let now = Instant::now();
        for time in 0..100 {
            // Eleven at once, then one that is late.
            let wait = if time % IN_A_ROW == IN_A_ROW - 1 { SOON } else { SECOND };
            assert_eq!(loops.note(&path, now, now + wait), Verdict::Restart, "{time}");
        }
    }
}
