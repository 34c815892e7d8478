//! READS the arguments of a call as the kernel does, which takes less of them than the registers hold. Pure: numbers in,
//! numbers out, whatever the numbers.

use std::os::fd::RawFd;

use super::address;

/// Bytes of the program's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    /// Where they begin.
    pub address: u64,
    /// How many there are.
    pub length: usize,
}

/// What setsockopt(2) is asked to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// `SOL_SOCKET`, `IPPROTO_TCP`, ….
    pub level: i32,
    /// `SO_RCVBUF`, ….
    pub name: i32,
    /// Its value.
    pub value: Bytes,
}

/// An option's value is a number, a structure of two, or an interface's name.
pub const LONGEST_OPTION: usize = 64;

/// The file that the call is about; `None` is one that cannot be.
#[must_use]
pub fn file([file, ..]: [u64; 6]) -> Option<RawFd> {
    Some(int(file)).filter(|file| *file >= 0)
}

/// The address of bind(2); `None` if it is longer than any is.
#[must_use]
pub fn bind([_, address, length, ..]: [u64; 6]) -> Option<Bytes> {
    bytes(address, length, address::LONGEST)
}

/// The name that unlink(2) is given: where it begins.
#[must_use]
pub fn unlink([name, ..]: [u64; 6]) -> u64 {
    name
}

/// The directory that unlinkat(2) is given (`None`: the one that the thread is in), and where the name begins; `None`: it is to
/// remove a directory.
#[must_use]
pub fn unlinkat([directory, name, flags, ..]: [u64; 6]) -> Option<(Option<RawFd>, u64)> {
    let directory = Some(int(directory)).filter(|it| *it != libc::AT_FDCWD);
    (int(flags) & libc::AT_REMOVEDIR == 0).then_some((directory, name))
}

/// A name, and the directory from which it is looked up (`None`: the one that the thread is in).
pub type Name = (Option<RawFd>, u64);

/// The names that rename(2) is given.
#[must_use]
pub fn rename([old, new, ..]: [u64; 6]) -> (Name, Name) {
    ((None, old), (None, new))
}

/// The names that renameat(2) is given.
#[must_use]
pub fn renameat([old_directory, old, new_directory, new, ..]: [u64; 6]) -> (Name, Name) {
    let directory = |register| Some(int(register)).filter(|it| *it != libc::AT_FDCWD);
    ((directory(old_directory), old), (directory(new_directory), new))
}

/// Those that renameat2(2) is given; `None`: it is to do more than rename.
#[must_use]
pub fn renameat2(arguments: [u64; 6]) -> Option<(Name, Name)> {
    let [.., flags, _] = arguments;
    (int(flags) == 0).then(|| renameat(arguments))
}

/// listen(2)'s backlog, an int of which the kernel takes the somaxconn at most, also of a negative one.
#[must_use]
pub fn backlog([_, backlog, ..]: [u64; 6]) -> i32 {
    let most = i32::from(u16::MAX);
    match int(backlog) {
        asked if asked < 0 => most,
        asked => asked.min(most),
    }
}

/// What setsockopt(2) sets; `None` if the value is longer than those of interest.
#[must_use]
pub fn option([_, level, name, value, length, _]: [u64; 6]) -> Option<Setting> {
    Some(Setting {
        level: int(level),
        name: int(name),
        value: bytes(value, length, LONGEST_OPTION)?,
    })
}

/// The low half of the register is all of it.
fn int(register: u64) -> i32 {
    register as u32 as i32
}

fn bytes(address: u64, length: u64, longest: usize) -> Option<Bytes> {
    // A negative length is an error of the kernel's to tell, and a very large number here.
    let length = usize::try_from(length as u32).ok().filter(|it| *it <= longest)?;
    Some(Bytes { address, length })
}

#[cfg(test)]
mod tests {
    use super::{Bytes, backlog, bind, file, option};

    const HIGH: u64 = 0xdead_beef_0000_0000;

    #[test]
    fn the_high_half_of_a_register_is_nothing() {
        assert_eq!(file([HIGH | 7, 0, 0, 0, 0, 0]), Some(7));
        assert_eq!(file([0xffff_ffff, 0, 0, 0, 0, 0]), None);
        let sixteen = Bytes {
            address: HIGH,
            length: 16,
        };
        assert_eq!(bind([0, HIGH, HIGH | 16, 0, 0, 0]), Some(sixteen));
        let set = option([0, HIGH | 1, HIGH | 15, HIGH, HIGH | 16, HIGH]).unwrap();
        assert_eq!((set.level, set.name, set.value), (1, 15, sixteen));
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        assert!(bind([0, 0, 128, 0, 0, 0]).is_some() && bind([0, 0, 129, 0, 0, 0]).is_none());
        assert!(option([0, 0, 0, 0, 64, 0]).is_some() && option([0, 0, 0, 0, 65, 0]).is_none());
        assert_eq!(bind([0, 0, u64::from(u32::MAX), 0, 0, 0]), None, "a negative length");
    }

    #[test]
    fn a_backlog_has_an_end() {
        let asked = |backlog: i32| super::backlog([3, u64::from(backlog as u32), 0, 0, 0, 0]);
        assert_eq!([asked(0), asked(5), asked(-1)], [0, 5, 65_535]);
        assert_eq!(asked(i32::MAX), 65_535);
        assert_eq!(backlog([3, HIGH | 5, 0, 0, 0, 0]), 5);
    }
}
