//! TAKES ON the user of a program for a moment: what root may not do in a container, because CAP_SYS_PTRACE is missing, the
//! program's own user may; and sockets that are to share an address must belong to one user. Each call changes the thread
//! that makes it and no other.
#![expect(
    unsafe_code,
    reason = "system calls that change one thread; libc's wrappers change all of them"
)]

use std::io;

use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid};

use super::status::Status;

/// Makes a socket that belongs to this user. EPERM: segue may not.
pub fn owned_by<T>(user: u32, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if geteuid().as_raw() == user {
        return make();
    }
    let _kept = Kept::now();
    let before = setfsuid(Uid::from_raw(user));
    // It tells of no error; asked once more with what is no user, it tells who it is now.
    let is_it = setfsuid(Uid::from_raw(SAME)).as_raw() == user;
    let made = if is_it {
        make()
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    };
    setfsuid(before);
    made
}

/// Makes a file that belongs to this user and this group. EPERM: segue may not.
pub fn made_by<T>(user: u32, group: u32, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = setfsgid(Gid::from_raw(group));
    let is_it = setfsgid(Gid::from_raw(SAME)).as_raw() == group;
    let made = if is_it {
        owned_by(user, make)
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    };
    setfsgid(before);
    made
}

/// What the kernel takes from a process whose user changes, and that it gets back when this is dropped: /proc/PID is open to
/// its own user, and it hears of its parent's death.
struct Kept {
    dumpable: bool,
    of_parents_death: libc::c_int,
}

impl Kept {
    fn now() -> Kept {
        let mut of_parents_death = 0;
        // SAFETY: numbers only.
        let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) } == 1;
        // SAFETY: the argument is a writable int.
        unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut of_parents_death) };
        Kept {
            dumpable,
            of_parents_death,
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.dumpable {
            // SAFETY: numbers only.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1 as libc::c_ulong) };
        }
        if self.of_parents_death != 0 {
            // SAFETY: numbers only.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, self.of_parents_death) };
        }
    }
}

/// Does it, and if that is refused and segue is root, does it once more as the program's user: real and effective, because
/// ptrace(2) and its like ask for both.
pub fn or_as_user<T>(status: &Status, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match act() {
        Err(error) if is_refusal(&error) && geteuid().is_root() => match (status.only_user, status.only_group) {
            (Some(user), Some(group)) if user != 0 => {
                let _taken = Taken::take(user, group)?;
                act()
            }
            (Some(_) | None, _) => Err(error),
        },
        done => done,
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

/// The user that was taken on, until it is dropped.
struct Taken {
    user: libc::uid_t,
    group: libc::gid_t,
    /// Dropped after the user is segue's again.
    _kept: Kept,
}

/// "Leave it as it is."
const SAME: u32 = u32::MAX;

impl Taken {
    /// The saved ones stay, so that there is a way back.
    fn take(user: u32, group: u32) -> io::Result<Taken> {
        // SAFETY: no pointers.
        let (own_user, own_group) = unsafe { (libc::getuid(), libc::getgid()) };
        let taken = Taken {
            user: own_user,
            group: own_group,
            _kept: Kept::now(),
        };
        set(libc::SYS_setresgid, group)?;
        set(libc::SYS_setresuid, user)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let user = set(libc::SYS_setresuid, self.user);
        let group = set(libc::SYS_setresgid, self.group);
        if let Err(error) = user.and(group) {
            tracing::error!(%error, "cannot become segue's own user again");
        }
    }
}

/// The real and the effective one, of this thread.
fn set(call: libc::c_long, id: u32) -> io::Result<()> {
    // SAFETY: numbers only.
    if unsafe { libc::syscall(call, id, id, SAME) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
