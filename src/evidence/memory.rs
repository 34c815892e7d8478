//! JUDGES whether there is memory for a second generation, from what cgroups and the kernel say. Pure; all numbers are bytes.

use std::fmt;

/// What limits the memory of a cgroup, or of the machine, and how much of it cannot be had back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The most that it may use.
    pub limit: u64,
    /// What it uses, without what the kernel drops when memory is short: the pages of files.
    pub kept: u64,
    /// How much of that can go to swap.
    pub swap: u64,
    /// Does the kernel kill all of its processes if it kills one (`memory.oom.group`)?
    pub kills_all: bool,
}

/// What the processes of a generation use, and have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Use {
    /// What is not the pages of files: RssAnon and RssShmem of /proc/PID/status.
    pub kept: u64,
    /// VmRSS.
    pub resident: u64,
    /// The most that VmRSS has been: VmHWM.
    pub peak: u64,
}

/// A second generation does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    limit: u64,
    room: u64,
    need: u64,
    kills_all: bool,
}

impl Use {
    /// Of several processes. What they share is counted more than once.
    #[must_use]
    pub fn and(self, other: Use) -> Use {
        Use {
            kept: self.kept.saturating_add(other.kept),
            resident: self.resident.saturating_add(other.resident),
            peak: self.peak.saturating_add(other.peak),
        }
    }

    /// From /proc/PID/status, which counts in kB; nothing for a kernel thread or a zombie.
    #[must_use]
    pub fn of(status: &str) -> Use {
        let kilobytes = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            number.unwrap_or(0).saturating_mul(1024)
        };
        Use {
            kept: kilobytes("RssAnon").saturating_add(kilobytes("RssShmem")),
            resident: kilobytes("VmRSS"),
            peak: kilobytes("VmHWM"),
        }
    }

    /// What one like it needs at its peak. `most`: all of its processes together use no more than that, if it is known; what is
    /// shared among them is not counted twice then.
    fn need(self, most: u64) -> u64 {
        let kept = self.kept.min(most);
        if self.resident == 0 {
            return kept;
        }
        let peak = u128::from(kept) * u128::from(self.peak.max(self.resident)) / u128::from(self.resident);
        u64::try_from(peak).unwrap_or(u64::MAX)
    }
}

impl Level {
    fn room(&self) -> u64 {
        self.limit.saturating_sub(self.kept).saturating_add(self.swap)
    }
}

/// Where it does not fit, from the innermost level outwards.
#[must_use]
pub fn shortage(levels: &[Level], generation: Use) -> Option<Shortage> {
    let most = levels.first().map_or(u64::MAX, |level| level.kept);
    let need = generation.need(most);
    let tight = levels.iter().find(|level| level.room() < need)?;
    Some(Shortage {
        limit: tight.limit,
        room: tight.room(),
        need,
        kills_all: tight.kills_all,
    })
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage {
            limit,
            room,
            need,
            kills_all,
        } = *self;
        let (limit, room, need) = (Size(limit), Size(room), Size(need));
        write!(
            f,
            "no memory for a second one: it needs {need}, and {room} are free of {limit}"
        )?;
        if kills_all {
            f.write_str(" (memory.oom.group: the kernel would kill all)")?;
        }
        Ok(())
    }
}

/// In mebibytes, as `docker -m` counts.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0 >> 20)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn level(limit: u64, kept: u64) -> Level {
        Level {
            limit: limit * MIB,
            kept: kept * MIB,
            swap: 0,
            kills_all: false,
        }
    }

    fn uses(kept: u64, resident: u64, peak: u64) -> Use {
        Use {
            kept: kept * MIB,
            resident: resident * MIB,
            peak: peak * MIB,
        }
    }

    #[test]
    fn an_overlap_fits_or_does_not() {
        let fits = |levels: &[Level], generation| shortage(levels, generation).is_none();
        let python = uses(48, 56, 56);
        assert!(!fits(&[level(80, 50)], python));
        assert!(fits(&[level(100, 50)], python));
        assert!(fits(&[], python), "no limit");
        assert!(
            !fits(&[level(1000, 50), level(80, 60)], python),
            "a level above has the limit"
        );
        assert!(!fits(&[level(130, 50)], uses(48, 56, 112)), "it had twice as much once");
        // A hundred workers that share nearly all of it.
        assert!(fits(&[level(200, 90)], uses(4000, 5000, 5000)));
        let swap = Level {
            swap: 64 * MIB,
            ..level(80, 50)
        };
        assert!(fits(&[swap], python));
        let all = Level {
            kills_all: true,
            ..level(80, 50)
        };
        let said = shortage(&[all], python).unwrap().to_string();
        assert_eq!(
            said,
            "no memory for a second one: it needs 48 MiB, and 30 MiB are free of 80 MiB (memory.oom.group: the kernel would \
             kill all)"
        );
    }

    #[test]
    fn what_the_kernel_says_of_a_process() {
        let status = "Name:\tpython3\nVmHWM:\t   12000 kB\nVmRSS:\t   11000 kB\nRssAnon:\t    5000 kB\nRssFile:\t    5990 kB\n\
                      RssShmem:\t      10 kB\n";
        let expected = Use {
            kept: 5010 * 1024,
            resident: 11000 * 1024,
            peak: 12000 * 1024,
        };
        assert_eq!(Use::of(status), expected);
        assert_eq!(Use::of("Name:\tkthreadd\n"), Use::default());
        assert_eq!(expected.and(Use::default()), expected);
    }

    proptest! {
            #[test]
            fn more_room_never_hurts(limit in 0..u64::MAX, kept: u64, swap: u64, more in 0..u64::MAX, it in [any::<u64>(), any::<u64>(), any::<u64>()]) {
                let tight = Level { limit, kept, swap, kills_all: false };
                let wide = Level { limit: limit.saturating_add(more), ..tight };
                let generation = Use { kept: it[0], resident: it[1], peak: it[2] };
                if shortage(&[tight], generation).is_none() {
                    prop_assert!(shortage(&[wide], generation).is_none());
                }
    let both = shortage(&[wide, tight], generation);
                if shortage(&[wide], generation).is_some() {
                    prop_assert!(both.is_some(), "a level more makes no room");
                }
            }
        }
}
